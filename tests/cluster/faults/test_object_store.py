"""The object store dies in the middle of uploads through two nodes, or stands still: whole or an error, and nothing of it stays."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from fileplane.blob_location import parse_blob_location
from fileplane.files.janitor import Janitor
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.settings import Settings
from fileplane.testing.blob_store_suite import everything
from fileplane.testing.clock import ManualClock
from object_stores.conftest import open_store  # noqa: F401 - a fixture
from support.expect import assert_openai_error
from support.node_pair import NodePair
from support.node_traffic import Traffic
from support.object_servers import ObjectServer
from support.object_stores import OpenStore

pytestmark = pytest.mark.full

MIB = 1 << 20
PIECE = 1 << 18
OLD_SECONDS = 3 * 86_400
"""Longer than the slowest client may take for a part, and than what it leaves is waited for."""
LARGE = 40 * MIB
KILLED_AFTER = 20 * MIB
"""Of each upload: by then the store has parts of it, and more are on their way."""


class Pausing:
    """A body that is sent up to a point, and on from there once it is let."""

    def __init__(self, content: bytes, pause_after: int) -> None:
        self._content, self._pause_after = content, pause_after
        self.reached, self.go_on = threading.Event(), threading.Event()

    def _next(self) -> bytes:
        if self._pause_after <= 0 and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)
        piece, self._content = self._content[:PIECE], self._content[PIECE:]
        self._pause_after -= len(piece)
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._next():
            yield piece


def send(client: httpx2.Client, name: str, body: Pausing, length: int) -> httpx2.Response:
    """An upload whose body is not held as a whole by the client's library."""
    head = (
        b'--limit\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n'
    )
    tail = b"\r\n--limit--\r\n"

    def pieces() -> Iterator[bytes]:
        yield head
        yield from body
        yield tail

    headers = {
        "content-type": "multipart/form-data; boundary=limit",
        "content-length": str(len(head) + length + len(tail)),
        "idempotency-key": name,
    }
    return client.post("/files", content=pieces(), headers=headers)


async def test_a_store_that_is_killed_amid_uploads_in_parts_keeps_them_whole_or_not_at_all(
    pair: NodePair,
    store: ObjectServer,
    open_store: OpenStore,  # noqa: F811 - the fixture
):
    contents = [random.Random(place).randbytes(LARGE) for place in range(2)]
    names = [f"large-{place}.bin" for place in range(2)]
    bodies = [Pausing(content, KILLED_AFTER) for content in contents]
    with pair.client(0) as one, pair.client(1) as two, ThreadPoolExecutor(2) as pool:
        clients = (one, two)
        kept = one.post("/files", data={"purpose": "user_data"}, files={"file": ("kept.bin", contents[0][: 9 * MIB])}).json()
        uploads = [pool.submit(send, client, name, body, LARGE) for client, name, body in zip(clients, names, bodies, strict=True)]
        for body in bodies:
            assert body.reached.wait(60)
        store.kill()
        for body in bodies:
            body.go_on.set()
        for upload in uploads:
            assert_openai_error(upload.result(), 503, "storage_unavailable", type="server_error")
            assert upload.result().headers["retry-after"]
        listed = [file["filename"] for file in one.get("/files").json()["data"]]
        assert not set(listed) & set(names)
        store.start()
        pair.wait_until_ready()
        # The same uploads again, each at the other node.
        for client, name, content in zip(reversed(clients), names, contents, strict=True):
            made = send(client, name, whole(content), LARGE)
            assert made.status_code == 200, made.text
            for reader in clients:
                assert reader.get(f"/files/{made.json()['id']}/content").content == content
        assert two.get(f"/files/{kept['id']}/content").content == contents[0][: 9 * MIB]
    async with open_store(store, location=parse_blob_location(store.location)) as blobs:
        unfinished = [info for info in await everything(blobs) if not info.committed]
        assert unfinished, "nothing was under way when the store was killed"
        await sweep(pair, blobs)
        assert [info for info in await everything(blobs) if not info.committed] == []
        assert len(await everything(blobs)) == 3


def whole(content: bytes) -> Pausing:
    body = Pausing(content, 0)
    body.go_on.set()
    return body


async def sweep(pair: NodePair, blobs: object) -> None:
    """What a node's janitor does once everything that is left is old enough."""
    metadata = PostgresMetadataStore(pair.database_url)
    clock = ManualClock(time.time() + OLD_SECONDS)
    assert await Janitor(metadata, blobs, clock, Settings(orphan_grace_seconds=60)).run("the test") is not None
    await metadata.close()


def test_a_store_that_stands_still_amid_traffic_is_told_in_time_and_is_used_again(pair: NodePair, store: ObjectServer):
    traffic = Traffic(pair, seed=15, sizes=(0, 4_096, 70_000, 9 * MIB))
    with traffic.running():
        traffic.wait_for(20, operation="create")
        assert store.process is not None
        store.process.send_signal(signal.SIGSTOP)
        try:
            for place in range(2):
                traffic.wait_for(1, status=503, place=place, operation="create")
            # What needs no bytes goes on.
            with pair.client(0) as client:
                assert client.get("/files").status_code == 200
        finally:
            store.process.send_signal(signal.SIGCONT)
        for place in range(2):
            traffic.wait_for(5, place=place, operation="create")
    assert traffic.statuses <= {200, 404, 503}, traffic.told
    traffic.check()


def test_a_store_that_is_killed_amid_traffic_loses_nothing_that_was_answered(pair: NodePair, store: ObjectServer):
    traffic = Traffic(pair, seed=16, sizes=(0, 4_096, 70_000, 9 * MIB))
    with traffic.running():
        for _ in range(2):
            traffic.wait_for(10, operation="create")
            store.kill()
            for place in range(2):
                traffic.wait_for(1, status=503, place=place, operation="create")
            store.start()
            for place in range(2):
                traffic.wait_for(5, place=place, operation="create")
    assert traffic.statuses <= {200, 404, 500, 503}, traffic.told
    traffic.check()


def test_after_all_that_the_check_finds_nothing_lost(pair: NodePair):
    pair.check()
