"""From a host's name to the addresses that a connection may go to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from fileplane.providers.egress_policy import EgressPolicy, refused

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host and port to addresses. Raises OSError when there are none."""

_RESOLVER_THREADS: Final = 8


class SystemLookup:
    """A :data:`Lookup` by the system's resolver, in threads of its own: one that hangs must not stop whatever else runs in threads."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host, in the system's order."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, "egress-resolver")
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
