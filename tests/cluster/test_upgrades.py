"""Nodes that start at once on nothing, and nodes of two versions side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from fileplane.blob_location import BlobLocation
from fileplane.data_directory import StartRefused, prepare_data_directory
from fileplane.metadata import postgres_schema
from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.migrations import postgres_migrations
from support.cluster import ORGANISATION_KEY, Node, cluster_of, node_settings, send_file, sent_file
from support.polling import eventually_async
from support.postgres import PostgresServer

pytestmark = pytest.mark.full

NEWEST = postgres_migrations()[-1][0]
EXPANDING = f"-- serves: {NEWEST}\nALTER TABLE files ADD COLUMN colour text;\nCREATE INDEX files_by_colour ON files (project_id, colour);\n"
CONTRACTING = f"-- serves: {NEWEST + 1}\nALTER TABLE files DROP COLUMN colour;\n"
LATER = {
    "expanded": [*postgres_migrations(), (NEWEST + 1, EXPANDING, NEWEST)],
    "contracted": [*postgres_migrations(), (NEWEST + 1, EXPANDING, NEWEST), (NEWEST + 2, CONTRACTING, NEWEST + 1)],
}


@pytest.fixture
def fresh(postgres: PostgresServer) -> str:
    """The URL of a database without a table."""
    return postgres.url(postgres.new_database())


async def test_nodes_that_start_at_once_on_nothing_make_one_schema_one_first_key_and_one_mark(
    tmp_path: Path, fresh: str, place: BlobLocation
):
    async with cluster_of(tmp_path, fresh, place, skews=(0.0,) * 4) as nodes:
        assert len(await nodes[0].services.metadata.list_api_keys()) == 1
        assert len({await node.services.metadata.store_identity() for node in nodes}) == 1
        for node in nodes:
            assert await node.services.blobs.belongs_to(await nodes[0].services.metadata.store_identity())
            async with node.client(ORGANISATION_KEY) as client:
                await sent_file(client)
        assert (await nodes[0].services.metadata.total_usage()).live_files == len(nodes)


@asynccontextmanager
async def traffic(nodes: list[Node]) -> AsyncIterator[list[bool]]:
    """Uploads, reads and deletions at all of them without a pause; every one must succeed. It yields of each file whether it stays."""
    stop, done = asyncio.Event(), list[bool]()
    key = await nodes[0].new_key()

    async def client_of(node: Node) -> None:
        async with node.client(key) as client:
            while not stop.is_set():
                answer = await send_file(client, b"content")
                assert answer.status_code == 200, answer.text
                file_id = answer.json()["id"]
                assert (await client.get(f"/files/{file_id}/content")).content == b"content"
                stays = len(done) % 2 == 0
                assert (await client.get("/files") if stays else await client.delete(f"/files/{file_id}")).status_code == 200
                done.append(stays)

    clients = [asyncio.create_task(client_of(node)) for node in nodes for _ in range(2)]
    try:
        yield done
    finally:
        stop.set()
        await asyncio.gather(*clients)


async def more(done: list[bool]) -> None:
    """Until traffic has gone on."""
    count = len(done)
    await eventually_async(lambda: len(done) >= count + 10, "traffic goes on", seconds=30)


async def test_old_nodes_serve_on_while_a_new_one_migrates_and_both_then_work_side_by_side(
    tmp_path: Path, fresh: str, place: BlobLocation, monkeypatch: pytest.MonkeyPatch
):
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(cluster_of(tmp_path / "old", fresh, place))
        async with traffic(old) as ours:
            await more(ours)
            with monkeypatch.context() as patch:
                patch.setattr(postgres_schema, "postgres_migrations", lambda: LATER["expanded"])
                new = await stack.enter_async_context(cluster_of(tmp_path / "new", fresh, place))
            await more(ours)
            # An old one that is restarted meanwhile starts, and the new ones are seen by the old.
            again = await stack.enter_async_context(cluster_of(tmp_path / "again", fresh, place, skews=(0.0,)))
            async with traffic([*new, *again]) as theirs:
                await more(theirs)
                await more(ours)
        for node in (*old, *new, *again):
            assert (await node.services.metadata.total_usage()).live_files == sum(ours) + sum(theirs)
        assert await old[0].services.metadata.counter_drifts() == []


async def test_a_node_that_a_contracted_schema_no_longer_serves_is_refused_and_changes_nothing(
    tmp_path: Path, fresh: str, place: BlobLocation, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "postgres_migrations", lambda: LATER["contracted"])
        async with cluster_of(tmp_path / "new", fresh, place) as new, new[0].client(ORGANISATION_KEY) as client:
            file_id = await sent_file(client)
    before = postgres.execute("SELECT * FROM schema_versions ORDER BY 1", database=fresh.rpartition("/")[2])
    with pytest.raises((StartRefused, DatabaseUnusable), match="newer Fileplane"):
        await asyncio.to_thread(prepare_data_directory, node_settings(tmp_path / "old", fresh, place))
    assert postgres.execute("SELECT * FROM schema_versions ORDER BY 1", database=fresh.rpartition("/")[2]) == before
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "postgres_migrations", lambda: LATER["contracted"])
        async with cluster_of(tmp_path / "again", fresh, place) as new, new[1].client(ORGANISATION_KEY) as client:
            assert (await client.get(f"/files/{file_id}/content")).content == b"content"
