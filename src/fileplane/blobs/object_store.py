"""Blobs in an object store: S3 and what is compatible, Azure Blob, Google Cloud Storage.

A blob is one object, uploaded in parts that are hashed on the way, and visible only once the store has completed it; its size is asked
for again before a commit is believed. Each call has a deadline, and each failure becomes one of the protocol's. What differs between the
stores is behind :class:`~fileplane.blobs.bucket.Bucket`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from fileplane.blobs.base import BlobInfo, BlobKeyInvalid, BlobMissing, Inspector, ShownAs
from fileplane.blobs.bucket import Bucket, Download, StoredObject
from fileplane.blobs.keys import BLOB_KEY, UNFINISHED_KEY
from fileplane.blobs.object_reader import ObjectReader
from fileplane.blobs.object_writer import ObjectWriter
from fileplane.blobs.ownership import Ownership
from fileplane.errors import StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.model import Span

_THREADS: Final = 8
_CHECK_SECONDS: Final = 10.0
_QUERY: Final = re.compile(r"\?[^\s\"'<>)]*")
_LONGEST_MESSAGE: Final = 600

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ObjectStoreFailed(Exception):
    """What an object store said, without whatever a URL in it may have carried. Only for the log."""


class ObjectBlobStore:
    """The :class:`~fileplane.blobs.base.BlobStore` protocol over one bucket.

    ``slowest_part_seconds`` is how long the slowest client admitted may take for one part: an unfinished upload is shown as if it had
    been touched that much later than it was, since it can be alive without having sent anything meanwhile.
    """

    def __init__(self, bucket: Bucket, *, deadline_seconds: float = 60.0, slowest_part_seconds: float = 0.0) -> None:
        self._bucket = bucket
        self._deadline_seconds = deadline_seconds
        self._slowest_part_seconds = slowest_part_seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fileplane-blobs")
        self._left: set[asyncio.Task[None]] = set()
        self._checking = asyncio.Lock()
        self._checked_at: float | None = None
        self._ownership = Ownership(self, bucket)

    @property
    def shows_unfinished(self) -> bool:
        """Whether :meth:`walk` can show unfinished uploads; a store that cannot clears them away by itself."""
        return self._bucket.shows_unfinished

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Computes on the store's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(call, *arguments))

    async def ask(self, work: Awaitable[T], *, deadlines: float = 1.0) -> T:
        """What the bucket answers, within that many deadlines. Raises :class:`StorageUnavailable` for whatever the bucket fails with."""
        try:
            async with asyncio.timeout(self._deadline_seconds * deadlines):
                return await work
        except TimeoutError as error:
            raise StorageUnavailable("The blob store does not answer. Try again shortly.") from error
        except self._bucket.failures as error:
            # Not from the error itself: libraries put URLs into their messages, and a URL may hold a signature.
            raise _unavailable() from ObjectStoreFailed(without_queries(error))

    @asynccontextmanager
    async def writer(self, key: str, inspector: Inspector | None = None) -> AsyncIterator[ObjectWriter]:
        """See :meth:`BlobStore.writer`."""
        if not BLOB_KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        writer = ObjectWriter(self, self._bucket, key, inspector)
        try:
            yield writer
        finally:
            await writer.discard()

    def see_to(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begins what must be done to its end, whoever leaves meanwhile; :meth:`close` waits for it."""
        task = asyncio.ensure_future(work)
        self._left.add(task)
        task.add_done_callback(self._left.discard)
        return task

    @asynccontextmanager
    async def open(self, key: str, span: Span | None = None, expected: int | None = None) -> AsyncIterator[ObjectReader]:
        """See :meth:`BlobStore.open`. The bytes of a blob that is deleted meanwhile end in an error, never early in silence."""
        if not BLOB_KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        reader = ObjectReader(self, await self._begin_download(key, span, expected), span)
        try:
            yield reader
        finally:
            await reader.release()

    async def _begin_download(self, key: str, span: Span | None, expected: int | None) -> Download:
        try:
            download = await self.ask(self._bucket.download(key, span, expected))
        except StorageUnavailable:
            # A span outside an object is refused like any other failure. What is shorter than its record says is to be found out as that.
            size = None if span is None else await self.ask(self._bucket.size_of(key))
            if span is None or size is None or size >= span.start + span.length:
                raise
            return Download(size, _nothing())
        if download is None:
            raise BlobMissing(key)
        return download

    async def delete(self, key: str) -> None:
        """See :meth:`BlobStore.delete`."""
        unfinished = UNFINISHED_KEY.fullmatch(key)
        if unfinished is not None:
            await self.ask(self._bucket.abandon(unfinished[1], unfinished[2]))
        elif BLOB_KEY.fullmatch(key):
            await self.ask(self._bucket.delete(key))
        else:
            raise BlobKeyInvalid(key)

    async def walk(self, *, uncommitted_only: bool = False) -> AsyncIterator[BlobInfo]:
        """See :meth:`BlobStore.walk`. One page of names is held at a time; objects of other names are not ours."""
        kinds = [self._bucket.unfinished()] if uncommitted_only else [self._bucket.unfinished(), self._bucket.objects()]
        for pages in kinds:
            try:
                while (page := await self._next_page(pages)) is not None:
                    for entry in page:
                        if BLOB_KEY.fullmatch(entry.key):
                            yield self._described(entry)
            finally:
                if isinstance(pages, AsyncGenerator):
                    await pages.aclose()

    def _described(self, entry: StoredObject) -> BlobInfo:
        if entry.upload_id is None:
            return BlobInfo(entry.key, entry.size, entry.modified_at, committed=True)
        touched = entry.modified_at + self._slowest_part_seconds
        return BlobInfo(f"{entry.key}?upload={entry.upload_id}", entry.size, touched, committed=False)

    async def _next_page(self, pages: AsyncIterator[T]) -> T | None:
        try:
            return await self.ask(anext(pages))
        except StopAsyncIteration:
            return None

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """A URL that anybody may read the blob from for that long. Raises :class:`BlobKeyInvalid` and StorageUnavailable."""
        if not BLOB_KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        return await self.ask(self._bucket.link(key, shown, seconds))

    async def owner(self) -> str | None:
        """See :meth:`Claimable.owner`."""
        return await self._ownership.owner()

    async def claim(self, store_id: str) -> str:
        """See :meth:`Claimable.claim`."""
        return await self._ownership.claim(store_id)

    async def belongs_to(self, store_id: str) -> bool:
        """See :meth:`BlobStore.belongs_to`."""
        return await self._ownership.owner() == store_id

    async def check(self) -> None:
        """See :meth:`BlobStore.check`: writes, reads back and removes a small blob, unless that went well a few seconds ago."""
        async with self._checking:
            if self._checked_at is not None and time.monotonic() - self._checked_at < _CHECK_SECONDS:
                return
            key = new_blob_key()
            async with self.writer(key) as writer:
                await writer.write(b"ready")
                await writer.commit()
            try:
                async with self.open(key) as reader:
                    read = b"".join([piece async for piece in reader])
            except BlobMissing as error:
                raise _unavailable() from error
            finally:
                await self.delete(key)
            if read != b"ready":
                raise _unavailable() from ObjectStoreFailed("the bucket returned other bytes than it was given")
            self._checked_at = time.monotonic()

    async def close(self) -> None:
        """See :meth:`BlobStore.close`."""
        while self._left:
            await asyncio.wait(self._left)
        await self._bucket.close()
        await asyncio.to_thread(self._threads.shutdown, wait=True)


def without_queries(error: BaseException) -> str:
    """The error in words, without the queries of URLs, where signatures are."""
    words = str(error).partition("\n\nDebug source")[0]
    return _QUERY.sub("?…", f"{type(error).__name__}: {words}")[:_LONGEST_MESSAGE]


def _unavailable() -> StorageUnavailable:
    return StorageUnavailable("The blob store failed. Try again; if it goes on, the operator will find the cause in the server's log.")


async def _nothing() -> AsyncIterator[bytes | memoryview]:
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece
