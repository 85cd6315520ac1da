"""What every MetadataStore promises of the later life of files, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fileplane.access import Project
from fileplane.errors import (
    FileInUse,
    FileNotFound,
    HoldNotFound,
    IdempotencyConflict,
    StorageQuotaExceeded,
    TooManyHolds,
    ValidationNotFound,
)
from fileplane.metadata.base import MetadataStore
from fileplane.model import AuditQuery, CreatedFile, File, FileQuery, Idempotency, Origin, Usage
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION, StoreFixtures, ids, make_project, new_file, record_file
from fileplane.testing.upkeep_suite import KEY, all_due, collect

SOMEBODY = Origin("key", "192.0.2.1", "req_1", "POST", "/v1/files")


class MetadataLifecycleSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    async def test_a_restored_file_is_what_it_was(self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock) -> None:
        clock.advance(RETENTION - 1)
        assert await store.restore_file(project.id, deleted.id, PLENTY, NOBODY) == deleted
        assert await store.get_file(project.id, deleted.id) == deleted
        assert await ids(store, project) == [deleted.id]
        assert await store.usage(project.id) == Usage(1, 10)
        assert await store.counter_drifts() == []

    async def test_nothing_is_restored_once_the_retention_is_over(
        self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock
    ) -> None:
        clock.advance(RETENTION)
        with pytest.raises(FileNotFound):
            await store.restore_file(project.id, deleted.id, PLENTY, NOBODY)
        assert await ids(store, project, deleted=True) == []

    async def test_a_file_that_expires_while_deleted_is_not_restored_after_that(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        file = await record_file(store, project.id, expires_after=3_600)
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        clock.advance(3_600)
        with pytest.raises(FileNotFound):
            await store.restore_file(project.id, file.id, PLENTY, NOBODY)
        assert [entry.file_id for entry in await all_due(store)] == [file.id]

    async def test_nothing_is_restored_in_a_project_that_is_gone(self, store: MetadataStore, project: Project, deleted: File) -> None:
        await store.delete_project(project.id, NOBODY)
        with pytest.raises(FileNotFound):
            await store.restore_file(project.id, deleted.id, PLENTY, NOBODY)
        assert (await store.usage(project.id)).live_files == 0

    async def test_a_live_foreign_or_unknown_file_cannot_be_restored(self, store: MetadataStore, project: Project, deleted: File) -> None:
        other = await make_project(store, "second")
        live = await record_file(store, project.id)
        for project_id, file_id in ((project.id, live.id), (other.id, deleted.id), (project.id, other.id)):
            with pytest.raises(FileNotFound):
                await store.restore_file(project_id, file_id, PLENTY, NOBODY)

    async def test_nothing_is_restored_beyond_the_quota(self, store: MetadataStore, project: Project, deleted: File) -> None:
        with pytest.raises(StorageQuotaExceeded):
            await store.restore_file(project.id, deleted.id, 9, NOBODY)
        assert await ids(store, project, deleted=True) == [deleted.id]

    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("purpose", [None, "user_data"])
    async def test_deleted_files_are_listed_paged_and_counted_like_others(
        self, store: MetadataStore, project: Project, clock: ManualClock, newest_first: bool, purpose: str | None
    ) -> None:
        gone = []
        for number in range(7):
            file = await record_file(store, project.id)
            await record_file(store, project.id, purpose="evals")
            clock.advance(1)
            if number % 2:
                await store.delete_file(project.id, file.id, RETENTION, NOBODY)
                gone.append(file.id)
        expected = gone[::-1] if newest_first else gone
        query: dict[str, Any] = {"deleted": True, "purpose": purpose, "newest_first": newest_first}
        assert await ids(store, project, **query) == expected
        assert await ids(store, project, **query, limit=1, after=expected[0]) == [expected[1]]
        page = await store.list_files(project.id, FileQuery(1, **query))
        assert (page.has_more, page.total) == (True, 3)
        (file,) = page.files
        assert file.deleted_at is not None
        assert file.restorable_until == file.deleted_at + RETENTION

    async def test_a_purged_file_is_collectable_at_once_and_never_restored(
        self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock
    ) -> None:
        live = await record_file(store, project.id)
        for file in (live, deleted):
            remains = await store.purge_file(project.id, file.id, NOBODY)
            assert (remains.blob_key, remains.bytes) == (file.blob_key, file.bytes)
            with pytest.raises(FileNotFound):
                await store.purge_file(project.id, file.id, NOBODY)
        clock.advance(-86_400)
        for file in (live, deleted):
            with pytest.raises(FileNotFound):
                await store.restore_file(project.id, file.id, PLENTY, NOBODY)
        assert sorted(await collect(store)) == sorted([live.id, deleted.id])
        assert await store.usage(project.id) == Usage(0, 0)
        assert await store.counter_drifts() == []

    async def test_a_held_file_can_be_neither_deleted_nor_purged(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file = await record_file(store, project.id)
        first = await store.hold_file(project.id, file.id, "batch 1", None, NOBODY)
        clock.advance(1)
        second = await store.hold_file(project.id, file.id, "training", 60, NOBODY)
        assert await store.list_holds(project.id, file.id) == [first, second]
        for attempt in (store.delete_file(project.id, file.id, RETENTION, NOBODY), store.purge_file(project.id, file.id, NOBODY)):
            with pytest.raises(FileInUse, match=f"{first.id}.*batch 1.*{second.id}.*training"):
                await attempt
        clock.advance(60)
        assert await store.list_holds(project.id, file.id) == [first]
        await store.release_hold(project.id, file.id, first.id, NOBODY)
        with pytest.raises(HoldNotFound):
            await store.release_hold(project.id, file.id, first.id, NOBODY)
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        assert await store.counter_drifts() == []

    async def test_only_what_exists_can_be_held(self, store: MetadataStore, project: Project, deleted: File, clock: ManualClock) -> None:
        other = await make_project(store, "second")
        foreign, ending = await record_file(store, other.id), await record_file(store, project.id, expires_after=3_600)
        hold = await store.hold_file(other.id, foreign.id, "theirs", None, NOBODY)
        clock.advance(3_600)
        for file in (deleted, foreign, ending):
            with pytest.raises(FileNotFound):
                await store.hold_file(project.id, file.id, "reason", None, NOBODY)
            with pytest.raises(FileNotFound):
                await store.list_holds(project.id, file.id)
            with pytest.raises(FileNotFound):
                await store.release_hold(project.id, file.id, hold.id, NOBODY)
        assert await store.list_holds(other.id, foreign.id) == [hold]

    async def test_expiry_waits_for_the_last_hold(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file = await record_file(store, project.id, expires_after=3_600)
        await store.hold_file(project.id, file.id, "an hour more", 7_200, NOBODY)
        for_good = await store.hold_file(project.id, file.id, "until released", None, NOBODY)
        clock.advance(10_000)
        assert (await store.get_file(project.id, file.id)).expires_at == file.expires_at
        assert await store.ended_files(None, 10) == []
        assert (await store.list_files(project.id, FileQuery(10))).total == 1
        await store.release_hold(project.id, file.id, for_good.id, NOBODY)
        with pytest.raises(FileNotFound):
            await store.get_file(project.id, file.id)
        assert (await store.list_files(project.id, FileQuery(10))).total == 0

    async def test_a_file_has_a_bounded_number_of_holds_and_forgets_those_that_have_ended(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        file = await record_file(store, project.id)
        await asyncio.gather(*[store.hold_file(project.id, file.id, f"hold {number}", 60, NOBODY) for number in range(1_000)])
        with pytest.raises(TooManyHolds):
            await store.hold_file(project.id, file.id, "one too many", None, NOBODY)
        with pytest.raises(FileInUse, match="and 980 more"):
            await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        clock.advance(60)
        hold = await store.hold_file(project.id, file.id, "another", None, NOBODY)
        assert await store.list_holds(project.id, file.id) == [hold]

    async def test_a_key_stands_for_its_first_file_for_a_day(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        async def create(key: Idempotency) -> CreatedFile:
            return await store.create_file(project.id, new_file(), PLENTY, NOBODY, key)

        first = await create(KEY)
        assert await store.repeated_upload_bytes(project.id, KEY.key_hash) == 10
        clock.advance(86_399)
        again = await create(KEY)
        assert (again.file, again.repeated) == (first.file, True)
        with pytest.raises(IdempotencyConflict):
            await create(Idempotency(KEY.key_hash, b"another"))
        clock.advance(1)
        assert await store.repeated_upload_bytes(project.id, KEY.key_hash) is None
        later = await create(Idempotency(KEY.key_hash, b"another"))
        assert not later.repeated
        assert await ids(store, project) == [later.file.id, first.file.id]

    async def test_a_key_whose_file_is_gone_conflicts(self, store: MetadataStore, project: Project) -> None:
        first = (await store.create_file(project.id, new_file(), PLENTY, NOBODY, KEY)).file
        await store.delete_file(project.id, first.id, RETENTION, NOBODY)
        with pytest.raises(IdempotencyConflict):
            await store.create_file(project.id, new_file(), PLENTY, NOBODY, KEY)

    async def test_a_key_of_one_project_means_nothing_in_another(self, store: MetadataStore, project: Project) -> None:
        other = await make_project(store, "second")
        made = [await store.create_file(owner.id, new_file(), PLENTY, NOBODY, KEY) for owner in (project, other)]
        assert [entry.repeated for entry in made] == [False, False]

    async def test_racing_requests_with_one_key_yield_one_file(self, store: MetadataStore, project: Project) -> None:
        made = await asyncio.gather(*[store.create_file(project.id, new_file(), PLENTY, NOBODY, KEY) for _ in range(20)])
        assert len({entry.file.id for entry in made}) == 1
        assert sorted(entry.repeated for entry in made) == [False] + [True] * 19
        assert await store.usage(project.id) == Usage(1, 10)

    async def test_a_repeated_key_needs_no_room(self, store: MetadataStore, project: Project) -> None:
        first = await store.create_file(project.id, new_file(size=60), 100, NOBODY, KEY)
        assert (await store.create_file(project.id, new_file(size=60), 100, NOBODY, KEY)).file == first.file

    async def test_a_verdict_is_kept_with_its_file(self, store: MetadataStore, project: Project) -> None:
        judged = await record_file(store, project.id, verdict='{"valid":true}')
        plain = await record_file(store, project.id)
        assert await store.get_validation(project.id, judged.id) == '{"valid":true}'
        with pytest.raises(ValidationNotFound):
            await store.get_validation(project.id, plain.id)
        await store.delete_file(project.id, judged.id, RETENTION, NOBODY)
        with pytest.raises(FileNotFound):
            await store.get_validation(project.id, judged.id)

    async def test_every_change_is_in_the_audit_log(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file = (await store.create_file(project.id, new_file(expires_after=3_600), PLENTY, SOMEBODY)).file
        hold = await store.hold_file(project.id, file.id, "reason", None, SOMEBODY)
        await store.release_hold(project.id, file.id, hold.id, SOMEBODY)
        await store.delete_file(project.id, file.id, RETENTION, SOMEBODY)
        await store.restore_file(project.id, file.id, PLENTY, SOMEBODY)
        clock.advance(3_600)
        await store.mark_ended(await store.ended_files(None, 10))
        purged = await record_file(store, project.id)
        await store.purge_file(project.id, purged.id, SOMEBODY)
        page = await store.list_audit(AuditQuery(100, resource_type="files"))
        assert sorted(entry.action for entry in page.entries if entry.resource_id == file.id) == sorted(
            ["create", "hold", "release", "delete", "restore", "expire"]
        )
        assert {entry.origin for entry in page.entries} == {SOMEBODY, NOBODY}
        assert {(entry.project_id, entry.resource_type) for entry in page.entries} == {(project.id, "files")}
        assert page.total == 8

    @pytest.mark.parametrize(
        "refused",
        [
            lambda store, project: store.delete_file(project, "unknown", RETENTION, SOMEBODY),
            lambda store, project: store.purge_file(project, "unknown", SOMEBODY),
            lambda store, project: store.restore_file(project, "unknown", PLENTY, SOMEBODY),
            lambda store, project: store.hold_file(project, "unknown", "reason", None, SOMEBODY),
            lambda store, project: store.create_file(project, new_file(), 0, SOMEBODY),
        ],
    )
    async def test_what_is_refused_is_not_in_the_audit_log(
        self, store: MetadataStore, project: Project, refused: Callable[[MetadataStore, str], Any]
    ) -> None:
        with pytest.raises((FileNotFound, StorageQuotaExceeded)):
            await refused(store, project.id)
        assert (await store.list_audit(AuditQuery(100, resource_type="files"))).total == 0

    async def test_the_audit_log_is_filtered_paged_and_forgotten(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        other = await make_project(store, "second")
        start = clock.now_ms() // 1000
        files = []
        for owner in (project, other) * 3:
            files.append((await store.create_file(owner.id, new_file(), PLENTY, SOMEBODY)).file)
            clock.advance(1)
        everything = (await store.list_audit(AuditQuery(100, resource_type="files"))).entries
        assert [entry.resource_id for entry in everything] == [file.id for file in files[::-1]]
        page = await store.list_audit(AuditQuery(2, offset=1, project_id=project.id, resource_type="files"))
        assert ([entry.resource_id for entry in page.entries], page.total) == ([files[2].id, files[0].id], 3)
        for query, count in [
            (AuditQuery(9, since=start + 2, until=start + 3), 2),
            (AuditQuery(9, resource_id=files[1].id), 1),
            (AuditQuery(9, action="delete"), 0),
            (AuditQuery(9, key_id="key", client="192.0.2.1", request_id="req_1", method="POST", path="/v1/files"), 6),
            (AuditQuery(9, key_id="another"), 0),
        ]:
            assert (await store.list_audit(query)).total == count
        assert not await store.forget_old_entries(start + 4)
        assert (await store.list_audit(AuditQuery(100))).total == 2
