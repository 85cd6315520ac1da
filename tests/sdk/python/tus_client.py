"""tuspy sends a file as told, and prints what came of it, as JSON."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage

job = json.load(sys.stdin)
client = TusClient(job["endpoint"], headers={"Authorization": f"Bearer {job['api_key']}"})
METADATA = {"filename": "python.bin", "purpose": "user_data"}


def at_once() -> str:
    uploader = client.uploader(job["path"], metadata=METADATA)
    uploader.upload()
    return str(uploader.url)


def in_chunks() -> str:
    uploader = client.uploader(job["path"], metadata=METADATA, chunk_size=70_001)
    uploader.upload()
    return str(uploader.url)


def with_checksums() -> str:
    uploader = client.uploader(job["path"], metadata=METADATA, chunk_size=200_000, upload_checksum=True)
    uploader.upload()
    return str(uploader.url)


def stopped_and_resumed() -> str:
    """A second uploader goes on by what is kept in a file, as another process would."""
    size = Path(job["path"]).stat().st_size
    values: dict[str, Any] = {"metadata": METADATA, "store_url": True, "url_storage": FileStorage(job["storage"])}
    first = client.uploader(job["path"], chunk_size=100_000, **values)
    first.upload(stop_at=size // 2)
    second = client.uploader(job["path"], chunk_size=100_000, **values)
    assert (second.url, second.offset) == (first.url, first.offset)
    assert 0 < second.offset < size
    second.upload()
    return str(second.url)


def empty() -> str:
    uploader = client.uploader(file_stream=BytesIO(b""), metadata=METADATA)
    uploader.upload()
    return str(uploader.url)


def patiently() -> str:
    uploader = client.uploader(job["path"], metadata=METADATA, chunk_size=65_536, retries=1_000, retry_delay=1)
    uploader.upload()
    return str(uploader.url)


SCENARIOS = {
    "at once": at_once,
    "in chunks": in_chunks,
    "with checksums": with_checksums,
    "stopped and resumed": stopped_and_resumed,
    "empty": empty,
    "patiently": patiently,
}
print(json.dumps({name: {"url": SCENARIOS[name]()} for name in job["scenarios"]}))  # noqa: T201 - what the test reads
