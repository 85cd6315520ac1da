"""Servers that are killed in the middle of a transfer, and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest

from fileplane.blobs.base import BlobMissing
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.files.janitor import Janitor
from fileplane.ids import new_blob_key
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.settings import Settings
from fileplane.testing.blob_store_suite import everything, put, read
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import CancelledAt
from support.object_servers import ObjectServer, fake_gcs, seaweedfs
from support.object_stores import OpenStore, located

pytestmark = pytest.mark.full

MIB = 1 << 20
BODY = bytes(range(256)) * (40 * MIB // 256)
Starting = Callable[[Path], AbstractContextManager[ObjectServer]]


@pytest.fixture(params=[seaweedfs, fake_gcs], ids=["seaweedfs", "fake_gcs"])  # a killed Azurite forgets what it had
def mortal(request: pytest.FixtureRequest, own_directory: Path) -> Iterator[ObjectServer]:
    """A server that a test may kill."""
    with request.param(own_directory) as server:
        yield server


async def test_a_store_killed_in_the_middle_of_an_upload_has_nothing_of_it_that_the_sweep_misses(
    mortal: ObjectServer, open_store: OpenStore
):
    place = located(mortal)
    # A store that has just come back is slow, so that it is asked with patience.
    async with open_store(mortal, location=place, deadline_seconds=10) as store, open_store(mortal, location=place) as patient:
        kept = await put(store, b"kept")
        key = new_blob_key()
        with pytest.raises(StorageUnavailable):
            async with store.writer(key) as writer:
                for start in range(0, len(BODY), MIB):
                    await writer.write(BODY[start : start + MIB])
                    if start == 20 * MIB:
                        mortal.kill()
                await writer.commit()
        mortal.start()
        with pytest.raises(BlobMissing):
            await read(patient, key)
        assert await read(patient, kept.key) == b"kept"
        for info in await everything(patient):
            assert info.committed == (info.key == kept.key)
            await patient.delete(info.key)
        assert await everything(patient) == []
        again = await put(patient, BODY)
        assert await read(patient, again.key) == BODY


async def test_a_download_whose_store_is_killed_is_whole_or_an_error(mortal: ObjectServer, open_store: OpenStore):
    place = located(mortal)
    async with open_store(mortal, location=place, deadline_seconds=10) as store, open_store(mortal, location=place) as patient:
        blob = await put(store, BODY)
        received = bytearray()

        async def take() -> None:
            async with store.open(blob.key) as reader:
                async for piece in reader:
                    if not received:
                        mortal.kill()
                    received.extend(piece)

        with pytest.raises((StorageUnavailable, StorageIntegrityError)):
            await take()
            assert bytes(received) == BODY  # all of it was on its way already
            raise StorageUnavailable("")
        assert BODY.startswith(received)
        mortal.start()
        assert await read(patient, blob.key) == BODY


async def test_wherever_an_upload_is_cancelled_it_leaves_nothing(seaweed: ObjectServer, open_store: OpenStore):
    pieces = [BODY[start : start + MIB] for start in range(0, 17 * MIB, MIB)]
    async with open_store(seaweed) as store:
        for point in count(1):
            cancelled = CancelledAt(point)
            task = asyncio.ensure_future(cancelled.run(put(store, *pieces)))
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, asyncio.CancelledError)
                assert await everything(store) == [], point
            if not cancelled.struck:
                break
        assert point > 10


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[SqliteMetadataStore]:
    prepare_database(tmp_path / "fileplane.db")
    store = SqliteMetadataStore(tmp_path / "fileplane.db", ManualClock())
    yield store
    await store.close()


async def test_the_janitor_removes_an_abandoned_upload_once_it_is_old_enough(
    seaweed: ObjectServer, open_store: OpenStore, metadata: SqliteMetadataStore
):
    clock = ManualClock()
    settings = Settings(orphan_grace_seconds=60)
    async with open_store(seaweed) as store:
        await store.claim(await metadata.store_identity())
        janitor = Janitor(metadata, store, clock, settings)
        async with store.writer(new_blob_key()) as writer:
            for start in range(0, 20 * MIB, MIB):
                await writer.write(BODY[start : start + MIB])
            (unfinished,) = await everything(store)
            assert not unfinished.committed
            clock.advance(unfinished.modified_at + 59 - clock.now_ms() / 1000)
            await janitor.run("holder")
            assert await everything(store) == [unfinished]
            clock.advance(3)
            done = await janitor.run("holder")
            assert done is not None
            assert done.abandoned == 1
            assert await everything(store) == []
            with pytest.raises(StorageUnavailable):
                await writer.commit()
        assert await everything(store) == []


async def test_an_unfinished_upload_is_as_young_as_its_newest_part(seaweed: ObjectServer, open_store: OpenStore):
    async with open_store(seaweed) as store, store.writer(new_blob_key()) as writer:
        for start in range(0, 20 * MIB, MIB):
            await writer.write(BODY[start : start + MIB])
        (before,) = await everything(store)
        await asyncio.sleep(1.1)  # the store's clock has whole seconds
        for start in range(0, 20 * MIB, MIB):
            await writer.write(BODY[start : start + MIB])
        (after,) = await everything(store)
        assert after.modified_at > before.modified_at
        assert after.size > before.size
