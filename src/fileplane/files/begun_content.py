"""A download of which the first piece is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fileplane.providers.base import RemoteContent, ServedRange


async def begun(content: RemoteContent) -> RemoteContent:
    """``content``, once its first piece has come, or it has ended without any. Raises what its iteration raises."""
    pieces = aiter(content)
    first = await anext(pieces, b"")
    return _Begun(content.status, content.length, content.served, content.media_type, content.transformed, first, pieces)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A :class:`~fileplane.providers.base.RemoteContent`."""

    status: int
    length: int | None
    served: ServedRange | None
    media_type: str | None
    transformed: bool
    first: bytes
    rest: AsyncIterator[bytes]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.first:
            yield self.first
        async for piece in self.rest:
            yield piece
