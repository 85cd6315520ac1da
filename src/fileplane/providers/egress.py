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
from collections.abc import Hashable
from typing import Final

import aiohttp
from yarl import URL

from fileplane import metrics
from fileplane.errors import FileplaneError, UpstreamAnswerInvalid, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from fileplane.providers.breaker import Breaker
from fileplane.providers.connection_slots import ConnectionSlots, Slot
from fileplane.providers.egress_addresses import Lookup, Lookups, SystemLookup, checked_addresses
from fileplane.providers.egress_policy import EgressPolicy, Place, refused
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse, fail
from fileplane.providers.egress_sessions import WIRE, Sessions, Wire
from fileplane.providers.egress_transport import split_proxy, tls_context
from fileplane.providers.idle_connections import IdleConnections
from fileplane.providers.machine_identity import ManagedIdentity, managed_request
from fileplane.providers.outbound_headers import checked_headers, pool_key
from fileplane.providers.request_body import Watch
from fileplane.providers.request_ids import request_id_of
from fileplane.settings import Settings

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RESUME_INCOMPLETE: Final = 308
_MOST_REDIRECTS: Final = 3
_MACHINE_SECONDS: Final = 5.0
_MOST_MACHINE_BYTES: Final = 1 << 16
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_CLIENT_ERRORS: Final = range(400, 500)


class Egress:
    """See the module. One for a process; made outside of an event loop or in it, used in one. Safe for any number of tasks.

    ``lookup`` replaces the system's resolver, for tests. Raises :class:`~fileplane.settings.SettingsError` for an unusable ``egress_ca``.
    """

    def __init__(self, settings: Settings, *, lookup: Lookup | None = None) -> None:
        self._settings = settings
        self._policy = EgressPolicy(settings.egress_allow)
        self._system_lookup = SystemLookup()
        # Half of the time for a connection, so that whoever waits for a place hears of that, and not that the host cannot be reached.
        self._lookups = Lookups(lookup or self._system_lookup, settings.egress_connect_seconds / 2)
        self._proxy, self._proxy_user = split_proxy(settings.egress_proxy)
        self._sessions = Sessions(
            self._policy, self._lookups, tls_context(settings), settings.egress_connect_seconds, proxied=self._proxy is not None
        )
        self._idle = IdleConnections(settings.egress_connections)
        self._slots = ConnectionSlots(settings.egress_connections)
        self._breaker = Breaker(settings.egress_breaker_failures, settings.egress_breaker_seconds)

    @property
    def policy(self) -> EgressPolicy:
        """For whoever wants to refuse a host before it is saved."""
        return self._policy

    @property
    def total_seconds(self) -> float:
        """How long one call may take, whatever its size; for adapters that make several for one."""
        return self._settings.egress_total_seconds

    async def close(self) -> None:
        """Closes every connection. No call may be made afterwards."""
        await self._sessions.close()
        await self._lookups.close()
        self._system_lookup.close()

    def call(self, request: EgressRequest) -> EgressCall:
        """The answer, once its head is there, whatever its status, for the length of an ``async with``.

        Leaving before its body was read closes the connection. Entering raises :class:`~fileplane.errors.InvalidValue` for a place or
        header that is not allowed, and what :mod:`~fileplane.providers.base` says of unreachable providers, timeouts and uploads of
        unknown outcome. What the body raised is raised as it is.
        """
        return EgressCall(self, request, self._settings)

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

    async def answer(self, request: EgressRequest, ends_at: float) -> tuple[aiohttp.ClientResponse, Wire, Slot]:
        """The head of an answer, whatever its status, and what holds its connection; for :class:`EgressCall` alone, which closes them."""
        place = self._policy.origin_of(request.url)
        credential = pool_key(request.identity or request.secret_headers)
        caller = request.caller or credential
        if self._proxy is not None and place.address is None:
            await self._check_behind_proxy(place, caller)
        headers = checked_headers(request.headers, request.secret_headers)
        now = asyncio.get_running_loop().time()
        head_by = min(ends_at, now + (request.head_seconds or self._settings.egress_total_seconds))
        with self._breaker.attempt((place.scheme, place.host, place.port, credential), place.origin()) as attempt:
            slot = self._slots.slot(place.host, caller)
            await self._take(slot, head_by - now)
            wire = Wire(credential, caller, attempt, self._idle)
            try:
                return await self._sent(request, place, headers, head_by, wire), wire, slot
            except BaseException:
                wire.leave()
                slot.leave()
                raise

    async def _check_behind_proxy(self, place: Place, caller: Hashable) -> None:
        try:
            async with asyncio.timeout(self._settings.egress_connect_seconds):
                addresses = await self._lookups.of(place.host, place.port, caller)
        except (OSError, TimeoutError, UpstreamBusy) as error:
            if place.plain and not self._policy.names(place.host):
                raise refused() from error
            return
        checked_addresses(self._policy, place.host, addresses, plain=place.plain)

    async def _take(self, slot: Slot, given: float) -> None:
        own = self._settings.egress_connect_seconds
        try:
            await slot.take(min(own, given))
        except TimeoutError as error:
            if given < own:
                raise UpstreamTimeout("No connection to the provider came free in time. Try again.") from error
            metrics.EGRESS_BUSY_CALLS.add(1)
            raise UpstreamBusy from error

    async def _sent(
        self, request: EgressRequest, place: Place, headers: dict[str, str], head_by: float, wire: Wire
    ) -> aiohttp.ClientResponse:
        body, settings = request.body, self._settings
        if body is not None and body.length is not None:
            headers["Content-Length"] = str(body.length)
        watch = Watch(settings, head_by)
        session = self._sessions.get(plain=place.plain, alone=request.method not in _SAFE_METHODS)
        wire.on_connected = watch.has_ended  # a body, which is begun after that, sets its own deadlines
        token = WIRE.set(wire)
        try:
            async with watch:
                response = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=headers,
                    data=None if body is None else body.pieces(watch),
                    allow_redirects=False,
                    proxy=self._proxy,
                    # The client makes a Proxy-Authorization of it, wherever that belongs.
                    proxy_headers=None if self._proxy_user is None else {"Authorization": self._proxy_user.reveal()},
                )
        except BaseException as error:
            wire.abort()
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                wire.attempt.failed()
            if isinstance(error, aiohttp.ClientError | OSError | TimeoutError | ValueError):
                fail(request, error)
            raise
        finally:
            WIRE.reset(token)
        if body is not None and not body.complete:
            body.stop()
        return response


class EgressCall:
    """One call, and what it was redirected to; made by :meth:`Egress.call`, entered once."""

    def __init__(self, egress: Egress, request: EgressRequest, settings: Settings) -> None:
        self._egress = egress
        self._request = request
        self._settings = settings
        self._open: tuple[aiohttp.ClientResponse, Wire, Slot] | None = None

    async def __aenter__(self) -> EgressResponse:
        ends_at = asyncio.get_running_loop().time() + self._settings.egress_total_seconds
        self._request.heard.request_id = None
        try:
            response = await self._at_last(ends_at)
            return EgressResponse(self._request, response, self._settings.egress_idle_seconds, ends_at)
        except BaseException:
            self._close()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def _at_last(self, ends_at: float) -> aiohttp.ClientResponse:
        response = await self._answer(ends_at)
        if self._request.explains_redirects and ("Location" not in response.headers or "x-amz-bucket-region" in response.headers):
            return response
        for _ in range(_MOST_REDIRECTS):
            if response.status not in _REDIRECTS or not self._request.follow_redirects:
                break
            response = await self._redirected(response, ends_at)
        asks_for_the_rest = self._request.resumable and response.status == _RESUME_INCOMPLETE and "Location" not in response.headers
        if response.status in _REDIRECTS and not asks_for_the_rest:
            raise self._request.unusable("The provider answers with a redirect, which is not followed.")
        return response

    async def _answer(self, ends_at: float) -> aiohttp.ClientResponse:
        request = self._request
        self._open = await self._egress.answer(request, ends_at)
        response = self._open[0]
        request.heard.request_id = request_id_of(response.headers, request.secret_headers.values())
        return response

    async def _redirected(self, response: aiohttp.ClientResponse, ends_at: float) -> aiohttp.ClientResponse:
        self._request = self._request.redirected(response.headers.get("Location", ""))
        self._close()
        try:
            return await self._answer(ends_at)
        except FileplaneError as error:
            if error.status in _CLIENT_ERRORS:  # the caller did not choose this place
                raise UpstreamAnswerInvalid("The provider redirects to where calls are not allowed.") from error
            raise

    def _close(self) -> None:
        if self._open is None:
            return
        response, wire, slot = self._open
        self._open = None
        try:
            if self._request.body is not None:
                wire.abort()
            response.close()
        finally:
            wire.leave()
            slot.leave()
