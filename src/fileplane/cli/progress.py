"""Progress of transfers and long work: on standard error, and only when that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fileplane.cli.output import on_terminal, terminal_safe

Advance = Callable[[int], None]
"""Told of each piece that has been transferred, in bytes."""


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """One line that says how far something has come, for the length of a block; what it gives replaces the line."""
    if not on_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return
    from fileplane.cli.drawing import drawn_status

    with drawn_status() as show:
        yield show


@contextmanager
def transfer_bar(description: str, total: int | None, *, wanted: bool = True) -> Iterator[Advance]:
    """A bar for the length of a block, gone afterwards. ``total`` is in bytes, None when it is not known."""
    if not wanted or not on_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        yield lambda _: None
        return
    from fileplane.cli.drawing import drawn_bar

    with drawn_bar(terminal_safe(description), total) as advance:
        yield advance
