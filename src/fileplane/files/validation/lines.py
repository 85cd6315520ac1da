"""Bytes as they arrive, made into blocks of whole lines, in constant memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import BytesIO
from typing import Final

_BYTE_ORDER_MARK: Final = codecs.BOM_UTF8
_UTF8_STEP: Final = 64 * 1024
"""Small enough that what is decoded stays in the processor's cache, and that a long line takes no memory."""


class LineBlocks:
    """Cuts a stream behind line feeds. A byte order mark at the start is taken off; nothing else is changed.

    It holds at most one unfinished line, of at most ``longest`` bytes without its line feed. A longer one is not held at all.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = BytesIO()
        self._skipping = False
        self._at_start = True

    def feed(self, chunk: bytes, start: int, stop: int) -> Iterator[bytes | None]:
        """Takes ``chunk[start:stop]``, which must not have more than ``longest`` bytes.

        Yields blocks of one line or more, each line with its line feed at the end, and None for each line that is too long.
        """
        last = chunk.rfind(b"\n", start, stop)
        if last >= 0:
            first = chunk.find(b"\n", start, stop)
            if self._skipping:
                self._skipping = False
                start = first + 1
            elif self._held.tell() + first - start > self._longest:
                self._drop()
                yield None
                start = first + 1
            self._held.write(memoryview(chunk)[start : last + 1])
            yield from self._block()
            start = last + 1
        if start < stop and not self._skipping:
            if self._held.tell() + stop - start > self._longest:
                self._skipping = True
                self._drop()
                yield None
            else:
                self._held.write(memoryview(chunk)[start:stop])

    def finish(self) -> Iterator[bytes | None]:
        """The last line, if it has no line feed; it is given one."""
        if self._held.tell():
            self._held.write(b"\n")
            yield from self._block()

    def _block(self) -> Iterator[bytes]:
        block = self._held.getvalue()
        self._held = BytesIO()
        if self._at_start and block:
            self._at_start = False
            block = block.removeprefix(_BYTE_ORDER_MARK)
        if block:
            yield block

    def _drop(self) -> None:
        self._held = BytesIO()
        self._at_start = False


def is_utf8(block: bytes) -> bool:
    """Whether the bytes are UTF-8 throughout."""
    if block.isascii():
        return True
    view = memoryview(block)
    position, end = 0, len(block)
    while position < end:
        try:
            _, used = codecs.utf_8_decode(view[position : position + _UTF8_STEP], "strict", position + _UTF8_STEP >= end)
        except UnicodeDecodeError:
            return False
        position += used
    return True
