"""The least that one file takes to or from an object store: obstore alone, with its own defaults but for the size of a part.

Usage: obstore_transfer.py up|down ENDPOINT BUCKET KEY FILE PART_BYTES

Prints the seconds and the CPU seconds that the transfer took, without Python's start. What comes down goes nowhere, FILE or not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import obstore
from obstore.store import S3Store


async def up(store: S3Store, key: str, source: Path, part_bytes: int) -> None:
    await obstore.put_async(store, key, source, chunk_size=part_bytes)


async def down(store: S3Store, key: str, expected: int) -> None:
    received = 0
    async for chunk in (await obstore.get_async(store, key)).stream(min_chunk_size=1 << 20):
        received += len(chunk)
    if received != expected:
        sys.exit(f"{received} of {expected} bytes came")


async def transfer(way: str, endpoint: str, place: tuple[str, str], source: Path, size: int, part_bytes: int) -> None:
    bucket, key = place
    config = {"endpoint": endpoint, "region": "us-east-1", "virtual_hosted_style_request": False}
    store = S3Store(bucket, config=config, client_options={"allow_http": True, "timeout": "10m"})
    began, cpu_before = time.perf_counter(), time.process_time()
    await (up(store, key, source, part_bytes) if way == "up" else down(store, key, size))
    print(time.perf_counter() - began, time.process_time() - cpu_before, flush=True)


def main() -> None:
    way, endpoint, bucket, key, name, part_bytes = sys.argv[1:]
    source = Path(name)
    asyncio.run(transfer(way, endpoint, (bucket, key), source, source.stat().st_size, int(part_bytes)))
    # obstore's own threads may still be at work, and abort a process whose interpreter has ended before them.
    os._exit(0)


if __name__ == "__main__":
    main()
