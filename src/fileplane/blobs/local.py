"""Blobs on a local disk, durable before they are visible.

A blob is written and hashed as ``tmp/<name>``, checked, fsynced, renamed to ``<2 hex>/<30 hex>``, and the directory is fsynced:
the order that leaves a complete blob or none after a power cut on ext4 and xfs. The system calls are in ``local_disk``; here they
are run on threads, with deadlines, and released when the caller leaves.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from fileplane.blobs import local_disk as disk
from fileplane.blobs.base import BlobInfo, BlobKeyInvalid, Inspector
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.model import Span, StoredBlob

_THREADS: Final = 32
_SLICES_AHEAD: Final = 2
_SYNC_AHEAD: Final = 64 << 20
_SERVED_SECONDS: Final = 30.0
_LEFT_BEHIND_SECONDS: Final = 3_600.0
_DESCRIPTORS: Final = Path("/proc/self/fd")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")

_log = logging.getLogger(__name__)


class LocalBlobStore:
    """The :class:`~fileplane.blobs.base.BlobStore` protocol over one directory, which it makes (mode 0700) when it is missing."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0, deadline_seconds: float = 60.0) -> None:
        self._min_free_bytes = min_free_bytes
        self._deadline_seconds = deadline_seconds
        self._root_fd = disk.prepare_root(root)
        # On Linux by the directory's descriptor, which is open as long as the store: the directory may be renamed meanwhile.
        self._place = _DESCRIPTORS / str(self._root_fd) if _DESCRIPTORS.is_dir() else root.absolute()
        self._served: deque[str] = deque()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="fileplane-blobs")

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Runs blocking work on the store's own threads, within the deadline."""
        return await self._wait(self._threads.submit(call, *arguments))

    async def run_surely(self, call: Callable[..., T], *arguments: object) -> T:
        """As :meth:`run`, but what still waits for a thread when the deadline passes is done later all the same."""
        return await self._wait(self._threads.submit(call, *arguments), surely=True)

    async def _wait(self, work: Future[T], *, surely: bool = False) -> T:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                waiting = asyncio.wrap_future(work)
                return await (asyncio.shield(waiting) if surely else waiting)
        except TimeoutError as error:
            raise StorageUnavailable("The blob store does not answer. Try again shortly.") from error
        except OSError as error:
            raise _unavailable(error) from error

    @asynccontextmanager
    async def writer(self, key: str, inspector: Inspector | None = None) -> AsyncIterator[_LocalWriter]:
        """See :meth:`BlobStore.writer`."""
        if not disk.KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        writer = _LocalWriter(self, disk.Temporary(self._root_fd, key, self._min_free_bytes, inspector))
        try:
            yield writer
        finally:
            await writer.discard()

    @asynccontextmanager
    async def open(self, key: str, span: Span | None = None, expected: int | None = None) -> AsyncIterator[_LocalReader]:  # noqa: ARG002 - of no use here
        """See :meth:`BlobStore.open`."""
        if not disk.KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        opening = self._threads.submit(disk.open_blob, self._root_fd, key)
        try:
            descriptor, size = await self._wait(opening)
        except BaseException:
            # The thread may still open the file after the wait for it was given up.
            opening.add_done_callback(_close_opened)
            raise
        try:
            yield _LocalReader(self, key, descriptor, size, span)
        finally:
            self._close(descriptor)

    async def serve_under_another_name(self, key: str) -> Path | None:
        """For :meth:`BlobReader.hand_over`: a path of the blob's own, which is there for half a minute and never again.

        The path of its descriptor would be none of its own: whoever is late to open it might find the next file under the same number.
        """
        name = disk.new_served_name()
        try:
            await self.run(disk.name_for_serving, self._root_fd, key, name)
        except StorageUnavailable as error:
            _log.debug("a blob cannot be given a second name: %s", error.__cause__)
            return None
        finally:
            # Also of a call that was given up, whose thread may be at it still.
            self._served.append(name)
            asyncio.get_running_loop().call_later(_SERVED_SECONDS, self._let_go)
        return self._place / name

    def _let_go(self) -> None:
        if self._served:
            self._threads.submit(disk.unlink, self._root_fd, self._served.popleft())

    def _close(self, descriptor: int) -> None:
        """On a thread: to close the last descriptor of a deleted blob frees its blocks, which takes a while for a large one."""
        self._threads.submit(os.close, descriptor)

    async def delete(self, key: str) -> None:
        """See :meth:`BlobStore.delete`."""
        if not disk.KEY.fullmatch(key) and not disk.TEMPORARY_KEY.fullmatch(key):
            raise BlobKeyInvalid(key)
        await self.run(disk.unlink, self._root_fd, key)

    async def walk(self, *, uncommitted_only: bool = False) -> AsyncIterator[BlobInfo]:
        """See :meth:`BlobStore.walk`. One directory's names are held at a time.

        Whoever looks for what is uncommitted takes back what processes handed over that were killed.
        """
        if uncommitted_only:
            await self.run(disk.remove_old_served_names, self._root_fd, _LEFT_BEHIND_SECONDS)
        for directory in (disk.TEMPORARIES, *(() if uncommitted_only else disk.SHARDS)):
            for info in await self.run(disk.list_directory, self._root_fd, directory):
                yield info

    async def belongs_to(self, store_id: str) -> bool:  # noqa: ARG002 - the same for every store
        """See :meth:`BlobStore.belongs_to`. The directory lies in that of its database, which one server locks."""
        return True

    async def check(self) -> None:
        """See :meth:`BlobStore.check`: writes, reads back and removes a small temporary, and looks at the room left."""
        await self.run(disk.probe, self._root_fd, self._min_free_bytes)

    async def close(self) -> None:
        """See :meth:`BlobStore.close`."""
        while self._served:
            self._let_go()
        await asyncio.get_running_loop().run_in_executor(None, functools.partial(self._threads.shutdown, wait=True))
        os.close(self._root_fd)


class _LocalWriter:
    """Gathers 1 MiB while threads hash and write the slices before it, so that network, processor and disk work at once.

    Two slices may be on their way: the second waits for the first on its thread, and goes on without asking the event loop. Of a large
    file, what is written is synced from time to time, so that the sync before the commit is a short one.
    """

    def __init__(self, store: LocalBlobStore, temporary: disk.Temporary) -> None:
        self._store = store
        self._temporary = temporary
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._slices: deque[list[bytes]] = deque()
        self._flushes: deque[asyncio.Future[None]] = deque()
        self._sync: asyncio.Future[None] | None = None
        self._unsynced = 0
        self._finished = False

    async def write(self, data: bytes) -> None:
        """See :meth:`BlobWriter.write`."""
        self._pieces.append(data)
        self._gathered += len(data)
        if self._gathered >= disk.SLICE:
            while len(self._flushes) >= _SLICES_AHEAD:
                await self._settle_oldest()
            self._unsynced += self._gathered
            self._slices.append(self._pieces)
            self._pieces, self._gathered = [], 0
            self._flushes.append(self._start(self._temporary.append_next, self._slices))
            if self._unsynced >= _SYNC_AHEAD and (self._sync is None or self._sync.done()):
                self._unsynced = 0
                self._sync = self._start(self._temporary.sync_ahead)

    async def commit(self) -> StoredBlob:
        """See :meth:`BlobWriter.commit`."""
        while self._flushes:
            await self._settle_oldest()
        if self._sync is not None:
            await asyncio.shield(self._sync)
        pieces, self._pieces = self._pieces, []
        blob = await self._store.run(self._temporary.publish, pieces)
        self._finished = True
        return blob

    async def discard(self) -> None:
        """Waits for the threads to let go, then removes what was not committed. Safe after a commit."""
        if self._finished:
            return
        self._pieces = []
        cleanup = asyncio.ensure_future(self._discard())
        try:
            await asyncio.shield(cleanup)
        except asyncio.CancelledError:
            await cleanup
            raise

    async def _discard(self) -> None:
        started = [*self._flushes, *([self._sync] if self._sync is not None else [])]
        if started:
            await asyncio.wait(started)
        for work in started:
            work.exception()  # whoever writes has been told already, or has left
        await self._store.run_surely(self._temporary.discard)

    def _start(self, call: Callable[..., None], *arguments: object) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._store.run(call, *arguments))

    async def _settle_oldest(self) -> None:
        await asyncio.shield(self._flushes[0])
        self._flushes.popleft()


class _LocalReader:
    """See :class:`fileplane.blobs.base.BlobReader`."""

    def __init__(self, store: LocalBlobStore, key: str, descriptor: int, size: int, span: Span | None) -> None:
        self._store = store
        self._key = key
        self._descriptor = descriptor
        self._whole = span is None
        self._span = span or Span(0, size)
        self.size = size

    async def hand_over(self) -> Path | None:
        """See :meth:`BlobReader.hand_over`."""
        return await self._store.serve_under_another_name(self._key) if self._whole else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position, end = self._span.start, self._span.start + self._span.length
        while position < end:
            piece = await self._store.run(os.pread, self._descriptor, min(disk.SLICE, end - position), position)
            if not piece:
                raise StorageIntegrityError("The stored bytes end too early. Restore them from a backup.")
            position += len(piece)
            yield piece


def _close_opened(opening: Future[tuple[int, int]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


def _unavailable(error: OSError) -> StorageUnavailable:
    if error.errno in _FULL:
        no_room = "The server has no room for more files. Delete files, or ask the operator for more disk."
        return StorageUnavailable(no_room, retry_after=60, full=True)
    return StorageUnavailable("The blob store failed. Try again; if it goes on, the operator will find the cause in the server's log.")
