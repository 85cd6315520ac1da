"""Serving a provider's bytes: streamed as they come, with headers that keep browsers from running them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fileplane.errors import ClientDisconnected, InvalidRange, UpstreamAnswerInvalid, UpstreamUnreachable
from fileplane.files.names import OCTET_STREAM
from fileplane.files.remote import OpenFile, Outline
from fileplane.http.call import Call
from fileplane.http.content import disposition_of
from fileplane.http.presence import while_there
from fileplane.http.ranges import one_range
from fileplane.http.remote_trace import tell
from fileplane.providers.base import ByteRange

Opening = Callable[[ByteRange | None], AbstractAsyncContextManager[OpenFile]]

_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}(?:\s*;[\x20-\x7e]{0,200})?")


def safe_headers(filename: str | None) -> dict[str, str]:
    """Those of every download from a provider."""
    return {
        "content-disposition": "attachment" if filename is None else disposition_of(filename),
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "same-origin",
    }


def asked_range(headers: Mapping[str, str]) -> ByteRange | None:
    """The one range that is asked for, or None for the whole file.

    Several ranges are answered with the whole file, as RFC 9110 allows, and so is a range with ``If-Range``, since providers' files have
    no validator. Raises :class:`~fileplane.errors.InvalidValue` for a unit or form that is not understood.
    """
    header = headers.get("range")
    if header is None or "if-range" in headers:
        return None
    return one_range(header)


@dataclass(frozen=True, slots=True)
class Part:
    """What is served: ``skip`` bytes of what the provider sends are passed over, then ``length`` are passed on (None: all).

    Where it ``cuts``, the provider sends more than that.
    """

    status: int
    skip: int
    length: int | None
    content_range: str | None
    cuts: bool = False


def part_of(opened: OpenFile, asked: ByteRange | None) -> Part:
    """Cuts the answer of a provider that does not heed ranges.

    Raises :class:`~fileplane.errors.InvalidRange`, and :class:`~fileplane.errors.UpstreamAnswerInvalid` where the provider announces
    another size than the file has for sure: a part must not be taken for the whole.
    """
    content = opened.content
    announced = content.length if content.served is None else content.served.size
    if opened.size_is_sure and announced not in {None, opened.size}:
        raise UpstreamAnswerInvalid(f"The provider serves {announced} bytes for a file of {opened.size}.")
    if content.served is not None:
        served = content.served
        size = "*" if served.size is None else str(served.size)
        return Part(206, 0, served.last - served.first + 1, f"bytes {served.first}-{served.last}/{size}")
    known = content.length if content.length is not None else opened.size
    if asked is None or known is None:
        return Part(200, 0, known if opened.size_is_sure else content.length, None)
    first = max(0, known - (asked.last or 0)) if asked.first is None else asked.first
    last = known - 1 if asked.first is None or asked.last is None else min(asked.last, known - 1)
    if first > last:
        raise InvalidRange(
            f"The range lies outside the file, which has {known} bytes.", param="range", headers={"content-range": f"bytes */{known}"}
        )
    return Part(206, first, last - first + 1, f"bytes {first}-{last}/{known}", cuts=True)


class RemoteContentResponse:
    """The answer to GET of a file's content at a provider, as an ASGI application.

    What fails before the first byte is raised before the answer starts; a failure later breaks the connection off. When the client
    leaves, so does the call to the provider.
    """

    def __init__(self, call: Call, opening: Opening | None = None) -> None:
        """``opening`` opens what is served; without it, it is the file in the path."""
        self._call = call
        self._opening = opening or self._file
        self._stall_seconds = call.services.settings.download_stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Sends it."""
        await while_there(receive, self._serve(send), is_short=False)

    def _file(self, span: ByteRange | None) -> AbstractAsyncContextManager[OpenFile]:
        call = self._call
        return call.services.remote.open(call.remote_route, call.principal, call.remote_id, span)

    async def _serve(self, send: Send) -> None:
        call = self._call
        asked = asked_range(call.request.headers)
        async with self._opening(asked) as opened:
            part = part_of(opened, asked)
            tell(call)
            pieces = _cut(aiter(opened.content), part)
            first = await anext(pieces, b"")  # a provider that breaks off at once is told of as the error it is, while that can be
            await send({"type": "http.response.start", "status": part.status, "headers": _encoded(_headers(opened, part))})
            if first:
                await self._send_piece(first, send)
            async for piece in pieces:
                await self._send_piece(piece, send)
            await send({"type": "http.response.body", "body": b""})

    async def _send_piece(self, piece: bytes, send: Send) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError as error:
            raise ClientDisconnected from error


def head_response(outline: Outline) -> ASGIApp:
    """The answer to HEAD of a content."""
    length = {} if outline.size is None else {"content-length": str(outline.size), "accept-ranges": "bytes"}
    return _HeadResponse(safe_headers(outline.filename) | length)


class _HeadResponse:
    """The answer to HEAD, as an ASGI application: with a length only where it is known, for 0 would say that the file is empty."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Sends it."""
        await send({"type": "http.response.start", "status": 200, "headers": _encoded(self._headers)})
        await send({"type": "http.response.body", "body": b""})


async def _cut(pieces: AsyncIterator[bytes], part: Part) -> AsyncIterator[bytes]:
    skip, left = part.skip, part.length
    async for piece in pieces:
        rest, skip = piece[skip:], max(0, skip - len(piece))
        if left is not None and len(rest) > left and not part.cuts:
            raise UpstreamAnswerInvalid("The provider sends more than the file has.")
        if rest:
            yield rest if left is None else rest[:left]
        if left is not None:
            left -= min(left, len(rest))
            if not left and part.cuts:
                return
    if left:
        raise UpstreamUnreachable("The provider's answer broke off.")


def _headers(opened: OpenFile, part: Part) -> dict[str, str]:
    media_type = opened.content.media_type or ""
    headers = {"content-type": media_type if _TYPE.fullmatch(media_type) else OCTET_STREAM, **safe_headers(opened.filename)}
    if part.length is not None:
        headers |= {"content-length": str(part.length), "accept-ranges": "bytes"}
    if part.content_range is not None:
        headers["content-range"] = part.content_range
    return headers


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
