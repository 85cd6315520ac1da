"""HTTP/1.1 of the fake provider, down to single bytes: requests as they come, answers right or wrong."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from fileplane.testing.fake_provider.faults import Fault

PIECE: Final = 1 << 16
_HEAD_LIMIT: Final = 1 << 16
_TICK: Final = 0.05


class BadRequest(Exception):
    """A request that is no HTTP, or whose body ends before it should."""


class Severed(Exception):
    """The connection is to be closed, now."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


@dataclass(slots=True)
class RecordedRequest:
    """What the fake was sent. ``headers`` are in lower case, of repeated ones the last; ``pairs`` has them all as they came."""

    number: int
    connection: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    pairs: list[tuple[str, str]]
    operation: str = ""
    body_bytes: int = 0
    body_sha256: str = ""
    body_complete: bool = False
    status: int | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    """Of an upload's form, in order; the file as ``file`` with its name."""
    document: Any = None
    """Of the creation of a job."""
    target: str = ""
    """Path and query as they were sent."""


@dataclass(slots=True)
class Answer:
    """What is answered. ``length`` None: without one."""

    status: int
    headers: dict[str, str]
    body: AsyncIterator[bytes]
    length: int | None


def answer_of(status: int, content: bytes, media_type: str = "application/json", headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with its whole body."""
    return Answer(status, {"content-type": media_type, **(headers or {})}, _pieces(content), len(content))


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


class Connection:
    """One client."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self._reader = reader
        self.writer = writer

    async def request(self, number: int) -> RecordedRequest | None:
        """The next head, or None at the end."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise BadRequest from error
            return None
        except asyncio.LimitOverrunError as error:
            raise BadRequest from error
        lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = ([*lines[0].split(" "), "", ""])[:3]
        pairs = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise BadRequest
            pairs.append((name, value.strip()))
        if version != "HTTP/1.1" or not target.startswith("/"):
            raise BadRequest
        parts = urlsplit(target)
        headers = {name.lower(): value for name, value in pairs}
        return RecordedRequest(
            number, self.number, method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, pairs, target=target
        )

    async def until_left(self) -> NoReturn:
        """Waits for the client to leave, without taking anything from it."""
        while not self._reader.at_eof() and self._reader.exception() is None and not self.writer.is_closing():  # noqa: ASYNC110 - a stream that nobody reads tells nobody of its end
            await asyncio.sleep(_TICK)
        raise Severed

    async def body(self, request: RecordedRequest, fault: Fault | None) -> AsyncIterator[bytes]:
        """The request's body, recorded as it comes; strictly of its length, or strictly chunked."""
        if request.headers.get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        hashed = hashlib.sha256()
        chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
        raw = self._chunks() if chunked else self._exactly(int(request.headers.get("content-length", "0")))
        try:
            async for piece in raw:
                request.body_bytes += len(piece)
                hashed.update(piece)
                if fault is not None and fault.kind == "close_request_at" and request.body_bytes >= fault.at:
                    raise Severed(reset=fault.reset)
                yield piece
                if fault is not None and fault.kind == "slow_read":
                    await asyncio.sleep(len(piece) / fault.bytes_per_second)
        except asyncio.IncompleteReadError as error:
            raise BadRequest from error
        request.body_sha256 = hashed.hexdigest()
        request.body_complete = True

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        left = length
        while left:
            piece = await self._reader.read(min(PIECE, left))
            if not piece:
                raise BadRequest
            left -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self._reader.readuntil(b"\r\n"))[:-2], 16)
            async for piece in self._exactly(size):
                yield piece
            if await self._reader.readexactly(2) != b"\r\n":
                raise BadRequest
            if not size:
                return

    async def send(self, answer: Answer, fault: Fault | None, *, head: bool = False) -> bool:
        """Sends an answer, or something like it, without its body when it answers a HEAD; whether the connection may be used further."""
        kind = "" if fault is None else fault.kind
        if fault is not None and kind == "close_response_at" and fault.at < 0:
            raise Severed(reset=fault.reset)
        if kind in {"gzip", "bomb"}:
            answer = _compressed(answer)
        lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}", *(f"{name}: {value}" for name, value in answer.headers.items())]
        chunked = False
        if kind == "no_length":
            lines.append("connection: close")
        elif answer.length is None:
            chunked = True
            lines.append("transfer-encoding: chunked")
        else:
            lines.append(f"content-length: {answer.length + (fault.by if fault is not None and kind == 'wrong_length' else 0)}")
        if fault is not None and kind == "huge_headers":
            lines.append("x-huge: " + "h" * fault.at)
        if fault is not None and kind == "many_headers":
            lines += [f"x-many-{number}: 1" for number in range(fault.at)]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if not head:
            await self._send_body(answer.body, fault, chunked=chunked)
        await self.writer.drain()
        if kind in {"no_length", "wrong_length"}:
            raise Severed
        return True

    async def _send_body(self, body: AsyncIterator[bytes], fault: Fault | None, *, chunked: bool) -> None:
        sent = 0
        async for whole in body:
            for piece in _slices(whole, fault):
                cut = piece
                if fault is not None and fault.kind in {"close_response_at", "stall_response_at"}:
                    cut = piece[: max(0, fault.at - sent)]
                self.writer.write(b"%x\r\n%s\r\n" % (len(cut), cut) if chunked and cut else cut)
                await self.writer.drain()
                sent += len(cut)
                if len(cut) < len(piece) or (fault is not None and fault.kind == "close_response_at" and sent >= fault.at):
                    assert fault is not None
                    await self._break(fault)
                if fault is not None and fault.kind == "drip":
                    await asyncio.sleep(_TICK)
        if chunked:
            self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def _break(self, fault: Fault) -> None:
        if fault.kind == "stall_response_at":
            await self.until_left()
        raise Severed(reset=fault.reset)


def _slices(whole: bytes, fault: Fault | None) -> list[bytes]:
    if fault is None or fault.kind != "drip":
        return [whole]
    size = max(1, int(fault.bytes_per_second * _TICK))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _compressed(answer: Answer) -> Answer:
    async def pieces() -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=31)
        async for piece in answer.body:
            packed = packer.compress(piece)
            if packed:
                yield packed
        yield packer.flush()

    return Answer(answer.status, {**answer.headers, "content-encoding": "gzip"}, pieces(), None)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


Handler = Callable[[RecordedRequest, AsyncIterator[bytes], str, Fault | None], Awaitable[Answer]]
"""What answers a request: its head, its body, the credential whose account it is let into, and what shall go wrong."""
