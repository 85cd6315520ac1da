"""The whole ASGI application in this process, on a clock that a test moves; driven through the same client as a real server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from fileplane import logs
from fileplane.blobs.base import BlobStore
from fileplane.blobs.local import LocalBlobStore
from fileplane.control.api_keys import ApiKeys
from fileplane.control.opening import open_credentials
from fileplane.control.projects import Projects
from fileplane.control.routes import Routes
from fileplane.files.janitor import Collected, Janitor
from fileplane.files.native import NativeFiles
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.resumable import ResumableUploads
from fileplane.files.routed_uploads import RoutedUploads
from fileplane.files.settling import Settler
from fileplane.files.uploads import NativeUploads
from fileplane.http.auth import Authenticator
from fileplane.http.call import Services
from fileplane.http.edge import Edge
from fileplane.http.request_limits import RequestLimits
from fileplane.http.routes import build_router
from fileplane.ids import hash_api_key
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.opening import BLOBS_NAME, DATABASE_NAME
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.settings import Settings
from support.clock import ManualClock
from support.projects import Key, make_key

BASE_URL = "http://in-process/v1"

T = TypeVar("T")


class TimedApp:
    """Made by :func:`timed_app`. Every request runs the event loop until it is answered."""

    def __init__(self, runner: asyncio.Runner, services: Services, clock: ManualClock) -> None:
        self._runner = runner
        self._services = services
        self._transport = _Transport(runner, Edge(build_router(services), services.settings))
        self.clock = clock

    @property
    def metadata(self) -> MetadataStore:
        return self._services.metadata

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Whatever it is, on the application's own loop."""
        return self._runner.run(work)

    def new_key(self, **options: object) -> Key:
        return self.run(make_key(self.metadata, **options))

    def new_organisation_key(self, plain: str) -> None:
        """The first organisation key, which works in a project of its own and may do everything; only once, and before any other key."""
        self._runner.run(self._services.metadata.bootstrap(hash_api_key(plain), plain[-4:]))

    def collect(self) -> Collected | None:
        """One whole pass of the janitor."""
        janitor = Janitor(self._services.metadata, self._services.blobs, self.clock, self._services.settings)
        return self._runner.run(janitor.run("test"))

    def client(self, key: str) -> httpx2.Client:
        return httpx2.Client(transport=self._transport, base_url=BASE_URL, headers={"Authorization": f"Bearer {key}"})


class _Transport(httpx2.BaseTransport):
    def __init__(self, runner: asyncio.Runner, app: Edge) -> None:
        self._runner = runner
        self._asgi = httpx2.ASGITransport(app)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        content = request.read()
        whole = httpx2.Request(request.method, request.url, headers=request.headers, content=content)
        return self._runner.run(self._handle(whole))

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._asgi.handle_async_request(request)
        body = b"".join([piece async for piece in response.stream])
        return httpx2.Response(response.status_code, headers=response.headers, stream=httpx2.ByteStream(body))


@contextmanager
def timed_app(
    data_dir: Path, *, open_metadata: Callable[[Path, ManualClock], MetadataStore] = SqliteMetadataStore, **values: object
) -> Iterator[TimedApp]:
    """An application over a new data directory, with these settings, and its metadata there unless they are opened elsewhere."""
    data_dir.mkdir(parents=True)
    settings = Settings(data_dir=data_dir, min_free_disk_bytes=0, **values)
    prepare_database(data_dir / DATABASE_NAME)
    clock = ManualClock()
    threshold, logs._threshold = logs._threshold, logging.ERROR
    try:
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            services = runner.run(_open(stack, settings, clock, open_metadata))
            try:
                yield TimedApp(runner, services, clock)
            finally:
                runner.run(stack.aclose())
    finally:
        logs._threshold = threshold


async def _open(
    stack: AsyncExitStack,
    settings: Settings,
    clock: ManualClock,
    open_metadata: Callable[[Path, ManualClock], MetadataStore] = SqliteMetadataStore,
    open_blobs: Callable[[Path], BlobStore] = LocalBlobStore,
) -> Services:
    metadata = open_metadata(settings.data_dir / DATABASE_NAME, clock)
    stack.push_async_callback(metadata.close)
    blobs = open_blobs(settings.data_dir / BLOBS_NAME)
    stack.push_async_callback(blobs.close)
    authenticator = Authenticator(metadata, clock, settings.key_cache_seconds)
    janitor = Janitor(metadata, blobs, clock, settings)
    files = NativeFiles(metadata, blobs, janitor, settings, clock)
    settler = Settler(metadata, blobs, settings)
    uploads = NativeUploads(metadata, blobs, janitor, settler, settings, clock)
    credentials = await open_credentials(metadata, settings)
    return Services(
        settings,
        metadata,
        blobs,
        files,
        uploads,
        ResumableUploads(metadata, blobs, janitor, settler, uploads, settings, clock),
        authenticator,
        RequestLimits(metadata, clock),
        Projects(metadata),
        ApiKeys(metadata, clock),
        credentials.virtual_keys,
        credentials.configs,
        Routes(credentials.configs, credentials.virtual_keys, Registry(Egress(settings))),
        remote := RemoteFiles(metadata, settings),
        RemoteJobs(metadata, remote),
        RoutedUploads(metadata, blobs, uploads, remote.uploads, settings, clock),
    )
