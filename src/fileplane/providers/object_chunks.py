"""A file in chunks of one size, for uploads that are made of several requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from fileplane.errors import InvalidValue
from fileplane.providers.multipart_body import too_large


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of a file, as the pieces that they came in. ``first`` is the place of the first of them; ``last``: the file ends here."""

    pieces: Sequence[bytes]
    first: int
    length: int
    last: bool

    @property
    def end(self) -> int:
        """The place behind its last byte."""
        return self.first + self.length

    async def content(self, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from the place ``start`` of the file on."""
        place = self.first
        for piece in self.pieces:
            if place + len(piece) > start:
                yield piece[max(0, start - place) :]
            place += len(piece)


async def in_chunks(content: AsyncIterator[bytes], size: int) -> AsyncGenerator[Chunk, None]:
    """At least one chunk; all but the last have exactly ``size`` bytes. One is held at a time, and the piece that did not fit into it.

    What ``content`` raises is raised as it is.
    """
    pieces: list[bytes] = []
    first = length = 0
    async for whole in content:
        piece = whole
        while length + len(piece) > size:
            room = size - length
            yield Chunk([*pieces, piece[:room]], first, size, last=False)
            piece, pieces, first, length = piece[room:], [], first + size, 0
        if piece:
            pieces.append(piece)
            length += len(piece)
    yield Chunk(pieces, first, length, last=True)


async def counted(content: AsyncIterator[bytes], announced: int | None, most: int | None) -> AsyncGenerator[bytes, None]:
    """The same bytes, as many as were announced and no more than ``most``.

    Raises :class:`~fileplane.errors.InvalidValue` and :class:`~fileplane.errors.FileTooLarge`.
    """
    count = 0
    async for piece in content:
        count += len(piece)
        if most is not None and count > most:
            raise too_large(most)
        if announced is not None and count > announced:
            raise InvalidValue("The file has more bytes than were announced.", param="file")
        yield piece
    if announced is not None and count < announced:
        raise InvalidValue("The file has fewer bytes than were announced.", param="file")
