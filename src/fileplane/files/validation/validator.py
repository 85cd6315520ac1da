"""The validator itself: bytes in, verdict out."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Final

import msgspec

from fileplane.files.validation.batch import BatchChecker
from fileplane.files.validation.checker import LineChecker
from fileplane.files.validation.fine_tune import FineTuneChecker
from fileplane.files.validation.lines import LineBlocks, is_utf8
from fileplane.files.validation.report import Code, Findings, GaveUp, Verdict
from fileplane.files.validation.rules import ValidationRules

_SLICE: Final = 128 * 1024
"""Bytes go through in slices of once to twice this, which stay in the processor's cache from one use to the next, and are enough that
the work each slice makes does not count. Slices of 1 MiB and of 32 KiB were both measured slower."""

_WHITE: Final = re.compile(rb"[ \t\r\n]*")
_OF_BATCHES: Final = b'"custom_id"'


class Validator:
    """Validates one file of purpose ``batch`` or ``fine-tune`` while its bytes stream by.

    It never blocks and does no I/O. It must not be fed from two threads at once. However the bytes are cut, the verdict is the same.
    The memory it takes is bounded by the rules: the longest line once or twice (five times for one that is a single custom_id, or ten
    thousands of tiny messages), the ids of a batch, the problems listed.

    The file is JSON Lines in UTF-8: lines end with a line feed, or with carriage return and line feed, and the last need not end. A
    byte order mark at the start and blank lines at the end are let pass; a blank line before another line is a problem. The JSON is
    checked in full, to the depth that the interpreter's recursion limit leaves: about 900 levels in Python 3.11, more in later ones. As
    in most JSON parsers, of two equal keys in one object the last counts. NaN, Infinity and lone surrogates are refused.
    """

    def __init__(self, purpose: str | None, rules: ValidationRules) -> None:
        self._rules = rules
        self._findings = Findings(listed=rules.listed_problems, counted=rules.counted_problems)
        self._checker = self._checker_of(purpose) if purpose is not None else None
        self._blocks = LineBlocks(rules.max_line_bytes)
        self._step = max(1, min(_SLICE, rules.max_line_bytes // 2))
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._blank_lines = 0
        self._gave_up = False

    @property
    def purpose(self) -> str | None:
        """The purpose that the file is validated for. None while it is open, until the first line that is not blank."""
        return None if self._checker is None else self._checker.purpose

    def feed(self, chunk: bytes, *, alongside: Callable[[memoryview], object] | None = None) -> None:
        """Takes the next bytes, any number of them.

        ``alongside``, such as the ``update`` of a hash, is called with every byte too, slice by slice: so both find it in the processor's
        cache, which makes the two a good deal cheaper together than one after the other.
        """
        size = len(chunk)
        if size < self._step:
            if alongside is not None:
                alongside(memoryview(chunk))
            self._gathered.append(chunk)
            self._gathered_bytes += size
            if self._gathered_bytes >= self._step:
                self._take_gathered()
            return
        self._take_gathered()
        view = memoryview(chunk)
        slices = size // self._step
        for number in range(slices):
            start, stop = size * number // slices, size * (number + 1) // slices
            self._take(chunk, start, stop)
            if alongside is not None:
                alongside(view[start:stop])

    def finish(self) -> Verdict:
        """The verdict on all that was fed. To be called once, after which nothing may be fed."""
        self._take_gathered()
        if not self._gave_up:
            try:
                for block in self._blocks.finish():
                    self._read(block)
                if self._findings.line == self._blank_lines:
                    self._findings.add(Code.EMPTY_FILE, "the file has no lines", line=1)
            except GaveUp:
                self._gave_up = True
        kind = None if self._checker is None else self._checker.kind
        return self._findings.verdict(kind, self._findings.line - self._blank_lines, complete=not self._gave_up)

    def _take_gathered(self) -> None:
        chunk = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_bytes = 0
        self._take(chunk, 0, len(chunk))

    def _take(self, chunk: bytes, start: int, stop: int) -> None:
        if self._gave_up:
            return
        try:
            for block in self._blocks.feed(chunk, start, stop):
                self._read(block)
        except GaveUp:
            self._gave_up = True
            self._blocks = LineBlocks(0)

    def _read(self, block: bytes | None) -> None:
        if block is None:
            self._end_blank_lines()
            self._findings.line += 1
            self._findings.add(Code.LINE_TOO_LONG, f"the line is longer than {self._rules.max_line_bytes} bytes")
            return
        position = self._pass_blank_lines(block, 0)
        if position == len(block):
            return
        checker = self._checker or self._choose(block, position)
        if is_utf8(block):
            self._read_lines(checker, block, position)
        else:
            self._read_damaged(checker, block, position)

    def _read_lines(self, checker: LineChecker, block: bytes, position: int) -> None:
        stream = BytesIO(block)
        end = len(block)
        while position < end:
            stream.seek(position)
            try:
                # From stream to line to record in C; an exception leaves the stream behind the line that caused it.
                checker.accept(map(checker.decode, stream))
                position = end
            except (msgspec.MsgspecError, RecursionError) as error:
                behind = stream.tell()
                start = block.rfind(b"\n", 0, behind - 1) + 1
                position = self._refuse(checker, block, start, behind, error)

    def _refuse(self, checker: LineChecker, block: bytes, start: int, end: int, error: Exception) -> int:
        """What to do about a line that was not decoded. Returns where to go on."""
        after_blank = self._pass_blank_lines(block, start)
        if after_blank > start:
            return after_blank
        self._findings.line += 1
        checker.refuse(memoryview(block)[start:end], error)
        return end

    def _read_damaged(self, checker: LineChecker, block: bytes, position: int) -> None:
        """Line by line, because somewhere in the block there is no UTF-8."""
        stream = BytesIO(block)
        stream.seek(position)
        for text in stream:
            if is_utf8(text):
                if self._pass_blank_lines(text, 0) == 0:
                    self._read_lines(checker, text, 0)
            else:
                self._end_blank_lines()
                self._findings.line += 1
                self._findings.add(Code.INVALID_UTF8, "the line is not UTF-8; save the file as UTF-8")

    def _pass_blank_lines(self, block: bytes, start: int) -> int:
        """Counts the blank lines from ``start``. Returns where the first other line begins."""
        match = _WHITE.match(block, start)
        end = block.rfind(b"\n", start, match.end() if match else start) + 1
        if end > start:
            blank = block.count(b"\n", start, end)
            self._findings.line += blank
            self._blank_lines += blank
        else:
            end = start
        if end < len(block):
            self._end_blank_lines()
        return end

    def _end_blank_lines(self) -> None:
        """Says that lines were blank, now that another follows. Any number of them on end is one problem."""
        if self._blank_lines:
            count, self._blank_lines = self._blank_lines, 0
            message = "the line is blank" if count == 1 else f"this and the next {count - 1} lines are blank"
            self._findings.add(Code.BLANK_LINE, message, line=self._findings.line - count + 1)

    def _choose(self, block: bytes, start: int) -> LineChecker:
        """The checker for a file whose purpose is not known yet, by its first line."""
        is_batch = block.find(_OF_BATCHES, start, block.find(b"\n", start)) >= 0
        checker = self._checker = self._checker_of(BatchChecker.purpose if is_batch else FineTuneChecker.purpose)
        return checker

    def _checker_of(self, purpose: str) -> LineChecker:
        if purpose == BatchChecker.purpose:
            return BatchChecker(self._findings, self._rules)
        assert purpose == FineTuneChecker.purpose
        return FineTuneChecker(self._findings)
