"""The only outbound HTTP: every call to a provider goes through here, and nowhere else is an HTTP client imported.

- A name is resolved once a connection, every address is held against the policy, and the connection goes to what was checked.
- Credentials are a request's own: connections are shared only by requests with the same ones, cookies are not kept, redirects are not
  followed, or, for a download, without any header that came with the request.
- Bodies are streams in both directions. Every wait has a deadline, that for a free connection included.
- A provider that cannot be connected to is left alone for a while (see :mod:`fileplane.providers.breaker`).
- An upload has a connection of its own: one that was kept alive may be closed by its peer at that very moment, and an upload cannot be
  sent again.
- With a proxy the proxy resolves the names. What this machine's own resolver says of them is checked all the same, where it knows them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from fileplane import metrics
from fileplane.errors import (
    FileplaneError,
    UpstreamAnswerInvalid,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.breaker import Attempt, Breaker
from fileplane.providers.connection_slots import ConnectionSlots
from fileplane.providers.decoding import decoded, is_encoded, is_readable
from fileplane.providers.egress_addresses import Lookup, SystemLookup, checked_addresses
from fileplane.providers.egress_policy import EgressPolicy, Place, place_of, refused
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_transport import split_proxy, tls_context
from fileplane.providers.machine_identity import ManagedIdentity, managed_request
from fileplane.providers.outbound_headers import checked_headers, pool_key
from fileplane.providers.request_body import Watch
from fileplane.providers.request_ids import request_id_of
from fileplane.settings import Settings

_POOL_KEY: ContextVar[bytes] = ContextVar("egress_pool_key", default=b"")
_WIRE: ContextVar[list[asyncio.WriteTransport]] = ContextVar("egress_wire")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 3
_READ_BYTES: Final = 1 << 17
_LONGEST_PIECE: Final = 1 << 20
_KEPT_ALIVE_SECONDS: Final = 30.0
_MACHINE_SECONDS: Final = 5.0
_MOST_MACHINE_BYTES: Final = 1 << 16
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class Egress:
    """See the module. One for a process; made outside of an event loop or in it, used in one. Safe for any number of tasks.

    ``lookup`` replaces the system's resolver, for tests. Raises :class:`~fileplane.settings.SettingsError` for an unusable ``egress_ca``.
    """

    def __init__(self, settings: Settings, *, lookup: Lookup | None = None) -> None:
        self._settings = settings
        self._policy = EgressPolicy(settings.egress_allow)
        self._system_lookup = SystemLookup()
        self._lookup = lookup or self._system_lookup
        self._tls = tls_context(settings)
        self._proxy, self._proxy_user = split_proxy(settings.egress_proxy)
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}
        self._slots = ConnectionSlots(settings.egress_connections)
        self._breaker = Breaker(settings.egress_breaker_failures, settings.egress_breaker_seconds)

    @property
    def policy(self) -> EgressPolicy:
        """For whoever wants to refuse a host before it is saved."""
        return self._policy

    async def close(self) -> None:
        """Closes every connection. No call may be made afterwards."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        self._system_lookup.close()

    @asynccontextmanager
    async def call(self, request: EgressRequest) -> AsyncIterator[EgressResponse]:
        """The answer, once its head is there, whatever its status. Leaving before its body was read closes the connection.

        Raises :class:`~fileplane.errors.InvalidValue` for a place or header that is not allowed, and what :mod:`~fileplane.providers.base`
        says of unreachable providers, timeouts and uploads of unknown outcome. What the body raised is raised as it is.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._settings.egress_total_seconds
        request.heard.request_id = None
        async with AsyncExitStack() as stack:
            response = await self._answer(request, ends_at, stack)
            for _ in range(_MOST_REDIRECTS):
                if response.status not in _REDIRECTS or not request.follow_redirects:
                    break
                request = request.redirected(response.headers.get("Location", ""))
                await stack.aclose()
                response = await self._answer(request, ends_at, stack, redirected=True)
            if response.status in _REDIRECTS:
                raise request.unusable("The provider answers with a redirect, which is not followed.")
            yield EgressResponse(request, response, self._settings.egress_idle_seconds, ends_at)

    async def ask_machine(self, identity: ManagedIdentity) -> tuple[int, bytes]:
        """Status and body of the machine's own identity service, asked for the token of a managed identity.

        The one call that the policy does not apply to, since the service has an address that no other call may reach. So nobody says
        where it goes but :mod:`fileplane.providers.machine_identity`: not a request, not a credential. It is a GET on a connection of
        its own, past the proxy, follows nothing, and is over within 5 seconds and 64 KiB. Raises UpstreamUnreachable or UpstreamTimeout.
        """
        url, headers = managed_request(identity)
        try:
            async with (
                asyncio.timeout(_MACHINE_SECONDS),
                aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response,
            ):
                body = bytearray()
                while len(body) < _MOST_MACHINE_BYTES and (piece := await response.content.read(_MOST_MACHINE_BYTES)):
                    body += piece
                return response.status, bytes(body)
        except TimeoutError as error:
            raise UpstreamTimeout("The identity service of the server's machine did not answer in time. Try again.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamUnreachable(
                "The identity service of the server's machine cannot be reached. Is it a machine at Azure?"
            ) from error

    async def _answer(
        self, request: EgressRequest, ends_at: float, stack: AsyncExitStack, *, redirected: bool = False
    ) -> aiohttp.ClientResponse:
        """The head of an answer; ``stack`` closes it and then lets go of its connection's place."""
        try:
            place = place_of(request.url)
            await self._check(place)
            headers = checked_headers(request.headers, request.secret_headers)
            head_by = min(ends_at, asyncio.get_running_loop().time() + (request.head_seconds or self._settings.egress_total_seconds))
            credential = pool_key(request.secret_headers)
            circuit = (place.scheme, place.host, place.port, credential)
            with self._breaker.attempt(circuit, replace(place, path="").url()) as attempt:
                await self._take_slot(place.host, request.caller or credential, head_by, stack)
                response = await self._sent(request, place, headers, head_by, attempt)
            stack.callback(response.close)
            if request.body is not None:
                stack.callback(_abort, _WIRE.get())
            secrets = request.secret_headers.values()
            request.heard.request_id = request_id_of({name.lower(): value for name, value in response.headers.items()}, secrets)
        except FileplaneError as error:
            if redirected and error.status < 500:  # noqa: PLR2004 - the caller did not choose this place
                raise UpstreamAnswerInvalid("The provider redirects to where calls are not allowed.") from error
            raise
        return response

    async def _check(self, place: Place) -> None:
        self._policy.check_place(place)
        if self._proxy is not None and place.address is None:
            try:
                async with asyncio.timeout(self._settings.egress_connect_seconds):
                    addresses = await self._lookup(place.host, place.port)
            except (OSError, TimeoutError) as error:
                if place.plain and not self._policy.names(place.host):
                    raise refused() from error
                return
            checked_addresses(self._policy, place.host, addresses, plain=place.plain)

    async def _take_slot(self, host: str, caller: str | bytes, head_by: float, stack: AsyncExitStack) -> None:
        own, given = self._settings.egress_connect_seconds, head_by - asyncio.get_running_loop().time()
        try:
            await stack.enter_async_context(self._slots.taken(host, caller, min(own, given)))
        except TimeoutError as error:
            if given < own:
                raise UpstreamTimeout("No connection to the provider came free in time. Try again.") from error
            metrics.EGRESS_BUSY_CALLS.add(1)
            raise UpstreamBusy from error

    async def _sent(
        self, request: EgressRequest, place: Place, headers: dict[str, str], head_by: float, attempt: Attempt
    ) -> aiohttp.ClientResponse:
        body, settings = request.body, self._settings
        if body is not None and body.length is not None:
            headers["Content-Length"] = str(body.length)
        watch = Watch(settings, head_by)
        session = self._session(plain=place.plain, alone=request.method not in _SAFE_METHODS)
        token = _POOL_KEY.set(pool_key(request.secret_headers))
        wire: list[asyncio.WriteTransport] = []
        response: aiohttp.ClientResponse | None = None
        _WIRE.set(wire)
        try:
            async with watch:
                response = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=headers,
                    data=None if body is None else body.pieces(watch),
                    allow_redirects=False,
                    trace_request_ctx=attempt,
                    proxy=self._proxy,
                    # The client makes a Proxy-Authorization of it, wherever that belongs.
                    proxy_headers=None if self._proxy_user is None else {"Authorization": self._proxy_user.reveal()},
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                attempt.failed()
            _fail(request, error)
        finally:
            _POOL_KEY.reset(token)
            if response is None:
                _abort(wire)
        if body is not None and not body.complete:
            body.stop()
        return response

    def _session(self, *, plain: bool, alone: bool) -> aiohttp.ClientSession:
        session = self._sessions.get((plain, alone))
        if session is None:
            session = self._sessions[plain, alone] = self._new_session(plain=plain, alone=alone)
        return session

    def _new_session(self, *, plain: bool, alone: bool) -> aiohttp.ClientSession:
        settings = self._settings
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Resolver(self._policy, self._lookup, plain=plain, to_proxy=self._proxy is not None),
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
            timeout=aiohttp.ClientTimeout(total=None, connect=settings.egress_connect_seconds),
            trace_configs=[_telling_of_connections()],
        )
        if alone:
            # What changes something is sent once, whatever its method: after a lost answer a second DELETE would find no file.
            session._retry_connection = False  # noqa: SLF001 - there is no other switch for it
        return session


class EgressResponse:
    """An answer whose head has arrived. Header names are in lower case; of a repeated header the first counts."""

    def __init__(self, request: EgressRequest, response: aiohttp.ClientResponse, idle_seconds: float, ends_at: float) -> None:
        self._request = request
        self._response = response
        self._idle_seconds = idle_seconds
        self._ends_at = ends_at
        self.status = response.status
        self.headers: dict[str, str] = {}
        for name, value in response.headers.items():
            self.headers.setdefault(name.lower(), value)
        encoding = self.headers.get("content-encoding")
        if not is_readable(encoding):
            raise request.unusable("The provider's answer has an encoding that was not asked for and cannot be read.")
        self.encoded = is_encoded(encoding)

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the provider says so and they come as they are."""
        return None if self.encoded else self._response.content_length

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, decoded, in pieces of at most 1 MiB. Raises as :meth:`Egress.call` does when it breaks off or stalls."""
        return decoded(self._raw()) if self.encoded else self._raw()

    async def read(self, most: int) -> bytes:
        """The whole body. Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` when it has more than ``most`` bytes."""
        received = bytearray()
        async for piece in self:
            received += piece
            if len(received) > most:
                raise self._request.unusable("The provider's answer is too large.")
        return bytes(received)

    async def _raw(self) -> AsyncIterator[bytes]:
        content, loop = self._response.content, asyncio.get_running_loop()
        # What is there already needs no deadline, and a deadline is not for nothing: a small answer has come whole with its head.
        while not content.at_eof() or content.exception() is not None:
            try:
                async with asyncio.timeout_at(min(self._ends_at, loop.time() + self._idle_seconds)):
                    piece = await content.readany()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _fail(self._request, error)
            if not piece:
                return
            for start in range(0, len(piece), _LONGEST_PIECE):
                yield piece if len(piece) <= _LONGEST_PIECE else piece[start : start + _LONGEST_PIECE]


class _PooledRequest(aiohttp.ClientRequest):
    """A request whose connection is shared with requests of the same pool key alone.

    So a peer that mixes up its answers cannot show one caller's to another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pool_key = hash(_POOL_KEY.get())

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Leaves the connection with whoever has to end it."""
        _WIRE.get().append(conn.transport)
        return await super().send(conn)

    @property
    def connection_key(self) -> ConnectionKey:
        """The connector's key for its pool, with the credentials in the place of what is said to a proxy, which is nothing here."""
        return super().connection_key._replace(proxy_headers_hash=self._pool_key)


def _telling_of_connections() -> aiohttp.TraceConfig:
    """Tells a call's attempt that it has a connection, long before an upload over it has come to its end."""

    async def reached(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
        context.trace_request_ctx.reached()

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(reached)
    config.on_connection_reuseconn.append(reached)
    return config


class _Resolver(AbstractResolver):
    """Gives the connector addresses that were checked, which it then connects to; asked once a connection."""

    def __init__(self, policy: EgressPolicy, lookup: Lookup, *, plain: bool, to_proxy: bool) -> None:
        self._policy = policy
        self._lookup = lookup
        self._plain = plain
        self._to_proxy = to_proxy

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:  # noqa: ARG002
        addresses = await self._lookup(host, port)
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


def _fail(request: EgressRequest, error: Exception) -> NoReturn:
    """Raises what a failure means for whoever asked. The causes are kept for the log; the messages say nothing of them."""
    body = request.body
    if body is not None and body.failure is not None:
        raise body.failure
    if isinstance(error, FileplaneError):
        raise error
    sent = request.outcome_unknown
    if isinstance(error, TimeoutError):
        if body is not None and sent:
            raise body.outcome.unanswered() from error
        raise UpstreamTimeout("The provider did not answer in time. Try again.") from error
    if body is not None and sent:
        raise body.outcome.broken() from error
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        raise UpstreamUnreachable("No trusted encrypted connection to the provider can be made.") from error
    if isinstance(error, aiohttp.ClientConnectorError):
        raise UpstreamUnreachable("The provider cannot be reached. Try again.") from error
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL | ValueError):
        raise UpstreamAnswerInvalid("The provider's answer is not HTTP that can be understood, or exceeds the limits of a head.") from error
    raise UpstreamUnreachable("The connection to the provider broke. Try again.") from error


def _abort(wire: list[asyncio.WriteTransport]) -> None:
    """Ends a connection at once. Closed, it would first wait, without an end, for a peer that reads nothing to take what was written."""
    for transport in wire:
        transport.abort()
