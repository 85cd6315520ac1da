"""Large objects, read over a connection of our own: that costs a node a third less of its processor than a stream of obstore's.

obstore puts the bytes of many small reads together, zeroes what it reads into, and hands every piece from its runtime to ours. Here a
thread fills one buffer. Whatever goes wrong, before the first byte or after any other, is nobody's concern: obstore is asked for the rest,
with its retries, its proxies and its own opinion of what failed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from fileplane.model import Span

WORTH_IT: Final = 8 << 20
"""Bytes from which on a connection of its own pays."""
_AT_ONCE: Final = 16  # each needs a thread while it reads; whoever comes later is read by obstore, which needs none
_PIECE: Final = 3 << 19
_PARTIAL: Final = 206

FAILURES: Final = (OSError, HTTPException, ValueError)
_log = logging.getLogger(__name__)


class DirectReads:
    """At most sixteen at once. ``ca`` is a file of certificates to trust, or None for the system's."""

    def __init__(self, *, ca: str | None, deadline_seconds: float) -> None:
        self._ca = ca
        self._deadline_seconds = deadline_seconds / 2
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fileplane-reads")
        self._free = _AT_ONCE
        self._proxied = bool(getproxies())

    async def begin(self, sign: Callable[[], Awaitable[str]], span: Span) -> DirectRead | None:
        """Asks a signed URL for those bytes. None where that cannot be done, for whatever reason."""
        if self._proxied or not self._free:
            return None
        self._free -= 1
        read = DirectRead(self._threads, self._release, self._deadline_seconds)
        try:
            await read.open(await sign(), span, self._ca)
        except FAILURES as error:
            await read.aclose()
            _log.info("a large object is read the usual way: %s", type(error).__name__)
            return None
        except BaseException:
            await read.aclose()
            raise
        return read

    def _release(self) -> None:
        self._free += 1

    def close(self) -> None:
        """Waits for the threads. All reads must have been closed."""
        self._threads.shutdown(wait=True)


class DirectRead:
    """One object's bytes. Iterating gives pieces of at most 2 MiB, and raises one of :data:`FAILURES` when they end too early.

    A thread works on it only while somebody waits for that. :meth:`aclose` ends that wait, and the connection once no thread has it.
    """

    def __init__(self, threads: ThreadPoolExecutor, release: Callable[[], None], timeout: float) -> None:
        self._threads = threads
        self._release = release
        self._connection = _Connection(timeout)
        self._last_work: Future[Any] | None = None
        self._closed = False
        self.size = 0
        """Of the whole object, once it is open."""

    async def open(self, url: str, span: Span, ca: str | None) -> None:
        """Returns when the answer has begun. Raises one of :data:`FAILURES`."""
        self._last_work = opening = self._threads.submit(self._connection.open, url, span, ca)
        self.size = await asyncio.wrap_future(opening)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece."""
        self._last_work = reading = self._threads.submit(self._connection.read)
        piece = await asyncio.wrap_future(reading)
        if not piece:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """May be called any number of times, also while a piece is waited for."""
        if self._closed:
            return
        self._closed = True
        self._release()
        self._connection.interrupt()
        if self._last_work is not None:
            self._last_work.add_done_callback(lambda _: self._connection.close())


class ContinuedRead:
    """The bytes of a direct read and, if that fails, the rest of them from whoever ``ask_again`` asks, which is done once."""

    def __init__(self, read: DirectRead, span: Span, ask_again: Callable[[Span], Awaitable[AsyncIterator[bytes | memoryview]]]) -> None:
        self._read = read
        self._left = span
        self._ask_again = ask_again
        self._rest: AsyncIterator[bytes | memoryview] | None = None

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next piece. Raises what the other way of reading raises."""
        if self._rest is None:
            try:
                piece = await anext(self._read)
            except FAILURES as error:
                await self._read.aclose()
                _log.info("the rest of a large object is read the usual way: %s", type(error).__name__)
                self._rest = await self._ask_again(self._left)
            else:
                self._left = Span(self._left.start + len(piece), self._left.length - len(piece))
                return piece
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Lets go of the connection."""
        await self._read.aclose()
        if isinstance(self._rest, AsyncGenerator):
            await self._rest.aclose()


class _Connection:
    """One connection for one answer. Its methods are called on threads, one at a time, but for :meth:`interrupt`."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._interrupted = False
        self._http: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._answer: HTTPResponse | None = None  # which closes the socket when it is let go
        self._begun = False
        self._left = 0
        self._is_plain = False

    def open(self, url: str, span: Span, ca: str | None) -> int:
        """The size of the whole object, once the answer has begun."""
        parts = urlsplit(url)
        http = self._http = _connection_to(parts, ca, self._timeout)
        http.connect()
        self._socket = http.sock
        if self._interrupted:
            raise HTTPException("nobody waits any more")
        wanted = f"bytes {span.start}-{span.start + span.length - 1}"
        http.request("GET", f"{parts.path}?{parts.query}", headers={"Range": wanted.replace(" ", "=")})
        answer = self._answer = http.getresponse()
        described, _, size = answer.headers.get("Content-Range", "").partition("/")
        if answer.status != _PARTIAL or described != wanted or answer.length != span.length:
            raise HTTPException(f"status {answer.status}")
        self._left = span.length
        self._is_plain = parts.scheme == "http"
        return int(size)

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        piece = self._received(min(_PIECE, self._left)) if self._begun else self._first()
        self._left -= len(piece)
        return piece

    def _first(self) -> bytes:
        """What the library has read together with the head, or what comes first. The rest is read past it."""
        assert self._answer is not None
        assert self._socket is not None
        piece = self._answer.fp.read1(_PIECE)
        self._begun = True
        if self._is_plain:
            # Waited for by the kernel from now on, not by the interpreter, which would wake up for every segment.
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._timeout))
        if not piece:
            raise HTTPException("the answer broke off")
        return piece

    def _received(self, wanted: int) -> bytes:
        assert self._socket is not None
        # Without encryption, into the very bytes that are passed on.
        plain = self._is_plain
        piece = self._socket.recv(wanted, socket.MSG_WAITALL) if plain else b"".join(_deciphered(self._socket, wanted))
        if wanted and not piece:
            raise HTTPException("the answer broke off")
        return piece

    def interrupt(self) -> None:
        """Ends what a thread waits for."""
        self._interrupted = True
        if self._socket is not None:
            with suppress(OSError):
                # Not of the encrypting class, which would let the thread read on undeciphered.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes it."""
        if self._http is not None:
            self._http.close()


def _deciphered(encrypted: socket.socket, wanted: int) -> Iterator[bytes]:
    while wanted and (record := encrypted.recv(wanted)):
        wanted -= len(record)
        yield record


def _timeval(seconds: float) -> bytes:
    """As ``setsockopt`` takes it (socket(7))."""
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


def _connection_to(parts: SplitResult, ca: str | None, timeout: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context(cafile=ca))
    return HTTPConnection(host, parts.port, timeout=timeout)
