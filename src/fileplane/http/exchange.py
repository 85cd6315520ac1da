"""One request and its answer, as far as they have come: counted, named, and never cut short for the client."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from fileplane.errors import AnswerBrokenOff, FileplaneError, RequestTimeout
from fileplane.http.content import PATHSEND
from fileplane.http.responses import error_response
from fileplane.ids import new_request_id

_SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_BODYLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LINGER_SECONDS: Final = 30.0
_LINGER_IDLE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Exchange:
    """Stands between the server and the application for one request.

    An answer that is given before the body has been read *lingers*: it is sent at once, and then the rest of the body is taken and
    thrown away for a while before the connection closes. Closing a connection that the client still writes to resets it, and the
    client (Node's fetch and httpx among them) then reports a broken pipe instead of the answer it was given; nginx lingers for the
    same reason. Such an answer has no Content-Length, because a server takes it for finished, and closes, as soon as the announced
    bytes have been sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = _undecoded_path(scope)
        scope["state"] = {"answer_headers": []}  # for whatever the answer turns out to be
        self.scope = scope
        self._receive = receive
        self._send = send
        self.began = time.perf_counter()
        self.request_id = _request_id(scope)
        self.status = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._body_read = scope["method"] in _BODYLESS
        self._reading = False
        self._announced = 0
        self._lingers = False

    async def receive(self) -> Message:
        """For the application, instead of the server's own."""
        message = await self._receive()
        self._reading = True
        if message["type"] == "http.request":
            self.bytes_in += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._body_read = True
        else:
            self._body_read = True
        return message

    async def send(self, message: Message) -> None:
        """For the application, instead of the server's own."""
        kind = message["type"]
        if kind == "http.response.start":
            self._start(message)
        elif kind == PATHSEND:
            self.bytes_out = self._announced
        elif self.scope["method"] == "HEAD":
            message["body"] = b""
        else:
            self.bytes_out += len(message.get("body", b""))
            if self._lingers and not message.get("more_body", False):
                await self._send({**message, "more_body": True})
                await self._linger()
                message = {"type": kind, "body": b""}
        await self._send(message)

    async def fail(self, error: FileplaneError) -> None:
        """Answers with the envelope; once an answer has begun, nothing is left but to break the connection off.

        Raises :class:`~fileplane.errors.AnswerBrokenOff` then.
        """
        if self.status:
            _log.warning("the answer was broken off: %s", error.message)
            raise AnswerBrokenOff from None
        if isinstance(error, RequestTimeout):
            # There is nothing to wait for: that this client sends no more is why it is refused.
            self._body_read = True
        await error_response(error)(self.scope, self.receive, self.send)

    def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = [*message["headers"], *self.scope["state"]["answer_headers"], (b"x-request-id", self.request_id.encode())]
        if not self._body_read and self._is_sending():
            self._lingers = True
            headers = [(name, value) for name, value in headers if name != b"content-length"]
            if self.scope["http_version"].startswith("1"):
                headers.append((b"connection", b"close"))
        elif self.scope["method"] != "HEAD":
            self._announced = next((int(value) for name, value in headers if name == b"content-length"), 0)
        message["headers"] = headers

    def _is_sending(self) -> bool:
        """Whether the client sends a body without waiting to be asked for it."""
        headers = dict(self.scope["headers"])
        if not self._reading and headers.get(b"expect", b"").lower() == b"100-continue":
            return False
        return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._body_read:
                    async with asyncio.timeout(_LINGER_IDLE_SECONDS):
                        await self.receive()
        except TimeoutError:
            _log.debug("a client went on sending after it was answered")


def _undecoded_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        return path
    return raw.partition(b"?")[0].decode("ascii", "replace")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()
