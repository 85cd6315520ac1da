"""The composition root: settings → stores → services → ASGI application. The only place that knows all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from fileplane.blobs.base import BlobLinks, BlobStore
from fileplane.clock import SystemClock
from fileplane.control.api_keys import ApiKeys
from fileplane.control.key_uses import KeyUses, recording
from fileplane.control.opening import open_credentials
from fileplane.control.projects import Projects
from fileplane.control.routes import Routes
from fileplane.files.janitor import Janitor
from fileplane.files.native import NativeFiles
from fileplane.files.reading import begin_counting_damage
from fileplane.files.reconciling import Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.resumable import ResumableUploads
from fileplane.files.rounds import repeated
from fileplane.files.routed_uploads import RoutedUploads
from fileplane.files.scrub import Scrub
from fileplane.files.settling import Settler
from fileplane.files.uploads import NativeUploads
from fileplane.http.auth import Authenticator
from fileplane.http.call import Services
from fileplane.http.edge import Edge
from fileplane.http.request_limits import RequestLimits
from fileplane.http.routes import build_router
from fileplane.ids import new_holder
from fileplane.logs import configure_logging, flush_logs
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import start_metrics
from fileplane.observation import Observation, tell_of_start
from fileplane.opening import BLOBS_NAME, open_blobs, open_metadata
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.settings import Settings
from fileplane.stop_signals import release_stop_signals
from fileplane.tracing.spans import start_tracing, stop_tracing
from fileplane.tracing.stores import TracedBlobStore, TracedMetadataStore

_SCRUB_REST_SECONDS: Final = 60.0


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that requests need, released in reverse order."""
    start_metrics()
    tell_of_start(settings, SystemClock())
    begin_counting_damage()
    async with AsyncExitStack() as stack:
        metadata = await stack.enter_async_context(open_metadata(settings))
        blobs = await stack.enter_async_context(open_blobs(settings))
        clock = metadata.clock
        links = cast("BlobLinks", blobs) if settings.content_delivery == "redirect" else None
        await stack.enter_async_context(_observing(metadata, blobs, settings))
        if settings.otlp_endpoint is not None:
            await stack.enter_async_context(_tracing(settings.otlp_endpoint, settings.trace_sample_ratio))
            metadata, blobs = cast("MetadataStore", TracedMetadataStore(metadata)), TracedBlobStore(blobs)
        janitor = Janitor(metadata, blobs, clock, settings)
        files = NativeFiles(metadata, blobs, janitor, settings, clock)
        settler = Settler(metadata, blobs, settings)
        uploads = NativeUploads(metadata, blobs, janitor, settler, settings, clock)
        resumable = ResumableUploads(metadata, blobs, janitor, settler, uploads, settings, clock)
        request_limits = RequestLimits(metadata, clock)
        stack.push_async_callback(files.settle)
        stack.push_async_callback(uploads.settle)
        stack.push_async_callback(resumable.settle)
        stack.push_async_callback(settler.close)
        await stack.enter_async_context(repeated("settler", settler.rest_seconds, settler.run, at_once=True))
        stack.push_async_callback(request_limits.settle)
        uses = KeyUses(metadata)
        authenticator = Authenticator(metadata, clock, settings.key_cache_seconds, uses)
        await stack.enter_async_context(recording(uses))
        await stack.enter_async_context(_upkeep(janitor, settings))
        await stack.enter_async_context(_scrubbing(Scrub(metadata, blobs, clock, settings), settings))
        credentials = await open_credentials(metadata, settings, clock)
        egress = Egress(settings)
        stack.push_async_callback(egress.close)
        remote = RemoteFiles(metadata, settings, clock, native=files)
        stack.push_async_callback(remote.settle)
        routed = RoutedUploads(metadata, blobs, uploads, remote.uploads, settings, clock)
        stack.push_async_callback(routed.settle)
        jobs = RemoteJobs(metadata, remote)
        stack.push_async_callback(jobs.settle)
        routes = Routes(credentials.configs, credentials.virtual_keys, Registry(egress, settings.provider_overrides))
        reconciler = Reconciler(metadata, routes.of_virtual_key, clock)
        await stack.enter_async_context(repeated("reconciler", settings.janitor_interval_seconds, reconciler.run))
        yield Services(
            settings,
            metadata,
            blobs,
            files,
            uploads,
            resumable,
            authenticator,
            request_limits,
            Projects(metadata),
            ApiKeys(metadata, clock),
            credentials.virtual_keys,
            credentials.configs,
            routes,
            remote,
            jobs,
            routed,
            links,
        )


def _observing(metadata: MetadataStore, blobs: BlobStore, settings: Settings) -> AbstractAsyncContextManager[None]:
    disks = {"blobs": settings.data_dir / BLOBS_NAME} if settings.blob_store.is_local else {}
    if settings.database_url is None:
        disks["database"] = settings.data_dir
    observation = Observation(metadata, metadata.clock, disks)
    scrub = Scrub(metadata, blobs, metadata.clock, settings)

    async def look() -> None:
        await observation.look()
        await scrub.tell_last_round()

    return repeated("observation", settings.metrics_interval_seconds, look, at_once=True)


@asynccontextmanager
async def _tracing(endpoint: str, sample_ratio: float) -> AsyncIterator[None]:
    # Imported here, so that servers without a collector neither need nor load the libraries.
    from fileplane.tracing.export import Collector  # noqa: PLC0415 - loaded only where traces are sent

    start_tracing(Collector(endpoint, sample_ratio))
    try:
        yield
    finally:
        await asyncio.to_thread(stop_tracing)


def _upkeep(janitor: Janitor, settings: Settings) -> AbstractAsyncContextManager[None]:
    holder = new_holder()
    return repeated("janitor", settings.janitor_interval_seconds, lambda: janitor.run(holder, sweep=None))


def _scrubbing(scrub: Scrub, settings: Settings) -> AbstractAsyncContextManager[None]:
    holder = new_holder()
    rest = min(_SCRUB_REST_SECONDS, settings.scrub_interval_seconds) if settings.scrub_bytes_per_second else 0.0
    return repeated("scrub", rest, lambda: scrub.run(holder))


class Application:
    """The ASGI application: opens its services at lifespan startup and closes them at shutdown."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._edge: ASGIApp | None = None
        self.held_for_life: object = None
        """Whatever must live exactly as long as the process serves, such as a lock."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._edge is not None:
            await self._edge(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with open_services(self._settings) as services:
            self._edge = Edge(build_router(services), self._settings)
            await send({"type": "lifespan.startup.complete"})
            release_stop_signals()
            await receive()
            self._edge = None
        await asyncio.to_thread(flush_logs)
        await send({"type": "lifespan.shutdown.complete"})


def create_application(settings: Settings) -> Application:
    """What a server process serves."""
    configure_logging(settings.log_level)
    return Application(settings)
