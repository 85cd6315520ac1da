"""Uploads to Google Cloud Storage go on after a failure from where the store says they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fileplane.blob_location import parse_blob_location
from fileplane.blobs.gcs import GcsBucket
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.errors import StorageUnavailable
from fileplane.ids import new_blob_key
from support.resumable_uploads import ResumableUploads, resumable_uploads

MIB = 1 << 20
PART = 8 * MIB
BODY = bytes(range(256)) * (20 * MIB // 256) + b"the end"


@pytest.fixture
async def google() -> AsyncIterator[ResumableUploads]:
    async with resumable_uploads() as google:
        yield google


@pytest.fixture
async def store(google: ResumableUploads) -> AsyncIterator[ObjectBlobStore]:
    location = parse_blob_location(f"gs://bucket?endpoint={google.endpoint}&credentials=none&checksum=md5")
    store = ObjectBlobStore(GcsBucket(location, part_bytes=PART, deadline_seconds=10), deadline_seconds=10)
    yield store
    await store.close()


async def upload(store: ObjectBlobStore, key: str, body: bytes) -> None:
    async with store.writer(key) as writer:
        for start in range(0, len(body), MIB):
            await writer.write(body[start : start + MIB])
        await writer.commit()


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["half", "lost"],
        *(
            pytest.param(faults, marks=pytest.mark.full)
            for faults in (
                ["error"],
                ["lost"],
                ["half"],
                ["none", "lost"],
                ["none", "half"],
                ["none", "none", "lost"],
                ["none", "none", "error"],
                ["lost", "half", "error"],
            )
        ),
    ],
    ids="-".join,
)
async def test_an_upload_goes_on_from_where_the_store_says_it_is(google: ResumableUploads, store: ObjectBlobStore, faults: list[str]):
    key = new_blob_key()
    google.faults = [*faults]
    await upload(store, key, BODY)
    assert google.kept == {key: BODY}
    assert google.faults == []
    assert google.cancelled == []


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART, 2 * PART + 1])
async def test_an_upload_of_any_size_is_complete(google: ResumableUploads, store: ObjectBlobStore, size: int):
    key = new_blob_key()
    await upload(store, key, BODY[:size])
    assert google.kept == {key: BODY[:size]}


@pytest.mark.full
async def test_an_upload_that_goes_on_failing_is_given_up_and_cancelled(google: ResumableUploads, store: ObjectBlobStore):
    key = new_blob_key()
    google.faults = ["error"] * 50
    with pytest.raises(StorageUnavailable):
        await upload(store, key, BODY)
    assert google.kept == {}
    assert google.cancelled == [key]
    assert len(google.faults) > 40


async def test_a_checksum_that_differs_fails_the_upload(google: ResumableUploads, store: ObjectBlobStore):
    google.told = {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}
    with pytest.raises(StorageUnavailable):
        await upload(store, new_blob_key(), b"small")
    assert google.kept == {}
