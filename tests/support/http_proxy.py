"""An HTTP proxy in front of one object server, of whose requests a test lets some go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

from support.ports import free_port

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})
_PIECE = 1 << 18


@dataclass
class HttpProxy:
    """``fault`` befalls the requests from number ``first`` on, ``times`` of them, counted from 1 since :meth:`plan`.

    ``refused``: the connection ends before the server hears of the request. ``lost``: it ends after the server has done what it was asked.
    ``error``: the answer is 503. ``cut``: half of the answer's body is sent.
    """

    target: str
    port: int = field(default_factory=free_port)
    fault: str = ""
    first: int = 0
    times: int = 0
    seen: list[str] = field(default_factory=list)
    heads: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    """Method and path, and headers, of every request ever."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}{URL(self.target).path.rstrip('/')}"

    @property
    def struck(self) -> bool:
        return bool(self.first) and len(self.seen) >= self.first

    def plan(self, fault: str = "", first: int = 0, times: int = 1) -> None:
        self.fault, self.first, self.times = fault, first, times
        self.seen.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.rel_url.path}")
        self.heads.append((self.seen[-1], request.headers))
        number = len(self.seen)
        fault = self.fault if self.first and self.first <= number < self.first + self.times else ""
        if fault == "refused":
            _break_off(request)
        if fault == "error":
            await request.read()
            return web.Response(status=503, text="<Error><Code>ServiceUnavailable</Code></Error>")
        return await self._forward(request, fault)

    async def _forward(self, request: web.Request, fault: str) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        server = URL(self.target)
        url = URL(f"http://{server.host}:{server.port}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers={"user-agent", "content-type", "accept"}) as session,
            session.request(
                request.method, url, headers=headers, data=request.content if request.body_exists else None, allow_redirects=False
            ) as answer,
        ):
            if fault == "lost":
                await answer.read()
                _break_off(request)
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value.replace(self.target, self.endpoint))
            await response.prepare(request)
            left = int(answer.headers.get("content-length", 0)) // 2
            async for piece in answer.content.iter_chunked(_PIECE):
                if fault == "cut":
                    await response.write(piece[:left])
                    left -= len(piece[:left])
                    if not left:
                        _break_off(request)
                else:
                    await response.write(piece)
            return response


def _break_off(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


@asynccontextmanager
async def http_proxy(target: str) -> AsyncIterator[HttpProxy]:
    """A proxy for the length of a block, with a port of its own; ``target`` is the server's base URL."""
    proxy = HttpProxy(target)
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", proxy.port).start()
    try:
        yield proxy
    finally:
        await runner.cleanup()
