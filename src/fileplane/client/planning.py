"""The arithmetic of transfers: pieces, what is missing of them, and how long to wait before another attempt. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20
MOST_PARTS: Final = 10_000
"""Parts that an upload may have."""
USUAL_PART: Final = 16 * MIB
"""Small enough to get through where a line breaks every minute, and to cost little when it is sent again; larger ones were no faster."""
SMALLEST_PART: Final = 8 * MIB
CHUNK: Final = 16 * MIB
"""Bytes that a download asks for at a time: what at most is fetched again for each connection after a kill."""

_ROUNDS: Final = 4  # parts that each connection gets, at least, so that a slow one holds up little
_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
_LONGEST_RETRY_AFTER: Final = 120.0


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``start`` to ``end``, which is not among them; ``number`` counts from 0."""

    number: int
    start: int
    end: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.end - self.start


def spans_of(size: int, each: int) -> list[Span]:
    """``size`` bytes in pieces of ``each``, the last one what is left. None for nothing."""
    return [Span(number, start, min(size, start + each)) for number, start in enumerate(range(0, size, each))]


def part_bytes_for(size: int, connections: int, wanted: int | None = None) -> int:
    """How large the parts of an upload are: ``wanted``, or so that every connection has several; never more than 10,000 parts.

    A file for which 16 MiB are too little gets larger parts; those of more than 64 MiB, from 640 GB on, a server takes only if its
    operator allows.
    """
    necessary = -(-size // MOST_PARTS)
    if wanted is not None:
        return max(wanted, necessary, 1)
    even = -(-size // (connections * _ROUNDS))
    whole = -(-even // MIB) * MIB
    return max(min(max(whole, SMALLEST_PART), USUAL_PART), necessary)


def missing_of(spans: list[Span], there: Collection[int]) -> list[Span]:
    """Those whose numbers are not ``there``, in their order."""
    return [span for span in spans if span.number not in there]


def delay_before(attempt: int, chance: float, retry_after: float | None) -> float:
    """Seconds to wait before attempt number ``attempt`` (1 is the first repetition): exponential, by ``chance`` of 0 to 1 shorter.

    What the server asked for is kept to, as far as it is sensible, and never fallen short of by chance.
    """
    backoff = min(_LONGEST_DELAY, _FIRST_DELAY * (1 << min(attempt - 1, 10))) * (0.5 + chance / 2)
    return max(backoff, min(retry_after or 0.0, _LONGEST_RETRY_AFTER))
