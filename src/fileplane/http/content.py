"""Serving a file's bytes: ranges, validators (RFC 9110, sections 13 and 14) and headers that keep browsers from running them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from fileplane.errors import ClientDisconnected, InvalidRange
from fileplane.files.names import OCTET_STREAM, SHOWN_TYPES
from fileplane.files.native import NativeFiles
from fileplane.http.ranges import one_range
from fileplane.model import File, Span
from fileplane.providers.base import ByteRange
from fileplane.uploads import manifest_of

PATHSEND: Final = "http.response.pathsend"
_SMALL: Final = 1 << 20  # bytes that are one piece anyway
_UNSAFE_IN_QUOTES: Final = re.compile(r"[^ !#-\[\]-~]")


def etag_of(file: File) -> str:
    """A strong validator: the SHA-256 of the bytes; of a file that was uploaded in parts, until that is known, one of its own."""
    return f'"{file.sha256}"' if file.sha256 else _etags_of(file)[-1]


def _etags_of(file: File) -> tuple[str, ...]:
    """Every validator that was ever told of these bytes."""
    upload_id = manifest_of(file.blob_key)
    known = (f'"{file.sha256}"',) if file.sha256 else ()
    return known if upload_id is None else (*known, f'"parts-{upload_id.replace("-", "")}"')


def requested_span(headers: Mapping[str, str], file: File) -> Span | None:
    """The one range that is asked for, or None for the whole file.

    Several ranges, and a range whose ``If-Range`` no longer fits, are answered with the whole file, as RFC 9110 allows.
    Raises :class:`~fileplane.errors.InvalidValue` for a unit or form that is not understood and
    :class:`~fileplane.errors.InvalidRange` for a range outside the file.
    """
    header = headers.get("range")
    if header is None or headers.get("if-range", etag_of(file)) not in _etags_of(file):
        return None
    asked = one_range(header)
    return None if asked is None else _within(asked, file)


def _within(asked: ByteRange, file: File) -> Span:
    start = max(0, file.bytes - (asked.last or 0)) if asked.first is None else asked.first
    end = file.bytes if asked.first is None or asked.last is None else min(file.bytes, asked.last + 1)
    if start >= end:
        raise InvalidRange(
            f"The range lies outside the file, which has {file.bytes} bytes.",
            param="range",
            headers={"content-range": f"bytes */{file.bytes}"},
        )
    return Span(start, end - start)


def not_modified(headers: Headers, file: File) -> bool:
    """Whether ``If-None-Match``, in one line or several (RFC 9110, section 5.3), names this file's bytes."""
    lines = headers.getlist("if-none-match")
    candidates = {candidate.strip().removeprefix("W/") for line in lines for candidate in line.split(",")}
    return "*" in candidates or not candidates.isdisjoint(_etags_of(file))


def disposition_of(filename: str) -> str:
    """``attachment`` with the name to the letter (RFC 6266), beside an ASCII form for clients that know no other."""
    plain = _UNSAFE_IN_QUOTES.sub("_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def content_headers(file: File, span: Span | None) -> dict[str, str]:
    """Every header of an answer that carries the file, but for those of the connection."""
    headers = {
        "content-type": file.media_type if file.media_type in SHOWN_TYPES else OCTET_STREAM,
        "content-length": str(file.bytes if span is None else span.length),
        "content-disposition": disposition_of(file.filename),
        "etag": etag_of(file),
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "same-origin",
    }
    if span is not None:
        headers["content-range"] = f"bytes {span.start}-{span.start + span.length - 1}/{file.bytes}"
    return headers


class ContentResponse:
    """The answer to GET and HEAD of a file's content, as an ASGI application.

    Whatever can fail before the first byte is raised before the answer starts. A failure later breaks the connection off, so that
    the client sees fewer bytes than Content-Length announced and never a short success.
    """

    def __init__(self, files: NativeFiles, file: File, span: Span | None, stall_seconds: float) -> None:
        self._files = files
        self._file = file
        self._span = span
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        async with self._files.open(self._file, self._span) as reader:
            headers = [(name.encode(), value.encode("latin-1")) for name, value in content_headers(self._file, self._span).items()]
            start = {"type": "http.response.start", "status": 200 if self._span is None else 206, "headers": headers}
            if scope["method"] == "HEAD" or self._file.bytes == 0:
                await send(start)
                await send({"type": "http.response.body", "body": b""})
            elif PATHSEND in scope.get("extensions", {}) and self._file.bytes > _SMALL and (path := await reader.hand_over()) is not None:
                await send(start)
                await send({"type": PATHSEND, "path": str(path)})
            else:
                pieces = aiter(reader)
                first = await anext(pieces)  # a disk that cannot be read is told as the error it is, while that can be
                await send(start)
                await self._stream(first, pieces, receive, send)

    async def _stream(self, first: bytes, pieces: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        # Servers differ in whether sending to a client that has left raises; all of them deliver http.disconnect.
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await self._send_piece(first, send)
            async for piece in pieces:
                if leaving.done():
                    return
                await self._send_piece(piece, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving

    async def _send_piece(self, piece: bytes, send: Send) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError as error:
            # An answer that ends before its announced length is a broken connection, which is what this client gets.
            raise ClientDisconnected from error


async def client_left(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue
