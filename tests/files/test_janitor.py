from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from fileplane.blobs.local import LocalBlobStore
from fileplane.errors import FileNotFound, StorageUnavailable
from fileplane.files.janitor import LEASE, LEASE_SECONDS, Collected, Janitor
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import AuditQuery, File, NewFile, StoredBlob, Usage
from fileplane.settings import Settings
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import Fails, NaughtyBlobStore, NaughtyMetadataStore, Pauses, Plan
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION, make_project

HOUR = 3_600
DAY = 24 * HOUR
SIZE = 7


class House:
    """Both stores, on a clock that is moved by hand, with one project."""

    def __init__(self, directory: Path) -> None:
        prepare_database(directory / "fileplane.db")
        self.clock = ManualClock()
        self.settings = Settings(orphan_grace_seconds=HOUR, tombstone_seconds=DAY)
        self.metadata = SqliteMetadataStore(directory / "fileplane.db", self.clock)
        self.blobs = LocalBlobStore(directory / "blobs")
        self.root = directory / "blobs"
        self.project_id = ""

    def janitor(self, plan: Plan | None = None) -> Janitor:
        """A janitor of these stores, behind faults if there is a plan."""
        if plan is None:
            return Janitor(self.metadata, self.blobs, self.clock, self.settings)
        return Janitor(NaughtyMetadataStore(self.metadata, plan), NaughtyBlobStore(self.blobs, plan), self.clock, self.settings)

    async def blob(self) -> StoredBlob:
        """A committed blob that no file refers to, of the clock's time."""
        async with self.blobs.writer(new_blob_key()) as writer:
            await writer.write(b"content")
            blob = await writer.commit()
        os.utime(self.root / blob.key, (self.clock.now_ms() / 1000,) * 2)
        return blob

    async def file(self, expires_after: int | None = None) -> File:
        new = NewFile(await self.blob(), "user_data", "data.bin", "application/octet-stream", "key", expires_after)
        return (await self.metadata.create_file(self.project_id, new, PLENTY, NOBODY)).file

    async def deleted(self) -> File:
        file = await self.file()
        await self.metadata.delete_file(self.project_id, file.id, RETENTION, NOBODY)
        return file

    def has(self, *files: File | StoredBlob) -> list[bool]:
        """Whether the bytes of each are there."""
        keys = [file.blob_key if isinstance(file, File) else file.key for file in files]
        return [(self.root / key).exists() for key in keys]

    async def assert_sound(self) -> None:
        """Every file that is kept has its bytes, and the counters are right."""
        kept = await self.metadata.kept_files(("", ""), 1_000)
        assert all((self.root / entry.blob_key).exists() for entry in kept if not entry.due)
        assert await self.metadata.counter_drifts() == []
        assert await self.metadata.structural_problems() == []


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    house.project_id = (await make_project(house.metadata, "first")).id
    yield house
    await house.metadata.close()
    await house.blobs.close()


async def test_a_deleted_file_is_collected_after_the_retention_and_forgotten_much_later(house: House) -> None:
    file, kept = await house.deleted(), await house.file()
    house.clock.advance(RETENTION - 1)
    assert await house.janitor().run("one") == Collected()
    assert house.has(file, kept) == [True, True]
    house.clock.advance(1)
    assert await house.janitor().run("one") == Collected(collected=1, bytes=SIZE)
    assert house.has(file, kept) == [False, True]
    assert await house.metadata.usage(house.project_id) == Usage(1, SIZE)
    house.clock.advance(DAY - 1)
    assert await house.janitor().run("one") == Collected()
    house.clock.advance(1)
    assert await house.janitor().run("one") == Collected(forgotten=1)
    await house.assert_sound()


async def test_an_expired_file_is_collected_in_the_first_pass_that_finds_it(house: House) -> None:
    file = await house.file(expires_after=HOUR)
    house.clock.advance(HOUR)
    assert await house.janitor().run("one") == Collected(expired=1, collected=1, bytes=SIZE)
    assert house.has(file) == [False]
    (entry,) = (await house.metadata.list_audit(AuditQuery(9, action="expire"))).entries
    assert (entry.resource_id, entry.origin) == (file.id, NOBODY)
    await house.assert_sound()


async def test_a_blob_that_came_back_after_a_power_cut_is_removed_before_its_tombstone_is_forgotten(house: House) -> None:
    file = await house.deleted()
    house.clock.advance(RETENTION)
    await house.janitor().run("one", sweep=False)
    (house.root / file.blob_key).write_bytes(b"content")
    house.clock.advance(DAY)
    assert await house.janitor().run("one", sweep=False) == Collected()
    assert house.has(file) == [False]
    assert await house.janitor().run("one", sweep=False) == Collected(forgotten=1)


async def test_orphans_and_abandoned_uploads_go_when_they_are_old_enough(house: House) -> None:
    orphan, file = await house.blob(), await house.file()
    temporary = house.root / "tmp" / ("0" * 32)
    temporary.write_bytes(b"half")
    os.utime(temporary, (house.clock.now_ms() / 1000,) * 2)
    house.clock.advance(HOUR)
    assert await house.janitor().run("one") == Collected()
    house.clock.advance(1)
    assert await house.janitor().run("one", sweep=False) == Collected()
    assert await house.janitor().run("one") == Collected(abandoned=1, abandoned_bytes=4, orphans=1, orphan_bytes=SIZE, bytes=SIZE + 4)
    assert house.has(orphan, file) == [False, True]
    assert not temporary.exists()


async def test_the_bucket_is_walked_once_an_interval_by_whoever_is_there_and_never_forgotten(house: House) -> None:
    interval = house.settings.sweep_interval_seconds

    async def walks() -> bool:
        plan = Plan({})
        assert await house.janitor(plan).run("one", sweep=None) is not None
        return "walk" in plan.calls

    assert not await walks()
    house.clock.advance(interval - 1)
    assert not await walks()
    house.clock.advance(1)
    assert [await walks(), await walks()] == [True, False]
    # One that fails is not taken for one that was made, and a clock that was set back delays none.
    house.clock.advance(interval)
    failing = house.janitor(Plan({number: Fails(StorageUnavailable("away")) for number in range(6, 20)}))
    with suppress(StorageUnavailable):
        await failing.run("one", sweep=None)
    house.clock.advance(LEASE_SECONDS)
    assert [await walks(), await walks()] == [True, False]
    house.clock.advance(-DAY)
    assert [await walks(), await walks()] == [True, False]
    # `fileplane gc` counts as one.
    house.clock.advance(interval)
    await house.janitor().run("one")
    assert not await walks()


async def test_a_plan_changes_nothing(house: House) -> None:
    deleted, expired, orphan = await house.deleted(), await house.file(expires_after=HOUR), await house.blob()
    house.clock.advance(RETENTION)
    plans = [plan async for plan in house.janitor().plans()]
    assert sum(plan.bytes for plan in plans) == 3 * SIZE
    assert [entry.file_id for plan in plans for entry in plan.expire] == [expired.id]
    assert [entry.file_id for plan in plans for entry in plan.collect] == [deleted.id]
    assert [blob.key for plan in plans for blob in plan.orphans] == [orphan.key]
    assert house.has(deleted, expired, orphan) == [True, True, True]
    assert await house.metadata.usage(house.project_id) == Usage(1, 2 * SIZE)


async def test_a_plan_that_is_carried_out_late_spares_what_has_changed_since(house: House) -> None:
    restored, held, orphan = await house.deleted(), await house.file(expires_after=HOUR), await house.blob()
    house.clock.advance(RETENTION)
    janitor = house.janitor()
    plans = [plan async for plan in janitor.plans()]
    house.clock.advance(-RETENTION)
    await house.metadata.restore_file(house.project_id, restored.id, PLENTY, NOBODY)
    await house.metadata.hold_file(house.project_id, held.id, "in use", None, NOBODY)
    new = NewFile(orphan, "user_data", "late.bin", "application/octet-stream", "key")
    late = (await house.metadata.create_file(house.project_id, new, PLENTY, NOBODY)).file
    house.clock.advance(RETENTION)
    for plan in plans:
        await janitor.execute(plan)
    assert house.has(restored, held, late) == [True, True, True]
    await house.assert_sound()


async def test_an_upload_that_slept_through_a_sweep_is_refused_rather_than_recorded_without_its_bytes(house: House) -> None:
    blob = await house.blob()
    house.clock.advance(HOUR + 1)
    assert await house.janitor().run("one") == Collected(orphans=1, orphan_bytes=SIZE, bytes=SIZE)
    new = NewFile(blob, "user_data", "late.bin", "application/octet-stream", "key")
    with pytest.raises(StorageUnavailable) as refusal:
        await house.metadata.create_file(house.project_id, new, PLENTY, NOBODY)
    assert refusal.value.nothing_changed
    await house.assert_sound()


async def prepared(house: House) -> tuple[File, StoredBlob]:
    """A live file and a young blob that must stay, beside one of everything that must go."""
    for _ in range(2):
        await house.deleted()
    await house.file(expires_after=HOUR)
    await house.blob()
    house.clock.advance(RETENTION + 1)
    return await house.file(), await house.blob()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [StorageUnavailable("away"), OSError(errno.EIO, "the disk failed")], ids=["unavailable", "error"])
async def test_a_pass_that_fails_at_any_point_is_finished_by_the_next(house: House, error: Exception, late: bool) -> None:
    for point in count(1):
        keep = await prepared(house)
        plan = Plan({point: Fails(error, after=late)})
        with suppress(type(error)):
            await house.janitor(plan).run("one")
        await house.assert_sound()
        assert house.has(*keep) == [True, True]
        house.clock.advance(LEASE_SECONDS)
        assert await house.janitor().run("two") is not None
        await house.assert_sound()
        assert await house.metadata.collectable_files(None, 10) == []
        assert house.has(*keep) == [True, True]
        if not plan.struck:
            break
    assert point > 12


async def reached(pause: Pauses, work: asyncio.Future[object]) -> bool:
    """Waits until ``work`` pauses, or has ended without."""
    waiting = asyncio.ensure_future(pause.reached.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return pause.reached.is_set()


async def test_a_pass_that_dies_at_any_point_is_resumed_by_another(house: House) -> None:
    for point in count(1):
        keep = await prepared(house)
        pause = Pauses()
        plan = Plan({point: pause})
        dying = asyncio.ensure_future(house.janitor(plan).run("one"))
        struck = await reached(pause, dying)
        # What is dead releases no lease: the task is left where it stands until the end of the test.
        house.clock.advance(LEASE_SECONDS)
        assert await house.janitor().run("two") is not None
        await house.assert_sound()
        assert house.has(*keep) == [True, True]
        assert await house.metadata.collectable_files(None, 10) == []
        pause.resume.set()
        await dying
        await house.assert_sound()
        assert house.has(*keep) == [True, True]
        if not struck:
            break
    assert point > 12


async def test_two_janitors_at_once_do_no_harm_without_their_lease(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(house.metadata, "take_lease", always)
    keep = await prepared(house)
    done = await asyncio.gather(*[house.janitor().run(f"janitor {number}") for number in range(4)])
    assert all(entry is not None for entry in done)
    assert await house.metadata.collectable_files(None, 10) == []
    assert house.has(*keep) == [True, True]
    await house.assert_sound()


async def test_a_second_janitor_has_nothing_to_do_while_the_first_is_at_it(house: House) -> None:
    await house.deleted()
    house.clock.advance(RETENTION)
    assert await house.metadata.take_lease(LEASE, "one", LEASE_SECONDS)
    assert await house.janitor().run("two") is None
    assert await house.janitor().run("one") == Collected(collected=1, bytes=SIZE)
    assert await house.janitor().run("two") == Collected()


async def test_one_blob_that_cannot_be_removed_keeps_no_other_waiting(house: House) -> None:
    stuck, other = await house.deleted(), await house.deleted()
    house.clock.advance(RETENTION)
    (house.root / stuck.blob_key).unlink()
    (house.root / stuck.blob_key).mkdir()
    done = await house.janitor().run("one", sweep=False)
    assert done is not None
    assert (done.collected, done.failures) == (1, 1)
    assert house.has(other) == [False]
    (house.root / stuck.blob_key).rmdir()
    assert await house.janitor().run("one", sweep=False) == Collected(collected=1, bytes=SIZE)
    await house.assert_sound()


async def test_room_is_made_only_as_far_as_needed_and_from_no_live_file(house: House) -> None:
    live = await house.file()
    deleted = []
    for _ in range(3):
        deleted.append(await house.deleted())
        house.clock.advance(1)
    await house.janitor().make_room(house.project_id, SIZE + 1)
    assert house.has(live, *deleted) == [True, False, False, True]
    await house.janitor().make_room(house.project_id, SIZE + 1)
    assert house.has(live, *deleted) == [True, False, False, True]
    await house.janitor().make_room(house.project_id, SIZE)
    assert house.has(live, *deleted) == [True, False, False, False]
    assert await house.metadata.usage(house.project_id) == Usage(1, SIZE)


STEPS = ("create", "delete", "purge", "collect", "restore")


@pytest.mark.parametrize("second", STEPS)
@pytest.mark.parametrize("first", STEPS)
async def test_no_order_of_two_nodes_leaves_a_live_file_without_its_bytes(house: House, first: str, second: str) -> None:
    async def act(metadata: MetadataStore, step: str, file: File) -> None:
        try:
            if step == "create":
                await house.file()
            elif step == "delete":
                await metadata.delete_file(house.project_id, file.id, 0, NOBODY)
            elif step == "purge":
                await metadata.purge_file(house.project_id, file.id, NOBODY)
            elif step == "restore":
                await metadata.restore_file(house.project_id, file.id, PLENTY, NOBODY)
            else:
                await Janitor(metadata, house.blobs, house.clock, house.settings).run(step)
        except FileNotFound:
            return

    for deleted in (False, True):
        for point in count(1):
            file = await (house.deleted() if deleted else house.file())
            house.clock.advance(RETENTION if point % 2 else 0)
            pause = Pauses()
            one = asyncio.ensure_future(act(NaughtyMetadataStore(house.metadata, Plan({point: pause})), first, file))
            struck = await reached(pause, one)
            await act(house.metadata, second, file)
            pause.resume.set()
            await one
            await house.assert_sound()
            if not struck:
                break
