"""One switch that ends everything a transfer has under way, from whatever thread."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from fileplane.client.errors import Stopped


class Stopping:
    """Once :meth:`stop` was called, connections that were entered are broken off, and whoever waits here or asks is told.

    What is stopped stays so; the attempts of a transfer have one each, by :meth:`for_attempt`, which all end with that of the transfer.
    """

    def __init__(self) -> None:
        self._attempts: list[Stopping] = []
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def stop(self) -> None:
        """Has everything end. Repeating it changes nothing."""
        with self._lock:
            self._event.set()
            for connection in self._sockets:
                with suppress(OSError):
                    # Not the method of TLS sockets, which would let what follows go out in the clear.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            for attempt in self._attempts:
                attempt.stop()

    def for_attempt(self) -> Stopping:
        """One that can be stopped by itself, and is stopped with this one."""
        attempt = Stopping()
        with self._lock:
            self._attempts.append(attempt)
            if self._event.is_set():
                attempt.stop()
        return attempt

    @property
    def stopped(self) -> bool:
        """Whether it was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises :class:`~fileplane.client.errors.Stopped`."""
        if self._event.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Lets time pass. Raises :class:`~fileplane.client.errors.Stopped` as soon as it is so."""
        if self._event.wait(seconds):
            raise Stopped

    def enter(self, connection: socket.socket) -> None:
        """Has a connection broken off with the rest. Raises :class:`~fileplane.client.errors.Stopped`."""
        with self._lock:
            self._sockets.add(connection)
        self.check()

    def leave(self, connection: socket.socket) -> None:
        """Takes it out again, before it is closed."""
        with self._lock:
            self._sockets.discard(connection)
