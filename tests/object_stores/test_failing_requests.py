"""Whichever request to an object store fails: what was acknowledged is whole, and what was not leaves nothing that the sweep misses."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from fileplane.blobs.base import BlobMissing
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.model import Span
from fileplane.testing.blob_store_suite import everything, read
from support.http_proxy import HttpProxy, http_proxy
from support.object_servers import ObjectServer
from support.object_stores import OpenStore, located

pytestmark = pytest.mark.full

MIB = 1 << 20
BODY = bytes(range(256)) * (9 * MIB // 256)
SMALL = b"small" * 1_000
ONCE, FOR_GOOD = 1, 1_000


@pytest.fixture(params=["seaweed", "azure", "gcs"])
def server(request: pytest.FixtureRequest) -> ObjectServer:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def proxy(server: ObjectServer) -> AsyncIterator[HttpProxy]:
    async with http_proxy(server.endpoint) as proxy:
        yield proxy


async def put(store: ObjectBlobStore, key: str, body: bytes) -> bool:
    """Whether the blob was acknowledged."""
    try:
        async with store.writer(key) as writer:
            for start in range(0, len(body), MIB):
                await writer.write(body[start : start + MIB])
            await writer.commit()
    except StorageUnavailable:
        return False
    return True


async def clear(store: ObjectBlobStore) -> None:
    for info in await everything(store):
        await store.delete(info.key)


@pytest.mark.parametrize("times", [ONCE, FOR_GOOD], ids=["once", "for good"])
@pytest.mark.parametrize("fault", ["refused", "lost", "error"])
@pytest.mark.parametrize("body", [SMALL, BODY], ids=["one part", "two parts"])
async def test_whichever_request_of_an_upload_fails_it_is_whole_or_nothing(
    proxy: HttpProxy, server: ObjectServer, open_store: OpenStore, body: bytes, fault: str, times: int
):
    outcomes = []
    location = located(server, endpoint=proxy.endpoint)
    # What is left is looked at without haste: short deadlines are for what fails.
    async with open_store(server, location=location, deadline_seconds=4) as store, open_store(server, location=location) as patient:
        for failing in itertools.count(1):
            key = new_blob_key()
            proxy.plan(fault, failing, times)
            acknowledged = await put(store, key, body)
            struck = proxy.struck
            proxy.plan()
            outcomes.append(acknowledged)
            if acknowledged:
                assert await read(patient, key) == body
            else:
                assert struck
                kept = [info.key for info in await everything(patient)]
                if times == ONCE:
                    assert kept == []
                elif key in kept:
                    assert await read(patient, key) == body  # whole, and an orphan that no file refers to
            await clear(patient)
            assert await everything(patient) == []
            if not struck:
                break
    assert len(outcomes) > 2
    assert outcomes[-1]
    if times != ONCE:
        assert not all(outcomes)
    elif server.location.startswith("gs:"):
        return  # the emulator completes an upload when it is only asked how far it has come
    else:
        assert all(outcomes)


@pytest.mark.parametrize("span", [None, Span(8 * MIB - 5, 10)], ids=["whole", "range"])
@pytest.mark.parametrize("fault", ["refused", "lost", "error", "cut"])
@pytest.mark.parametrize("times", [ONCE, FOR_GOOD], ids=["once", "for good"])
async def test_whichever_request_of_a_download_fails_it_is_whole_or_an_error(
    proxy: HttpProxy, server: ObjectServer, open_store: OpenStore, span: Span | None, fault: str, times: int
):
    expected = BODY if span is None else BODY[span.start : span.start + span.length]
    async with open_store(server, endpoint=proxy.endpoint, deadline_seconds=4) as store:
        key = new_blob_key()
        assert await put(store, key, BODY)
        for failing in itertools.count(1):
            proxy.plan(fault, failing, times)
            try:
                received = await read(store, key, span)
            except (StorageUnavailable, StorageIntegrityError):
                assert proxy.struck
            else:
                assert received == expected
            if not proxy.struck:
                break
        proxy.plan()
        assert failing > 1
        await store.delete(key)


@pytest.mark.parametrize("fault", ["refused", "error"])
async def test_a_store_that_is_away_is_told_apart_from_a_missing_blob(
    proxy: HttpProxy, server: ObjectServer, open_store: OpenStore, fault: str
):
    async with open_store(server, endpoint=proxy.endpoint, deadline_seconds=4) as store:
        key = new_blob_key()
        proxy.plan(fault, 1, FOR_GOOD)
        with pytest.raises(StorageUnavailable):
            await read(store, key)
        with pytest.raises(StorageUnavailable):
            await store.delete(key)
        with pytest.raises(StorageUnavailable):
            await everything(store)
        with pytest.raises(StorageUnavailable):
            await store.check()
        proxy.plan()
        with pytest.raises(BlobMissing):
            await read(store, key)


async def test_a_missing_bucket_is_not_taken_for_missing_blobs(server: ObjectServer, open_store: OpenStore):
    other = server.location.replace("//fileplane/", "//another/")
    async with open_store(ObjectServer(other, server.endpoint, server.environment, [], server.directory, "")) as store:
        with pytest.raises(StorageUnavailable):
            await read(store, new_blob_key())


async def test_a_cancelled_upload_leaves_nothing(server: ObjectServer, proxy: HttpProxy, open_store: OpenStore):
    async with open_store(server, endpoint=proxy.endpoint) as store:
        for seconds in (0.0, 0.01, 0.03, 0.1):
            uploading = asyncio.ensure_future(put(store, new_blob_key(), BODY))
            await asyncio.wait([uploading], timeout=seconds)
            uploading.cancel()
            if (await asyncio.gather(uploading, return_exceptions=True))[0] is True:
                await clear(store)
            assert await everything(store) == []
