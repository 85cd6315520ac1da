"""The least that storing a file durably takes: read, hash with SHA-256, write in slices of 1 MiB, fsync file and directory.

Usage: plain_write.py SOURCE DIRECTORY COUNT THREADS

Stores SOURCE as COUNT new files, THREADS at a time, and prints the seconds and the CPU seconds that took, without Python's start.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SLICE = 1 << 20


def store(source: Path, destination: Path) -> str:
    """Returns the hash, once the bytes are durable."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(SLICE, source.stat().st_size)))
    with source.open("rb", buffering=0) as reader, destination.open("xb", buffering=0) as writer:
        while count := reader.readinto(buffer):
            digest.update(buffer[:count])
            rest = buffer[:count]
            while rest:
                rest = rest[writer.write(rest) :]
        os.fsync(writer.fileno())
    directory = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return digest.hexdigest()


def main() -> None:
    source, directory, count, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    with ThreadPoolExecutor(threads) as pool:
        began, cpu_before = time.perf_counter(), time.process_time()
        list(pool.map(lambda number: store(source, directory / str(number)), range(count)))
        print(time.perf_counter() - began, time.process_time() - cpu_before)


if __name__ == "__main__":
    main()
