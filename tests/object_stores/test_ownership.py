"""The blobs under one prefix belong to one database. Every other one is refused, and removes nothing there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fileplane.blobs import ownership
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.blobs.ownership import MARKER, UNREADABLE
from fileplane.errors import StorageUnavailable
from fileplane.files.janitor import Janitor
from fileplane.files.ownership import BlobsOfAnother, claim_blobs, require_own_blobs
from fileplane.ids import new_store_id
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import NewFile, StoredBlob
from fileplane.settings import Settings
from fileplane.testing.blob_store_suite import everything, put
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, make_project
from support.memory_bucket import MemoryBucket
from support.object_servers import ObjectServer
from support.object_stores import OpenStore, located
from support.server import run_fileplane

PLACE = "s3://bucket/prefix"
DAY = 86_400


class Slow(MemoryBucket):
    """Lets others have a turn before and after each thing it does, in an order that a seed decides."""

    def __init__(self, lie: str, seed: int) -> None:
        super().__init__(lie)
        self._random = random.Random(seed)

    async def create(self, key: str, body: bytes) -> bool:
        await self._pause()
        created = await super().create(key, body)
        await self._pause()
        return created

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(5)):
            await asyncio.sleep(0)


@pytest.fixture
async def databases(tmp_path: Path) -> AsyncIterator[Callable[[str], MetadataStore]]:
    """Databases by name."""
    opened: dict[str, SqliteMetadataStore] = {}

    def database(name: str) -> MetadataStore:
        if name not in opened:
            prepare_database(tmp_path / name)
            opened[name] = SqliteMetadataStore(tmp_path / name, ManualClock())
        return opened[name]

    yield database
    for store in opened.values():
        await store.close()


async def keep(metadata: MetadataStore, blob: StoredBlob) -> None:
    """Makes a file of a blob."""
    project = await make_project(metadata, "first")
    await metadata.create_file(project.id, NewFile(blob, "user_data", "a", "text/plain", "key", None), PLENTY, NOBODY)


@pytest.mark.parametrize("lie", ["", "ignores conditions"])
async def test_of_many_that_claim_a_place_at_once_one_wins_and_each_learns_which(lie: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ownership, "_SETTLE_SECONDS", 0.05)
    for seed in range(20):
        bucket = Slow(lie, seed)
        stores = {new_store_id(): ObjectBlobStore(bucket) for _ in range(6)}
        told = await asyncio.gather(*(store.claim(store_id) for store_id, store in stores.items()))
        winners = [store_id for store_id, owner in zip(stores, told, strict=True) if store_id == owner]
        assert len(winners) == 1, f"seed {seed}: {told}"
        assert [await store.belongs_to(store_id) for store_id, store in stores.items()].count(True) == 1


async def test_a_place_without_blobs_is_the_first_ones_and_refused_to_the_second(databases: Callable[[str], MetadataStore]):
    blobs = ObjectBlobStore(MemoryBucket())
    first, second = databases("first"), databases("second")
    for _ in range(2):
        await claim_blobs(first, blobs, PLACE)
    with pytest.raises(BlobsOfAnother, match=await first.store_identity()) as refused:
        await claim_blobs(second, blobs, PLACE)
    assert await second.store_identity() in str(refused.value)
    assert PLACE in str(refused.value)
    await require_own_blobs(first, blobs, PLACE)
    with pytest.raises(BlobsOfAnother):
        await require_own_blobs(second, blobs, PLACE)


async def test_blobs_whose_mark_is_lost_are_marked_again_by_the_database_that_knows_them_and_by_no_other(
    databases: Callable[[str], MetadataStore],
):
    bucket = MemoryBucket()
    blobs = ObjectBlobStore(bucket)
    first, second = databases("first"), databases("second")
    await claim_blobs(first, blobs, PLACE)
    await put(blobs, b"nobody's")
    await keep(first, await put(blobs, b"the first one's"))
    await bucket.delete(MARKER)
    with pytest.raises(BlobsOfAnother, match="knows none of them"):
        await claim_blobs(second, blobs, PLACE)
    assert MARKER not in bucket.kept
    with pytest.raises(BlobsOfAnother, match="Start a server"):
        await require_own_blobs(first, blobs, PLACE)
    await claim_blobs(first, blobs, PLACE)
    await require_own_blobs(first, blobs, PLACE)


@pytest.mark.parametrize("mark", [b"", b"null", b"{}", b'{"store": 1}', b"\xff", b'{"store": "' + b"x" * 10_000])
async def test_a_mark_that_no_fileplane_wrote_is_somebody_elses(mark: bytes, databases: Callable[[str], MetadataStore]):
    bucket = MemoryBucket()
    await bucket.create(MARKER, mark)
    with pytest.raises(BlobsOfAnother, match=UNREADABLE):
        await claim_blobs(databases("first"), ObjectBlobStore(bucket), PLACE)
    assert bucket.kept[MARKER] == mark


async def test_a_store_that_does_not_keep_the_mark_is_nobodys(databases: Callable[[str], MetadataStore], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ownership, "_SETTLE_SECONDS", 0.0)
    with pytest.raises(StorageUnavailable, match="does not keep the object"):
        await claim_blobs(databases("first"), ObjectBlobStore(MemoryBucket("loses what it is given")), PLACE)


async def test_nothing_is_swept_from_a_place_that_is_not_marked_as_the_databases_own(databases: Callable[[str], MetadataStore]):
    bucket, metadata = MemoryBucket(), databases("first")
    blobs = ObjectBlobStore(bucket)
    await claim_blobs(metadata, blobs, PLACE)
    mark = bucket.kept[MARKER]
    orphan = await put(blobs, b"nobody's, or somebody else's")
    clock = ManualClock()
    clock.advance((await everything(blobs))[0].modified_at + 2 * DAY - clock.now_ms() / 1000)
    janitor = Janitor(metadata, blobs, clock, Settings())

    for mark_there in (None, b"{}", b'{"store": "another"}'):
        bucket.kept.pop(MARKER, None)
        if mark_there is not None:
            bucket.kept[MARKER] = mark_there
        await janitor.run("holder")
        assert orphan.key in bucket.kept
    bucket.kept[MARKER] = mark
    done = await janitor.run("holder")
    assert done is not None
    assert done.orphans == 1
    assert orphan.key not in bucket.kept


@pytest.fixture(params=["seaweed", pytest.param("azure", marks=pytest.mark.full), pytest.param("gcs", marks=pytest.mark.full)])
def server(request: pytest.FixtureRequest) -> ObjectServer:
    return request.getfixturevalue(request.param)


async def test_a_real_store_keeps_the_mark_and_shows_it_to_nobody_as_a_blob(server: ObjectServer, open_store: OpenStore):
    place = located(server)
    first, second = new_store_id(), new_store_id()
    async with open_store(server, location=place) as one, open_store(server, location=place) as other:
        assert await one.owner() is None
        assert not await one.belongs_to(first)
        told = await asyncio.gather(one.claim(first), other.claim(second))
        assert told[0] == told[1]
        assert told[0] in {first, second}
        assert await other.claim(second) == told[0] == await one.owner()
        assert [await one.belongs_to(store_id) for store_id in (first, second)].count(True) == 1
        assert await everything(one) == []


async def test_a_second_database_is_refused_at_start_and_by_the_janitors_command(
    seaweed: ObjectServer, open_store: OpenStore, tmp_path: Path
):
    place, own = located(seaweed), str(tmp_path / "second")
    store = {"FILEPLANE_BLOB_STORE": str(place), **seaweed.environment}
    async with open_store(seaweed, location=place) as blobs:
        await blobs.claim(new_store_id())
    start = run_fileplane("serve", "--data-dir", own, **store)
    collection = run_fileplane("gc", "--data-dir", own, **store)
    for refused in (start, collection):
        assert refused.returncode == 1
        assert "belong to another database: its store id is " in refused.stderr
        assert "Traceback" not in refused.stderr
