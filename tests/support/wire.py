"""Requests with heads that no library would send, and answers read to the byte."""

from __future__ import annotations

import http.client
import json

import httpx2

from support.raw_http import Connection
from support.server import RunningServer


def request_head(method: str, target: bytes | str, *headers: tuple[str, str | bytes]) -> bytes:
    """A request head with exactly these headers after Host, in this order, repeated ones included."""
    lines = [method.encode() + b" " + _encoded(target) + b" HTTP/1.1", b"Host: localhost"]
    lines += [name.encode() + b": " + _encoded(value) for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def bearer(key: str | bytes) -> tuple[str, bytes]:
    return ("Authorization", b"Bearer " + _encoded(key))


def ask(server: RunningServer, head: bytes, *, method: str = "GET") -> httpx2.Response:
    """The answer to a request without a body, on a connection of its own."""
    with Connection(server) as connection:
        connection.send(head)
        return answer_to(connection, method)


def answer_to(connection: Connection, method: str = "GET") -> httpx2.Response:
    """The answer to one request; an answer to HEAD is read without a body, as its framing says."""
    parsed = http.client.HTTPResponse(connection.socket, method=method)
    parsed.begin()
    headers = [(name, value) for name, value in parsed.getheaders() if name.lower() != "transfer-encoding"]
    content = parsed.read()
    parsed.close()
    response = httpx2.Response(parsed.status, headers=headers, stream=httpx2.ByteStream(content))
    response.read()
    return response


def refusal_before_the_body(connection: Connection) -> httpx2.Response:
    """The refusal of a request whose body has not been sent: it is complete long before the server stops waiting for the body."""
    head, rest = received_head(connection)
    while b"\r\n" not in rest:
        rest += connection.socket.recv(65_536)
    size, _, rest = rest.partition(b"\r\n")
    while len(rest) < int(size, 16):
        rest += connection.socket.recv(65_536)
    content = rest[: int(size, 16)]
    json.loads(content)
    status, headers = parsed_head(head)
    return httpx2.Response(status, headers=[header for header in headers if header[0] != "transfer-encoding"], content=content)


def received_head(connection: Connection) -> tuple[bytes, bytes]:
    """The next head, and what of the bytes after it came along."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.socket.recv(65_536)
        assert piece, f"the server closed after {received!r}"
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def parsed_head(head: bytes) -> tuple[int, list[tuple[str, str]]]:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    return int(status_line.split(" ")[1]), [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
