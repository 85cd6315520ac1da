"""A clock that stands still until it is moved."""

from __future__ import annotations


class ManualClock:
    """See :class:`fileplane.clock.Clock`. Both readings move together, and only by :meth:`advance`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        """``now`` in seconds since the Unix epoch."""
        self._now_ms = int(now * 1000)
        self._monotonic = 0.0

    def advance(self, seconds: float) -> None:
        """Moves wall time by ``seconds``, which may be negative; monotonic time never moves back."""
        self._now_ms += int(seconds * 1000)
        self._monotonic += max(0.0, seconds)

    def now_ms(self) -> int:
        """See :meth:`Clock.now_ms`."""
        return self._now_ms

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return self._monotonic
