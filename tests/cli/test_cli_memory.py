"""A transfer takes no more memory than a list, however large the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command_line import SECONDS, CommandLine
from support.server import fileplane_environment

SIZE = 200 << 20
ALLOWED_KIB = 64 << 10
# The kernel's own count of the largest a process has been, read when the command has ended.
MEASURED = """
import atexit, pathlib, sys
from fileplane.__main__ import main
report = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: report.write_text(pathlib.Path("/proc/self/status").read_text()))
main()
"""


def peak_kib(cli: CommandLine, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """The largest resident set of a command that succeeds, and what it printed."""
    report = tmp_path / "status"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(report), *arguments],
        cwd=cli.directory,
        env=fileplane_environment(**cli.environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done
    line = next(line for line in report.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]), done.stdout


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's count of a process's memory is Linux's")
def test_a_large_file_goes_up_and_down_in_the_memory_of_a_list(cli: CommandLine, tmp_path: Path) -> None:
    with (cli.directory / "large").open("wb") as file:
        file.truncate(SIZE)
    idle, _ = peak_kib(cli, tmp_path, "ls")
    up, printed = peak_kib(cli, tmp_path, "upload", "large", "--purpose", "user_data", "--json")
    file_id = json.loads(printed)[0]["file"]["id"]
    down, _ = peak_kib(cli, tmp_path, "get", file_id, "--output", "copy")
    assert (cli.directory / "copy").stat().st_size == SIZE
    assert up < idle + ALLOWED_KIB
    assert down < idle + ALLOWED_KIB
