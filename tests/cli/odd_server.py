"""A server that answers as no Fileplane does: wrongly, partly, or not at all."""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.ports import free_port

SECONDS = 60


@dataclass
class OddServer:
    """``answer`` is given the head of each request and its connection, and does the rest. ``heads`` keeps what was asked."""

    answer: Callable[[bytes, socket.socket], None] = lambda _, __: None
    port: int = field(default_factory=free_port)
    heads: list[bytes] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def says(self, *answers: bytes) -> None:
        """One whole answer for each request, in this order."""
        remaining = list(answers)
        self.answer = lambda _, connection: connection.sendall(remaining.pop(0))

    def serve(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if self.stopping.is_set():
                    return
                connection.settimeout(SECONDS)
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head and (piece := connection.recv(65_536)):
                head += piece
            self.heads.append(head)
            self.answer(head, connection)
            connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            return
        except OSError as error:
            # The client was faster, and has closed what is to be shut down.
            if error.errno != errno.ENOTCONN:
                raise


@contextmanager
def running_odd_server() -> Iterator[OddServer]:
    server = OddServer()
    with socket.create_server(("127.0.0.1", server.port)) as listener:
        thread = threading.Thread(target=server.serve, args=(listener,))
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            socket.create_connection(("127.0.0.1", server.port)).close()
            thread.join(SECONDS)
            assert not thread.is_alive()


def http_answer(status: str, body: bytes, **headers: str) -> bytes:
    """A whole answer; ``content_length`` and such replace what would be right."""
    fields = {"content-length": str(len(body)), "connection": "close"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def json_answer(status: str, document: object, **headers: str) -> bytes:
    return http_answer(status, json.dumps(document).encode(), content_type="application/json", **headers)


def error_answer(status: str, message: str) -> bytes:
    """The one envelope."""
    return json_answer(status, {"error": {"message": message, "type": "server_error", "param": None, "code": None}}, x_request_id="req_odd")
