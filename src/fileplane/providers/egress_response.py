"""The answer of a provider, and what the failures of an HTTP client mean for whoever asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final, NoReturn

import aiohttp

from fileplane.errors import FileplaneError, UpstreamAnswerInvalid, UpstreamTimeout, UpstreamUnreachable
from fileplane.providers.decoding import decoded, is_encoded, is_readable
from fileplane.providers.egress_request import EgressRequest

_LONGEST_PIECE: Final = 1 << 20


class EgressResponse:
    """An answer whose head has arrived. Header names are in lower case; of a repeated header the first counts."""

    def __init__(self, request: EgressRequest, response: aiohttp.ClientResponse, idle_seconds: float, ends_at: float) -> None:
        """``ends_at`` is by the event loop's clock. Raises for an encoding that cannot be read. Closing ``response`` is the caller's."""
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
        content = self._response.content
        if content.is_eof() and content.exception() is None and not self.encoded:
            # A small answer has come whole with its head: there is nothing to wait for.
            return self._bounded(content.read_nowait(), most)
        received = bytearray()
        async for piece in self:
            received += self._bounded(piece, most - len(received))
        return bytes(received)

    def _bounded(self, received: bytes, most: int) -> bytes:
        if len(received) > most:
            raise self._request.unusable("The provider's answer is too large.")
        return received

    async def _raw(self) -> AsyncIterator[bytes]:
        content, loop = self._response.content, asyncio.get_running_loop()
        # What is there already needs no deadline, and a deadline is not for nothing: a small answer has come whole with its head.
        while not content.at_eof() or content.exception() is not None:
            try:
                async with asyncio.timeout_at(min(self._ends_at, loop.time() + self._idle_seconds)):
                    piece = await content.readany()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                fail(self._request, error)
            if not piece:
                return
            for start in range(0, len(piece), _LONGEST_PIECE):
                yield piece if len(piece) <= _LONGEST_PIECE else piece[start : start + _LONGEST_PIECE]


def fail(request: EgressRequest, error: Exception) -> NoReturn:
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
