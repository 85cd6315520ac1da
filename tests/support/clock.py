"""A clock that stands still until a test moves it."""

from __future__ import annotations


class ManualClock:
    """See :class:`fileplane.clock.Clock`. Monotonic time moves along, but never back."""

    def __init__(self, now_seconds: int = 1_800_000_000) -> None:
        self._now_ms = now_seconds * 1000
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    @property
    def now(self) -> int:
        """Whole seconds since the Unix epoch."""
        return self._now_ms // 1000

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """A negative number sets the wall clock back."""
        self._now_ms += int(seconds * 1000)
        self._monotonic += max(seconds, 0.0)
