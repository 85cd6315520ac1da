"""How fast something moves and how long it still takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_SECONDS: Final = 20.0
_SAMPLE_SECONDS: Final = 0.2


class Meter:
    """Bytes done of ``total``, which is None when it is not known; the speed is of the last 20 seconds.

    What was there before (``resumed``) counts as done and never as speed. One thread may tell while another looks.
    """

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self.resumed = 0
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])

    def tell(self, done: int, resumed: int) -> None:
        """``done`` bytes are done by now, ``resumed`` of them by an earlier attempt."""
        self.done, self.resumed = done, resumed
        now, fresh = self._clock(), done - resumed
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, fresh))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_SECONDS:  # noqa: PLR2004 - two make a speed
            self._samples.popleft()

    @property
    def speed(self) -> float:
        """Bytes a second, of those that were not resumed; 0 while nothing can be said."""
        begin, before = self._samples[0]
        passed = self._clock() - begin
        return max(0.0, (self.done - self.resumed - before) / passed) if passed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None when the end is not known, or nothing moves."""
        if self.total is None or self.speed <= 0:
            return None
        return max(0, self.total - self.done) / self.speed

    @property
    def share(self) -> float | None:
        """From 0 to 1; None when the end is not known."""
        if self.total is None:
            return None
        return 1.0 if self.total <= 0 else min(1.0, self.done / self.total)
