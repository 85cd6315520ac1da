"""A file alone as the body of an outbound request, of a length that was told before it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fileplane.errors import InvalidValue
from fileplane.providers.request_body import RequestBody


class PlainBody(RequestBody):
    """Exactly ``length`` bytes. Content of another length cuts it off with :class:`~fileplane.errors.InvalidValue` before its end."""

    def __init__(self, content: AsyncIterator[bytes], length: int) -> None:
        self._announced = length
        super().__init__(self._exactly(content), length)

    async def _exactly(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = self._announced
        async for piece in content:
            left -= len(piece)
            if left < 0:
                raise InvalidValue("The file has more bytes than were announced.", param="file")
            yield piece
        if left:
            raise InvalidValue("The file has fewer bytes than were announced.", param="file")
