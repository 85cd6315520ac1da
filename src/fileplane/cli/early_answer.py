"""Answers that come before the whole request was sent, such as a refusal of an upload that is still going on.

The HTTP library sends a request to its end before it looks for an answer. A server that has refused will not read that far: it closes,
which resets the connection, and the refusal is lost.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import httpx2

_LARGEST_BODY = 64 << 10


class AnsweredEarly(Exception):
    """The server has answered before it had the whole request; nothing more was sent."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__()
        self.response = response


class EarlyAnswerWatch:
    """Looks for an answer before each piece of a body is sent.

    Only without TLS: there, bytes that have arrived are an answer; with it, they may be the protocol's own.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    @property
    def extensions(self) -> Mapping[str, Any]:
        """For the request whose body is watched."""
        return {"trace": self._trace}

    def until_answered(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, as long as there is no answer. Raises :class:`AnsweredEarly`."""
        for piece in pieces:
            if self._socket is not None and _readable(self._socket):
                raise AnsweredEarly(_read(self._socket))
            yield piece

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")


def _readable(connection: socket.socket) -> bool:
    if connection.fileno() < 0:  # TLS has taken it over
        return False
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _read(connection: socket.socket) -> httpx2.Response:
    """The answer as far as it is needed: a server that lingers has sent its message, but ends the body only later.

    Raises httpx2.RemoteProtocolError for anything that is no HTTP answer.
    """
    body = b""
    with closing(http.client.HTTPResponse(connection, method="POST")) as answer:
        try:
            answer.begin()
            while not _complete(body) and len(body) < _LARGEST_BODY and (piece := answer.read1(_LARGEST_BODY)):
                body += piece
        except (OSError, http.client.HTTPException) as error:
            if answer.headers is None:
                raise httpx2.RemoteProtocolError("the connection was closed before everything was sent") from error
        return httpx2.Response(answer.status, headers=answer.getheaders(), content=body)


def _complete(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
