"""A command that used an object store ends with its own exit code, whatever the client's threads are still about."""

from __future__ import annotations

import subprocess
import sys

from support.server import fileplane_environment

RUNS = 16
# As a command does it: the last answers have just come when it ends. Without precautions every fourth process or so aborts.
COMMAND = """
import asyncio, atexit, sys
import fileplane.cli.lean
import fileplane.__main__

async def use():
    import obstore, obstore.store
    store = obstore.store.MemoryStore()
    await asyncio.gather(*[obstore.put_async(store, str(number), bytes(100_000)) for number in range(60)])
    await asyncio.gather(*[obstore.get_async(store, str(number)) for number in range(60)])

def command(**_):
    atexit.register(sys.stdout.write, ", and the last of it")
    asyncio.run(use())
    sys.stdout.write("all of it")
    sys.exit(3)

fileplane.cli.lean.only_what_is_asked_for = lambda *_: command
fileplane.__main__.main()
"""


def test_a_command_ends_with_its_exit_code_and_all_that_it_said() -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", COMMAND], env=fileplane_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(RUNS)
    ]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in running]
    assert ended == [(b"all of it, and the last of it", b"", 3)] * RUNS
