"""The HTTP client as calls to providers use it: connections by credential, to addresses that were checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ConnectionKey

from fileplane.providers.breaker import Attempt
from fileplane.providers.egress_addresses import Lookups, checked_addresses
from fileplane.providers.egress_policy import EgressPolicy
from fileplane.providers.idle_connections import IdleConnections

_READ_BYTES: Final = 1 << 17
_KEPT_ALIVE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Wire:
    """What the client has to know of the call that it makes, and what it tells of it."""

    pool_key: bytes
    """Requests with the same share connections, others do not."""
    caller: Hashable
    """Whose share of the lookups of names is used."""
    attempt: Attempt
    idle: IdleConnections
    transports: list[asyncio.WriteTransport] = field(default_factory=list)
    """Those that the call was sent over."""
    on_connected: Callable[[], None] = lambda: None
    """Called once there is a connection, before anything is sent over it."""

    def sent_over(self, transport: asyncio.WriteTransport) -> None:
        """The call has this connection now."""
        self.on_connected()
        self.transports.append(transport)
        self.idle.take(transport, self)

    def leave(self) -> None:
        """The call is over. To be called once its connection is closed or kept for another."""
        for transport in self.transports:
            self.idle.leave(transport, self)

    def abort(self) -> None:
        """Ends the connection at once.

        Closed, it would first wait, without an end, for a peer that reads nothing to take what was written.
        """
        for transport in self.transports:
            transport.abort()


WIRE: ContextVar[Wire] = ContextVar("egress_wire")
"""That of the call that is being made. The client's own interface has no way to hand it to where connections are chosen."""


class Sessions:
    """For one event loop: one client each for what may be repeated and what may not, and for plain HTTP and HTTPS."""

    def __init__(self, policy: EgressPolicy, lookups: Lookups, tls: ssl.SSLContext, connect_seconds: float, *, proxied: bool) -> None:
        self._policy = policy
        self._lookups = lookups
        self._tls = tls
        self._connect_seconds = connect_seconds
        self._proxied = proxied
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    def get(self, *, plain: bool, alone: bool) -> aiohttp.ClientSession:
        """``alone`` for calls that each have a connection of their own, and are sent once."""
        session = self._sessions.get((plain, alone))
        if session is None:
            session = self._sessions[plain, alone] = self._new(plain=plain, alone=alone)
        return session

    async def close(self) -> None:
        """Closes every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _new(self, *, plain: bool, alone: bool) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(self._policy, self._lookups, plain=plain, to_proxy=self._proxied),
                use_dns_cache=False,
                ssl=self._tls,
                limit=0,  # slots are taken before; the connector would count each session, and at a host each credential, by itself
                force_close=alone,
                keepalive_timeout=None if alone else _KEPT_ALIVE_SECONDS,
            ),
            request_class=_PooledRequest,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
        )
        if alone:
            # What changes something is sent once, whatever its method: after a lost answer a second DELETE would find no file.
            session._retry_connection = False  # noqa: SLF001 - there is no other switch for it
        return session


class _PooledRequest(aiohttp.ClientRequest):
    """A request whose connection is shared with requests of the same pool key alone.

    So a peer that mixes up its answers cannot show one caller's to another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wire = WIRE.get()

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Tells that there is a connection, long before an upload over it has come to its end, and leaves it with whoever has to end it."""
        self._wire.attempt.reached()
        self._wire.sent_over(conn.transport)
        return await super().send(conn)

    @property
    def connection_key(self) -> ConnectionKey:
        """The connector's key for its pool, with the credentials in the place of what is said to a proxy, which is nothing here."""
        return super().connection_key._replace(proxy_headers_hash=hash(self._wire.pool_key))


class _Resolver(AbstractResolver):
    """Gives the connector addresses that were checked, which it then connects to; asked once a connection."""

    def __init__(self, policy: EgressPolicy, lookups: Lookups, *, plain: bool, to_proxy: bool) -> None:
        self._policy = policy
        self._lookups = lookups
        self._plain = plain
        self._to_proxy = to_proxy

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002 - the library's interface
        addresses = await self._lookups.of(host, port, WIRE.get().caller)
        if not self._to_proxy:
            addresses = checked_addresses(self._policy, host, addresses, plain=self._plain)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Has nothing to release."""
