"""A TCP proxy in this process, between a client and a server: slow, or broken off where a test says so."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

_BUFFER = 1 << 14
_STEPS_A_SECOND = 20
_START_SECONDS = 10


@dataclass(frozen=True)
class Way:
    """What happens to the bytes of one direction.

    ``latency_seconds`` is waited before each piece is passed on, ``bytes_per_second`` paces them. After ``cut_after`` bytes, counted over
    a connection, the way is ``cut``: ``fin`` closes and ``reset`` aborts the connection on both sides, ``half-close`` ends this direction
    alone, ``drop`` swallows all that follows, and closes the connection when its sender does.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float | None = None
    cut_after: int | None = None
    cut: str = "fin"

    @property
    def piece_bytes(self) -> int:
        """How much is passed on at once."""
        return _BUFFER if self.bytes_per_second is None else min(_BUFFER, int(self.bytes_per_second / _STEPS_A_SECOND) + 1)

    def seconds_for(self, piece: bytes) -> float:
        return self.latency_seconds + (0.0 if self.bytes_per_second is None else len(piece) / self.bytes_per_second)


class TcpProxy:
    """See :func:`tcp_proxy`. ``passed`` counts the bytes that have reached the clients; ``cut`` is set once a connection was cut."""

    def __init__(self, server_port: int, to_server: Way, to_client: Way) -> None:
        self._server_port = server_port
        self._to_server, self._to_client = to_server, to_client
        self.port = 0
        self.passed = 0
        self.cut = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flowing = asyncio.Event()

    async def serve(self, started: threading.Event, ended: asyncio.Event) -> None:
        """Until ``ended`` is set; then every connection is aborted."""
        self._loop = asyncio.get_running_loop()
        self._flowing.set()
        server = await asyncio.start_server(self._carry, sock=_listener(), limit=_BUFFER)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await ended.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])

    def hold(self) -> None:
        """From now on everything is taken and nothing passed on, of new connections too; nobody is told."""
        self._do(self._flowing.clear)

    def release(self) -> None:
        """What was held is passed on, as after a network's retransmission."""
        self._do(self._flowing.set)

    def _do(self, change: Callable[[], None]) -> None:
        """Returns once it is done."""

        async def changed() -> None:
            change()

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(_START_SECONDS)

    async def _carry(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        from_server, to_server = await asyncio.open_connection(sock=_connected(self._server_port), limit=_BUFFER)
        for writer in (to_client, to_server):
            # What is not passed on yet waits at its sender's.
            writer.transport.set_write_buffer_limits(0)
        ends = (to_client, to_server)
        ways = [
            asyncio.create_task(self._pass(from_client, to_server, self._to_server, ends)),
            asyncio.create_task(self._pass(from_server, to_client, self._to_client, ends)),
        ]
        try:
            await asyncio.gather(*ways)
        except (OSError, asyncio.CancelledError):
            _abort(ends)
        finally:
            for way in ways:
                way.cancel()
            for writer in ends:
                writer.close()

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: Way, ends: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        passed = 0
        dropping = False
        while piece := await source.read(way.piece_bytes):
            if dropping:
                continue
            await asyncio.sleep(way.seconds_for(piece))
            await self._flowing.wait()
            kept = piece if way.cut_after is None else piece[: way.cut_after - passed]
            target.write(kept)
            await target.drain()
            passed += len(kept)
            self.passed += len(kept) if way is self._to_client else 0
            if passed == way.cut_after:
                self.cut.set()
                if way.cut in {"fin", "reset"}:
                    _abort(ends) if way.cut == "reset" else _close(ends)
                    return
                if way.cut == "half-close":
                    target.write_eof()
                # What comes from now on is taken all the same: closing with bytes unread would reset what was passed on the other way.
                dropping = True
        if target.can_write_eof() and not target.is_closing() and not (dropping and way.cut == "half-close"):
            target.write_eof()


def _abort(ends: tuple[asyncio.StreamWriter, ...]) -> None:
    for writer in ends:
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _close(ends: tuple[asyncio.StreamWriter, ...]) -> None:
    for writer in ends:
        writer.close()


def _listener() -> socket.socket:
    # Inherited by each connection that is accepted, and small, so that little is under way.
    listener = socket.socket()
    _shrink(listener)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _connected(port: int) -> socket.socket:
    connection = socket.socket()
    _shrink(connection)
    connection.connect(("127.0.0.1", port))
    connection.setblocking(False)
    return connection


def _shrink(connection: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)


@contextmanager
def tcp_proxy(server_port: int, *, to_server: Way = Way(), to_client: Way = Way()) -> Iterator[TcpProxy]:
    """A proxy in front of a server on the loopback interface, for the length of a block."""
    proxy = TcpProxy(server_port, to_server, to_client)
    loop = asyncio.new_event_loop()
    started, ended = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(started, ended),))
    thread.start()
    assert started.wait(_START_SECONDS)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
