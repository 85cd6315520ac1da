"""A proxy in front of a server that counts what passes, refuses or loses what it is told to, and alters answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from support.polling import eventually_async
from support.ports import free_port

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})
PARTS = re.compile(r"POST /v1/uploads/[^/]+/parts")
CONTENT = re.compile(r"GET /v1/files/[^/]+/content")


@dataclass
class Meddler:
    """``meets`` is given each request, as ``METHOD path`` with its headers, and says what befalls it: None, or

    ``refused``: the connection ends before the server hears of it. ``lost``: it ends when the server has done it. ``cut``: half of the
    answer is sent. ``halt``: the request's body is not read, nor answered, until :attr:`go_on` is set. A number: that status, with an empty
    body; or a number and headers. ``alters`` is given the JSON of each successful answer and may change it.
    """

    target: str
    port: int = field(default_factory=free_port)
    meets: Callable[[str, Any], object] = lambda _, __: None
    alters: Callable[[str, dict[str, Any]], None] = lambda _, __: None
    seen: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """Headers that the answers to GETs of whole contents have instead of their own."""
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    """Of requests that have JSON."""
    answered: list[str] = field(default_factory=list)
    passed: int = 0
    """Bytes of contents that went to clients."""
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def count(self, pattern: re.Pattern[str]) -> int:
        """Requests that began."""
        return sum(1 for request in list(self.seen) if pattern.fullmatch(request))

    def done(self, pattern: re.Pattern[str]) -> int:
        """Requests that the server answered with success."""
        return sum(1 for request in list(self.answered) if pattern.fullmatch(request))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        named = f"{request.method} {request.rel_url.path}"
        self.seen.append(named)
        fate = self.meets(named, request.headers)
        if fate == "halt":
            await eventually_async(self.go_on.is_set, "a halted request goes on", seconds=120)
        if fate in ("refused", "halt"):
            _break_off(request)
        if isinstance(fate, (int, tuple)):
            status, headers = fate if isinstance(fate, tuple) else (fate, {})
            await request.read()
            return web.Response(status=status, headers=headers)
        return await self._forward(request, named, fate)

    async def _forward(self, request: web.Request, named: str, fate: object) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        server = URL(self.target)
        url = URL(f"http://{server.host}:{server.port}{request.raw_path}", encoded=True)
        data: Any = request.content if request.body_exists else None
        if request.content_type == "application/json" and request.body_exists:
            data = await request.read()
            self.bodies.setdefault(named, []).append(data)
        async with (
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers={"user-agent", "content-type", "accept"}) as session,
            session.request(request.method, url, headers=headers, data=data, allow_redirects=False) as answer,
        ):
            if answer.status < 300:
                self.answered.append(named)
            if fate == "lost":
                await answer.read()
                _break_off(request)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            if answer.content_type == "application/json":
                document = json.loads(await answer.read())
                if answer.status < 300:
                    self.alters(named, document)
                return _json(answer.status, kept, document)
            return await self._stream(request, answer, kept, fate)

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str], fate: object
    ) -> web.StreamResponse:
        if request.method == "GET" and answer.status == 200:
            headers = headers | self.told
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        left = int(answer.headers.get("content-length", 0)) // 2
        async for piece in answer.content.iter_chunked(1 << 16):
            if fate == "cut":
                piece = piece[:left]  # noqa: PLW2901 - what goes on of it
                left -= len(piece)
            await response.write(piece)
            self.passed += len(piece)
            if fate == "cut" and not left:
                _break_off(request)
        return response


def _json(status: int, headers: dict[str, str], document: object) -> web.Response:
    kept = {name: value for name, value in headers.items() if name.lower() not in {"content-length", "content-type"}}
    return web.json_response(document, status=status, headers=kept)


def _break_off(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


@contextmanager
def meddler(target: str) -> Iterator[Meddler]:
    """A proxy for the length of a block, in a thread of its own; ``target`` is the server's base URL."""
    proxy, loop, started = Meddler(target), asyncio.new_event_loop(), threading.Event()
    ended: asyncio.Event | None = None

    async def serve() -> None:
        nonlocal ended
        ended = asyncio.Event()
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", proxy.port).start()
        started.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield proxy
    finally:
        proxy.go_on.set()
        assert ended is not None
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        assert not thread.is_alive()
        loop.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
