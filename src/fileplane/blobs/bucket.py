"""What an object store has to do for :class:`~fileplane.blobs.object_store.ObjectBlobStore`, which does everything else.

A bucket only speaks its store's language: it hashes nothing, checks nothing and knows no key grammar. Whatever goes wrong is raised as
one of its ``failures``. Retries are its own, bounded, and only of requests that may be repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fileplane.blobs.base import ShownAs
from fileplane.model import Span

MIB: Final = 1 << 20
SMALLEST_PART: Final = 8 * MIB
_MOST_PARTS: Final = 9_000  # S3 has 10,000


def part_size(largest_blob: int) -> int:
    """Bytes of one part of an upload: 8 MiB, or as many whole MiB as keep the largest blob within the number of parts."""
    return max(SMALLEST_PART, -(-largest_blob // (_MOST_PARTS * MIB)) * MIB)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object, or with ``upload_id`` one unfinished upload. ``modified_at`` is by the store's own clock."""

    key: str
    size: int
    modified_at: float
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """The answer to a read that has begun. ``size`` is that of the whole object; ``chunks`` are of any length.

    What is behind ``chunks`` is released by their ``aclose``, where they have one.
    """

    size: int
    chunks: AsyncIterator[bytes | memoryview]


class Upload(Protocol):
    """An object that is being written. Nothing is visible before :meth:`finish`."""

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; holds a bounded number of parts."""
        ...

    async def finish(self) -> None:
        """Publishes the object. Must not be cancelled: a store may publish it all the same."""
        ...

    async def abort(self) -> None:
        """Gives up what was sent. To be called at most once, also after a failure, and after :meth:`finish` has failed."""
        ...


class Bucket(Protocol):
    """One bucket or container, and a prefix in it. Keys are relative to the prefix."""

    failures: tuple[type[Exception], ...]
    shows_unfinished: bool
    """Whether :meth:`unfinished` can show uploads; a store that cannot clears them away by itself."""

    def upload(self, key: str) -> Upload:
        """Begins to write an object; asks the store nothing yet."""
        ...

    async def create(self, key: str, body: bytes) -> bool:
        """Writes a small object unless there is one, and returns whether it did. A store that knows no such condition overwrites."""
        ...

    async def size_of(self, key: str) -> int | None:
        """The size of an object, or None when there is none."""
        ...

    async def download(self, key: str, span: Span | None, expected: int | None = None) -> Download | None:
        """Begins to read; None when it is certain that there is no such object. A span outside the object is a failure.

        ``expected`` is how many bytes the object should have, if that is known.
        """
        ...

    async def delete(self, key: str) -> None:
        """Removes an object; absent is not an error."""
        ...

    def objects(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Every object below the prefix, in pages."""
        ...

    def unfinished(self) -> AsyncIterator[Sequence[StoredObject]]:
        """Every unfinished upload below the prefix, in pages."""
        ...

    async def abandon(self, key: str, upload_id: str | None = None) -> None:
        """Gives up one unfinished upload of a key, or all of them; absent is not an error."""
        ...

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """A URL that lets whoever has it read the object for a while. Raises :class:`LinksImpossible`."""
        ...

    async def close(self) -> None:
        """Releases everything."""
        ...


async def no_pages() -> AsyncIterator[Sequence[StoredObject]]:
    """What a store that cannot show unfinished uploads shows of them."""
    pages: tuple[Sequence[StoredObject], ...] = ()
    for page in pages:
        yield page


class UploadDamaged(OSError):
    """The store has said that it has other bytes than it was sent."""


class LinksImpossible(Exception):
    """The credentials in use cannot sign links that carry a name and a type; the message says which can."""


class BucketUnusable(Exception):
    """A bucket cannot be opened as it is configured; the message says why and what to do."""
