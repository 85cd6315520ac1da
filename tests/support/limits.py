"""What a server holds, counted from outside, and disks that are small."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

import psutil
import pytest

from support.polling import eventually
from support.server import RunningServer

MIB = 1 << 20
_CAP_SYS_ADMIN = 21
_SAMPLE_SECONDS = 0.01
_SAME_READINGS = 5

# The patience of the fixture `impatient_server`.
HEAD_SECONDS = 1.0
BODY_IDLE_SECONDS = 0.6
UPLOAD_GRACE_SECONDS = 0.8
MIN_UPLOAD_RATE = 2_000


@dataclass(frozen=True)
class Held:
    """Everything of a server that a client could make it keep."""

    descriptors: int
    connections: int
    blobs: int
    temporaries: int


def held_by(server: RunningServer) -> Held:
    workers = server.workers()
    return Held(
        descriptors=sum(worker.num_fds() for worker in workers),
        connections=sum(len(_connections(worker)) for worker in workers),
        blobs=len(open_blobs_of(server)),
        temporaries=len(temporaries_of(server)),
    )


def held_when_idle(server: RunningServer) -> Held:
    """What the server holds once everything of earlier clients is gone."""
    readings: list[Held] = []

    def settled() -> bool:
        readings.append(held_by(server))
        latest = readings[-_SAME_READINGS:]
        return len(latest) == _SAME_READINGS and len(set(latest)) == 1 and not latest[0].connections and not latest[0].blobs

    eventually(settled, "everything of earlier clients is gone", seconds=10)
    return readings[-1]


def _connections(worker: psutil.Process) -> list[object]:
    return [entry for entry in worker.net_connections("tcp") if entry.status != psutil.CONN_LISTEN]


def worker_of(server: RunningServer, client_port: int) -> int | None:
    """The process id of the worker that has accepted the connection from ``client_port``."""
    for worker in server.workers():
        if any(entry.raddr and entry.raddr.port == client_port for entry in worker.net_connections("tcp")):
            return worker.pid
    return None


def open_blobs_of(server: RunningServer) -> list[str]:
    """The files of the blob store, temporaries included, that the workers have open."""
    directory = f"{server.data_dir / 'blobs'}/"
    return [file.path for worker in server.workers() for file in worker.open_files() if file.path.startswith(directory)]


def own_open_files(directory: Path) -> list[str]:
    """What this process has open in ``directory``, a path for each descriptor, deleted files among it; nothing of what else it does."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return sorted(file.path for file in psutil.Process().open_files() if file.path.startswith(f"{directory}/"))
    targets = []
    for descriptor in descriptors.iterdir():
        with suppress(FileNotFoundError):  # closed since, as the one of the listing itself
            targets.append(str(descriptor.readlink()))
    return sorted(target for target in targets if target.startswith(f"{directory}/"))


def threads_of(server: RunningServer) -> int:
    return sum(worker.num_threads() for worker in server.workers())


def temporaries_of(server: RunningServer) -> list[str]:
    """What lies half-written in the blob store."""
    return [path.name for path in (server.data_dir / "blobs" / "tmp").iterdir()]


def blobs_of(data_dir: Path) -> list[Path]:
    """Every committed blob."""
    return [path for path in (data_dir / "blobs").glob("??/*") if path.parent.name != "tmp"]


def resident_bytes(server: RunningServer) -> int:
    return sum(worker.memory_info().rss for worker in server.workers())


class Peak:
    """The most memory that the workers had while the block ran, above what they had before it."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._base = resident_bytes(server)
        self._most = self._base
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @property
    def growth(self) -> int:
        return self._most - self._base

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        workers = self._server.workers()
        while not self._done.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, sum(worker.memory_info().rss for worker in workers))


def may_mount() -> bool:
    """Whether this process may mount file systems, which a root in a container often may not."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        return False
    status = Path("/proc/self/status").read_text("ascii")
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    return bool(effective >> _CAP_SYS_ADMIN & 1)


def skip_or_fail(reason: str) -> NoReturn:
    """What a test cannot run for is a reason to skip it on a developer's machine, and a failure where everything is to be tested."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must run every test", pytrace=False)
    pytest.skip(reason)


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system of its own at ``path``, in memory, with ``size`` bytes."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "fileplane-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    """Changes a small disk: ``ro``, ``rw`` or ``size=<bytes>``."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def fill(path: Path) -> Path:
    """A file that takes all the room that is left on the disk of the directory ``path``; returns it."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (bytes(MIB), bytes(4096)):
            try:
                while file.write(piece):
                    continue
            except OSError:
                continue
    return ballast


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """This process may open that many; a server that it starts asks for its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        skip_or_fail(f"{count} descriptors are needed, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
