"""One of each object server for a whole process of tests, and stores in it that are each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fileplane.blob_location import BlobLocation
from fileplane.blobs.opening import open_object_store
from support.object_servers import ObjectServer, azurite, fake_gcs, seaweedfs
from support.object_stores import OpenStore, located


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with seaweedfs(tmp_path_factory.mktemp("weed") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with azurite(tmp_path_factory.mktemp("azurite") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with fake_gcs(tmp_path_factory.mktemp("gcs") / "server") as server:
        yield server


@pytest.fixture
def open_store(monkeypatch: pytest.MonkeyPatch) -> OpenStore:
    """Opens a store below a prefix of its own, with short deadlines."""

    @asynccontextmanager
    async def opened(
        server: ObjectServer, *, location: BlobLocation | None = None, deadline_seconds: float = 20.0, **options: str
    ) -> AsyncIterator[Any]:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        location = location or located(server, **options)
        store = open_object_store(location, largest_blob=0, slowest_bytes_per_second=0, deadline_seconds=deadline_seconds)
        try:
            yield store
        finally:
            await store.close()

    return opened


@pytest.fixture
def own_directory(tmp_path: Path) -> Path:
    """For a server that a test kills."""
    return tmp_path / "server"
