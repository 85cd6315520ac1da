"""Several nodes over one PostgreSQL and one object store, in this process: each is the whole application, as its own settings make it."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2

from fileplane import clock, logs
from fileplane.app import open_services
from fileplane.blob_location import BlobLocation
from fileplane.data_directory import prepare_data_directory
from fileplane.files.janitor import Collected
from fileplane.http.call import Services
from fileplane.http.edge import Edge
from fileplane.http.routes import build_router
from fileplane.metadata import postgres_clock
from fileplane.settings import Settings
from support.forms import FORM_TYPE, simple_form
from support.limited import make_limited_key
from support.projects import Key

ORGANISATION_KEY = "fpk_VxN7mB4kQ2wZ9rT6yH3cJ8pL5sD1gF0a"
MASTER_KEY = bytes(range(32))
MASTER_KEY_TEXT = base64.b64encode(MASTER_KEY).decode()
_skew: ContextVar[float] = ContextVar("skew", default=0.0)


class _NodeTime:
    """The module ``time``, for modules of a node whose own clock may be wrong."""

    @staticmethod
    def time() -> float:
        return time.time() + _skew.get()

    @staticmethod
    def time_ns() -> int:
        return time.time_ns() + int(_skew.get() * 10**9)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def _skewed(seconds: float) -> Iterator[None]:
    token = _skew.set(seconds)
    try:
        yield
    finally:
        _skew.reset(token)


class Node:
    """Made by :func:`cluster_of`. ``services`` are those of the real composition."""

    def __init__(self, services: Services, skew_seconds: float) -> None:
        self.services = services
        self._app = Edge(build_router(services), services.settings)
        self._skew_seconds = skew_seconds

    def client(self, key: Key | str) -> httpx2.AsyncClient:
        plain = key if isinstance(key, str) else key.plain
        transport = _Transport(self._app, self._skew_seconds)
        return httpx2.AsyncClient(transport=transport, base_url="http://node/v1", headers={"Authorization": f"Bearer {plain}"})

    async def collect(self) -> Collected | None:
        """One whole pass of its janitor."""
        with _skewed(self._skew_seconds):
            return await self.services.files._janitor.run("test")

    async def new_key(self, **limits: Any) -> Key:
        """In a new project; ``project`` and ``key`` are their limits."""
        return await make_limited_key(self.services.metadata, **limits)


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, app: Edge, skew_seconds: float) -> None:
        self._asgi = httpx2.ASGITransport(app)
        self._skew_seconds = skew_seconds

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with _skewed(self._skew_seconds):
            return await self._asgi.handle_async_request(request)


def node_settings(folder: Path, url: str, place: BlobLocation, **values: object) -> Settings:
    """Of a node that does nothing but what it is asked for."""
    given = {
        "data_dir": folder,
        "database_url": url,
        "blob_store": place,
        "master_key": MASTER_KEY,
        "bootstrap_api_key": ORGANISATION_KEY,
        "metadata_deadline_seconds": 60,
        "storage_deadline_seconds": 60,
        "janitor_interval_seconds": 0,
        "scrub_bytes_per_second": 0,
        "metrics_interval_seconds": 0,
        "min_free_disk_bytes": 0,
    }
    return Settings(**(given | values))


@asynccontextmanager
async def cluster_of(
    folder: Path, url: str, place: BlobLocation, *, skews: Sequence[float] = (0.0, 0.0), **values: object
) -> AsyncIterator[list[Node]]:
    """A node for each of ``skews``, the seconds by which its machine's clock is ahead. They start at once, as real ones do."""
    chosen = [node_settings(folder / f"node{number}", url, place, **values) for number in range(len(skews))]
    with (
        patch.object(logs, "_threshold", logging.CRITICAL),
        patch.object(clock, "time", _NodeTime()),
        patch.object(postgres_clock, "time", _NodeTime()),
    ):
        async with AsyncExitStack() as stack:
            started = await asyncio.gather(*[asyncio.to_thread(prepare_data_directory, settings) for settings in chosen])
            for lock, _ in started:
                stack.callback(lock.release)
            nodes = []
            for settings, skew in zip(chosen, skews, strict=True):
                # What a node does beside its requests goes by the clock that it was opened under.
                with _skewed(skew):
                    nodes.append(Node(await stack.enter_async_context(open_services(settings)), skew))
            yield nodes


async def send_file(client: httpx2.AsyncClient, content: bytes = b"content", *, idempotency_key: str | None = None, **form: str) -> Any:
    """One whole upload, and its answer."""
    headers = {"content-type": FORM_TYPE} | ({"idempotency-key": idempotency_key} if idempotency_key else {})
    return await client.post("/files", content=simple_form(content, **form), headers=headers)


async def sent_file(client: httpx2.AsyncClient, content: bytes = b"content", **options: Any) -> str:
    """The id of an upload that must succeed."""
    answer = await send_file(client, content, **options)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])
