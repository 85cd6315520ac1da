"""Downloads: whether a provider serves what was asked for, and the bytes as they come."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

from fileplane.errors import UpstreamAnswerInvalid, UpstreamUnreachable
from fileplane.providers.base import ByteRange, ServedRange
from fileplane.providers.egress_response import EgressResponse

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,19})")
_PARTIAL: Final = 206


class Download:
    """A :class:`fileplane.providers.base.RemoteContent` over an answer with status 200 or 206.

    Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` when it is another part than the one that was asked for.
    """

    transformed = False

    def __init__(self, response: EgressResponse, asked: ByteRange | None, media_type: str | None) -> None:
        self._response = response
        self.status = response.status
        self.media_type = media_type
        self.served = _served(response, asked) if response.status == _PARTIAL else None

    @property
    def length(self) -> int | None:
        """Bytes that will be yielded, where the provider says so."""
        if self.served is not None:
            return self.served.last - self.served.first + 1
        return self._response.length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes; see :class:`fileplane.providers.base.RemoteContent`."""
        expected, received = self.length, 0
        async for piece in self._response:
            received += len(piece)
            if expected is not None and received > expected:
                raise UpstreamAnswerInvalid("The provider sends more than it announced.")
            yield piece
        if expected is not None and received < expected:
            raise UpstreamUnreachable("The provider's answer broke off.")


def whole_size(headers: Mapping[str, str]) -> dict[str, str]:
    """What a refusal of a range says of the file's size, as a header of our own refusal; nothing where it says none."""
    match = _UNSATISFIED.fullmatch(headers.get("content-range", "").strip())
    return {} if match is None else {"content-range": f"bytes */{match[1]}"}


def _served(response: EgressResponse, asked: ByteRange | None) -> ServedRange:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if match is None or asked is None or response.encoded:
        raise UpstreamAnswerInvalid("The provider serves a part of the file that was not asked for.")
    first, last = int(match[1]), int(match[2])
    size = None if match[3] == "*" else int(match[3])
    length = response.length
    if last < first or (size is not None and last >= size) or (length is not None and length != last - first + 1):
        raise UpstreamAnswerInvalid("The provider contradicts itself about the part of the file that it serves.")
    if not _fits(asked, first, last, size):
        raise UpstreamAnswerInvalid("The provider serves another part of the file than the one that was asked for.")
    return ServedRange(first, last, size)


def _fits(asked: ByteRange, first: int, last: int, size: int | None) -> bool:
    """Whether it begins where it should and does not go further. Servers may serve less than they are asked for."""
    if asked.first is None:
        return size is not None and first == max(0, size - (asked.last or 0)) and last == size - 1
    return first == asked.first and (asked.last is None or last <= asked.last)
