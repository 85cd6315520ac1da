"""Requests over one connection (HTTP/1.1), with bodies that are sent as they are made and an ear for answers that come before their end.

On http.client, because a byte costs less this way: measured over the loopback interface, sending 1 GiB in pieces of 256 KiB took 0.31 s of
processor time, and 0.45 s with httpx2; os.sendfile was no cheaper (0.32 s), since the bytes have to be read for their hash anyway.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from fileplane.client.addresses import Dialler
from fileplane.client.answers import BoundedResponse, expect_within, passes_interim
from fileplane.client.errors import ClientError, Stopped, Unavailable
from fileplane.client.stopping import Stopping

CONNECT_SECONDS: Final = 10.0
STEP_SECONDS: Final = 60.0
"""How long one step of an exchange may take: a piece to be sent, some bytes to arrive, an answer to begin, whose head is then there."""
DOCUMENT_SECONDS: Final = 300.0
"""How long a document may take after its head, in all; content may take as long as it likes, step by step."""
PIECE: Final = 256 << 10
"""Bytes that are read, hashed and sent at once: as many as fit into a processor's cache."""
LARGEST_DOCUMENT: Final = 64 << 20

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Body:
    """Pieces of a request's body. ``length`` in bytes is None where only the end will tell."""

    media_type: str
    length: int | None
    pieces: Iterable[Buffer]


class Answer:
    """An answer whose body is yet to be read. ``headers`` has lower-case names; ``early`` is one that came before all had been sent."""

    def __init__(self, exchange: Exchange, response: BoundedResponse, *, early: bool) -> None:
        self._exchange = exchange
        self.early = early
        self._response = response
        self.status = response.status
        self._left = None if response.chunked else response.length
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.getheaders()}

    def read_into(self, buffer: memoryview) -> int:
        """Some bytes, 0 at the end. Raises :class:`~fileplane.client.errors.Unavailable` when it breaks off before that."""
        response = self._response
        if response.isclosed():
            return 0
        with self._exchange.failures():
            if self._left is None:
                return response.readinto(buffer)
            # One system call: http.client's own readinto waits until the whole buffer is full.
            count = response.fp.readinto1(buffer[: self._left]) if self._left else 0
            self._left -= count
            if count == 0 and self._left:
                raise http.client.IncompleteRead(b"", self._left)
            if self._left == 0:
                response.close()
            return count

    def pieces(self) -> Iterator[memoryview]:
        """The body, each piece valid until the next."""
        buffer = memoryview(bytearray(PIECE))
        while count := self.read_into(buffer):
            yield buffer[:count]

    def read(self, limit: int = LARGEST_DOCUMENT) -> bytes:
        """The whole body. Raises ValueError when there is more than ``limit``, and Unavailable, after :data:`DOCUMENT_SECONDS` too."""
        self._response.end_within(DOCUMENT_SECONDS, STEP_SECONDS)
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > limit:
                raise ValueError
        return bytes(body)

    def read_message(self, limit: int) -> bytes:
        """What of a refusal is there: a server that lingers has sent its message but ends the body only later."""
        self._response.end_within(STEP_SECONDS, STEP_SECONDS)
        body = bytearray()
        with suppress(ClientError):
            for piece in self.pieces():
                body += piece
                if len(body) > limit or _is_complete(body):
                    break
        return bytes(body)


class Exchange:
    """One connection at a time, made when it is needed and kept for the next request. For one thread."""

    def __init__(self, dialler: Dialler, headers: Mapping[str, str], stopping: Stopping) -> None:
        self._dialler = dialler
        self._headers = {**headers, **dialler.headers}
        self._stopping = stopping
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._response: BoundedResponse | None = None

    def close(self) -> None:
        """Ends the connection, whatever is under way on it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._socket is not None:
            self._stopping.leave(self._socket)
            self._socket = None
        if self._response is not None:
            self._response.close()
            self._response = None
        connection.close()

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | None = None, answer_seconds: float = STEP_SECONDS
    ) -> Answer:
        """Sends a request and returns the answer as soon as it begins, which ends the sending.

        Raises :class:`~fileplane.client.errors.Unavailable`, :class:`~fileplane.client.errors.Stopped`, and what making the body raises;
        the connection is closed then.
        """
        reused = self._ready()
        try:
            try:
                return self._send(method, path, headers, body, answer_seconds)
            except Unavailable:
                # Kept open by us, closed by the server meanwhile: that says nothing about this request, if it has no body to be lost.
                if not reused or body is not None or self._stopping.stopped:
                    raise
                self.close()
                self._ready()
                return self._send(method, path, headers, body, answer_seconds)
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        """Whether the connection was there before."""
        connection = self._connection
        if connection is not None and connection.sock is not None and self._response is not None and self._response.isclosed():
            self._response = None
            if not _readable(connection.sock):  # else closed by the server, or out of step
                return True
        self.close()
        self._stopping.check()
        connection = self._dialler.connection(CONNECT_SECONDS)
        expect_within(connection, CONNECT_SECONDS)
        try:
            connection.connect()
            assert connection.sock is not None
            # Kept beside: http.client lets go of it when an answer announces the connection's end.
            self._socket = connection.sock
            self._socket.settimeout(STEP_SECONDS)
            self._stopping.enter(self._socket)
        except Stopped:
            self._connection = connection
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        self._connection = connection
        return False

    def _unreachable(self, error: Exception) -> Unavailable:
        url = self._dialler.address.base_url
        if isinstance(error, TimeoutError):
            return Unavailable(f"The server at {url} did not answer in time.", passing=True)
        passing = not isinstance(error, ssl.SSLCertVerificationError)
        return Unavailable(f"The server at {url} cannot be reached: {error}. Is it running, and base_url right?", passing=passing)

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: Body | None, answer_seconds: float) -> Answer:
        connection = self._connection
        assert connection is not None
        assert connection.sock is not None
        # What is left of the time that the answer before had may be too little.
        connection.sock.settimeout(STEP_SECONDS)
        with self.failures():
            connection.putrequest(method, self._dialler.target(path), skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self._dialler.address.authority)
            for name, value in {**self._headers, **headers}.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Type", body.media_type)
                chunked = body.length is None
                connection.putheader("Transfer-Encoding" if chunked else "Content-Length", "chunked" if chunked else str(body.length))
            elif method == "POST":
                connection.putheader("Content-Length", "0")
            connection.endheaders()
        whole = body is None or self._send_body(connection.sock, body)
        with self.failures():
            expect_within(connection, answer_seconds)
            response = connection.getresponse()
            assert isinstance(response, BoundedResponse)
            response.each_within(STEP_SECONDS)
        self._response = response
        return Answer(self, response, early=not whole)

    def _send_body(self, connection: socket.socket, body: Body) -> bool:
        """To its end, or to an answer, or until the server reads no more: what it has to say about it is to be read next.

        Whether all was sent.
        """
        watched = not isinstance(connection, ssl.SSLSocket)  # with TLS, bytes that have arrived may be the protocol's own
        chunked = body.length is None
        for piece in body.pieces:
            self._stopping.check()
            if watched and _readable(connection) and not passes_interim(connection):
                return False
            try:
                if chunked:
                    connection.sendall(b"%x\r\n" % len(piece))
                connection.sendall(piece)
                if chunked:
                    connection.sendall(b"\r\n")
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                self._stopping.check()
                return False
            except OSError as error:
                raise self._broken(error) from error
        if chunked:
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
                connection.sendall(b"0\r\n\r\n")
        return True

    @contextmanager
    def failures(self) -> Iterator[None]:
        """A block in which what the connection raises becomes what callers are told."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ClientError:
        if self._stopping.stopped:
            return Stopped()
        url = self._dialler.address.base_url
        if isinstance(error, TimeoutError):
            return Unavailable(f"The server at {url} did not answer in time.", passing=True)
        return Unavailable(f"The connection to {url} failed: {_said(error)}.", passing=True)


def _said(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"it ended {error.expected} bytes early" if error.expected else "it ended early"
    return str(error).rstrip(".") or type(error).__name__


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _is_complete(body: bytearray) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
