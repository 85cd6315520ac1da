"""A stream of bytes, cut into lines at any chunk boundary, in memory for one line."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Iterator
from typing import Final

from fileplane.providers.jsonl.problems import Unusable

LONGEST_LINE: Final = 32 << 20
"""Bytes without the break. No provider takes a request as long as that: Bedrock's end at 25 MB, Gemini's at 20 MB."""

LONGEST_RESULT: Final = 2 * LONGEST_LINE
"""A result repeats its request."""

_BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
_SLICE: Final = 256 << 10
"""Of a chunk, what is looked at before the next line is asked for, so that a chunk of any size makes no long pause."""


class TooLong(Unusable):
    """The line has more bytes than are held."""


class Lines:
    """Cuts what it is fed behind line feeds.

    A carriage return before the line feed belongs to the break, and a byte order mark at the very beginning is taken off. The last line
    needs no break. Nothing else is changed: whatever the chunks, the lines are the same.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        """``longest``: bytes that a line may have without its break."""
        self._longest = longest
        self._held = bytearray()
        self._at_start = True
        self.number = 0
        """Of the line last given out, counted from 1."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in ``chunk``, without their breaks. Raises :class:`TooLong`, after counting the line as given out."""
        start = 0
        while (stop := chunk.find(b"\n", start)) >= 0:
            if self._held:
                self._hold(chunk, start, stop)
                line = bytes(self._held)
                self._held = bytearray()
            else:
                line = chunk[start:stop]
            start = stop + 1
            yield self._given(line)
        if start < len(chunk):
            self._hold(chunk, start, len(chunk))

    def finish(self) -> Iterator[bytes]:
        """The last line, if it has no break."""
        if self._held:
            line, self._held = bytes(self._held), bytearray()
            yield self._given(line)

    def _given(self, line: bytes) -> bytes:
        self.number += 1
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        line = line.removesuffix(b"\r")
        if len(line) > self._longest:
            raise self._too_long()
        return line

    def _hold(self, chunk: bytes, start: int, stop: int) -> None:
        # A carriage return and a byte order mark may stand beside the longest line.
        if len(self._held) + stop - start > self._longest + 1 + len(_BYTE_ORDER_MARK):
            self.number += 1
            raise self._too_long()
        self._held += memoryview(chunk)[start:stop]

    def _too_long(self) -> TooLong:
        return TooLong(f"it is longer than {self._longest} bytes.")


async def slices(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at most 256 KiB."""
    async for chunk in content:
        if len(chunk) <= _SLICE:
            yield chunk
        else:
            for start in range(0, len(chunk), _SLICE):
                yield chunk[start : start + _SLICE]
