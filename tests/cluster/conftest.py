"""One PostgreSQL and one SeaweedFS for a whole process of tests; each test has an empty database and a place in the bucket of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fileplane.blob_location import BlobLocation
from support.cluster import Node, cluster_of
from support.object_servers import ObjectServer, seaweedfs
from support.object_stores import located

OpenCluster = Callable[..., Awaitable[list[Node]]]
"""``await open_cluster(**settings)`` starts two nodes, or one for each of ``skews``; they end with the test."""


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with seaweedfs(tmp_path_factory.mktemp("weed") / "server") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def place(seaweed: ObjectServer) -> BlobLocation:
    """What `blob_store` names, below a prefix that nobody else has."""
    return located(seaweed)


@pytest.fixture
async def open_cluster(tmp_path: Path, url: str, place: BlobLocation) -> AsyncIterator[OpenCluster]:
    async with AsyncExitStack() as stack:

        async def opened(**values: object) -> list[Node]:
            return await stack.enter_async_context(cluster_of(tmp_path, url, place, **values))

        yield opened


@pytest.fixture
async def nodes(open_cluster: OpenCluster) -> list[Node]:
    return await open_cluster()
