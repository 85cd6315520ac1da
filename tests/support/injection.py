"""Faults in the system calls of a real server: strace attaches to its worker, and fails or kills it at the n-th call of a kind.

A fault test runs once for every n at which something can go wrong, until a run no longer reaches it::

    for nth in count(1):
        with traced(server, log_path, Fault("fsync", nth, KILL)) as trace:
            ...  # one upload
        if not trace.struck:
            break

strace counts by thread: the fault strikes whichever thread first makes its n-th call, and each later one that does.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.debian import require_program
from support.limits import skip_or_fail
from support.server import RunningServer, wait_until_dead
from support.strace_log import Call, read_calls

KILL = "signal=KILL"
EIO = "error=EIO"
ENOSPC = "error=ENOSPC"
ATTACHED = "attached"
RENAME = "/^rename"
"""Every call that renames; which one it is differs from one architecture to the next."""
_STOP_SECONDS = 20
_PF_EXITING = 0x4  # of the ninth field in /proc/<pid>/stat


@dataclass(frozen=True)
class Fault:
    """What strace calls an injection: at the ``nth`` ``call`` (from 1), and only at those on ``path`` if one is given."""

    call: str
    nth: int
    action: str
    path: Path | None = None

    def __str__(self) -> str:
        return f"{self.call} {self.nth}: {self.action}"


@dataclass
class Trace:
    """What a server did while it was traced; to be read once the block has ended."""

    log_path: Path
    killed: bool = False
    """Whether the worker is dead."""

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    @property
    def calls(self) -> list[Call]:
        return read_calls(self.log)

    @property
    def struck(self) -> bool:
        """Whether the fault was reached."""
        return self.killed or any(call.injected for call in self.calls)


@contextmanager
def traced(server: RunningServer, log_path: Path, fault: Fault | None = None, *, calls: tuple[str, ...] = ()) -> Iterator[Trace]:
    """Traces ``calls`` of the server's one worker for the length of a block, and lets ``fault`` happen.

    All threads are traced from the first moment of the block on. A server that the fault kills is dead as a whole afterwards.
    """
    (worker,) = server.workers()
    names = [*calls, *([fault.call] if fault is not None and fault.call not in calls else [])]
    command = [require_program("strace", "strace"), "-f", "-y", "-s", "32", "-o", str(log_path), "-p", str(worker.pid)]
    command += ["-e", f"trace={','.join(names)}", "-e", "signal=none"]
    if fault is not None:
        command += ["-e", f"inject={fault.call}:{fault.action}:when={fault.nth}"]
        command += [] if fault.path is None else ["-P", str(fault.path)]
    kills = fault is not None and fault.action == KILL
    if kills:
        # What kills the worker kills the whole server at that moment: nothing replaces the worker.
        server.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        told = strace.stderr.readline()
        trace = Trace(log_path)
        try:
            if ATTACHED not in told:
                skip_or_fail(f"strace cannot attach to a process: {told}")
            yield trace
        finally:
            trace.killed = _is_ending(worker.pid)
            _end(strace, killed=trace.killed)
            if trace.killed:
                kill_at_once(server)
            elif kills:
                server.process.send_signal(signal.SIGCONT)


def _end(strace: subprocess.Popen[str], *, killed: bool) -> None:
    # It ends by itself with a worker that was killed, and to be asked in the middle of that makes it wait for ever.
    if not killed:
        strace.terminate()
    try:
        strace.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        strace.kill()
        raise


def _is_ending(process: int) -> bool:
    """Whether it is dead or about to be, which it is before its clients can notice."""
    try:
        _, _, fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(") ")
    except FileNotFoundError:
        return True
    return bool(int(fields.split()[6]) & _PF_EXITING)


def kill_at_once(server: RunningServer) -> None:
    """SIGKILL to supervisor and workers, also when some of them are dead already. Returns once they hold nothing any more."""
    if server.process.poll() is not None:
        return
    # Stopped, so that it replaces none of those who die before it.
    server.process.send_signal(signal.SIGSTOP)
    children = psutil.Process(server.process.pid).children(recursive=True)
    for process in [*children, server.process]:
        process.kill()
    server.process.wait(_STOP_SECONDS)
    wait_until_dead(children, _STOP_SECONDS)
