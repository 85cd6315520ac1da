"""What a writer does about a store that loses answers or takes its time, without a real one in the way."""

from __future__ import annotations

import asyncio

import pytest

from fileplane.blobs import object_writer
from fileplane.blobs.bucket import UploadDamaged
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.errors import StorageUnavailable
from fileplane.testing.blob_store_suite import put, read
from support.memory_bucket import MemoryBucket, MemoryUpload

MIB = 1 << 20
KEY = "aa/" + "0" * 30


class Stubborn(MemoryBucket):
    """Makes uploads of a class that a test has chosen."""

    def __init__(self, kind: type[MemoryUpload]) -> None:
        super().__init__()
        self._kind = kind

    def upload(self, key: str) -> MemoryUpload:
        return self._kind(self, key)


class LosesTheAnswer(MemoryUpload):
    async def finish(self) -> None:
        await super().finish()
        raise OSError("the connection ended before the answer")


class SaysItIsDamaged(MemoryUpload):
    async def finish(self) -> None:
        await super().finish()
        raise UploadDamaged("another checksum")


class ForgetsWhatItWasCancelledIn(MemoryUpload):
    """As a library whose request to begin an upload is cancelled: the store has begun one of which the library never knew."""

    begun: asyncio.Event
    going_on: asyncio.Event

    async def write(self, data: bytes) -> None:
        self.bucket.uploads["begun"] = self.key
        self.begun.set()
        await self.going_on.wait()
        del self.bucket.uploads["begun"]
        await super().write(data)


class NeverEnds(MemoryUpload):
    async def abort(self) -> None:
        await asyncio.Event().wait()


async def test_a_completion_whose_answer_is_lost_is_found_to_have_happened():
    bucket = Stubborn(LosesTheAnswer)
    store = ObjectBlobStore(bucket)
    blob = await put(store, b"whole")
    assert await read(store, blob.key) == b"whole"
    await store.close()


async def test_a_completion_that_the_store_says_is_damaged_is_taken_back_although_its_size_is_right():
    bucket = Stubborn(SaysItIsDamaged)
    store = ObjectBlobStore(bucket)
    with pytest.raises(StorageUnavailable):
        await put(store, b"whole")
    assert bucket.kept == {}
    await store.close()


async def test_a_completion_that_has_kept_fewer_bytes_is_refused_and_removed():
    bucket = MemoryBucket("keeps only the first part")
    store = ObjectBlobStore(bucket)
    with pytest.raises(StorageUnavailable):
        await put(store, bytes(9 * MIB))
    assert bucket.kept == {}
    await store.close()


async def test_a_write_that_is_cancelled_is_let_to_its_end_before_it_is_aborted():
    bucket = Stubborn(ForgetsWhatItWasCancelledIn)
    ForgetsWhatItWasCancelledIn.begun, ForgetsWhatItWasCancelledIn.going_on = asyncio.Event(), asyncio.Event()
    store = ObjectBlobStore(bucket)
    uploading = asyncio.ensure_future(put(store, bytes(2 * MIB)))
    await ForgetsWhatItWasCancelledIn.begun.wait()
    uploading.cancel()
    await asyncio.sleep(0)
    ForgetsWhatItWasCancelledIn.going_on.set()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert (bucket.uploads, bucket.kept) == ({}, {})
    await store.close()


async def test_a_store_that_does_not_abort_keeps_nobody_waiting_for_long(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(object_writer, "_PATIENCE_SECONDS", 0.01)
    bucket = Stubborn(NeverEnds)
    store = ObjectBlobStore(bucket, deadline_seconds=0.2)
    async with store.writer(KEY) as writer:
        await writer.write(bytes(2 * MIB))
    assert bucket.uploads  # nobody has waited for it
    await store.close()
    assert bucket.uploads == {}  # but it was seen to


async def test_a_key_that_is_taken_is_left_as_it_is():
    bucket = MemoryBucket(kept={KEY: b"first"}, listed={KEY: 5})
    store = ObjectBlobStore(bucket)
    with pytest.raises(StorageUnavailable):
        async with store.writer(KEY) as writer:
            await writer.write(bytes(2 * MIB))
            await writer.commit()
    assert bucket.kept == {KEY: b"first"}
    assert bucket.uploads == {}
    await store.close()
