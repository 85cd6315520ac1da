"""Two nodes for each module to hurt, over a PostgreSQL and a SeaweedFS that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.node_pair import NodePair, node_pair
from support.object_servers import ObjectServer, seaweedfs
from support.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with seaweedfs(tmp_path_factory.mktemp("weed") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def pair(database: PostgresServer, store: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    with node_pair(database, store, tmp_path_factory.mktemp("nodes")) as running:
        yield running
