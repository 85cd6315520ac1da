"""`/metrics` on an address of its own, told by the process that supervises the workers: without a key, and also while they are busy.

Small on purpose: one request a connection, a few connections at once, and a few seconds for each from its first byte to its last.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fileplane.metrics import CONTENT_TYPE, metrics_are_shared, render_metrics

_PATH: Final = "/metrics"
_ALLOWED: Final = ("GET", "HEAD")
_AT_ONCE: Final = 8
_BACKLOG: Final = 16
_HEAD_BYTES: Final = 16 * 1024
_CONNECTION_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.5
_PLAIN: Final = "text/plain; charset=utf-8"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_log = logging.getLogger(__name__)


def bind_metrics(host: str, port: int) -> socket.socket:
    """Takes the address, before anything else is started. Raises OSError when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError as error:
        raise OSError(f"{host} cannot be the name of a host") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


@contextmanager
def metrics_told(listening: socket.socket | None) -> Iterator[None]:
    """For the length of a block, answers whoever connects. Closes the socket afterwards. Without one it does nothing."""
    if listening is None:
        yield
        return
    listener = _Listener(listening)
    thread = threading.Thread(target=listener.run, name="fileplane-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.ended.set()
        # Closing alone would leave a thread that waits in accept() waiting.
        with listening:
            try:
                listening.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("the metrics listener was closed already: %s", error)
        thread.join(_PAUSE_SECONDS)


class _Refused(Exception):
    """What the client is told instead of the metrics: a status and a sentence."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class _Listener:
    """Accepts connections, and answers each on a thread of its own, up to a number."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        self._rendering = threading.Lock()
        self.ended = threading.Event()

    def run(self) -> None:
        """Until the socket is closed."""
        while not self.ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError as error:
                if self.ended.is_set():
                    return
                _log.warning("the metrics listener could not accept a connection: %s", error)
                time.sleep(_PAUSE_SECONDS)
                continue
            if not self._free.acquire(blocking=False):
                connection.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="fileplane-metrics-answer", daemon=True).start()
            except RuntimeError as error:
                self._free.release()
                connection.close()
                _log.warning("the metrics listener could not answer: %s", error)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._answer(connection, time.monotonic() + _CONNECTION_SECONDS)
        except OSError as error:
            _log.debug("a client of the metrics listener left or was too slow: %s", error)
        finally:
            self._free.release()

    def _answer(self, connection: socket.socket, deadline: float) -> None:
        method, headers = "", b""
        try:
            method, target = _request_line(_read_head(connection, deadline))
            status, kind, body = 200, CONTENT_TYPE, self._body(method, target)
        except _Refused as refused:
            status, kind, body = refused.status, _PLAIN, refused.words.encode() + b"\n"
            headers = f"Allow: {', '.join(_ALLOWED)}\r\n".encode() if status == 405 else b""  # noqa: PLR2004 - as in the table above
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        _send(connection, head.encode() + headers + b"\r\n" + (b"" if method == "HEAD" else body), deadline)

    def _body(self, method: str, target: str) -> bytes:
        if target.partition("?")[0] != _PATH:
            raise _Refused(404, f"There is nothing here but {_PATH}.")
        if method not in _ALLOWED:
            raise _Refused(405, f"{_PATH} is only read.")
        if not metrics_are_shared():
            raise _Refused(503, "The workers have no place to add their numbers up; the log says why.")
        with self._rendering:  # however many ask, one at a time has the processor
            try:
                return render_metrics()
            except Exception as error:
                _log.exception("the metrics cannot be told")
                raise _Refused(500, "The metrics cannot be told; the log says why.") from error


def _read_head(connection: socket.socket, deadline: float) -> bytes:
    """Everything up to the empty line. Raises OSError when it does not come in time."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > _HEAD_BYTES:
            raise _Refused(431, "The head of the request is too large.")
        connection.settimeout(_left(deadline))
        received = connection.recv(4096)
        if not received:
            raise ConnectionError("the client left")
        head += received
    return head


def _request_line(head: bytes) -> tuple[str, str]:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise _Refused(400, "This is no HTTP request.")
    return words[0], words[1]


def _send(connection: socket.socket, answer: bytes, deadline: float) -> None:
    view = memoryview(answer)
    while view:
        connection.settimeout(_left(deadline))
        view = view[connection.send(view) :]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the connection took too long")
    return left
