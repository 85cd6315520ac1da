"""Stores whose calls are steps of the request that makes them. Only put around the others where requests are traced."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fileplane.blobs.base import BlobInfo, BlobReader, BlobStore, BlobWriter, Inspector
from fileplane.clock import Clock
from fileplane.metadata.base import MetadataStore
from fileplane.model import Span, StoredBlob
from fileplane.tracing.spans import Step, step


class TracedMetadataStore:
    """A :class:`~fileplane.metadata.base.MetadataStore` around another one: each call is a step named after its method."""

    def __init__(self, inner: MetadataStore) -> None:
        self._inner = inner

    @property
    def clock(self) -> Clock:
        """See :attr:`MetadataStore.clock`."""
        return self._inner.clock

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """One method of the inner store, as a step."""
        method: Callable[..., Awaitable[Any]] = getattr(self._inner, name)

        async def traced(*arguments: Any, **named: Any) -> Any:
            with step(f"metadata.{name}"):
                return await method(*arguments, **named)

        setattr(self, name, traced)
        return traced


class TracedBlobStore:
    """A :class:`~fileplane.blobs.base.BlobStore` around another one."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner

    @asynccontextmanager
    async def writer(self, key: str, inspector: Inspector | None = None) -> AsyncIterator[BlobWriter]:
        """See :meth:`BlobStore.writer`. A step from here to the commit, and the commit another."""
        async with self._inner.writer(key, inspector) as writer:
            traced = _TracedWriter(writer)
            try:
                yield traced
            finally:
                traced.end()

    @asynccontextmanager
    async def open(self, key: str, span: Span | None = None, expected: int | None = None) -> AsyncIterator[BlobReader]:
        """See :meth:`BlobStore.open`. A step for the opening, and one as long as it is open."""
        opening = step("blobs.open")
        try:
            async with self._inner.open(key, span, expected) as reader:
                opening.end()
                reading = step("blobs.read")
                try:
                    yield reader
                finally:
                    reading.end()
        except BaseException as error:
            opening.end(error)
            raise

    async def delete(self, key: str) -> None:
        """See :meth:`BlobStore.delete`."""
        with step("blobs.delete"):
            await self._inner.delete(key)

    async def walk(self, *, uncommitted_only: bool = False) -> AsyncIterator[BlobInfo]:
        """See :meth:`BlobStore.walk`."""
        async for info in self._inner.walk(uncommitted_only=uncommitted_only):
            yield info

    async def belongs_to(self, store_id: str) -> bool:
        """See :meth:`BlobStore.belongs_to`."""
        with step("blobs.belongs_to"):
            return await self._inner.belongs_to(store_id)

    async def check(self) -> None:
        """See :meth:`BlobStore.check`."""
        with step("blobs.check"):
            await self._inner.check()

    async def close(self) -> None:
        """See :meth:`BlobStore.close`."""
        await self._inner.close()


class _TracedWriter:
    """See :class:`fileplane.blobs.base.BlobWriter`. Tells how much of the time was spent waiting for the store, not for the client."""

    def __init__(self, inner: BlobWriter) -> None:
        self._inner = inner
        self._writing: Step | None = step("blobs.write")
        self._bytes = 0
        self._waited = 0.0

    async def write(self, data: bytes) -> None:
        began = time.perf_counter()
        await self._inner.write(data)
        self._waited += time.perf_counter() - began
        self._bytes += len(data)

    async def commit(self) -> StoredBlob:
        self.end()
        with step("blobs.commit"):
            return await self._inner.commit()

    def end(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.note("fileplane.blob.bytes", self._bytes)
            writing.note("fileplane.store.wait_ms", round(self._waited * 1000, 3))
            writing.end()
