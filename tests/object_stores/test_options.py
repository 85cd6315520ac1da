"""What the options of `blob_store` do to the requests that are made, seen by a proxy; and how long a store may take."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from fileplane.blobs.bucket import SMALLEST_PART, BucketUnusable, part_size
from fileplane.errors import StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.testing.blob_store_suite import everything, put, read
from support.http_proxy import HttpProxy, http_proxy
from support.object_servers import ACCESS_KEY, SECRET_KEY, ObjectServer, seaweedfs
from support.object_stores import OpenStore, located
from support.polling import eventually_async

pytestmark = pytest.mark.full

MIB = 1 << 20
BODY = bytes(range(256)) * (9 * MIB // 256)


@pytest.fixture
async def proxy(seaweed: ObjectServer) -> AsyncIterator[HttpProxy]:
    async with http_proxy(seaweed.endpoint) as proxy:
        yield proxy


@pytest.mark.parametrize("body", [b"small", BODY], ids=["one part", "two parts"])
@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"sse": "s3"}, {"x-amz-server-side-encryption": "AES256"}),
        (
            {"sse": "kms", "kms_key": "key-1"},
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "key-1"},
        ),
    ],
    ids=["sse-s3", "sse-kms"],
)
async def test_encryption_is_asked_for_where_an_object_begins(
    seaweed: ObjectServer, proxy: HttpProxy, open_store: OpenStore, options: dict[str, str], sent: dict[str, str], body: bytes
):
    async with open_store(seaweed, endpoint=proxy.endpoint, deadline_seconds=4, **options) as store:
        with suppress(StorageUnavailable):  # a store without keys refuses what it is asked for
            await store.delete((await put(store, body)).key)
        assert await everything(store) == []
        begun = next(headers for line, headers in proxy.heads if line.startswith(("POST", "PUT")))
        assert {name: begun.get(name) for name in sent} == sent


@pytest.mark.parametrize("checksum", ["sha256", "crc64nvme"])
async def test_checksums_are_sent_with_the_bytes_and_leave_them_as_they_are(
    seaweed: ObjectServer, proxy: HttpProxy, open_store: OpenStore, checksum: str
):
    async with open_store(seaweed, endpoint=proxy.endpoint, checksum=checksum) as store:
        blob = await put(store, BODY)
        assert await read(store, blob.key) == BODY
        parts = [headers for line, headers in proxy.heads if line.startswith("PUT")]
        assert len(parts) == 2
        assert all(f"x-amz-checksum-{checksum}" in headers for headers in parts)


async def test_credentials_are_read_from_the_files_of_the_clouds_own_tools(
    seaweed: ObjectServer, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "credentials"
    file.write_text(f"[storage]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    bare = ObjectServer(seaweed.location, seaweed.endpoint, {}, [], seaweed.directory, "")
    for name in seaweed.environment:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    async with open_store(bare, profile="storage") as store:
        blob = await put(store, b"by profile")
        assert await read(store, blob.key) == b"by profile"
    with pytest.raises(BucketUnusable, match="profile"):
        async with open_store(bare, profile="another"):
            pass


def test_parts_grow_with_the_largest_file_so_that_their_number_does_not():
    assert part_size(0) == part_size(8 << 30) == SMALLEST_PART
    assert part_size(5 << 40) * 10_000 > 5 << 40
    assert part_size(5 << 40) % MIB == 0


@pytest.fixture
def freezing(own_directory: Path) -> Iterator[ObjectServer]:
    with seaweedfs(own_directory) as server:
        yield server


async def test_a_store_that_stops_answering_is_given_up_within_the_deadlines(freezing: ObjectServer, open_store: OpenStore):
    assert freezing.process is not None
    async with open_store(freezing, deadline_seconds=2) as store:
        blob = await put(store, b"kept")
        freezing.process.send_signal(signal.SIGSTOP)
        stopped = psutil.Process(freezing.process.pid)
        await eventually_async(lambda: stopped.status() == psutil.STATUS_STOPPED, "every thread of the store has stopped")
        try:
            for call in (partial(read, store, blob.key), partial(everything, store), partial(put, store, BODY), store.check):
                began = time.monotonic()
                with pytest.raises(StorageUnavailable):
                    await call()
                assert time.monotonic() - began < 30  # not for ever: that is what is tested here
        finally:
            freezing.process.send_signal(signal.SIGCONT)


async def test_a_location_of_its_own_sees_nothing_of_another(seaweed: ObjectServer, open_store: OpenStore):
    async with open_store(seaweed, location=located(seaweed)) as one, open_store(seaweed, location=located(seaweed)) as other:
        await put(one, b"one")
        async with one.writer(new_blob_key()) as writer:
            for _ in range(20):
                await writer.write(bytes(MIB))
            assert await everything(other) == []
