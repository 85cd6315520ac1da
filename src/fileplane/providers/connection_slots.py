"""How many calls there may be at once: in all, to one host, and of one caller, so that nobody uses up what the others need.

A caller gets a quarter of all and a host half: one caller's slow uploads to a host that everybody uses leave the others room there, with
whatever credentials they are made, and one host that answers slowly leaves room for calls to others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable


class ConnectionSlots:
    """For one event loop. Whoever waits is served in order; hosts and callers that nobody speaks of are forgotten."""

    def __init__(self, total: int, of_a_caller: int | None = None) -> None:
        """``of_a_caller`` instead of a quarter."""
        self._total = asyncio.Semaphore(total)
        self._of_callers = _Shares(of_a_caller or max(1, total // 4))
        self._of_hosts = _Shares(max(1, total // 2))

    def slot(self, host: str, caller: Hashable) -> Slot:
        """One that is still to be taken."""
        return Slot(self._of_callers, caller, self._of_hosts, host, self._total)


class Slot:
    """A place for one call. Made by :meth:`ConnectionSlots.slot`; taken once, and then left once."""

    __slots__ = ("_caller", "_callers", "_host", "_hosts", "_taken", "_total")

    def __init__(self, callers: _Shares, caller: Hashable, hosts: _Shares, host: str, total: asyncio.Semaphore) -> None:
        self._callers, self._caller, self._hosts, self._host, self._total = callers, caller, hosts, host, total
        self._taken: list[asyncio.Semaphore] = []

    async def take(self, seconds: float) -> None:
        """Waits for it. Raises TimeoutError when none comes free within ``seconds``; then, or cancelled, there is nothing to leave."""
        wanted = of_caller, of_host, total = (self._callers.speak_of(self._caller), self._hosts.speak_of(self._host), self._total)
        try:
            if of_caller.locked() or of_host.locked() or total.locked():
                async with asyncio.timeout(seconds):
                    await self._take_all(wanted)
            else:
                await self._take_all(wanted)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Gives it to whoever waits."""
        while self._taken:
            self._taken.pop().release()
        self._callers.forget(self._caller)
        self._hosts.forget(self._host)

    async def _take_all(self, wanted: tuple[asyncio.Semaphore, ...]) -> None:
        for semaphore in wanted:
            await semaphore.acquire()
            self._taken.append(semaphore)


class _Shares:
    """As many slots for each of several."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._kept: dict[Hashable, tuple[asyncio.Semaphore, int]] = {}

    def speak_of(self, whose: Hashable) -> asyncio.Semaphore:
        free, users = self._kept.get(whose) or (asyncio.Semaphore(self._slots), 0)
        self._kept[whose] = (free, users + 1)
        return free

    def forget(self, whose: Hashable) -> None:
        free, users = self._kept[whose]
        if users == 1:
            del self._kept[whose]
        else:
            self._kept[whose] = (free, users - 1)
