"""One large file over a raw socket, up or down, at as little cost to the client as the kernel allows.

Uploads go from the page cache to the socket by sendfile(2). Downloads are received into one buffer that is used again and again.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from servers import Server

BUFFER_BYTES = 1 << 20
_STALL_SECONDS = 120
_BOUNDARY = "----benchmark-boundary-7d1c"


class TransferFailed(Exception):
    """The answer was not what was asked for."""


@dataclass(frozen=True)
class Answer:
    """``seconds`` from before connecting until the last byte; ``bytes`` of the body."""

    status: int
    head: str
    body: bytes
    bytes: int
    seconds: float


def upload_form(server: Server, source: Path) -> Answer:
    """POST of a form with ``source`` as its file, to Fileplane."""
    size = source.stat().st_size
    before = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{source.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    after = f"\r\n--{_BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}", "Content-Length": str(len(before) + size + len(after))}
    return _send(server, "POST /v1/files", headers, source, before, after)


def upload_put(server: Server, source: Path, name: str) -> Answer:
    """PUT of ``source`` as it is, to nginx."""
    return _send(server, f"PUT /put/{name}", {"Content-Length": str(source.stat().st_size)}, source, b"", b"")


def download(server: Server, path: str, headers: dict[str, str] | None = None, *, bytes_a_second: int | None = None) -> Answer:
    """GET of ``path`` to nowhere. ``bytes_a_second`` makes a client that reads no faster."""
    began = time.perf_counter()
    with _connect(server, slow=bytes_a_second is not None) as connection:
        connection.sendall(_head(server, f"GET {path}", headers or {}))
        status, head, body = _read_head(connection)
        expected, received = _content_length(head), len(body)
        buffer = bytearray(BUFFER_BYTES if bytes_a_second is None else BUFFER_BYTES // 16)
        while received < expected:
            count = connection.recv_into(buffer)
            if not count:
                raise TransferFailed(f"{server.name} broke off after {received} of {expected} bytes")
            received += count
            if bytes_a_second is not None:
                # This is what makes the reader slow.
                time.sleep(max(0.0, received / bytes_a_second - (time.perf_counter() - began)))
    return _checked(server, Answer(status, head, body, received, time.perf_counter() - began))


def fetch(server: Server, path: str) -> Answer:
    """GET of ``path`` to nowhere, as any client of HTTP makes it: chunked answers too, which some gateways give."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_STALL_SECONDS)
    try:
        connection.request("GET", path, headers=server.headers)
        response = connection.getresponse()
        if response.status != 200:
            return _checked(server, Answer(response.status, "", response.read(), 0, 0.0))
        buffer, received = bytearray(BUFFER_BYTES), 0
        while count := response.readinto(buffer):
            received += count
    except (http.client.HTTPException, OSError) as error:
        raise TransferFailed(f"{server.name} broke off: {error}") from error
    finally:
        connection.close()
    return Answer(response.status, "", b"", received, time.perf_counter() - began)


def _send(server: Server, request: str, headers: dict[str, str], source: Path, before: bytes, after: bytes) -> Answer:
    descriptor = os.open(source, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        began = time.perf_counter()
        with _connect(server) as connection:
            connection.sendall(_head(server, request, headers) + before)
            sent = 0
            while sent < size:
                sent += os.sendfile(connection.fileno(), descriptor, sent, size - sent)
            if after:
                connection.sendall(after)
            status, head, body = _read_head(connection)
            while len(body) < _content_length(head):
                body += connection.recv(BUFFER_BYTES) or _fail(server, "broke off within its answer")
        return _checked(server, Answer(status, head, body, size, time.perf_counter() - began))
    finally:
        os.close(descriptor)


def _connect(server: Server, *, slow: bool = False) -> socket.socket:
    connection = socket.socket()
    if slow:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES // 16)
    # A time-out set in Python would make the socket non-blocking, which sendfile(2) would show.
    patience = struct.pack("ll", _STALL_SECONDS, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect(("127.0.0.1", server.port))
    return connection


def _head(server: Server, request: str, headers: dict[str, str]) -> bytes:
    lines = {"Host": f"127.0.0.1:{server.port}", **server.headers, **headers, "Connection": "close"}
    return (f"{request} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode()


def _read_head(connection: socket.socket) -> tuple[int, str, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise TransferFailed("the server closed the connection without an answer")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head.decode("latin-1"), body


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _checked(server: Server, answer: Answer) -> Answer:
    if not 200 <= answer.status < 300:
        _fail(server, f"answered {answer.status}: {answer.body[:500]!r}")
    return answer


def _fail(server: Server, what: str) -> bytes:
    raise TransferFailed(f"{server.name} {what}")
