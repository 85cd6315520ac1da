"""Bodies that come compressed although nobody asked for that."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

from fileplane.errors import UpstreamAnswerInvalid, UpstreamUnreachable

_PIECE: Final = 1 << 17
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_GZIP: Final = 16 + zlib.MAX_WBITS
_SUPPORTED: Final = frozenset({"gzip", "x-gzip", "deflate"})


def is_encoded(content_encoding: str | None) -> bool:
    """Whether a body with this ``Content-Encoding`` has to be decoded."""
    return (content_encoding or "identity").strip().lower() not in {"", "identity"}


def is_readable(content_encoding: str | None) -> bool:
    """Whether it can be."""
    return not is_encoded(content_encoding) or (content_encoding or "").strip().lower() in _SUPPORTED


async def decoded(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes behind a gzip or zlib stream, in pieces of bounded size, however much they grow.

    Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for what is no such stream, and
    :class:`~fileplane.errors.UpstreamUnreachable` for one that ends too early.
    """
    stream = _Stream()
    async for piece in pieces:
        for out in stream.feed(piece):
            yield out
    for out in stream.rest():
        yield out


class _Stream:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            self._fed = True
            if self._decoder.eof:
                # A body of gzip is one member or several (RFC 1952, section 2.2).
                self._decoder = zlib.decompressobj(_GZIP)
            try:
                out = self._decoder.decompress(data, _PIECE)
            except zlib.error as error:
                raise UpstreamAnswerInvalid("The provider's answer is not compressed as it says.") from error
            if out:
                yield out
            data = self._decoder.unconsumed_tail or self._decoder.unused_data

    def rest(self) -> Iterator[bytes]:
        while self._fed and not self._decoder.eof:
            out = self._decoder.decompress(b"", _PIECE)
            if not out:
                raise UpstreamUnreachable("The provider's answer broke off.")
            yield out
