"""The BlobStore protocol: immutable bytes under a key used once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fileplane.model import Span, StoredBlob


class BlobMissing(Exception):
    """No committed blob has this key."""


class BlobKeyInvalid(ValueError):
    """A key that :func:`fileplane.ids.new_blob_key` cannot have made. Only a damaged or forged database holds one."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What :meth:`BlobStore.walk` finds. ``committed`` is False for a temporary or an unfinished upload."""

    key: str
    size: int
    modified_at: float
    committed: bool


class Inspector(Protocol):
    """Looks at the bytes of a blob while they are written."""

    def feed(self, data: bytes, alongside: Callable[[bytes | memoryview], object]) -> None:
        """Takes the next bytes of the blob, every one once and in order, on a thread that may compute but not wait.

        Must call ``alongside`` with every byte of ``data`` too, in order, in pieces of any size: so that both find them in the processor's
        cache. Never called from two threads at once. An exception fails the write.
        """
        ...


class BlobWriter(Protocol):
    """One blob being written. Not for use by two tasks at once."""

    async def write(self, data: bytes) -> None:
        """Takes the next bytes. They may still be in memory when it returns, but never more than a few MiB of them.

        Raises :class:`~fileplane.errors.StorageUnavailable` when the store is full or does not answer.
        """
        ...

    async def commit(self) -> StoredBlob:
        """Publishes the blob; once it returns, the bytes survive power loss. To be called at most once.

        Raises :class:`~fileplane.errors.StorageUnavailable`, after which nothing is visible under the key; where the store can then not
        be reached either, what it may have kept is a blob that no file refers to.
        """
        ...


class BlobReader(Protocol):
    """An open blob. Iterating yields the bytes of the requested span, in order and exactly once."""

    @property
    def size(self) -> int:
        """Bytes of the whole blob, whatever the span."""
        ...

    async def hand_over(self) -> Path | None:
        """A path under which somebody else, such as an HTTP server, can open exactly the blob; None when there is no such thing.

        It can be opened for half a minute from now, even if the blob is deleted meanwhile. Whoever is later finds nothing there, and
        never another blob.
        """
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces of at most 2 MiB.

        Raises :class:`~fileplane.errors.StorageIntegrityError` when the store ends before the span does, and
        :class:`~fileplane.errors.StorageUnavailable` when it does not answer. It never ends early in silence.
        """
        ...


@dataclass(frozen=True, slots=True)
class ShownAs:
    """How whoever follows a link is to take the bytes: values of ``Content-Type`` and ``Content-Disposition``."""

    media_type: str
    disposition: str


class BlobLinks(Protocol):
    """What a blob store can do besides, when others can reach it as well."""

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """A URL from which anybody may read the blob, and only that, until so many seconds from now. Whether there is one is not asked.

        Raises :class:`BlobKeyInvalid` and :class:`~fileplane.errors.StorageUnavailable`.
        """
        ...


class Claimable(Protocol):
    """What a blob store can do besides, when other databases can reach it as well."""

    async def owner(self) -> str | None:
        """The id of the store that the blobs are marked as those of, or None when they are not marked.

        Raises :class:`~fileplane.errors.StorageUnavailable`.
        """
        ...

    async def claim(self, store_id: str) -> str:
        """Marks the blobs as those of a store unless they are marked, and returns the owner then. Of several at once, one wins.

        Raises :class:`~fileplane.errors.StorageUnavailable`.
        """
        ...


class BlobStore(Protocol):
    """Immutable bytes under a key used once.

    A key becomes visible only by :meth:`BlobWriter.commit`; once that returns, the bytes survive power loss.
    Every method may be called from any task; only ``fileplane.files.janitor`` may call :meth:`delete`.
    """

    def writer(self, key: str, inspector: Inspector | None = None) -> AbstractAsyncContextManager[BlobWriter]:
        """A writer for a key never used before. Leaving without ``commit()`` cancels, and leaves nothing behind.

        The ``inspector`` has seen every byte once ``commit()`` has returned.

        Raises :class:`BlobKeyInvalid`.
        """
        ...

    def open(self, key: str, span: Span | None = None, expected: int | None = None) -> AbstractAsyncContextManager[BlobReader]:
        """A reader of the whole blob or of ``span``. A blob deleted meanwhile is still read to its end, or the reading fails.

        ``expected`` is how many bytes the blob should have, where that is known: a hint for how to read it, and no more.

        Raises :class:`BlobMissing`, :class:`BlobKeyInvalid` or :class:`~fileplane.errors.StorageUnavailable` on entering.
        """
        ...

    async def delete(self, key: str) -> None:
        """Removes a blob or a temporary, under the key that :meth:`walk` shows. Absent is not an error. Idempotent."""
        ...

    def walk(self, *, uncommitted_only: bool = False) -> AsyncIterator[BlobInfo]:
        """Everything that is kept, in no order, abandoned temporaries and unfinished uploads included.

        What is written or deleted during the walk may or may not be shown.
        """
        ...

    async def belongs_to(self, store_id: str) -> bool:
        """Whether everything here is that store's, so that what its database does not know may be removed.

        Always so where no other database can reach; else the mark is read anew. Raises :class:`~fileplane.errors.StorageUnavailable`.
        """
        ...

    async def check(self) -> None:
        """Returns when the store can be read and written. Raises :class:`~fileplane.errors.StorageUnavailable`, ``full`` if that is all."""
        ...

    async def close(self) -> None:
        """Releases everything. No other method may be called afterwards."""
        ...
