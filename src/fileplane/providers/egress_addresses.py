"""From a host's name to the addresses that a connection may go to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from fileplane import metrics
from fileplane.errors import UpstreamBusy
from fileplane.providers.connection_slots import ConnectionSlots
from fileplane.providers.egress_policy import EgressPolicy, refused

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host and port to addresses. Raises OSError when there are none."""

_AT_ONCE: Final = 32
_OF_A_CALLER: Final = 4


class Lookups:
    """Lookups of names for many callers, none of whom can keep the others waiting with names whose servers do not answer.

    A lookup cannot be broken off, so that it keeps its place until it has ended, also when nobody waits for it any more. Whoever asks for
    a name that is being looked up waits for the same answer. For one event loop.
    """

    def __init__(self, lookup: Lookup, wait_seconds: float) -> None:
        """``wait_seconds`` is the longest wait for a place."""
        self._lookup = lookup
        self._wait_seconds = wait_seconds
        self._places = ConnectionSlots(_AT_ONCE, _OF_A_CALLER)
        self._running: dict[tuple[str, int], asyncio.Task[Sequence[str]]] = {}

    async def of(self, host: str, port: int, caller: Hashable) -> Sequence[str]:
        """The addresses of a host. Raises OSError where there are none, and :class:`~fileplane.errors.UpstreamBusy` without a place."""
        running = self._running.get((host, port)) or await self._begun(host, port, caller)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Waits for no answer."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _begun(self, host: str, port: int, caller: Hashable) -> asyncio.Task[Sequence[str]]:
        place = self._places.slot(host, caller)
        try:
            await place.take(self._wait_seconds)
        except TimeoutError as error:
            if (begun := self._running.get((host, port))) is not None:
                return begun
            metrics.EGRESS_BUSY_CALLS.add(1)
            raise UpstreamBusy("Too many names are being looked up, or their servers do not answer. Try again.") from error
        if (host, port) in self._running:
            place.leave()
            return self._running[host, port]

        async def look_up() -> Sequence[str]:
            return await self._lookup(host, port)

        def ended(task: asyncio.Task[Sequence[str]]) -> None:
            place.leave()
            del self._running[host, port]
            if not task.cancelled():
                task.exception()  # nobody may be left who hears of it

        task = self._running[host, port] = asyncio.create_task(look_up(), name="fileplane-lookup")
        task.add_done_callback(ended)
        return task


class SystemLookup:
    """A :data:`Lookup` by the system's resolver, in threads of its own: one that hangs must not stop whatever else runs in threads."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, in the system's order."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, "egress-resolver")
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _getaddrinfo, host, port)
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Waits for no answer."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def checked_addresses(policy: EgressPolicy, host: str, addresses: Sequence[str], *, plain: bool) -> list[str]:
    """``addresses`` in their usual form, when every one of them is allowed. Raises :class:`~fileplane.errors.InvalidValue` otherwise."""
    if not addresses:
        raise OSError(f"{host} has no address")
    parsed = [ipaddress.ip_address(address) for address in addresses]
    if not all(policy.admits(host.lower().rstrip("."), address, plain=plain) for address in parsed):
        raise refused()
    return [str(address) for address in parsed]


def _getaddrinfo(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)  # type: ignore[return-value]  # asked for TCP, it gives addresses of IP alone
