"""Files that consist of parts, read as one: each part is an immutable blob of its own, opened when its turn comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobMissing, BlobReader, BlobStore
from fileplane.errors import FileNotFound
from fileplane.files.findings import Kind
from fileplane.files.reading import CountingReader, VerifyingReader, damaged
from fileplane.model import File, Span
from fileplane.uploads import Part

GivenUp = Callable[[], Awaitable[bool]]
"""Whether the bytes of a file may have been removed by now."""


async def never_given_up() -> bool:
    """Of parts that are no file yet: whatever is not there is damage."""
    return False


class ManifestReader:
    """The :class:`~fileplane.blobs.base.BlobReader` of a file that consists of parts. To be made by :func:`open_manifest`."""

    def __init__(
        self, blobs: BlobStore, file: File, parts: Sequence[Part], span: Span | None, is_given_up: GivenUp, *, verified: bool
    ) -> None:
        self.size: Final = sum(part.bytes for part in parts)
        self._blobs = blobs
        self._file = file
        self._steps = _steps(parts, span or Span(0, self.size))
        self._alone = len(parts) == 1
        self._verified = verified
        self._is_given_up = is_given_up
        self._opened = AsyncExitStack()
        self._first: BlobReader | None = None

    async def begin(self) -> None:
        """Opens the first part that is needed, so that what is missing at the beginning is told before anything is sent."""
        if self._steps:
            self._first = await self._enter(*self._steps[0])

    async def close(self) -> None:
        """Closes the part that is being read."""
        await self._opened.aclose()

    async def hand_over(self) -> Path | None:
        """See :meth:`BlobReader.hand_over`: only one part that is the whole file can be handed over."""
        return await self._first.hand_over() if self._alone and self._first is not None else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, (part, span) in enumerate(self._steps):
            if number == 0 and self._first is not None:
                reader = self._first
            else:
                await self._opened.aclose()
                reader = await self._enter_later(part, span)
            async for piece in reader:
                yield piece

    async def _enter_later(self, part: Part, span: Span | None) -> BlobReader:
        try:
            return await self._enter(part, span)
        except BlobMissing as error:
            if await self._is_given_up():
                raise FileNotFound(self._file.id) from error
            raise damaged(self._file, Kind.MISSING_BLOB) from error

    async def _enter(self, part: Part, span: Span | None) -> BlobReader:
        reader = await self._opened.enter_async_context(self._blobs.open(part.blob_key, span, part.bytes))
        if reader.size != part.bytes:
            raise damaged(self._file, Kind.WRONG_SIZE)
        if span is None and self._verified:
            # Each part is held against its own hash: the whole file's may not be known yet.
            return VerifyingReader(reader, replace(self._file, sha256=part.sha256))
        return CountingReader(reader, self._file)


def _steps(parts: Sequence[Part], span: Span) -> list[tuple[Part, Span | None]]:
    """The parts that a span touches, each with what of it is wanted, or None for all of it."""
    steps: list[tuple[Part, Span | None]] = []
    begins, end = 0, span.start + span.length
    for part in parts:
        first, last = max(span.start, begins), min(end, begins + part.bytes)
        if first < last:
            whole = last - first == part.bytes
            steps.append((part, None if whole else Span(first - begins, last - first)))
        begins += part.bytes
    return steps


@asynccontextmanager
async def open_manifest(
    blobs: BlobStore, file: File, parts: Sequence[Part], span: Span | None = None, *, is_given_up: GivenUp, verified: bool = False
) -> AsyncIterator[ManifestReader]:
    """A reader of the bytes of all parts in their order, or of ``span`` of them; with ``verified``, parts read whole are hashed on the way.

    Raises as :meth:`BlobStore.open` for the first part that is needed. What is wrong with a later one is raised when its turn comes, as
    :class:`~fileplane.errors.StorageIntegrityError`; so a reader never ends early in silence. ``is_given_up`` is asked when a blob is not
    there: one whose file was purged meanwhile is no damage, and :class:`~fileplane.errors.FileNotFound` is raised.
    """
    if sum(part.bytes for part in parts) != file.bytes:
        if await is_given_up():
            raise FileNotFound(file.id)
        raise damaged(file, Kind.WRONG_SIZE)
    reader = ManifestReader(blobs, file, parts, span, is_given_up, verified=verified)
    try:
        await reader.begin()
        yield reader
    finally:
        await reader.close()
