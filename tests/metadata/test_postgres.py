"""PostgreSQL keeps the promises of every metadata store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fileplane.access import NewProject
from fileplane.errors import FileNotFound
from fileplane.metadata.base import CursorNotFound
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_schema import prepare_postgres
from fileplane.model import FileQuery, Origin
from fileplane.testing.catalog_repeats_suite import MetadataCatalogRepeatsSuite
from fileplane.testing.catalog_suite import MetadataCatalogSuite
from fileplane.testing.catalog_upkeep_suite import MetadataCatalogUpkeepSuite
from fileplane.testing.clock import ManualClock
from fileplane.testing.control_suite import MetadataControlSuite
from fileplane.testing.jobs_suite import MetadataJobsSuite
from fileplane.testing.lifecycle_suite import MetadataLifecycleSuite
from fileplane.testing.limits_suite import MetadataLimitsSuite
from fileplane.testing.metadata_store_suite import MetadataStoreSuite
from fileplane.testing.resumable_suite import MetadataResumableSuite
from fileplane.testing.routed_uploads_suite import MetadataRoutedUploadsSuite
from fileplane.testing.secrets_suite import MetadataSecretsSuite
from fileplane.testing.upkeep_suite import MetadataUpkeepSuite
from fileplane.testing.uploads_suite import MetadataUploadsSuite
from support.nodes import TakingTurns
from support.postgres import PostgresServer

SECONDS = 60


class TestPostgresMetadataStore(
    MetadataStoreSuite,
    MetadataLifecycleSuite,
    MetadataUpkeepSuite,
    MetadataLimitsSuite,
    MetadataSecretsSuite,
    MetadataControlSuite,
    MetadataCatalogSuite,
    MetadataCatalogUpkeepSuite,
    MetadataCatalogRepeatsSuite,
    MetadataJobsSuite,
    MetadataUploadsSuite,
    MetadataRoutedUploadsSuite,
    MetadataResumableSuite,
):
    @pytest.fixture
    async def store(self, url: str, clock: ManualClock) -> AsyncIterator[PostgresMetadataStore]:
        store = PostgresMetadataStore(url, clock, deadline_seconds=SECONDS, connections=4)
        yield store
        await store.close()


async def test_a_null_character_is_looked_for_in_vain_and_kept_as_what_postgresql_can_keep(url: str) -> None:
    store = PostgresMetadataStore(url, deadline_seconds=SECONDS)
    project = await store.create_project(NewProject("odd", "a\0b"), Origin())
    assert project.name == "a\N{REPLACEMENT CHARACTER}b"
    with pytest.raises(FileNotFound):
        await store.get_catalog_file(project.id, "key", "file\0")
    with pytest.raises(CursorNotFound):
        await store.list_files(project.id, FileQuery(10, after="\0"))
    await store.close()


async def test_the_server_is_asked_for_the_size_of_the_database_every_five_minutes_at_most(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    prepare_postgres(postgres.url(database))
    clock = ManualClock()
    store = PostgresMetadataStore(postgres.url(database), clock, deadline_seconds=SECONDS, connections=2)
    size = await store.database_bytes()
    postgres.execute("CREATE TABLE more AS SELECT generate_series(1, 100_000)", database=database)
    clock.advance(299)
    assert await store.database_bytes() == size
    clock.advance(1)
    assert await store.database_bytes() > size + 1_000_000
    await store.close()


@pytest.mark.full
class TestTwoPostgresNodesThatTakeTurns(TestPostgresMetadataStore):
    @pytest.fixture
    async def store(self, url: str, clock: ManualClock) -> AsyncIterator[TakingTurns]:
        nodes = TakingTurns([PostgresMetadataStore(url, clock, deadline_seconds=SECONDS) for _ in range(2)])
        yield nodes
        await nodes.close()
