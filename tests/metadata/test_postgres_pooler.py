"""Behind PgBouncer, which gives each transaction another server connection, everything is as without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_session import open_session
from fileplane.testing.clock import ManualClock
from fileplane.testing.lifecycle_suite import MetadataLifecycleSuite
from fileplane.testing.limits_suite import MetadataLimitsSuite
from fileplane.testing.metadata_store_suite import MetadataStoreSuite, make_project, record_file
from support.pgbouncer import pgbouncer
from support.postgres import PostgresServer

pytestmark = pytest.mark.full
SECONDS = 60


@pytest.fixture(scope="module")
def port(postgres: PostgresServer) -> Iterator[int]:
    with pgbouncer(postgres) as port:
        yield port


@pytest.fixture
def pooled_url(postgres: PostgresServer, url: str, port: int) -> str:
    assert url == postgres.url("shared")
    return postgres.url("shared", port=port)


class TestPostgresMetadataStoreBehindPgBouncer(MetadataStoreSuite, MetadataLifecycleSuite, MetadataLimitsSuite):
    @pytest.fixture
    async def store(self, pooled_url: str, clock: ManualClock) -> AsyncIterator[PostgresMetadataStore]:
        store = PostgresMetadataStore(pooled_url, clock, deadline_seconds=SECONDS)
        yield store
        await store.close()


async def test_more_nodes_than_the_pooler_has_connections_share_them(pooled_url):
    stores = [PostgresMetadataStore(pooled_url, deadline_seconds=SECONDS, connections=4) for _ in range(3)]
    projects = [await make_project(store, f"p{number}") for number, store in enumerate(stores)]
    made = await asyncio.gather(*[record_file(store, project.id) for store in stores for project in projects for _ in range(8)])
    found = await asyncio.gather(*[stores[number % 3].get_file(file.project_id, file.id) for number, file in enumerate(made)])
    assert found == made
    assert [(await stores[0].usage(project.id)).live_files for project in projects] == [24, 24, 24]
    assert await stores[0].counter_drifts() == []
    for store in stores:
        await store.close()


def test_a_pooler_is_recognised_and_nothing_is_prepared_behind_it(pooled_url):
    session = open_session(pooled_url, 10)
    assert session.pooled
    assert session._connection.prepare_threshold is None
    session.close()
