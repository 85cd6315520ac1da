"""How many calls there may be at once: in all, to one host, and of one caller, so that nobody uses up what the others need.

A caller gets a quarter of all and a host half: one caller's slow uploads to a host that everybody uses leave the others room there, with
whatever credentials they are made, and one host that answers slowly leaves room for calls to others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager


class ConnectionSlots:
    """For one event loop. Whoever waits is served in order; hosts and callers that nobody speaks of are forgotten."""

    def __init__(self, total: int) -> None:
        self._total = asyncio.Semaphore(total)
        self._of_callers = _Shares(max(1, total // 4))
        self._of_hosts = _Shares(max(1, total // 2))

    @asynccontextmanager
    async def taken(self, host: str, caller: Hashable, seconds: float) -> AsyncIterator[None]:
        """A slot for the length of the block. Raises TimeoutError when none comes free within ``seconds``."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(seconds):
                await stack.enter_async_context(self._of_callers.one(caller))
                await stack.enter_async_context(self._of_hosts.one(host))
                await stack.enter_async_context(self._total)
            yield


class _Shares:
    """As many slots for each of several."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._kept: dict[Hashable, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def one(self, whose: Hashable) -> AsyncIterator[None]:
        free, users = self._kept.get(whose) or (asyncio.Semaphore(self._slots), 0)
        self._kept[whose] = (free, users + 1)
        try:
            async with free:
                yield
        finally:
            _, users = self._kept[whose]
            if users == 1:
                del self._kept[whose]
            else:
                self._kept[whose] = (free, users - 1)
