"""What every MetadataStore promises to those who end and collect files and look after the store, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from fileplane.access import Project
from fileplane.errors import (
    FileNotFound,
    StorageUnavailable,
)
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import AuditQuery, File, FileQuery, Idempotency, Remains, StoreUsage, Usage
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import (
    NOBODY,
    PLENTY,
    RETENTION,
    StoreFixtures,
    ids,
    make_project,
    new_file,
    record,
    record_file,
)

KEY = Idempotency(b"key", b"fingerprint")


async def all_due(store: MetadataStore) -> list[Remains]:
    """Every file whose bytes may go."""
    return await store.collectable_files(None, 1_000)


async def collect(store: MetadataStore) -> list[str]:
    """Collects all that is due, as far as the record goes; the ids."""
    claimed = await store.claim_collectable(await all_due(store))
    await store.mark_collected(claimed)
    return [entry.file_id for entry in claimed]


class MetadataUpkeepSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    async def test_an_ended_file_is_marked_once_and_collected(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file, kept = await record_file(store, project.id, expires_after=3_600), await record_file(store, project.id)
        clock.advance(3_600)
        ended = await store.ended_files(None, 10)
        assert [entry.file_id for entry in ended] == [file.id]
        await store.mark_ended([*ended, Remains(project.id, kept.id, kept.blob_key, kept.bytes, 0)])
        await store.mark_ended(ended)
        assert await store.ended_files(None, 10) == []
        assert (await store.list_files(project.id, FileQuery(10))).total == 1
        assert await collect(store) == [file.id]
        assert await store.usage(project.id) == Usage(1, 10)
        assert await store.counter_drifts() == []

    async def test_the_totals_are_those_of_all_projects_and_deleted_files_count_until_they_are_collected(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        assert await store.total_usage() == StoreUsage(0, 0, 0)
        other = await make_project(store, "other")
        files = [await record_file(store, owner.id) for owner in (project, project, other)]
        await store.delete_file(project.id, files[0].id, RETENTION, NOBODY)
        assert await store.total_usage() == StoreUsage(2, 1, sum(file.bytes for file in files))
        clock.advance(RETENTION)
        await collect(store)
        assert await store.total_usage() == StoreUsage(2, 0, files[1].bytes + files[2].bytes)

    async def test_the_database_is_as_large_as_what_it_holds_at_least(self, store: MetadataStore, project: Project) -> None:
        for _ in range(20):
            await record(store, project.id, replace(new_file(), filename="x" * 50_000))
        assert await store.database_bytes() >= 1_000_000

    async def test_what_is_due_comes_in_pages_the_longest_waiting_first(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        made = []
        for _ in range(5):
            file = await record_file(store, project.id)
            await store.delete_file(project.id, file.id, RETENTION, NOBODY)
            made.append(file.id)
            clock.advance(1)
        clock.advance(RETENTION)
        seen: list[Remains] = []
        while page := await store.collectable_files(seen[-1] if seen else None, 2):
            seen += page
        assert [entry.file_id for entry in seen] == made

    async def test_what_was_restored_in_time_is_not_claimed(
        self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock
    ) -> None:
        clock.advance(RETENTION)
        due = await all_due(store)
        clock.advance(-10)
        await store.restore_file(project.id, deleted.id, PLENTY, NOBODY)
        clock.advance(10)
        assert await store.claim_collectable(due) == []

    async def test_what_was_claimed_is_not_restored_by_a_clock_that_leaps_back(
        self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock
    ) -> None:
        clock.advance(RETENTION)
        assert await store.claim_collectable(await all_due(store))
        clock.advance(-RETENTION)
        with pytest.raises(FileNotFound):
            await store.restore_file(project.id, deleted.id, PLENTY, NOBODY)
        assert [entry.file_id for entry in await all_due(store)] == [deleted.id]

    async def test_what_was_not_claimed_is_neither_collected_nor_forgotten(
        self, store: MetadataStore, project: Project, deleted: File
    ) -> None:
        live = await record_file(store, project.id)
        entries = [Remains(project.id, file.id, file.blob_key, file.bytes, 0) for file in (live, deleted)]
        await store.mark_collected(entries)
        await store.forget_files(entries)
        assert await store.usage(project.id) == Usage(1, 20)
        assert await store.restore_file(project.id, deleted.id, PLENTY, NOBODY) == deleted

    async def test_a_tombstone_is_a_cursor_until_it_is_forgotten(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        older = await record_file(store, project.id)
        clock.advance(1)
        file = await record_file(store, project.id)
        await store.hold_file(project.id, file.id, "for a while", 1, NOBODY)
        clock.advance(1)
        await store.purge_file(project.id, file.id, NOBODY)
        await collect(store)
        now = clock.now_ms() // 1000
        assert await store.tombstones(now - 1, None, 10) == []
        (tombstone,) = await store.tombstones(now, None, 10)
        assert await ids(store, project, after=file.id) == [older.id]
        await store.forget_files([tombstone])
        await store.forget_files([tombstone])
        assert await store.tombstones(now, None, 10) == []
        assert await store.structural_problems() == []

    async def test_room_is_made_from_the_oldest_deleted_files_of_the_project_alone(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        other = await make_project(store, "second")
        made = []
        for owner in (other, project, project, project):
            file = await record_file(store, owner.id)
            await store.delete_file(owner.id, file.id, RETENTION, NOBODY)
            made.append(file.id)
            clock.advance(1)
        given_up = await store.give_up_oldest_deleted(project.id, 11)
        assert [entry.file_id for entry in given_up] == made[1:3]
        assert await ids(store, project, deleted=True) == [made[3]]
        await store.mark_collected(given_up)
        assert (await store.usage(project.id)).stored_bytes == 10
        assert await store.give_up_oldest_deleted(project.id, 0) == []

    async def test_nothing_is_given_up_where_all_of_it_would_not_be_enough(
        self, store: MetadataStore, project: Project, deleted: File
    ) -> None:
        assert await store.reclaimable_bytes(project.id) == 10
        assert await store.give_up_oldest_deleted(project.id, 11) == []
        assert await ids(store, project, deleted=True) == [deleted.id]

    async def test_a_file_past_its_end_is_given_up_before_anybody_has_marked_it(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        file = await record_file(store, project.id, expires_after=3_600)
        clock.advance(3_600)
        assert await store.reclaimable_bytes(project.id) == 10
        given_up = await store.give_up_oldest_deleted(project.id, 10)
        assert [entry.file_id for entry in given_up] == [file.id]
        await store.mark_collected(given_up)
        assert await store.usage(project.id) == Usage(0, 0)
        assert await store.counter_drifts() == []

    async def test_old_entries_are_forgotten_a_few_at_a_time(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        await asyncio.gather(*[record_file(store, project.id) for _ in range(2_000)])
        later = clock.now_ms() // 1000 + 1
        assert await store.forget_old_entries(later)
        assert (await store.list_audit(AuditQuery(1))).total == 1
        assert not await store.forget_old_entries(later)
        assert (await store.list_audit(AuditQuery(1))).total == 0

    async def test_old_keys_are_forgotten(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        await store.create_file(project.id, new_file(), PLENTY, NOBODY, KEY)
        clock.advance(86_400)
        assert not await store.forget_old_entries(None)
        clock.advance(-86_400)
        assert await store.repeated_upload_bytes(project.id, KEY.key_hash) is None

    async def test_no_file_is_recorded_for_a_condemned_blob(self, store: MetadataStore, project: Project) -> None:
        new, kept = new_file(), await record_file(store, project.id)
        assert await store.unowned_blobs([kept.blob_key, new.blob.key]) == [new.blob.key]
        assert await store.condemn_blobs([kept.blob_key, new.blob.key]) == [new.blob.key]
        with pytest.raises(StorageUnavailable) as refusal:
            await record(store, project.id, new)
        assert refusal.value.nothing_changed

    async def test_a_lease_is_held_by_one_until_it_ends(self, store: MetadataStore, clock: ManualClock) -> None:
        assert await store.take_lease("work", "one", 60)
        assert not await store.take_lease("work", "two", 60)
        assert await store.take_lease("other work", "two", 60)
        clock.advance(30)
        assert await store.take_lease("work", "one", 60)
        clock.advance(59)
        assert not await store.take_lease("work", "two", 60)
        clock.advance(1)
        assert await store.take_lease("work", "two", 60)
        await store.release_lease("work", "one")
        assert not await store.take_lease("work", "one", 60)
        await store.release_lease("work", "two")
        assert await store.take_lease("work", "one", 60)

    async def test_a_lease_taken_by_a_clock_far_ahead_is_no_obstacle(self, store: MetadataStore, clock: ManualClock) -> None:
        clock.advance(86_400)
        assert await store.take_lease("work", "one", 60)
        clock.advance(-86_400)
        assert await store.take_lease("work", "two", 60)

    async def test_a_bookmark_is_where_it_was_put(self, store: MetadataStore) -> None:
        assert await store.bookmark("scrub") is None
        for position in ("here", "there"):
            await store.set_bookmark("scrub", position)
            assert await store.bookmark("scrub") == position

    async def test_a_database_has_one_identity_for_good(self, store: MetadataStore) -> None:
        identities = set(await asyncio.gather(*(store.store_identity() for _ in range(8))))
        assert identities == {await store.store_identity()}
        assert len(uuid.UUID(identities.pop()).bytes) == 16

    async def test_every_file_whose_bytes_are_kept_is_known_to_the_checks(self, store: MetadataStore, deleted: File) -> None:
        other = await make_project(store, "second")
        live, purged, collected = [await record_file(store, other.id) for _ in range(3)]
        await store.purge_file(other.id, collected.id, NOBODY)
        await collect(store)
        await store.purge_file(other.id, purged.id, NOBODY)
        seen: list[tuple[str, bool]] = []
        after = ("", "")
        while page := await store.kept_files(after, 1):
            seen += [(entry.file_id, entry.due) for entry in page]
            after = page[-1].place
        assert sorted(seen) == sorted([(live.id, False), (deleted.id, False), (purged.id, True)])

    async def test_an_unused_key_is_known_to_nobody(self, store: MetadataStore) -> None:
        assert await store.unowned_blobs([]) == []
        key = new_blob_key()
        assert await store.unowned_blobs([key]) == [key]
