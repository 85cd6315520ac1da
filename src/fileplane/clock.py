"""Time, injected: nothing else in the core asks the machine what time it is."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: wall time for what is stored and shown, monotonic time for what is waited for."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """See :meth:`Clock.now_ms`."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return time.monotonic()
