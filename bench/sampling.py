"""How numbers are taken on a machine that is never quite quiet: in turns, several times, watched while they run."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from plan import MIB
from servers import Server

T = TypeVar("T")

_SAMPLE_SECONDS = 0.02
_POPULATE_WRITE = 23  # Linux's MADV_POPULATE_WRITE, which Python 3.11 has no name for


def in_turns(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Each side once a round, the order reversed every other round, so that a drift of the machine meets all sides alike."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            results[name].append(sides[name]())
    return results


def settle(size: int) -> None:
    """What went before is on disk, and memory for ``size`` bytes of page cache is at hand.

    A virtual machine's host may take free memory away and hand it back slowly, which would cost whoever writes a file after a
    pause up to two seconds a GiB. Taking and returning a little more than ``size`` beforehand spares all sides that alike.
    """
    os.sync()
    if sys.platform != "linux":
        return
    with mmap.mmap(-1, size + size // 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        try:
            memory.madvise(_POPULATE_WRITE)
        except OSError:
            for position in range(0, len(memory), mmap.PAGESIZE):
                memory[position] = 1


def make_file(path: Path, size: int) -> Path:
    """A file of random bytes, in the page cache."""
    with path.open("wb") as file:
        for position in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - position)))
    return path


class Peak:
    """The highest figure seen, in bytes."""

    def __init__(self, value: int) -> None:
        self.value = value


@contextmanager
def watched_memory(server: Server) -> Iterator[Peak]:
    """The peak of the server's resident memory during the block, looked at every 20 ms."""
    processes = server.serving_processes()
    peak = Peak(sum(process.memory_info().rss for process in processes))
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            peak.value = max(peak.value, sum(process.memory_info().rss for process in processes))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
