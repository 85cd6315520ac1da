"""Requests to Google Cloud Storage's JSON API. The one module beside the egress that imports the HTTP client.

The egress guards against addresses that callers choose. This address is the operator's own setting, private networks being where
emulators and gateways to the service are, so that its rules would only have to be switched off.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import aiohttp

from fileplane.blobs.bucket import BucketUnusable
from fileplane.blobs.gcs_credentials import Credentials

FAILURES: Final[tuple[type[Exception], ...]] = (aiohttp.ClientError, OSError)
_ATTEMPTS: Final = 3
_FIRST_REST_SECONDS: Final = 0.1
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_CONNECTIONS: Final = 200
_LONGEST_TEXT: Final = 500
_READ_BUFFER: Final = 1 << 18
_SLICE: Final = 1 << 18


class GcsRefused(OSError):
    """An answer that is no success. ``status`` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status}: {text[:_LONGEST_TEXT]}")
        self.status = status


class GcsHttp:
    """Authenticated requests with deadlines; those that may be repeated are, twice, after failures that pass."""

    def __init__(self, credentials: Credentials, *, ca: str | None, deadline_seconds: float) -> None:
        self._credentials = credentials
        self._tls = _trusting(ca)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(10.0, deadline_seconds / 2), sock_read=deadline_seconds / 2)
        self._opened: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._tls)
            self._opened = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, trust_env=True, auto_decompress=False, read_bufsize=_READ_BUFFER
            )
        return self._opened

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accepted: frozenset[int] = frozenset({200}),
        repeatable: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One answer with an accepted status. Raises :class:`GcsRefused`, or another of the failures."""
        response = await self._answered(method, url, params, headers, body, accepted, attempts=_ATTEMPTS if repeatable else 1)
        try:
            yield response
        finally:
            # Whatever is unread is not worth reading to keep the connection.
            response.release() if response.content.at_eof() else response.close()

    async def _answered(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        accepted: frozenset[int],
        *,
        attempts: int,
    ) -> aiohttp.ClientResponse:
        rest = _FIRST_REST_SECONDS
        while True:
            attempts -= 1
            try:
                own = await self._credentials.headers()
                sent = {**(headers or {}), **own, **({} if body is None else {"content-length": str(len(body))})}
                data = None if body is None else _slices(body)
                response = await self._session().request(method, url, params=params, headers=sent, data=data, allow_redirects=False)
                return response if response.status in accepted else await _refuse(response)
            except GcsRefused as error:
                if error.status not in _AGAIN or not attempts:
                    raise
            except FAILURES:
                if not attempts:
                    raise
            await asyncio.sleep(rest * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
            rest *= 4

    async def close(self) -> None:
        """Ends every connection."""
        if self._opened is not None:
            await self._opened.close()


async def _refuse(response: aiohttp.ClientResponse) -> NoReturn:
    async with response:
        text = await response.content.read(_LONGEST_TEXT)
    raise GcsRefused(response.status, text.decode("utf-8", "replace"))


async def _slices(body: bytes) -> AsyncIterator[memoryview]:
    """So that no write to a socket takes long."""
    view = memoryview(body)
    for start in range(0, len(body), _SLICE):
        yield view[start : start + _SLICE]


def _trusting(ca: str | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise BucketUnusable(f"The file {ca} that the option ca of blob_store names cannot be used: {error}.") from error
    return context
