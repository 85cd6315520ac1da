"""HTTP/1.1 by hand, for clients that no library would be: half a head, half a body, too slow, or gone."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import Self

import httpx2

from support.server import RunningServer

BOUNDARY = b"fault-boundary"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
PIECE = 1 << 16


class Connection:
    """One TCP connection to a server. Every wait ends after ``timeout`` seconds with a TimeoutError."""

    def __init__(self, server: RunningServer, *, timeout: float = 20, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            # Before connecting, so that the window that is announced is a small one.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(("127.0.0.1", server.port))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    @property
    def port(self) -> int:
        """This end's, by which the server's process can be told."""
        return self.socket.getsockname()[1]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, to_the_end: bool = True) -> httpx2.Response:
        """The answer to the one request sent.

        After refusing an upload the server says everything at once, but lingers before it ends the answer; those who do not read
        ``to_the_end`` take what has been said.
        """
        # Until it is closed, the parser keeps the socket open beyond the connection's own close().
        with closing(http.client.HTTPResponse(self.socket)) as parsed:
            parsed.begin()
            # A chunked body arrives here already put together.
            headers = [(name, value) for name, value in parsed.getheaders() if name.lower() != "transfer-encoding"]
            return httpx2.Response(parsed.status, headers=headers, content=parsed.read() if to_the_end else parsed.read1())

    def receive(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        received = bytearray()
        while len(received) < count:
            piece = self.socket.recv(count - len(received))
            if not piece:
                raise ConnectionError(f"the server closed after {len(received)} of {count} bytes")
            received += piece
        return bytes(received)

    def receive_line(self) -> bytes:
        """One line of a head, and not a byte more."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.receive(1)
        return line

    def receive_to_end(self) -> int:
        """How many bytes came before the server closed, or reset, the connection."""
        count = 0
        try:
            while piece := self.socket.recv(PIECE):
                count += len(piece)
        except ConnectionError:
            pass
        return count

    def leave(self, how: str) -> None:
        """``fin`` closes, ``reset`` aborts, ``half-close`` ends only this side's sending and stays."""
        if how == "half-close":
            self.socket.shutdown(socket.SHUT_WR)
            return
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def head(method: str, path: str, key: str | None, **headers: str) -> bytes:
    """A request head. Underscores in names of ``headers`` become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def upload_head(key: str | None, length: int | None, **headers: str) -> bytes:
    """The head of an upload whose body has ``length`` bytes, or is chunked."""
    framing = {"Transfer_Encoding": "chunked"} if length is None else {"Content_Length": str(length)}
    return head("POST", "/v1/files", key, Content_Type=FORM_TYPE, **framing, **headers)


def form_begin(*, purpose: str = "user_data", filename: str = "data.bin") -> bytes:
    """A form up to where the file's bytes begin."""
    return (
        b'--%(boundary)s\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%(purpose)s\r\n'
        b'--%(boundary)s\r\nContent-Disposition: form-data; name="file"; filename="%(filename)s"\r\n\r\n'
        % {b"boundary": BOUNDARY, b"purpose": purpose.encode(), b"filename": filename.encode()}
    )


def form_end() -> bytes:
    """A form from where the file's bytes end."""
    return b"\r\n--" + BOUNDARY + b"--\r\n"


def form_length(file_bytes: int, **fields: str) -> int:
    """The Content-Length of a form with a file of that many bytes."""
    return len(form_begin(**fields)) + file_bytes + len(form_end())


def whole_form(content: bytes, **fields: str) -> bytes:
    return form_begin(**fields) + content + form_end()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def zeros(count: int) -> Iterator[bytes]:
    """``count`` bytes in pieces, none of which is made anew."""
    piece = bytes(PIECE)
    for _ in range(count // PIECE):
        yield piece
    if count % PIECE:
        yield piece[: count % PIECE]
