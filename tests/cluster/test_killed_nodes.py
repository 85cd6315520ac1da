"""A node that is killed with an upload under way: the other one sees to what it has left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileplane.access import Limits
from fileplane.blob_location import BlobLocation
from fileplane.files.janitor import Janitor
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.model import Usage
from fileplane.settings import Settings
from fileplane.testing.clock import ManualClock
from support.cluster import MASTER_KEY_TEXT, ORGANISATION_KEY
from support.expect import assert_openai_error
from support.forms import upload
from support.limited import make_limited_key
from support.object_servers import ObjectServer
from support.polling import eventually
from support.projects import Key
from support.raw_http import Connection, form_begin, form_length, upload_head
from support.server import RunningServer, start_server
from support.timed_nodes import store_at

pytestmark = pytest.mark.full

LEASE_SECONDS = 2
SIZE = 40 << 20
SENT = 20 << 20
DAY = 86_400


@pytest.fixture
def servers(tmp_path: Path, url: str, place: BlobLocation, seaweed: ObjectServer) -> Iterator[list[RunningServer]]:
    started: list[RunningServer] = []
    try:
        for name in ("one", "other"):
            settings = {"database_url": url, "blob_store": place, "master_key": MASTER_KEY_TEXT, "upload_lease_seconds": LEASE_SECONDS}
            started.append(start_server(tmp_path / name, key=ORGANISATION_KEY, variables=seaweed.environment, **settings))
        yield started
    finally:
        for server in started:
            if server.process.poll() is None:
                server.kill()


def with_metadata(url: str, work: object) -> object:
    async def run() -> object:
        store = PostgresMetadataStore(url, deadline_seconds=60, connections=1)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def unfinished(place: BlobLocation) -> list[str]:
    async def look() -> list[str]:
        store = store_at(place)
        try:
            return [info.key async for info in store.walk()]
        finally:
            await store.close()

    return asyncio.run(look())


def test_an_upload_that_was_killed_with_its_node_gives_its_place_back_and_its_parts_are_swept_by_the_other(
    servers: list[RunningServer], url: str, place: BlobLocation
):
    one, other = servers
    limits = Limits(concurrent_uploads=1, storage_bytes=SIZE)
    key: Key = with_metadata(url, lambda store: make_limited_key(store, project=limits))
    with Connection(one) as connection, other.client(key.plain) as client:
        connection.send(upload_head(key.plain, form_length(SIZE)) + form_begin() + bytes(SENT))
        eventually(lambda: unfinished(place), "parts have arrived", seconds=30)
        assert_openai_error(upload(client, b"x"), 429, "rate_limit_exceeded", type="rate_limit_error")
        one.kill()
        # Its place ends with its lease, and its room was never taken.
        eventually(lambda: upload(client, b"x").status_code == 200, "the place is free", seconds=30)
        assert with_metadata(url, lambda store: store.usage(key.project_id)) == Usage(1, 1)
        kept = unfinished(place)
        assert len(kept) == 2
        assert len([blob for blob in kept if "upload=" in blob]) == 1

        def sweep_at(now: float) -> object:
            async def sweep(metadata: PostgresMetadataStore) -> object:
                blobs = store_at(place)
                try:
                    return await Janitor(metadata, blobs, ManualClock(now), Settings()).run("other")
                finally:
                    await blobs.close()

            return with_metadata(url, sweep)

        assert sweep_at(time.time()).abandoned == 0
        assert sweep_at(time.time() + 2 * DAY).abandoned == 1
        assert unfinished(place) == [blob for blob in kept if "upload=" not in blob]
        assert client.get("/files").json()["total"] == 1
