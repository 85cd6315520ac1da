"""Progress of transfers and long work: on standard error, and only when that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from fileplane.cli.meter import Meter
from fileplane.cli.output import on_terminal, terminal_safe

if TYPE_CHECKING:
    from fileplane.client.values import Progress, Report

TOTAL: Final = "total"


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """One line that says how far something has come, for the length of a block; what it gives replaces the line."""
    if not drawable():
        yield lambda _: None
        return
    from fileplane.cli.drawing import drawn_status

    with drawn_status() as show:
        yield show


def drawable() -> bool:
    """Whether standard error is a terminal that can move its cursor."""
    return on_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


class Transfers:
    """The progress of ``count`` transfers, one after another, and of all of them together when there is more than one.

    ``total`` is the bytes of all of them, None when that of any is not known. Nothing is drawn unless ``wanted`` and there is a terminal
    to draw on. Between two transfers nothing of it is on the terminal, so that lines can be printed there.
    """

    def __init__(self, count: int = 1, total: int | None = None, *, wanted: bool = True) -> None:
        self._drawn = wanted and drawable()
        self._every = Meter(total) if count > 1 else None

    @contextmanager
    def one(self, name: str, total: int | None) -> Iterator[Moving]:
        """One transfer for the length of a block; ``name`` is shown to the letter. ``total`` is in bytes, None when not known."""
        moving = Moving(Meter(total), self._every)
        try:
            if not self._drawn:
                yield moving
                return
            from fileplane.cli.drawing import drawn_meters

            shown = [(terminal_safe(name), moving.meter)]
            if self._every is not None:
                shown.append((TOTAL, self._every))
            with drawn_meters(shown):
                yield moving
        finally:
            moving.end()


class Moving:
    """One transfer, to be told how far it is, from any thread."""

    def __init__(self, meter: Meter, every: Meter | None) -> None:
        self.meter = meter
        self._every = every
        self._before = (0, 0) if every is None else (every.done, every.resumed)

    def advance(self, count: int) -> None:
        """``count`` more bytes have been transferred."""
        self.tell(self.meter.done + count)

    def tell(self, done: int, total: int | None = None, resumed: int = 0) -> None:
        """So many bytes are done, ``resumed`` of them by an earlier attempt; ``total`` where it has come to be known."""
        if total is not None:
            self.meter.total = total
        self.meter.tell(done, resumed)
        if self._every is not None:
            self._every.tell(self._before[0] + done, self._before[1] + resumed)

    def report(self, progress: Progress) -> None:
        """The same, as the client tells it."""
        self.tell(progress.done, progress.total, progress.resumed)

    def end(self) -> None:
        """What a transfer that failed has not done is nothing that is still to be waited for."""
        every, missing = self._every, (self.meter.total or 0) - self.meter.done
        if every is not None and every.total is not None and missing > 0:
            every.total = max(0, every.total - missing)


@contextmanager
def transfer_bar(description: str, *, wanted: bool = True) -> Iterator[Report]:
    """The progress of one transfer for the length of a block, gone afterwards."""
    with Transfers(wanted=wanted).one(description, None) as moving:
        yield moving.report
