"""The database's clock, which all nodes share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STALE_SECONDS: Final = 30.0


class DatabaseClock:
    """See :class:`fileplane.clock.Clock`.

    Inside a transaction that changes something it stands still at what the database said after the locks were taken. Elsewhere it goes on
    from the last thing that the database said, by this machine's monotonic clock: it lags by no more than an answer takes, and a machine
    whose own clock is wrong, or leaps, takes no notice.
    """

    def __init__(self) -> None:
        self._here = threading.local()
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._told_at: float | None = None

    def now_ms(self) -> int:
        """See :meth:`Clock.now_ms`."""
        reading: int | None = getattr(self._here, "reading", None)
        return int(self._offset_ms + time.monotonic() * 1000) if reading is None else reading

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return time.monotonic()

    def tell(self, database_ms: int) -> None:
        """The database has just said so."""
        told_at = time.monotonic()
        self._offset_ms = database_ms - told_at * 1000
        self._told_at = told_at

    @contextmanager
    def standing_at(self, database_ms: int) -> Iterator[None]:
        """Stands still, for this thread alone."""
        self._here.reading = database_ms
        try:
            yield
        finally:
            self._here.reading = None

    @property
    def is_stale(self) -> bool:
        """Whether the database should be asked again, since two clocks drift apart."""
        return self._told_at is None or time.monotonic() - self._told_at > _STALE_SECONDS
