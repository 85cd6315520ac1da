"""Lines in, lines out: gathered into pieces, at a pace that leaves the event loop to others."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable
from typing import Final

from fileplane.providers.jsonl.lines import LONGEST_LINE, LONGEST_RESULT, Lines, slices
from fileplane.providers.jsonl.problems import Unusable, refusal_of_line
from fileplane.providers.jsonl.values import MOST_RESULT_VALUES, may_exceed, require_few

_PIECE: Final = 64 << 10
"""Bytes gathered before they are handed on."""

_LONGEST_PIECE: Final = 1 << 20
"""Bytes handed on at once, however long a line is."""

_PACE: Final = 256 << 10
_COST_OF_A_LINE: Final = 1024
"""Of these, others have their turn after 256 KiB, where each line counts 1 KiB more: measured at 2 to 5 ms whatever the lines are."""

_LONG: Final = 512 << 10
"""A line from which on it is turned in a thread, so that the event loop waits for single steps and not for all of them."""

_MANY: Final = 5_000
"""Values from which on a line is turned in a thread too, however short it is."""

_UTF8_STEP: Final = 64 << 10

Turn = Callable[[bytes], bytes]
"""Makes of a line another, both without a break. It may raise :class:`~fileplane.providers.jsonl.problems.Unusable`."""


async def uploaded(content: AsyncIterator[bytes], turn: Turn) -> AsyncIterator[bytes]:
    """Every line of an upload turned, each with a line feed behind it.

    Blank lines at the end are left out. Raises :class:`~fileplane.errors.InvalidValue`, with ``param`` ``file``, for the first line that
    is blank before others, is not UTF-8, has more than 32 MiB or 100,000 values, or is refused by ``turn``; and for a file without lines.
    Nothing of a later line has been handed on by then, and what ``content`` raises is raised as it is.
    """
    lines, blank = Lines(LONGEST_LINE), 0

    def checked(line: bytes) -> bytes | None:
        nonlocal blank
        if not line.strip():
            blank = blank or lines.number
            return None
        if blank:
            number, blank = blank, 0
            lines.number = number
            raise Unusable("it is blank. Only the end of a file may have blank lines.")
        if not is_utf8(line):
            raise Unusable("it is not UTF-8.")
        require_few(line)
        return turn(line)

    nothing = True
    try:
        async for piece in _gathered(content, lines, checked):
            nothing = False
            yield piece
    except Unusable as problem:
        raise refusal_of_line(lines.number, problem) from None
    if nothing:
        lines.number = 1
        raise refusal_of_line(1, Unusable("the file has nothing but blank lines." if blank else "the file is empty."))


async def downloaded(content: AsyncIterator[bytes], turn: Turn) -> AsyncIterator[bytes]:
    """Every line of a result turned, each with a line feed behind it.

    A line that ``turn`` refuses, or of more than 500,000 values, goes on as it is, so that nothing is lost.
    Raises :class:`~fileplane.errors.InvalidValue` for a line of more than 64 MiB.
    """
    lines = Lines(LONGEST_RESULT)

    def kept(line: bytes) -> bytes:
        try:
            require_few(line, MOST_RESULT_VALUES)
            return turn(line) if is_utf8(line) else line
        except Unusable:
            return line

    try:
        async for piece in _gathered(content, lines, kept):
            yield piece
    except Unusable as problem:
        raise refusal_of_line(lines.number, problem) from None


async def _gathered(content: AsyncIterator[bytes], lines: Lines, turn: Callable[[bytes], bytes | None]) -> AsyncIterator[bytes]:
    piece, since = bytearray(), 0
    async for line in _all_lines(content, lines):
        quick = len(line) < _LONG and not may_exceed(line, _MANY)
        turned = turn(line) if quick else await asyncio.to_thread(turn, line)
        since += len(line) + _COST_OF_A_LINE
        if turned is not None:
            for start in range(0, len(turned), _LONGEST_PIECE):
                piece += memoryview(turned)[start : start + _LONGEST_PIECE]
                if len(piece) >= _LONGEST_PIECE:
                    yield bytes(piece)
                    piece = bytearray()
            piece += b"\n"
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece = bytearray()
        if since >= _PACE:
            since = 0
            await asyncio.sleep(0)
    if piece:
        yield bytes(piece)


async def _all_lines(content: AsyncIterator[bytes], lines: Lines) -> AsyncIterator[bytes]:
    async for chunk in slices(content):
        for line in lines.feed(chunk):
            yield line
    for line in lines.finish():
        yield line


def is_utf8(line: bytes) -> bool:
    """Whether the bytes are UTF-8 throughout, found out in little memory."""
    if line.isascii():
        return True
    view, position, end = memoryview(line), 0, len(line)
    while position < end:
        try:
            _, used = codecs.utf_8_decode(view[position : position + _UTF8_STEP], "strict", position + _UTF8_STEP >= end)
        except UnicodeDecodeError:
            return False
        position += used
    return True
