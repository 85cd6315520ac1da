"""Writing one object: hashed on the way, published once, and removed when it is not certain that it was."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from fileplane.blobs.base import Inspector
from fileplane.blobs.bucket import Bucket, UploadDamaged
from fileplane.errors import StorageUnavailable
from fileplane.model import StoredBlob

_SLICE: Final = 512 << 10  # with many uploads at once, each holds a few of these
_FINISH_DEADLINES: Final = 3.0  # the last part, the completion, and a retry of either

_PATIENCE_SECONDS: Final = 10.0

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Working(Protocol):
    """What a writer needs of its store; see :class:`fileplane.blobs.object_store.ObjectBlobStore`."""

    async def run(self, call: Callable[..., T], *arguments: object) -> T: ...  # noqa: D102 - see there

    async def ask(self, work: Awaitable[T], *, deadlines: float = 1.0) -> T: ...  # noqa: D102 - see there

    def see_to(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...  # noqa: D102 - see there


class ObjectWriter:
    """See :class:`fileplane.blobs.base.BlobWriter`. Gathers 512 KiB at a time, for which a thread computes the hash.

    Whether the key is unused is asked while the first bytes come in, so that it costs the upload no time.
    """

    def __init__(self, store: Working, bucket: Bucket, key: str, inspector: Inspector | None) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._inspector = inspector
        self._upload = bucket.upload(key)
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._size = 0
        self._begun = False
        self._unused: asyncio.Task[int | None] | None = None
        self._computing: asyncio.Future[bytes] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._committed = False

    async def write(self, data: bytes) -> None:
        """See :meth:`BlobWriter.write`."""
        self._ask_whether_unused()
        self._pieces.append(data)
        self._gathered += len(data)
        if self._gathered >= _SLICE:
            await self._send()

    async def _send(self) -> None:
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        self._computing = asyncio.ensure_future(self._store.run(self._take_in, pieces))
        data = await asyncio.shield(self._computing)
        # Neither the pieces nor the result are kept while the store takes the bytes: with many uploads at once that adds up.
        self._computing = None
        pieces.clear()
        if data:
            self._begun = True
            # Never cancelled: an upload that was begun by a request which nobody waits for is one that nobody can abort.
            self._writing = self._store.see_to(self._upload.write(data))
            await self._store.ask(asyncio.shield(self._writing))
            self._size += len(data)

    def _take_in(self, pieces: list[bytes]) -> bytes:
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._inspector is None:
            self._hash.update(joined)
        else:
            self._inspector.feed(joined, self._hash.update)
        return joined

    def _ask_whether_unused(self) -> asyncio.Task[int | None]:
        if self._unused is None:
            self._unused = asyncio.ensure_future(self._store.ask(self._bucket.size_of(self._key)))
        return self._unused

    async def commit(self) -> StoredBlob:
        """See :meth:`BlobWriter.commit`."""
        await self._send()
        if await self._ask_whether_unused() is not None:
            raise StorageUnavailable("The blob store failed. Try again.") from FileExistsError("a blob key must never be used twice")
        self._begun = True
        self._finishing = self._store.see_to(self._upload.finish())
        failure: StorageUnavailable | None = None
        try:
            await self._store.ask(asyncio.shield(self._finishing), deadlines=_FINISH_DEADLINES)
        except StorageUnavailable as error:
            if not self._finishing.done() or isinstance(self._finishing.exception(), UploadDamaged):
                raise
            # The answer may have been lost, not the object: nobody else writes to this key.
            failure = error
        size = await self._store.ask(self._bucket.size_of(self._key))
        if size != self._size:
            if failure is not None:
                raise failure
            wrong = OSError(f"the object has {size} bytes after {self._size} were written")
            raise StorageUnavailable("The blob store failed. Try again.") from wrong
        self._committed = True
        return StoredBlob(self._key, self._size, self._hash.hexdigest())

    async def discard(self) -> None:
        """Removes what was not committed, as far as the store lets it; the rest is the janitor's. Safe after a commit.

        A store that answers is waited for; one that does not is seen to in the background, so that whoever writes is told.
        """
        if self._committed:
            return
        self._pieces = []
        cleanup = self._store.see_to(self._discard())
        try:
            await asyncio.wait([cleanup], timeout=_PATIENCE_SECONDS)
        except asyncio.CancelledError:
            await asyncio.wait([cleanup], timeout=_PATIENCE_SECONDS)
            raise

    @property
    def _has_failed(self) -> bool:
        return self._writing is not None and self._writing.exception() is not None

    async def _aborted(self) -> bool:
        try:
            await self._store.ask(self._upload.abort(), deadlines=_FINISH_DEADLINES)
        except StorageUnavailable:
            return False
        return True

    @property
    def _is_unused(self) -> bool:
        """Whether the store has said that the key was not used before."""
        asked = self._unused
        return asked is not None and not asked.cancelled() and asked.exception() is None and asked.result() is None

    async def _discard(self) -> None:
        # The library's own deadlines bound these.
        for started in (self._unused, self._computing, self._writing, self._finishing):
            if started is not None:
                await asyncio.wait([started])
                _ = started.cancelled() or started.exception()  # whoever writes has been told already, or has left
        if not self._begun:
            return
        try:
            aborted = self._finishing is None and await self._aborted()
            if not aborted or self._has_failed:
                # Beginning an upload may have failed and yet begun one, of which only the store knows.
                await self._store.ask(self._bucket.abandon(self._key))
            if self._is_unused:
                # Something may be there all the same: a completion whose answer was lost, or what a store made of an upload it was to drop.
                await self._store.ask(self._bucket.delete(self._key))
        except StorageUnavailable as error:
            _log.warning("an upload that failed could not be cleared away and is left for the janitor: %s", error.__cause__ or error)
