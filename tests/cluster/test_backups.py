"""A backup as docs/postgresql.md has it, made while both nodes serve: pg_dump first, the bytes after, and a check of what was restored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.session import Session

from fileplane.blob_location import BlobLocation
from fileplane.files.findings import Finding, Kind, Severity
from fileplane.files.integrity import IntegrityCheck
from fileplane.files.selection import Selection
from support.cluster import Node, cluster_of, sent_file
from support.object_servers import ACCESS_KEY, SECRET_KEY, ObjectServer
from support.object_stores import located
from support.polling import eventually_async
from support.postgres import PostgresServer
from support.projects import Key

pytestmark = pytest.mark.full

ORPHANS_AFTER_SECONDS = 3_600


class Written:
    """What clients of both nodes upload and delete until they are told to stop."""

    def __init__(self, nodes: list[Node], key: Key) -> None:
        self._nodes = nodes
        self._key = key
        self.contents: dict[str, bytes] = {}
        self.deleted: set[str] = set()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        clients = [asyncio.create_task(self._client(node, stop)) for node in self._nodes]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*clients)

    async def _client(self, node: Node, stop: asyncio.Event) -> None:
        async with node.client(self._key) as client:
            while not stop.is_set():
                content = b"content %d" % len(self.contents)
                file_id = await sent_file(client, content)
                self.contents[file_id] = content
                if len(self.contents) % 3 == 0:
                    self.deleted.add(file_id)
                    assert (await client.delete(f"/files/{file_id}")).status_code == 200

    async def so_many(self, count: int) -> None:
        await eventually_async(lambda: len(self.contents) >= count, "uploads go on", seconds=60)

    def staying(self) -> dict[str, bytes]:
        return {file_id: content for file_id, content in self.contents.items() if file_id not in self.deleted}


def copy_bucket(source: BlobLocation, target: BlobLocation, endpoint: str) -> None:
    """Every object below the one prefix to the other, as an operator's own tool does it."""
    client = Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=f"{source.prefix}/"):
        for entry in page.get("Contents", []):
            body = client.get_object(Bucket=source.bucket, Key=entry["Key"])["Body"].read()
            client.put_object(Bucket=target.bucket, Key=target.prefix + entry["Key"].removeprefix(source.prefix), Body=body)
    client.close()


async def errors_of(node: Node) -> list[Finding]:
    services = node.services
    check = IntegrityCheck(services.metadata, services.blobs, services.metadata.clock, ORPHANS_AFTER_SECONDS)
    findings = [finding async for finding in check.findings(Selection())]
    assert check.checked.files_read > 0
    return [finding for finding in findings if finding.kind.severity is Severity.ERROR]


async def test_a_dump_and_then_the_bytes_made_under_load_are_restored_whole(
    nodes: list[Node], tmp_path: Path, postgres: PostgresServer, place: BlobLocation, seaweed: ObjectServer
):
    key, copied = await nodes[0].new_key(), located(seaweed)
    written = Written(nodes, key)
    async with written.going_on():
        await written.so_many(30)
        before = written.staying()
        dump = await asyncio.to_thread(postgres.dump, "shared")
        await written.so_many(len(written.contents) + 10)
        await asyncio.to_thread(copy_bucket, place, copied, seaweed.endpoint)
    restored = postgres.restore(dump)
    async with cluster_of(tmp_path / "restored", postgres.url(restored), copied) as there, there[1].client(key) as client:
        assert await errors_of(there[0]) == []
        listed = {file["id"] for file in (await client.get("/files", params={"limit": 10_000})).json()["data"]}
        # All that was answered before it began is there, unless it was deleted meanwhile.
        assert {file_id for file_id in before if file_id not in written.deleted} <= listed <= set(written.contents)
        for file_id in listed:
            assert (await client.get(f"/files/{file_id}/content")).content == written.contents[file_id]
        await sent_file(client)


async def test_what_was_purged_between_the_dump_and_the_bytes_is_named_by_the_check_and_nothing_else_is(
    nodes: list[Node], tmp_path: Path, postgres: PostgresServer, place: BlobLocation, seaweed: ObjectServer
):
    key, copied = await nodes[0].new_key(), located(seaweed)
    async with nodes[0].client(key) as client:
        files = [await sent_file(client, b"content %d" % number) for number in range(5)]
        dump = await asyncio.to_thread(postgres.dump, "shared")
        assert (await client.delete(f"/files/{files[2]}", params={"purge": "true"})).status_code == 200
    await asyncio.to_thread(copy_bucket, place, copied, seaweed.endpoint)
    restored = postgres.restore(dump)
    async with cluster_of(tmp_path / "restored", postgres.url(restored), copied) as there:
        assert [(finding.kind, finding.file_id) for finding in await errors_of(there[0])] == [(Kind.MISSING_BLOB, files[2])]
