"""A bucket in memory that can be told to lie, one way at a time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from fileplane.blobs.base import ShownAs
from fileplane.blobs.bucket import Download, StoredObject
from fileplane.model import Span

LIES = {
    "invents what was never written": "missing",
    "loses what it is given": "write",
    "changes a byte": "write",
    "keeps only the first part": "multipart",
    "swaps parts": "multipart",
    "ignores ranges": "range",
    "ends ranges one byte late": "range",
    "refuses what is empty": "empty",
    "shows what is unfinished": "abandon",
    "hides unfinished uploads": "abandon",
    "lists late": "list",
    "lists wrong sizes": "list",
    "has a wrong clock": "list",
    "keeps what is deleted": "delete",
    "lists what is deleted": "delete",
    "deletes everything": "list",
}
"""Each lie, and the probe that is to find it."""

PART = 8 << 20


@dataclass
class MemoryBucket:
    """See :class:`fileplane.blobs.bucket.Bucket`."""

    lie: str = ""
    kept: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    failures: tuple[type[Exception], ...] = (OSError,)
    shows_unfinished: bool = True

    def upload(self, key: str) -> MemoryUpload:
        return MemoryUpload(self, key)

    async def create(self, key: str, body: bytes) -> bool:
        if key in self.kept and self.lie != "ignores conditions":
            return False
        if self.lie != "loses what it is given":
            self.kept[key] = body
            self.listed[key] = len(body)
        return True

    async def size_of(self, key: str) -> int | None:
        return len(self.kept[key]) if key in self.kept else None

    async def download(self, key: str, span: Span | None, expected: int | None = None) -> Download | None:  # noqa: ARG002 - of no use here
        if self.lie == "invents what was never written":
            return Download(5, _pieces(b"hello"))
        if key not in self.kept:
            return None
        body = self.kept[key]
        if span is None or self.lie == "ignores ranges":
            return Download(len(body), _pieces(body))
        late = 1 if self.lie == "ends ranges one byte late" else 0
        return Download(len(body), _pieces(body[span.start : span.start + span.length + late]))

    async def delete(self, key: str) -> None:
        if self.lie == "keeps what is deleted":
            return
        if self.lie == "deletes everything":
            self.kept.clear()
            self.listed.clear()
        self.kept.pop(key, None)
        if self.lie != "lists what is deleted":
            self.listed.pop(key, None)

    async def objects(self) -> AsyncIterator[Sequence[StoredObject]]:
        now = time.time() - (7_200 if self.lie == "has a wrong clock" else 0)
        more = 1 if self.lie == "lists wrong sizes" else 0
        keys = list(self.listed)[: -1 if self.lie == "lists late" else None]
        yield [StoredObject(key, self.listed[key] + more, now) for key in keys]

    async def unfinished(self) -> AsyncIterator[Sequence[StoredObject]]:
        if self.lie != "hides unfinished uploads":
            yield [StoredObject(key, 0, time.time(), upload_id=upload_id) for upload_id, key in self.uploads.items()]

    async def abandon(self, key: str, upload_id: str | None = None) -> None:
        for each, of in list(self.uploads.items()):
            if of == key and upload_id in {None, each}:
                del self.uploads[each]

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class MemoryUpload:
    """See :class:`fileplane.blobs.bucket.Upload`."""

    def __init__(self, bucket: MemoryBucket, key: str) -> None:
        self.bucket, self.key = bucket, key
        self._id = f"upload-{id(self)}"
        self._body = b""

    async def write(self, data: bytes) -> None:
        self._body += data
        self.bucket.uploads[self._id] = self.key
        if self.bucket.lie == "shows what is unfinished":
            self._publish()

    async def finish(self) -> None:
        self.bucket.uploads.pop(self._id, None)
        self._publish()

    def _publish(self) -> None:
        lie, body = self.bucket.lie, self._body
        if lie == "loses what it is given":
            return
        if lie == "refuses what is empty" and not body:
            raise OSError("an object of 0 bytes is refused")
        if lie == "changes a byte":
            body = body[:-1] + b"!"
        if lie == "keeps only the first part":
            body = body[:PART]
        if lie == "swaps parts" and len(body) > PART:
            body = body[PART:] + body[:PART]
        self.bucket.kept[self.key] = body
        self.bucket.listed[self.key] = len(body)

    async def abort(self) -> None:
        self.bucket.uploads.pop(self._id, None)
        if self.bucket.lie == "publishes what is aborted":
            self.bucket.kept[self.key] = self._body


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1 << 20):
        yield body[start : start + (1 << 20)]
