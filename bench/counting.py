"""How often a server waits for its engines: turns of the conversation on each connection, counted in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

_BUFFER = 1 << 18


class TurnCounter:
    """A TCP proxy in front of a port of this machine. ``turns`` is how often a client spoke again after it was answered.

    A statement of PostgreSQL that is waited for is one turn, and so is a request of HTTP/1.1.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._counting = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.turns = 0

    def serve(self) -> None:
        """Until :meth:`close`."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                answered = threading.Event()
                answered.set()
                for source, target, asks in ((client, server, True), (server, client, False)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass, args=(source, target, answered, asks), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answered: threading.Event, asks: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_BUFFER):
                if not asks:
                    answered.set()
                elif answered.is_set():
                    answered.clear()
                    with self._counting:
                        self.turns += 1
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes every connection."""
        with closing(self._listener), suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._sockets:
            connection.close()


@contextmanager
def turns_counted(server_port: int) -> Iterator[TurnCounter]:
    """Counts what goes to a port, for the length of the block."""
    counter = TurnCounter(server_port)
    thread = threading.Thread(target=counter.serve, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        counter.close()
        thread.join()
