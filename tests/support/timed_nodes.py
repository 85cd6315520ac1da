"""Nodes over one PostgreSQL and one object store whose requests are made by clients that wait, on one clock that a test moves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2

from fileplane import logs
from fileplane.blob_location import BlobLocation
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.blobs.opening import open_object_store
from fileplane.files.janitor import Collected
from fileplane.files.ownership import claim_blobs
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.settings import Settings
from support.clock import ManualClock
from support.cluster import MASTER_KEY
from support.projects import Key
from support.timed_app import BASE_URL, TimedApp, _open


class TimedNodes:
    """What :class:`TimedApp` is for one node; each request, and each pass of the janitor, is another node's than the one before."""

    def __init__(self, apps: list[TimedApp], clock: ManualClock) -> None:
        self.apps = apps
        self.clock = clock
        self._turns = cycle(apps)

    @property
    def metadata(self) -> MetadataStore:
        return self.apps[0].metadata

    def run(self, work: Any) -> Any:
        return self.apps[0].run(work)

    def new_key(self, **options: object) -> Key:
        return self.apps[0].new_key(**options)

    def collect(self) -> Collected | None:
        return next(self._turns).collect()

    def client(self, key: str) -> httpx2.Client:
        transports = [app._transport for app in self.apps]
        return httpx2.Client(transport=_InTurns(transports), base_url=BASE_URL, headers={"Authorization": f"Bearer {key}"})


class _InTurns(httpx2.BaseTransport):
    def __init__(self, transports: list[httpx2.BaseTransport]) -> None:
        self._turns = cycle(transports)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return next(self._turns).handle_request(request)


@contextmanager
def timed_nodes(folder: Path, url: str, place: BlobLocation, *, count: int = 2, **values: object) -> Iterator[TimedNodes]:
    """So many applications, each with stores of its own over the same database and place."""
    clock = ManualClock()
    threshold, logs._threshold = logs._threshold, logging.ERROR
    try:
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                apps = []
                for number in range(count):
                    settings = Settings(data_dir=folder / f"node{number}", min_free_disk_bytes=0, master_key=MASTER_KEY, **values)
                    settings.data_dir.mkdir(parents=True)
                    services = runner.run(_open(stack, settings, clock, _database(url), _store(place)))
                    runner.run(claim_blobs(services.metadata, services.blobs, str(place)))
                    apps.append(TimedApp(runner, services, clock))
                yield TimedNodes(apps, clock)
            finally:
                runner.run(stack.aclose())
    finally:
        logs._threshold = threshold


def store_at(place: BlobLocation) -> ObjectBlobStore:
    """A store of a place in a bucket. To be closed."""
    return open_object_store(place, largest_blob=0, slowest_bytes_per_second=0, deadline_seconds=60)


def _database(url: str) -> Callable[[Path, ManualClock], MetadataStore]:
    return lambda _, clock: PostgresMetadataStore(url, clock, deadline_seconds=60, connections=4)


def _store(place: BlobLocation) -> Callable[[Path], Any]:
    return lambda _: store_at(place)
