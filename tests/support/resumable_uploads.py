"""Google Cloud Storage's resumable uploads as its documentation has them, which its emulator does not: it completes what is asked about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support.ports import free_port

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class ResumableUploads:
    """``kept`` are the complete objects by name. ``faults`` are what befalls the next parts: ``lost``, ``half``, ``error`` or ``none``."""

    port: int = field(default_factory=free_port)
    kept: dict[str, bytes] = field(default_factory=dict)
    received: dict[str, bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)
    """What is said of an object besides its size."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def begin(self, request: web.Request) -> web.Response:
        name = request.query["name"]
        if request.query["uploadType"] == "media":
            self.kept[name] = await request.read()
            return web.json_response({"size": str(len(self.kept[name]))} | self.told)
        self.received[name] = b""
        return web.Response(headers={"location": f"{self.endpoint}/session/{name}"})

    async def take(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        match = _RANGE.fullmatch(request.headers["content-range"])
        assert match is not None
        body = await request.read()
        if match[1] is not None:
            fault = self.faults.pop(0) if self.faults else "none"
            if fault == "error":
                return web.Response(status=503)
            assert len(body) == int(match[2]) - int(match[1]) + 1
            assert int(match[1]) <= len(self.received[name]), "a gap"
            data = body[: len(body) // 2 // 262_144 * 262_144] if fault == "half" else body
            self.received[name] = self.received[name][: int(match[1])] + data
            if fault in {"lost", "half"}:
                assert request.transport is not None
                request.transport.abort()
                raise ConnectionResetError
        if match[3] == str(len(self.received[name])):
            self.kept[name] = self.received[name]
            return web.json_response({"size": match[3]})
        known = {"range": f"bytes=0-{len(self.received[name]) - 1}"} if self.received[name] else {}
        return web.Response(status=308, headers=known)

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["name"])
        return web.Response(status=499)

    async def size(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.kept:
            return web.Response(status=404)
        return web.json_response({"name": name, "size": str(len(self.kept[name]))})

    async def delete(self, request: web.Request) -> web.Response:
        return web.Response(status=204 if self.kept.pop(request.match_info["name"], None) is not None else 404)


@asynccontextmanager
async def resumable_uploads() -> AsyncIterator[ResumableUploads]:
    """A store for the length of a block."""
    store = ResumableUploads()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_post("/upload/storage/v1/b/{bucket}/o", store.begin)
    application.router.add_put("/session/{name:.*}", store.take)
    application.router.add_delete("/session/{name:.*}", store.cancel)
    application.router.add_get("/storage/v1/b/{bucket}/o/{name}", store.size)
    application.router.add_delete("/storage/v1/b/{bucket}/o/{name}", store.delete)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", store.port).start()
    try:
        yield store
    finally:
        await runner.cleanup()
