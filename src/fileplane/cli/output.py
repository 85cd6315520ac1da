"""What commands print: lines and lists for people, JSON for programs, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TextIO

import typer

_OBEYED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOTHING: Final = "-"


def terminal_safe(text: str) -> str:
    """``text`` with everything escaped that would move a cursor, turn the direction of writing or end a line; otherwise to the letter."""
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a person is looking at a standard stream, which is None when the command was started without it."""
    return stream is not None and stream.isatty()


class _Patient(io.RawIOBase):
    """A descriptor that takes everything, however long that takes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        from fileplane.client.landing import write_all

        write_all(self._descriptor, memoryview(data))
        return memoryview(data).nbytes


def wait_for_readers() -> None:
    """Has standard output wait while a pipe is full that another process has made non-blocking, where Python would give up."""
    found = sys.stdout
    try:
        blocks = found is None or os.get_blocking(found.fileno())
    except (OSError, ValueError):
        return  # no descriptor, or a closed one
    if not blocks:
        raw = io.BufferedWriter(_Patient(found.fileno()))
        sys.stdout = io.TextIOWrapper(raw, encoding=found.encoding, errors=found.errors, line_buffering=bool(found.line_buffering))


def print_line(text: str) -> None:
    """One line on standard output."""
    typer.echo(terminal_safe(text))


def print_json(document: Any) -> None:
    """One JSON document on standard output, in ASCII, so that no encoding and no terminal can spoil it."""
    typer.echo(json.dumps(document))


def shown_time(seconds: object) -> str:
    """A time of the API (whole seconds since the epoch) in UTC, or ``-``."""
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return _NOTHING
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return _NOTHING


class Listing:
    """Rows as they come: aligned under a heading on a terminal, separated by tabs and without a heading for programs.

    A column that is wider than ``widths`` says pushes the others aside; nothing is cut off.
    """

    def __init__(self, headings: Sequence[str], widths: Sequence[int]) -> None:
        self._widths = widths
        self._aligned = on_terminal(sys.stdout)
        if self._aligned:
            self.row(headings)

    def row(self, values: Sequence[str]) -> None:
        """Prints one row; an empty value is shown as ``-``."""
        cells = [terminal_safe(value) or _NOTHING for value in values]
        if self._aligned:
            cells = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)]
        typer.echo(("  " if self._aligned else "\t").join(cells).rstrip())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that is known whole: drawn on a terminal, and as :class:`Listing` prints it for programs."""
    if not on_terminal(sys.stdout):
        listing = Listing(headings, [0] * len(headings))
        for row in rows:
            listing.row(row)
        return
    from fileplane.cli.drawing import draw_table

    draw_table(headings, [[terminal_safe(cell) for cell in row] for row in rows])


class JsonArray:
    """A JSON array printed entry by entry; leaving the block completes it, also when something was raised in it."""

    def __init__(self, prefix: str = "", suffix: str = "") -> None:
        self._prefix = prefix
        self._suffix = suffix
        self._empty = True

    def add(self, entry: Any) -> None:
        """Prints one more entry."""
        typer.echo(("" if self._empty else ",\n") + json.dumps(entry), nl=False)
        self._empty = False

    def __enter__(self) -> Self:
        typer.echo(self._prefix + "[", nl=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        typer.echo("]" + self._suffix)
