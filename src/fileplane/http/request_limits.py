"""Requests a minute, of projects and keys: leased to workers in portions, so that nearly all requests cost no look at the database."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from fileplane.access import Principal, Whose
from fileplane.clock import Clock
from fileplane.errors import RateLimited
from fileplane.metadata.base import MetadataStore

_MINUTE_MS: Final = 60_000
_SUBJECTS: Final = 10_000
_PORTIONS: Final = 20

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class _Share:
    """What this worker holds of a subject's requests in a minute, and what it last knew of what nobody holds."""

    limit: int
    minute: int
    left: int
    unleased: int
    used: int
    """What it has admitted in the minute."""
    used_before: int
    """What it has admitted in the minute before."""

    def serves(self, limit: int) -> bool:
        """Whether there is a request left of a portion under that limit, or none left for anybody."""
        return self.limit == limit and bool(self.left or not self.unleased)


class RequestLimits:
    """Admits requests until a limit is reached, over all workers of all nodes together and never beyond it.

    A minute is one of the clock of the database. A worker takes a portion of a subject's requests from the database and gives them out
    itself; the rest of a portion ends with the minute. A portion is as many requests as wait for it, or a twentieth of what the worker has
    admitted in this minute and the one before, if that is more. So nobody has to know how many workers there are: what they all hold
    without using it is less than a twentieth of what was admitted in these two minutes, and therefore fewer than a tenth of the limit are
    refused although they would have been within it. A worker that is killed, or whose callers leave while they wait, takes its portion
    with it.

    When the database does not answer, a limited request is refused as it would be for any other use of the database: a limit that gives
    way under load protects nobody. A subject without a limit costs nothing at all.
    """

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """``clock`` is the one that the minutes of ``metadata`` go by."""
        self._metadata = metadata
        self._clock = clock
        self._shares: OrderedDict[str, _Share] = OrderedDict()
        self._leasing: dict[str, asyncio.Task[_Share]] = {}
        self._waiting: Counter[str] = Counter()

    async def admit(self, principal: Principal, answer: Headers) -> None:
        """Takes one request of the caller's project and key. What the caller is told of the tighter limit is added to ``answer``.

        Raises :class:`~fileplane.errors.RateLimited`, or :class:`~fileplane.errors.StorageUnavailable`.
        """
        bounds = [
            (whose, whose.subject(owner), limit)
            for whose, owner, limit in (
                (Whose.KEY, principal.key_id, principal.key_limits.requests_per_minute),
                (Whose.PROJECT, principal.project_id, principal.project_limits.requests_per_minute),
            )
            if limit is not None
        ]
        if bounds:
            await self._admit(bounds, answer)

    async def settle(self) -> None:
        """Returns when nothing is being leased. To be called before the database is closed."""
        while self._leasing:
            await asyncio.wait(self._leasing.values())

    async def _admit(self, bounds: list[tuple[Whose, str, int]], answer: Headers) -> None:
        taken: list[_Share] = []
        for whose, subject, limit in bounds:
            share = await self._share(subject, limit)
            if share is None or share.left == 0:
                for other in taken:
                    other.left += 1
                    other.used -= 1
                seconds = self._seconds_left(share)
                answer += _headers(limit, 0, seconds)
                raise RateLimited.of_requests(limit, whose, seconds)
            share.left -= 1
            share.used += 1
            taken.append(share)
        tightest = min(taken, key=lambda share: share.left + share.unleased)
        answer += _headers(tightest.limit, tightest.left + tightest.unleased, self._seconds_left(tightest))

    async def _share(self, subject: str, limit: int) -> _Share | None:
        """A share with requests left, or without any when the minute has none; None for a limit of zero."""
        if limit == 0:
            return None
        while True:
            share = self._shares.get(subject)
            if share is not None and self._is_present(share) and share.serves(limit):
                return share
            if subject not in self._leasing:
                # Its own task: one caller that leaves must not take the portion of all with it.
                task = asyncio.create_task(self._lease(subject, limit), name="fileplane-request-lease")
                task.add_done_callback(_heard)
                self._leasing[subject] = task
            with self._waiting_for(subject):
                share = await asyncio.shield(self._leasing[subject])
            # What the database has just said is of the present, whatever the clock says.
            if share.serves(limit):
                return share

    @contextmanager
    def _waiting_for(self, subject: str) -> Iterator[None]:
        self._waiting[subject] += 1
        try:
            yield
        finally:
            self._waiting[subject] -= 1
            if not self._waiting[subject]:
                del self._waiting[subject]

    async def _lease(self, subject: str, limit: int) -> _Share:
        try:
            used, before = self._admitted(subject, limit, self._clock.now_ms() // _MINUTE_MS)
            lease = await self._metadata.take_requests(subject, limit, max(1, self._waiting[subject], (used + before) // _PORTIONS))
            former = self._shares.get(subject)
            # Where the limit was changed, callers may come with both for a few seconds. What is left of a portion goes on all the same.
            rest = former.left if former is not None and former.minute == lease.minute else 0
            used, before = self._admitted(subject, limit, lease.minute)
            share = _Share(limit, lease.minute, min(limit, lease.granted + rest), lease.left, used, before)
            self._shares[subject] = share
            self._shares.move_to_end(subject)
            if len(self._shares) > _SUBJECTS:
                self._shares.popitem(last=False)
            return share
        finally:
            del self._leasing[subject]

    def _admitted(self, subject: str, limit: int, minute: int) -> tuple[int, int]:
        """How much this worker has admitted in a minute and in the one before, as far as it was under the same limit."""
        former = self._shares.get(subject)
        if former is None or former.limit != limit:
            return 0, 0
        if former.minute == minute:
            return former.used, former.used_before
        return 0, former.used if former.minute == minute - 1 else 0

    def _is_present(self, share: _Share) -> bool:
        minute = self._clock.now_ms() // _MINUTE_MS
        return minute <= share.minute <= minute + 1

    def _seconds_left(self, share: _Share | None) -> int:
        """Until the minute ends, rounded up; at most 60, as one may be a little ahead of this clock."""
        now = self._clock.now_ms()
        end = (now // _MINUTE_MS + 1 if share is None else share.minute + 1) * _MINUTE_MS
        return max(1, min(60, -((now - end) // 1000)))


def _heard(task: asyncio.Task[_Share]) -> None:
    """Nobody may be left who waits for it, and then its failure is nobody's."""
    if not task.cancelled():
        task.exception()


def _headers(limit: int, remaining: int, seconds: int) -> Headers:
    """As OpenAI's."""
    reset = f"{seconds}s" if seconds < _MINUTE_MS // 1000 else f"{seconds // 60}m{seconds % 60}s"
    return [
        (b"x-ratelimit-limit-requests", b"%d" % limit),
        (b"x-ratelimit-remaining-requests", b"%d" % remaining),
        (b"x-ratelimit-reset-requests", reset.encode()),
    ]
