"""What every MetadataStore promises of uploads in parts and of the files that they become, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import pytest

from fileplane.access import CallerLimits, Limits, Project
from fileplane.errors import (
    FileNotFound,
    FileQuotaExceeded,
    InvalidValue,
    RateLimited,
    StorageQuotaExceeded,
    StorageUnavailable,
    TooManyParts,
    UploadNotFound,
    UploadNotPending,
    ValidationNotFound,
)
from fileplane.ids import new_blob_key, uuid7
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.metadata.transactions import uploads as transactions
from fileplane.model import FileStatus, NewFile, StoredBlob, Usage
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION, StoreFixtures, ids
from fileplane.testing.upload_fixtures import LIFETIME, add, begin, complete, make_file, sweep
from fileplane.uploads import Completion, NewPart, Settlement, UploadQuery, manifest_of

SETTLED: Final = Settlement(hashlib.sha256(b"").hexdigest(), "processed", verdict="{}")


class MetadataUploadsSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    async def test_an_upload_is_pending_for_its_time_and_then_expired(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        upload = await begin(store, project)
        assert (upload.status, upload.expires_at - upload.created_at, upload.file) == ("pending", LIFETIME, None)
        assert await store.get_upload(project.id, upload.id) == upload
        part = await add(store, upload, 30)
        clock.advance(LIFETIME)
        assert (await store.get_upload(project.id, upload.id)).status == "expired"
        for late in (add(store, upload), complete(store, upload, part), store.cancel_upload(project.id, upload.id)):
            with pytest.raises(UploadNotPending):
                await late

    async def test_another_project_does_not_have_the_upload(self, store: MetadataStore, project: Project, other: Project) -> None:
        upload = await begin(store, project, 10)
        part = await add(store, upload)
        foreign = Completion((part.id,), "key")
        blob = StoredBlob(new_blob_key(), 1, "")
        for call in (
            store.get_upload(other.id, upload.id),
            store.add_part(other.id, upload.id, NewPart(blob, "key"), PLENTY),
            store.complete_upload(other.id, upload.id, foreign, NOBODY),
            store.listed_parts(other.id, upload.id, [part.id]),
            store.put_off_upload(other.id, upload.id, 10),
            store.cancel_upload(other.id, upload.id),
        ):
            with pytest.raises(UploadNotFound):
                await call
        assert await store.upload_parts(other.id, upload.id) == []
        assert (await store.list_uploads(other.id, UploadQuery(10))).uploads == ()
        assert await store.usage(other.id) == Usage(0, 0)

    async def test_a_file_has_the_listed_parts_in_their_order_and_the_others_are_given_up(
        self, store: MetadataStore, project: Project
    ) -> None:
        upload = await begin(store, project, expires_after=LIFETIME)
        parts = [await add(store, upload) for _ in range(4)]
        assert await store.upload_parts(project.id, upload.id) == sorted(parts, key=lambda part: part.id)
        wanted = [parts[2], parts[0], parts[3]]
        assert await store.listed_parts(project.id, upload.id, [part.id for part in wanted]) == wanted
        done = await complete(store, upload, *wanted)
        file = done.file
        assert done.status == "completed"
        assert file is not None
        assert await store.get_file(project.id, file.id) == file
        assert (file.bytes, file.sha256, file.status, file.filename) == (30, "", "uploaded", "data.bin")
        assert file.expires_at == file.created_at + LIFETIME
        assert manifest_of(file.blob_key) == upload.id
        assert await store.manifest_parts(project.id, upload.id) == wanted
        assert await store.upload_parts(project.id, upload.id) == wanted
        assert [entry.blob_key for entry in await store.given_up_parts(None, 10)] == [parts[1].blob_key]
        assert await store.incomplete_files(10) == []

    async def test_parts_count_as_they_come_and_the_file_counts_in_their_place(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project)
        parts = [await add(store, upload) for _ in range(4)]
        assert await store.usage(project.id) == Usage(0, 40)
        assert await store.counter_drifts() == []
        await complete(store, upload, *parts[:3])
        assert await store.usage(project.id) == Usage(1, 40)
        assert await store.counter_drifts() == []
        assert await sweep(store) == [parts[3].id]
        assert await store.usage(project.id) == Usage(1, 30)
        assert await store.counter_drifts() == []

    async def test_a_part_beyond_the_quota_is_refused_and_nothing_is_recorded(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project)
        part = await add(store, upload, quota_bytes=15)
        with pytest.raises(StorageQuotaExceeded):
            await add(store, upload, quota_bytes=15)
        assert await store.upload_parts(project.id, upload.id) == [part]
        assert await store.usage(project.id) == Usage(0, 10)

    async def test_the_days_bytes_and_the_number_of_files_are_limited(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project, 10)
        daily = CallerLimits(Limits(upload_bytes_per_day=25), Limits())
        blob = StoredBlob(new_blob_key(), 10, "")
        part = await store.add_part(project.id, upload.id, NewPart(blob, "key", received_bytes=20), PLENTY, daily)
        with pytest.raises(RateLimited):
            await store.add_part(project.id, upload.id, NewPart(StoredBlob(new_blob_key(), 5, ""), "key", 6), PLENTY, daily)
        assert (await store.kept(project.id, "key")).received_bytes == 20
        with pytest.raises(FileQuotaExceeded):
            await complete(store, upload, part, limits=CallerLimits(Limits(files=0), Limits()))
        done = await complete(store, upload, part, limits=CallerLimits(Limits(files=1), Limits()))
        assert done.status == "completed"
        assert (await store.kept(project.id, "key")).received_bytes == 20

    async def test_the_parts_of_a_keys_uploads_count_towards_its_limit_until_they_come_to_nothing(
        self, store: MetadataStore, project: Project
    ) -> None:
        key = CallerLimits(Limits(), Limits(storage_bytes=25))
        first, second = await begin(store, project, 10), await begin(store, project, 20)
        part, _ = await add(store, first, limits=key), await add(store, second, limits=key)
        with pytest.raises(StorageQuotaExceeded):
            await add(store, second, limits=key)
        await complete(store, first, part, limits=key)
        with pytest.raises(StorageQuotaExceeded):
            await add(store, second, limits=key)
        await store.cancel_upload(project.id, second.id)
        assert (await add(store, await begin(store, project), limits=key)).bytes == 10
        other = CallerLimits(Limits(), Limits(storage_bytes=10))
        blob = StoredBlob(new_blob_key(), 10, "")
        third = await begin(store, project)
        assert (await store.add_part(project.id, third.id, NewPart(blob, "another key"), PLENTY, other)).bytes == 10

    async def test_a_list_of_parts_that_does_not_make_the_file_is_refused_and_the_upload_goes_on(
        self, store: MetadataStore, project: Project
    ) -> None:
        upload, elsewhere = await begin(store, project, 20), await begin(store, project)
        one, two, foreign = await add(store, upload), await add(store, upload), await add(store, elsewhere)
        for wrong in ([one], [one, one], [one, foreign], [], [one, two, await add(store, upload, 1)]):
            with pytest.raises(InvalidValue) as refusal:
                await complete(store, upload, *wrong)
            assert refusal.value.param == "part_ids"
        with pytest.raises(InvalidValue):
            await store.complete_upload(project.id, upload.id, Completion((one.id, uuid7(1)), "key"), NOBODY)
        assert await ids(store, project) == []
        assert (await complete(store, upload, two, one)).status == "completed"

    async def test_of_completions_at_once_one_makes_the_file_and_all_the_same_get_it(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project, 20)
        parts = [await add(store, upload) for _ in range(2)]
        done = await asyncio.gather(*[complete(store, upload, *parts) for _ in range(8)])
        assert len({one.file.id for one in done if one.file is not None}) == 1
        with pytest.raises(UploadNotPending):
            await complete(store, upload, *reversed(parts))
        with pytest.raises(UploadNotPending):
            await add(store, upload)
        with pytest.raises(UploadNotPending):
            await store.cancel_upload(project.id, upload.id)
        assert len(await ids(store, project)) == 1
        assert await store.usage(project.id) == Usage(1, 20)

    async def test_an_upload_whose_file_is_deleted_is_not_completed_again(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project, 10)
        part = await add(store, upload)
        file = (await complete(store, upload, part)).file
        assert file is not None
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        with pytest.raises(UploadNotPending):
            await complete(store, upload, part)
        gone = await store.get_upload(project.id, upload.id)
        assert (gone.status, gone.file) == ("completed", None)
        restored = await store.restore_file(project.id, file.id, PLENTY, NOBODY)
        assert (await store.get_upload(project.id, upload.id)).file == restored

    async def test_a_cancelled_upload_stays_so_and_gives_its_parts_up(self, store: MetadataStore, project: Project) -> None:
        upload = await begin(store, project)
        parts = [await add(store, upload) for _ in range(2)]
        given_up = await store.cancel_upload(project.id, upload.id)
        assert sorted(entry.blob_key for entry in given_up) == sorted(part.blob_key for part in parts)
        assert await store.cancel_upload(project.id, upload.id) == given_up
        assert (await store.get_upload(project.id, upload.id)).status == "cancelled"
        with pytest.raises(UploadNotPending):
            await add(store, upload)
        assert await store.upload_parts(project.id, upload.id) == []
        assert len(await store.forget_parts(given_up)) == 2
        assert await store.forget_parts(given_up) == []
        assert await store.usage(project.id) == Usage(0, 0)
        assert await store.counter_drifts() == []

    async def test_uploads_past_their_time_are_ended_a_bounded_number_at_a_time(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        uploads = [await begin(store, project) for _ in range(5)]
        for upload in uploads:
            await add(store, upload)
        kept = await make_file(store, project)
        clock.advance(LIFETIME)
        fresh = await begin(store, project)
        seen = []
        while page := await store.ended_uploads(None, 2):
            assert len(page) <= 2
            seen += [entry.file_id for entry in page]
            await store.expire_uploads(page)
            await store.expire_uploads(page)
        assert sorted(seen) == sorted(upload.id for upload in uploads)
        assert (await store.get_upload(project.id, fresh.id)).status == "pending"
        assert len(await sweep(store)) == 5
        assert await store.usage(project.id) == Usage(1, kept.bytes)
        clock.advance(2 * 86_400)
        while await store.forget_old_entries(None):
            continue
        with pytest.raises(UploadNotFound):
            await store.get_upload(project.id, uploads[0].id)
        assert manifest_of(kept.blob_key) is not None

    async def test_an_upload_that_is_put_off_does_not_expire_meanwhile(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        upload = await begin(store, project, 10)
        part = await add(store, upload)
        clock.advance(LIFETIME - 1)
        await store.put_off_upload(project.id, upload.id, 100)
        clock.advance(99)
        assert await store.ended_uploads(None, 10) == []
        assert (await complete(store, upload, part)).status == "completed"
        with pytest.raises(UploadNotPending):
            await store.put_off_upload(project.id, upload.id, 100)

    async def test_an_upload_expires_a_lifetime_after_its_last_part_and_never_sooner_for_one(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        upload = await begin(store, project)
        clock.advance(LIFETIME - 1)
        for lifetime_seconds in (LIFETIME, 1):
            blob = StoredBlob(new_blob_key(), 5, "")
            await store.add_part(project.id, upload.id, NewPart(blob, "key", lifetime_seconds=lifetime_seconds), PLENTY)
        later = await store.get_upload(project.id, upload.id)
        assert later.expires_at == upload.expires_at + LIFETIME - 1
        clock.advance(LIFETIME)
        with pytest.raises(UploadNotPending):
            await store.add_part(project.id, upload.id, NewPart(StoredBlob(new_blob_key(), 5, ""), "key", 0, LIFETIME), PLENTY)

    async def test_blobs_of_parts_are_owned_and_one_that_was_condemned_becomes_no_part(
        self, store: MetadataStore, project: Project
    ) -> None:
        upload = await begin(store, project)
        part, orphan = await add(store, upload), new_blob_key()
        assert await store.unowned_blobs([part.blob_key, orphan]) == [orphan]
        assert await store.condemn_blobs([part.blob_key, orphan]) == [orphan]
        with pytest.raises(StorageUnavailable) as refusal:
            await store.add_part(project.id, upload.id, NewPart(StoredBlob(orphan, 1, ""), "key"), PLENTY)
        assert refusal.value.nothing_changed

    async def test_an_upload_has_no_more_parts_than_it_may_have(
        self, store: MetadataStore, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transactions, "MOST_PARTS", 2)
        upload = await begin(store, project)
        for _ in range(2):
            await add(store, upload)
        with pytest.raises(TooManyParts):
            await add(store, upload)

    async def test_a_file_is_settled_once(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file = await make_file(store, project)
        clock.advance(1)
        later = await make_file(store, project)
        assert await store.unsettled_files(None, 1) == [file]
        assert await store.unsettled_files(file, 10) == [later]
        with pytest.raises(ValidationNotFound):
            await store.get_validation(project.id, file.id)
        assert await store.settle_file(project.id, file.id, SETTLED)
        assert not await store.settle_file(project.id, file.id, Settlement("other", "error"))
        settled = await store.get_file(project.id, file.id)
        assert (settled.sha256, settled.status) == (SETTLED.sha256, "processed")
        assert await store.get_validation(project.id, file.id) == "{}"
        await store.delete_file(project.id, later.id, RETENTION, NOBODY)
        assert await store.unsettled_files(None, 10) == [later]
        remains = await store.purge_file(project.id, later.id, NOBODY)
        assert await store.unsettled_files(None, 10) == []
        await store.mark_collected([remains])
        assert not await store.settle_file(project.id, later.id, SETTLED)

    async def test_no_file_whose_hash_is_known_is_ever_settled(self, store: MetadataStore, project: Project) -> None:
        blob = StoredBlob(new_blob_key(), 3, "a" * 64)
        new = NewFile(blob, "user_data", "a.bin", "text/plain", "key", status=FileStatus.UPLOADED)
        file = (await store.create_file(project.id, new, PLENTY, NOBODY)).file
        assert await store.unsettled_files(None, 10) == []
        assert not await store.settle_file(project.id, file.id, Settlement("", "error", "damaged"))
        assert await store.get_file(project.id, file.id) == file

    async def test_only_a_file_that_could_not_be_read_is_settled_again(self, store: MetadataStore, project: Project) -> None:
        damaged, invalid, sound = [await make_file(store, project) for _ in range(3)]
        unread = Settlement("", "error", "damaged")
        for file, settlement in ((damaged, unread), (invalid, Settlement("f" * 64, "error", "line 1")), (sound, SETTLED)):
            assert await store.settle_file(project.id, file.id, settlement)
        assert [file.id for file in await store.damaged_files(("", ""), 10)] == [damaged.id]
        assert await store.damaged_files((project.id, damaged.id), 10) == []
        assert [await store.settle_again(project.id, file.id) for file in (damaged, invalid, sound, damaged)] == [True, False, False, False]
        assert await store.unsettled_files(None, 10) == [damaged]
        assert await store.settle_file(project.id, damaged.id, unread)
        remains = await store.purge_file(project.id, damaged.id, NOBODY)
        assert await store.damaged_files(("", ""), 10) == []
        await store.mark_collected([remains])
        assert not await store.settle_again(project.id, damaged.id)

    async def test_the_parts_of_a_file_are_kept_as_long_as_the_file(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        file = await make_file(store, project)
        upload_id = manifest_of(file.blob_key)
        assert upload_id is not None
        parts = await store.manifest_parts(project.id, upload_id)
        kept = await store.kept_files(("", ""), 10)
        assert {entry.blob_key for entry in kept} == {part.blob_key for part in parts}
        assert {(entry.file_id, entry.due) for entry in kept} == {(file.id, False)}
        assert sum(entry.counts for entry in kept) == 1
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        assert await store.given_up_files(kept) == []
        clock.advance(RETENTION)
        claimed = await store.claim_collectable(await store.collectable_files(None, 10))
        assert [entry.blob_key for entry in claimed] == [file.blob_key]
        assert await store.given_up_files(kept) == kept
        assert await store.manifest_parts(project.id, upload_id) == parts
        await store.mark_collected(claimed)
        assert await store.kept_files(("", ""), 10) == []
        assert await store.usage(project.id) == Usage(0, 0)
        assert await store.counter_drifts() == []
        await store.forget_files(await store.tombstones(clock.now_ms() // 1000, None, 10))
        assert await store.manifest_parts(project.id, upload_id) == []
        assert await store.unowned_blobs([part.blob_key for part in parts]) == [part.blob_key for part in parts]

    async def test_what_is_kept_is_found_page_by_page_each_blob_once(self, store: MetadataStore, project: Project, other: Project) -> None:
        upload = await begin(store, other)
        expected = [(await add(store, upload)).blob_key for _ in range(3)]
        for owner in (project, other):
            upload_id = manifest_of((await make_file(store, owner)).blob_key)
            assert upload_id is not None
            expected += [part.blob_key for part in await store.manifest_parts(owner.id, upload_id)]
        found, after = [], ("", "")
        while page := await store.kept_files(after, 2):
            found += [entry.blob_key for entry in page]
            after = page[-1].place
        assert sorted(found) == sorted(expected)

    async def test_dropping_one_part_drops_its_file_and_a_part_of_an_upload_goes_alone(
        self, store: MetadataStore, project: Project
    ) -> None:
        file, upload = await make_file(store, project), await begin(store, project)
        loose = await add(store, upload)
        kept = {entry.part_id: entry for entry in await store.kept_files(("", ""), 10)}
        of_file = [entry for entry in kept.values() if entry.file_id == file.id]
        await store.drop_files([of_file[1], kept[loose.id]])
        await store.drop_files([of_file[0]])
        assert await store.kept_files(("", ""), 10) == []
        with pytest.raises(FileNotFound):
            await store.get_file(project.id, file.id)
        assert (await store.get_upload(project.id, upload.id)).status == "pending"
        assert await store.usage(project.id) == Usage(0, 0)
        assert await store.counter_drifts() == []

    async def test_a_list_of_uploads_pages_without_skipping_or_repeating(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        uploads = []
        for number in range(5):
            uploads.append((await begin(store, project)).id)
            clock.advance(number % 2)
        for newest_first in (True, False):
            seen: list[str] = []
            more, after = True, None
            while more:
                page = await store.list_uploads(project.id, UploadQuery(2, newest_first, after))
                seen += [upload.id for upload in page.uploads]
                more, after = page.has_more, page.uploads[-1].id
            assert sorted(seen) == sorted(uploads)
            assert seen == sorted(uploads, reverse=newest_first)
        with pytest.raises(CursorNotFound):
            await store.list_uploads(project.id, UploadQuery(2, after=uuid7(1)))
