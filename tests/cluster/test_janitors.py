"""Janitors of two nodes, and uploads and downloads of the other node: nothing that is needed goes, and what is not needed does not stay."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count

import pytest

from cluster.houses import CONTENT, DAY, HOUR, SIZE, House, two_houses
from fileplane.blob_location import BlobLocation
from fileplane.errors import FileNotFound, StorageUnavailable
from fileplane.files.janitor import LEASE_SECONDS, Collected
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import File, Usage
from fileplane.testing.faults import NaughtyMetadataStore, Pauses, Plan
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION

pytestmark = pytest.mark.full

Houses = tuple[House, House]
SEVERAL_PARTS = 20 << 20


@pytest.fixture
async def houses(url: str, place: BlobLocation) -> AsyncIterator[Houses]:
    async with AsyncExitStack() as stack:
        yield await two_houses(stack, url, place)


async def reached(pause: Pauses, work: asyncio.Future[object]) -> bool:
    """Waits until ``work`` pauses, or has ended without."""
    waiting = asyncio.ensure_future(pause.reached.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return pause.reached.is_set()


async def test_the_nodes_together_walk_the_bucket_once_an_interval(houses: Houses):
    one, other = houses
    walks = []
    for _ in range(4):
        for house in (one, other, one):
            plan = Plan({})
            assert await house.janitor(plan).run("any", sweep=None) is not None
            walks.append("walk" in plan.calls)
        one.clock.advance(HOUR)
    assert walks == [False] * 3 + [True, False, False] * 3
    one.clock.advance(-DAY)
    plan = Plan({})
    assert await other.janitor(plan).run("any", sweep=None) is not None
    assert "walk" in plan.calls


async def test_a_sweep_that_its_node_did_not_live_to_finish_is_done_by_the_other(houses: Houses):
    one, other = houses
    await one.janitor().run("one", sweep=None)
    one.clock.advance(HOUR)
    whole = Plan({})
    await one.janitor(whole).run("one", sweep=None)
    orphan = await one.blob()
    one.clock.advance(HOUR)
    pause = Pauses()
    dying = asyncio.ensure_future(one.janitor(Plan({whole.calls.index("walk") + 1: pause})).run("one", sweep=None))
    assert await reached(pause, dying)
    assert await other.janitor().run("other", sweep=None) is None
    one.clock.advance(LEASE_SECONDS)
    done = await other.janitor().run("other", sweep=None)
    assert done is not None
    assert done.orphans == 1
    pause.resume.set()
    await dying
    assert await one.read(orphan.key) is None
    await other.assert_sound()


async def test_the_lease_of_a_node_that_dies_goes_to_the_other(houses: Houses):
    one, other = houses
    for point in count(1):
        due, live = await one.deleted(), await other.file()
        one.clock.advance(RETENTION)
        pause = Pauses()
        dying = asyncio.ensure_future(one.janitor(Plan({point: pause})).run("one", sweep=False))
        struck = await reached(pause, dying)
        holds = struck and point > 1
        assert (await other.janitor().run("other", sweep=False) is None) == holds
        # What is dead gives nothing back: the task is left where it stands until the lease is the other's.
        one.clock.advance(LEASE_SECONDS)
        assert await other.janitor().run("other", sweep=False) is not None
        assert await other.read(due.blob_key) is None
        assert await one.metadata.collectable_files(None, 10) == []
        pause.resume.set()
        await dying
        assert await one.read(live.blob_key) == CONTENT
        await other.assert_sound()
        if not struck:
            break
    assert point > 5


async def test_two_janitors_at_once_take_each_file_once_and_nothing_else(houses: Houses, monkeypatch: pytest.MonkeyPatch):
    async def always(*_: object) -> bool:
        return True

    one, other = houses
    for house in houses:
        monkeypatch.setattr(house.metadata, "take_lease", always)
    for _ in range(10):
        await one.deleted()
        await other.file(expires_after=HOUR)
        await one.blob()
    one.clock.advance(RETENTION + HOUR)
    staying = [await one.file() for _ in range(5)]
    done = await asyncio.gather(*[house.janitor().run(f"janitor {number}") for number, house in enumerate((one, other, one, other))])
    assert sum(entry.collected for entry in done) == 20
    assert await one.metadata.usage(one.project_id) == Usage(len(staying), len(staying) * SIZE)
    assert await one.keys() == {file.blob_key for file in staying}
    await other.assert_sound()


STEPS = ("create", "delete", "purge", "collect", "restore")


async def act(house: House, metadata: MetadataStore, step: str, file: File) -> None:
    janitor = house.janitor()
    janitor._metadata = metadata
    try:
        if step == "create":
            await house.file()
        elif step == "delete":
            await metadata.delete_file(house.project_id, file.id, 0, NOBODY)
        elif step == "purge":
            await janitor.collect([await metadata.purge_file(house.project_id, file.id, NOBODY)])
        elif step == "restore":
            await metadata.restore_file(house.project_id, file.id, PLENTY, NOBODY)
        else:
            await janitor.run(step)
    except FileNotFound:
        return
    except StorageUnavailable as error:
        # An upload whose blob was hours old, by this clock, when the other swept.
        if step != "create" or not error.nothing_changed:
            raise


@pytest.mark.parametrize("second", STEPS)
@pytest.mark.parametrize("first", STEPS)
async def test_no_order_of_steps_on_two_nodes_leaves_a_live_file_without_its_bytes(houses: Houses, first: str, second: str):
    one, other = houses

    for deleted in (False, True):
        for point in count(1):
            file = await (one.deleted() if deleted else one.file())
            one.clock.advance(RETENTION if point % 2 else 0)
            pause = Pauses()
            naughty = NaughtyMetadataStore(one.metadata, Plan({point: pause}))
            going_on = asyncio.ensure_future(act(one, naughty, first, file))
            struck = await reached(pause, going_on)
            await act(other, other.metadata, second, file)
            pause.resume.set()
            await going_on
            await other.assert_sound()
            if not struck:
                break


async def test_a_sweep_on_one_node_leaves_an_upload_on_the_other_alone_for_as_long_as_the_grace(houses: Houses):
    one, other = houses
    content = secrets.token_bytes(SEVERAL_PARTS)
    async with one.blobs.writer(new_blob_key()) as writer:
        await writer.write(content[: SEVERAL_PARTS - SIZE])
        assert len(await other.unfinished()) == 1
        assert await other.janitor().run("other") == Collected()
        await writer.write(content[SEVERAL_PARTS - SIZE :])
        blob = await writer.commit()
    # Not recorded yet, which is when it looks most like an orphan.
    assert await other.janitor().run("other") == Collected()
    file = await one.record(blob)
    assert await other.read(file.blob_key) == content
    await other.assert_sound()


async def test_an_upload_that_slept_through_the_other_nodes_sweep_fails_and_leaves_nothing(houses: Houses):
    one, other = houses
    with pytest.raises(StorageUnavailable):
        async with one.blobs.writer(new_blob_key()) as writer:
            await writer.write(bytes(SEVERAL_PARTS))
            one.clock.advance(DAY)
            done = await other.janitor().run("other")
            assert done is not None
            assert done.abandoned == 1
            await writer.commit()
    assert (await other.keys(), await other.unfinished()) == (set(), [])
    blob = await one.blob()
    one.clock.advance(DAY)
    await other.janitor().run("other")
    with pytest.raises(StorageUnavailable) as refusal:
        await one.record(blob)
    assert refusal.value.nothing_changed
    assert await one.metadata.usage(one.project_id) == Usage(0, 0)
    await one.assert_sound()


async def test_a_download_on_one_node_has_only_right_bytes_whatever_the_other_collects_meanwhile(houses: Houses):
    one, other = houses
    contents = [secrets.token_bytes(SEVERAL_PARTS) for _ in range(2)]
    staying, going = [await one.record(await one.blob(content)) for content in contents]
    async with one.blobs.open(staying.blob_key) as kept, one.blobs.open(going.blob_key) as lost:
        pieces = {reader: aiter(reader) for reader in (kept, lost)}
        read = {reader: bytearray(await anext(iterator)) for reader, iterator in pieces.items()}
        await other.janitor().collect([await other.metadata.purge_file(other.project_id, going.id, NOBODY)])
        one.clock.advance(DAY)
        await other.janitor().run("other")
        read[kept] += b"".join([piece async for piece in pieces[kept]])
        try:
            async for piece in pieces[lost]:
                read[lost] += piece
        except StorageUnavailable:
            pass
    assert bytes(read[kept]) == contents[0]
    assert contents[1].startswith(bytes(read[lost]))
    assert await other.read(going.blob_key) is None
