"""Bytes that a provider keeps at URLs which it has signed: calls without a credential, and without anything that a caller forwards.

Such a URL is itself a secret. None is ever told of, neither in an error nor in a log. The caller has not chosen where it leads, so that one
which leads where calls are not allowed is the provider's mistake.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from urllib.parse import unquote, urlsplit

from fileplane.errors import FileNotFound, FileplaneError, InvalidRange, ProviderRefused, UpstreamAnswerInvalid
from fileplane.providers.access import Access
from fileplane.providers.answers import media_type_of
from fileplane.providers.base import ByteRange, RemoteContent, Target
from fileplane.providers.calls import refused_or_gone
from fileplane.providers.content import Download, whole_size
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.request_body import RequestBody
from fileplane.secrets.values import Secret

NOWHERE: Final = Access("")
"""What these calls are made with."""
_RANGE_NOT_SATISFIABLE: Final = 416
_SERVED: Final = (200, 206)
_CLIENT_ERRORS: Final = range(400, 500)
_LINE_BREAK: Final = b"\n"
_SHORTEST_SECRET: Final = 16
"""Of a URL's query, where shorter words, such as the name of a method, are none."""


@asynccontextmanager
async def signed_call(
    egress: Egress, target: Target, method: str, url: str, headers: Mapping[str, str], body: RequestBody | None = None
) -> AsyncIterator[EgressResponse]:
    """The answer, whatever its status. A download may be redirected: there is nothing that could be told to somebody else.

    What a ``body`` is put there for counts only once the provider is told, so that its outcome is never in doubt.
    Raises as :meth:`~fileplane.providers.egress.Egress.call` does, but :class:`~fileplane.errors.UpstreamAnswerInvalid` for a place that
    is none, or is not allowed.
    """
    request = EgressRequest(
        method,
        url,
        headers,
        body=body,
        head_seconds=target.request_timeout_seconds,
        follow_redirects=method == "GET",
        repeatable=True,
        caller=target.caller,
    )
    async with AsyncExitStack() as stack:
        try:
            response = await stack.enter_async_context(egress.call(request))
        except FileplaneError as error:
            of_the_body = body is not None and body.failure is error
            if error.status in _CLIENT_ERRORS and not of_the_body:
                raise UpstreamAnswerInvalid("The provider keeps the bytes where calls are not allowed.") from error
            raise
        yield response


async def refused_there(target: Target, url: str, response: EgressResponse) -> ProviderRefused:
    """The refusal that an answer is, which may repeat the URL, or what of it is the signature."""
    return (await _refused_or_gone(target, url, response, ""))[0]


async def _refused_or_gone(target: Target, url: str, response: EgressResponse, file_id: str) -> tuple[ProviderRefused, bool]:
    query = urlsplit(url).query
    said = [url, query, *(value for part in query.split("&") if len(value := part.partition("=")[2]) >= _SHORTEST_SECRET)]
    known = {text: Secret(text) for value in said if value for text in (value, unquote(value))}
    return await refused_or_gone(target, Access("", known), response, file_id)


@asynccontextmanager
async def signed_download(
    egress: Egress, target: Target, file_id: str, urls: Sequence[str], span: ByteRange | None
) -> AsyncIterator[RemoteContent]:
    """A download of what is at ``urls``: of several, which are files of lines, one after the other, each beginning on a line of its own.

    Part of it is served only where there is a single one. Raises as :meth:`~fileplane.providers.base.Provider.open` does.
    """
    async with AsyncExitStack() as stack, AsyncExitStack() as of_the_first:
        asked = span if len(urls) == 1 else None
        first = await of_the_first.enter_async_context(_served(egress, target, file_id, urls[0], asked))
        media_type = media_type_of(target, NOWHERE, first)
        download = Download(first, asked, media_type)
        if len(urls) == 1:
            yield download
            return
        joined = Joined(egress, target, file_id, download, urls[1:], of_the_first)
        stack.push_async_callback(joined.close)
        yield joined


@asynccontextmanager
async def _served(egress: Egress, target: Target, file_id: str, url: str, span: ByteRange | None) -> AsyncIterator[EgressResponse]:
    headers = {} if span is None else {"Range": span.header()}
    async with signed_call(egress, target, "GET", url, headers) as response:
        if response.status == _RANGE_NOT_SATISFIABLE and span is not None:
            raise InvalidRange("The range lies outside the file.", param="range", headers=whole_size(response.headers))
        if response.status not in _SERVED:
            error, nothing_there = await _refused_or_gone(target, url, response, file_id)
            if nothing_there:
                raise FileNotFound(file_id) from error
            raise error if response.status in range(400, 600) else UpstreamAnswerInvalid("The provider's answer to a download is none.")
        yield response


class Joined:
    """A :class:`~fileplane.providers.base.RemoteContent` of several files of lines, whose length nobody knows before its end."""

    status = 200
    length = None
    served = None
    transformed = False

    def __init__(
        self, egress: Egress, target: Target, file_id: str, first: Download, others: Sequence[str], of_the_first: AsyncExitStack
    ) -> None:
        """``of_the_first`` is closed before another is called: whoever held two connections at once could wait for himself."""
        self._of_the_first = of_the_first
        self._egress = egress
        self._target = target
        self._file_id = file_id
        self._first = first
        self._others = others
        self._pieces = self._joined()
        self.media_type = first.media_type

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes, once."""
        return self._pieces

    async def close(self) -> None:
        """Closes the connection of whichever file is being read."""
        await self._pieces.aclose()

    async def _joined(self) -> AsyncGenerator[bytes, None]:
        last = b""
        async for piece in self._first:
            yield piece
            last = piece[-1:] or last
        await self._of_the_first.aclose()
        for url in self._others:
            if last not in {b"", _LINE_BREAK}:
                yield _LINE_BREAK
            async with _served(self._egress, self._target, self._file_id, url, None) as response:
                async for piece in Download(response, None, None):
                    yield piece
                    last = piece[-1:] or last
