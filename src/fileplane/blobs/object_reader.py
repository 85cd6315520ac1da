"""Reading one object: pieces of a bounded size, exactly as many bytes as were asked for, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Final, Protocol, TypeVar, runtime_checkable

from fileplane.blobs.bucket import Download
from fileplane.errors import StorageIntegrityError
from fileplane.model import Span

_PIECE: Final = 2 << 20

T = TypeVar("T")


class Asking(Protocol):
    """What a reader and a writer need of their store."""

    async def ask(self, work: Awaitable[T], *, deadlines: float = 1.0) -> T:
        """See :meth:`fileplane.blobs.object_store.ObjectBlobStore.ask`."""
        ...


@runtime_checkable
class Closable(Protocol):
    """Chunks that hold something until they are closed."""

    async def aclose(self) -> None:
        """Releases it."""
        ...


class ObjectReader:
    """See :class:`fileplane.blobs.base.BlobReader`. For one iteration: the bytes come as the store sends them.

    The next bytes are asked for while the last are sent on, so that the store does not wait for whoever reads; never more than those.
    """

    def __init__(self, store: Asking, download: Download, span: Span | None) -> None:
        self._store = store
        self._chunks = download.chunks
        self._expected = download.size if span is None else span.length
        self._coming: asyncio.Task[bytes | memoryview | None] | None = None
        self.size = download.size

    async def hand_over(self) -> Path | None:
        """See :meth:`BlobReader.hand_over`. There is no path."""
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        coming = self._ask()
        while (chunk := await coming) is not None:
            received += len(chunk)
            if received > self._expected:
                raise StorageIntegrityError("The store sent more bytes than it was asked for.")
            coming = self._ask()
            # Bytes of that size are not copied by this.
            for start in range(0, len(chunk), _PIECE):
                yield bytes(chunk[start : start + _PIECE])
        if received < self._expected:
            raise StorageIntegrityError("The stored bytes end too early. Restore them from a backup.")

    def _ask(self) -> asyncio.Task[bytes | memoryview | None]:
        self._coming = asyncio.ensure_future(self._next())
        return self._coming

    async def _next(self) -> bytes | memoryview | None:
        return await self._store.ask(anext(self._chunks, None))

    async def release(self) -> None:
        """Lets go of the connection, also of one whose bytes were not all taken."""
        try:
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.wait([self._coming])
                _ = self._coming.cancelled() or self._coming.exception()  # of bytes that nobody wants any more
        finally:
            if isinstance(self._chunks, Closable):
                await self._chunks.aclose()
