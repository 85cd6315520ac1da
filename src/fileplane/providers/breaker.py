"""Leaves upstreams alone for a while that cannot be connected to, so that nobody waits for what has just failed several times.

Callers do not trust each other, so neither can one make an upstream look dead to another, nor learn from it what others call:

- The experiences of a credential at a host and port are its own: a *circuit* is of both.
- Only a connection that could not be made counts: the name not resolved, the port refused, the handshake failed, or none of it within
  the operator's own ``egress_connect_seconds``. Whatever a request can bring about does not: no status, no slow or broken answer, no
  timeout that a caller has chosen, no wait for a free connection.

After some failures in a row the circuit is *open* and calls are refused at once. When its time is over one call goes through as a probe,
the others are still refused; it closes the circuit as soon as it has a connection.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Final, Self

from fileplane import metrics
from fileplane.errors import UpstreamSuspended

_MOST_CIRCUITS: Final = 1_000
_IN_A_ROW_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


class _Circuit:
    """Failures in a row, each within a minute of the one before. ``open_until`` None: closed."""

    __slots__ = ("failed_at", "failures", "open_until", "probing")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = -math.inf
        self.open_until: float | None = None
        self.probing = False


class Breaker:
    """The circuits of one process: those that have failed lately, at most 1,000; of more the oldest is forgotten, which closes it."""

    def __init__(self, failures: int, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        """``failures`` in a row open a circuit for ``seconds``; 0 opens none."""
        self._most = failures
        self._seconds = seconds
        self._now = now
        self._circuits: OrderedDict[Hashable, _Circuit] = OrderedDict()

    def attempt(self, key: Hashable, place: str) -> Attempt:
        """For one call, as a context manager. ``place`` is said in the log.

        Raises :class:`~fileplane.errors.UpstreamSuspended` where the circuit is open.
        """
        circuit = self._circuits.get(key)
        if circuit is None or circuit.open_until is None:
            return Attempt(self, key, place)
        left = circuit.open_until - self._now()
        if left > 0 or circuit.probing:
            metrics.EGRESS_SUSPENDED_CALLS.add(1)
            raise UpstreamSuspended(max(left, 1.0))
        circuit.probing = True
        return Attempt(self, key, place, circuit)

    def reached(self, key: Hashable, place: str) -> None:
        """A connection has been made."""
        circuit = self._circuits.pop(key, None)
        if circuit is not None and circuit.open_until is not None:
            self._tell()
            _log.warning("%s can be connected to again", place)

    def failed(self, key: Hashable, place: str) -> None:
        """None could be made."""
        if not self._most:
            return
        circuit, now = self._circuits.setdefault(key, _Circuit()), self._now()
        self._circuits.move_to_end(key)
        in_a_row = circuit.open_until is not None or now - circuit.failed_at <= _IN_A_ROW_SECONDS
        circuit.failures, circuit.failed_at = (circuit.failures if in_a_row else 0) + 1, now
        if circuit.failures >= self._most and (circuit.open_until is None or circuit.open_until <= now):
            if circuit.open_until is None:
                metrics.EGRESS_CIRCUITS_OPENED.add(1)
                _log.warning("%s is left alone: %d connections in a row failed; tried every %g s", place, circuit.failures, self._seconds)
            circuit.open_until = now + self._seconds
        while len(self._circuits) > _MOST_CIRCUITS:
            self._circuits.popitem(last=False)
        self._tell()

    def _tell(self) -> None:
        metrics.EGRESS_OPEN_CIRCUITS.set(sum(circuit.open_until is not None for circuit in self._circuits.values()))


class Attempt:
    """One call's own view. Its end without a verdict says nothing of the upstream, and lets the next call be the probe."""

    def __init__(self, breaker: Breaker, key: Hashable, place: str, probe: _Circuit | None = None) -> None:
        self._breaker = breaker
        self._key = key
        self._place = place
        self._probe = probe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._probe is not None:
            self._probe.probing = False

    def reached(self) -> None:
        """The call has a connection."""
        self._breaker.reached(self._key, self._place)

    def failed(self) -> None:
        """It could not get one."""
        self._breaker.failed(self._key, self._place)
