"""Answers with a deadline for as long as they are heads or documents, and the interim ones that come before them."""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from functools import partial
from typing import Any, Final, cast

_SWITCHING: Final = 101
_FIRST_FINAL: Final = 200
_INTERIM: Final = re.compile(rb"HTTP/1\.[0-9] 1(?!01)[0-9]{2}")
_STATUS_LENGTH: Final = len(b"HTTP/1.1 103")
_LARGEST_INTERIM: Final = 16 << 10


class _Bounded(io.RawIOBase):
    """What a connection reads by, in place of :class:`socket.SocketIO`: until ``deadline`` by the monotonic clock, if there is one."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection
        self._step = 0.0
        self._deadline: float | None = None

    def within(self, seconds: float, step: float) -> None:
        self._deadline, self._step = time.monotonic() + seconds, step

    def each_within(self, step: float) -> None:
        self._deadline = None
        self._connection.settimeout(step)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(min(left, self._step))
        # typeshed has it for the subclasses alone.
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose head has to be there ``seconds`` after it is waited for, however it trickles in. Interim ones are passed over.

    http.client of Python 3.11 does that with 100 alone, and takes others for final (RFC 9110, section 15.2, has a client expect any);
    101, which nobody asked for, stays final.
    """

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None, *, seconds: float
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._bounded = _Bounded(self.fp.detach(), sock)
        self._bounded.within(seconds, seconds)
        self.fp = io.BufferedReader(self._bounded)

    def begin(self) -> None:
        """Reads the head of the final answer. Raises TimeoutError, among what http.client raises."""
        super().begin()
        while self.status < _FIRST_FINAL and self.status != _SWITCHING:
            self.headers = self.msg = cast("http.client.HTTPMessage", None)  # as http.client has them before it has begun
            super().begin()

    def end_within(self, seconds: float, step: float) -> None:
        """Has what is left of the answer be there after ``seconds``, and some of it after each ``step``."""
        self._bounded.within(seconds, step)

    def each_within(self, step: float) -> None:
        """Lets the body take as long as it likes, if some of it is there after each ``step`` seconds."""
        self._bounded.each_within(step)


def expect_within(connection: http.client.HTTPConnection, seconds: float) -> None:
    """Has the heads of answers on a connection, a proxy's to CONNECT among them, be :class:`BoundedResponse`."""
    connection.response_class = cast("type[http.client.HTTPResponse]", partial(BoundedResponse, seconds=seconds))


def passes_interim(connection: socket.socket) -> bool:
    """Whether what can be read is an interim answer, which is taken away once it is whole. False for any other, and for an end."""
    try:
        head = connection.recv(_LARGEST_INTERIM, socket.MSG_PEEK)
        if 0 < len(head) < _STATUS_LENGTH:
            return True  # what it is cannot be told yet
        if not _INTERIM.match(head):
            return False
        end = head.find(b"\r\n\r\n")
        if end >= 0:
            connection.recv(end + len(b"\r\n\r\n"))
        return end >= 0 or len(head) < _LARGEST_INTERIM
    except OSError:
        return False
