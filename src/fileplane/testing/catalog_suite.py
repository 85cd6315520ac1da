"""What every MetadataStore promises of the files that were put at providers, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fileplane.access import CallerLimits, Limits, Project
from fileplane.catalog import CatalogFile, CatalogQuery, FileReport, FileState, ProviderFile, UploadedFile
from fileplane.credentials import VirtualKey
from fileplane.errors import FileNotFound, FileQuotaExceeded, StorageQuotaExceeded
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.metadata.control import VirtualKeyNotFound
from fileplane.model import COPY_PURPOSE, FileQuery, Idempotency, Usage
from fileplane.testing.catalog_fixtures import (
    CLAIM,
    RECONCILER,
    SOMEBODY,
    CatalogFixtures,
    changes,
    delete,
    listed,
    new_id,
    new_upload,
    put,
    reserve,
    reserve_with_copy,
)
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY
from fileplane.testing.secrets_suite import new_virtual_key


class MetadataCatalogSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    async def test_a_file_is_seen_from_its_binding_on_with_all_that_is_known_of_it(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        intent = await reserve(store, project, shared, expires_after=3_600, filename="ä.jsonl")
        assert (intent.state, intent.provider_file_id, intent.provider) == (FileState.RESERVED, None, "openai")
        assert await listed(store, project, shared) == []
        clock.advance(5)
        file = await store.bind_upload(project.id, intent.id, UploadedFile("file-1", 12, "uploaded", "ab"), SOMEBODY)
        now = clock.now_ms() // 1000
        assert (file.id, file.state, file.provider_file_id, file.bytes, file.sha256) == (intent.id, FileState.BOUND, "file-1", 12, "ab")
        assert (file.reserved_at, file.created_at, file.expires_at, file.status) == (now - 5, now, now + 3_600, "uploaded")
        assert (file.filename, file.purpose, file.claimed_by, file.due_at) == ("ä.jsonl", "batch", None, None)
        assert await store.get_catalog_file(project.id, shared.id, "file-1") == file
        assert await store.find_catalog_files(project.id, "file-1") == [file]
        assert await store.catalog_usage(project.id) == await store.catalog_usage(project.id, shared.id) == Usage(1, 12)
        assert await changes(store, intent.id) == ["file_intents.create"]
        assert await changes(store, "file-1") == ["files.create"]

    async def test_the_providers_word_on_expiry_goes_before_what_was_asked_for(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        intent = await reserve(store, project, shared, expires_after=3_600)
        file = await store.bind_upload(project.id, intent.id, UploadedFile("file-1", 1, "processed", expires_at=2**40), SOMEBODY)
        assert file.expires_at == 2**40

    async def test_only_a_virtual_key_of_the_project_takes_files(
        self, store: MetadataStore, project: Project, other: Project, clock: ManualClock
    ) -> None:
        foreign = await store.create_virtual_key(new_virtual_key("foreign", project_ids=frozenset({other.id})), NOBODY)
        for key_id in (foreign.id, uuid7(0)):
            new = new_upload(foreign)
            with pytest.raises(VirtualKeyNotFound):
                await store.reserve_upload(project.id, type(new)(key_id, "batch", "f", "t", "key"), CLAIM, NOBODY)
            with pytest.raises(VirtualKeyNotFound):
                await store.adopt_catalog_file(project.id, key_id, ProviderFile("file-1", "batch"), NOBODY)
        clock.advance(100)
        assert await store.claim_unresolved_files(RECONCILER, 10) == []

    @pytest.mark.parametrize("steps", range(4))
    async def test_whatever_a_crash_leaves_of_an_upload_is_found(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock, steps: int
    ) -> None:
        intent = await reserve(store, project, shared)
        if steps >= 1:
            assert await store.renew_claim(project.id, intent.id, CLAIM)
        if steps >= 2:
            await store.mark_upload_unknown(project.id, intent.id, SOMEBODY)
        if steps >= 3:
            await store.bind_upload(project.id, intent.id, UploadedFile("file-1", 1, "processed"), SOMEBODY)
        at_once = await store.claim_unresolved_files(RECONCILER, 10)
        assert [file.id for file in at_once] == [intent.id] * (steps == 2)
        clock.advance(CLAIM.seconds)
        later = await store.claim_unresolved_files(RECONCILER, 10)
        assert [(file.id, file.claimed_by) for file in later] == [(intent.id, "reconciler")] * (steps < 3)

    async def test_an_outcome_that_was_unknown_is_resolved_either_way(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        there, lost = await reserve(store, project, shared), await reserve(store, project, shared)
        for intent in (there, lost, there):
            await store.mark_upload_unknown(project.id, intent.id, SOMEBODY)
        assert len(await store.claim_unresolved_files(RECONCILER, 10)) == 2
        await store.bind_upload(project.id, there.id, UploadedFile("file-1", 1, "processed"), NOBODY)
        for _ in range(2):
            await store.fail_upload(project.id, lost.id, NOBODY)
        assert await store.unresolved_files(None, 10) == []
        assert await listed(store, project, shared) == ["file-1"]
        assert await changes(store, lost.id) == ["file_intents.create", "file_intents.unknown", "file_intents.fail"]

    async def test_an_intent_that_is_over_is_bound_no_more(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        failed, bound, gone = [await reserve(store, project, shared) for _ in range(3)]
        await store.fail_upload(project.id, failed.id, NOBODY)
        for intent, name in ((bound, "file-1"), (gone, "file-2")):
            await store.bind_upload(project.id, intent.id, UploadedFile(name, 1, "processed"), NOBODY)
        assert await store.close_catalog_file(project.id, shared.id, "file-2", NOBODY)
        for intent in (failed, bound, gone):
            with pytest.raises(IntentNotFound):
                await store.bind_upload(project.id, intent.id, UploadedFile("file-3", 1, "processed"), NOBODY)
            with pytest.raises(IntentNotFound):
                await store.mark_upload_unknown(project.id, intent.id, NOBODY)
            assert not await store.renew_claim(project.id, intent.id, CLAIM)
        with pytest.raises(IntentNotFound):
            await store.fail_upload(project.id, bound.id, NOBODY)
        assert await listed(store, project, shared) == ["file-1"]

    async def test_an_uploader_and_a_reconciler_bind_the_same_file_once(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        intent = await reserve(store, project, shared)
        attempts = [store.bind_upload(project.id, intent.id, UploadedFile("file-1", 5, "processed"), SOMEBODY) for _ in range(6)]
        assert len(set(await asyncio.gather(*attempts))) == 1
        assert await store.catalog_usage(project.id) == Usage(1, 5)
        assert await changes(store, "file-1") == ["files.create"]

    async def test_of_two_projects_that_bind_one_id_one_gets_it_and_the_others_intent_is_kept(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, twin: VirtualKey
    ) -> None:
        intents = [await reserve(store, owner, key) for owner in (project, other) for key in (shared, twin)]
        uploaded = UploadedFile("file-1", 1, "processed")
        attempts = [store.bind_upload(intent.project_id, intent.id, uploaded, SOMEBODY) for intent in intents]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(AlreadyBound) == 3
        (file,) = [outcome for outcome in outcomes if isinstance(outcome, CatalogFile)]
        left = {intent.id for intent in await store.unresolved_files(None, 10)}
        assert left == {intent.id for intent in intents} - {file.id}

    async def test_the_same_id_at_another_credential_is_another_file(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, second: VirtualKey
    ) -> None:
        one, two = await put(store, project, shared, "file-1"), await put(store, other, second, "file-1")
        assert await store.find_catalog_files(project.id, "file-1") == [one]
        mine = await put(store, project, second)
        assert await listed(store, project, second) == [mine.provider_file_id]
        assert await store.find_catalog_files(other.id, "file-1") == [two]

    async def test_a_copy_is_kept_and_counted_here_but_is_no_file_that_callers_see(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        intent, copy = await reserve_with_copy(store, project, shared)
        assert intent.copy_id is not None
        kept = await store.get_copy(project.id, intent.copy_id)
        assert (kept.blob_key, kept.sha256, kept.bytes) == (copy.blob.key, copy.blob.sha256, copy.blob.size)
        assert (kept.filename, kept.media_type) == (intent.filename, intent.media_type)
        for query in (FileQuery(limit=10), FileQuery(limit=10, purpose=COPY_PURPOSE), FileQuery(limit=10, deleted=True)):
            page = await store.list_files(project.id, query)
            assert (page.files, page.total) == ((), 0)
        with pytest.raises(CursorNotFound):
            await store.list_files(project.id, FileQuery(limit=10, after=intent.copy_id))
        for call in (
            store.get_file(project.id, intent.copy_id),
            store.delete_file(project.id, intent.copy_id, 60, SOMEBODY),
            store.purge_file(project.id, intent.copy_id, SOMEBODY),
            store.hold_file(project.id, intent.copy_id, "mine", None, SOMEBODY),
        ):
            with pytest.raises(FileNotFound):
                await call
        assert await store.usage(project.id) == Usage(1, copy.blob.size)
        assert await store.unowned_blobs([copy.blob.key]) == []

    @pytest.mark.parametrize("end", ["fail", "delete", "vanish", "merge"])
    async def test_a_copy_ends_with_the_file_and_not_before(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, end: str
    ) -> None:
        if end == "merge":
            await put(store, project, shared, "file-1")
        intent, copy = await reserve_with_copy(store, project, shared)
        copy_id = intent.copy_id or ""
        await store.mark_upload_unknown(project.id, intent.id, SOMEBODY)
        assert (await store.get_copy(project.id, copy_id)).blob_key == copy.blob.key
        with pytest.raises(FileNotFound):
            await store.get_copy(other.id, copy_id)
        if end == "fail":
            await store.fail_upload(project.id, intent.id, SOMEBODY)
        else:
            await store.bind_upload(project.id, intent.id, UploadedFile("file-1", 1, "processed"), SOMEBODY)
        if end == "delete":
            await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, SOMEBODY)
            assert (await store.get_copy(project.id, copy_id)).id == copy_id
            await store.cancel_catalog_delete(project.id, intent.id, SOMEBODY)
            assert (await store.get_copy(project.id, copy_id)).id == copy_id
            await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, SOMEBODY)
            await store.finish_catalog_delete(project.id, intent.id, SOMEBODY)
        if end == "vanish":
            assert (await store.get_copy(project.id, copy_id)).id == copy_id
            await store.close_catalog_file(project.id, shared.id, "file-1", SOMEBODY)
        with pytest.raises(FileNotFound):
            await store.get_copy(project.id, copy_id)
        assert await store.usage(project.id) == Usage(0, copy.blob.size)
        assert (await store.list_files(project.id, FileQuery(limit=10, deleted=True))).total == 0
        [remains] = await store.claim_collectable(await store.collectable_files(None, 10))
        assert remains.blob_key == copy.blob.key
        await store.mark_collected([remains])
        assert await store.usage(project.id) == Usage(0, 0)

    async def test_a_copy_that_there_is_no_room_for_leaves_no_reservation(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        for refused, bounds in (
            (StorageQuotaExceeded, {"quota_bytes": 9}),
            (FileQuotaExceeded, {"limits": CallerLimits(project=Limits(files=0))}),
        ):
            with pytest.raises(refused):
                await reserve_with_copy(store, project, shared, **bounds)
            assert await store.unresolved_files(None, 10) == []
        assert await store.usage(project.id) == Usage(0, 0)

    async def test_a_repeated_upload_has_the_copy_of_the_first(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        key = Idempotency(b"k" * 32, b"f" * 32)
        first, _ = await reserve_with_copy(store, project, shared, key)
        again, copy = await reserve_with_copy(store, project, shared, key)
        assert again == first
        assert await store.unowned_blobs([copy.blob.key]) == [copy.blob.key]
        assert (await store.usage(project.id)).live_files == 1

    async def test_bytes_that_the_provider_has_changed_are_not_taken_for_those_that_were_sent(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        for transformed in (False, True):
            intent = await reserve(store, project, shared)
            uploaded = UploadedFile(new_id(), 7, "processed", "0" * 64, transformed=transformed)
            bound = await store.bind_upload(project.id, intent.id, uploaded, SOMEBODY)
            assert (bound.bytes, bound.sha256, bound.transformed) == (7, "0" * 64, transformed)
            assert bound.counted_bytes == (None if transformed else 7)
            assert (await store.get_catalog_file(project.id, shared.id, bound.provider_file_id or "")).transformed is transformed

    async def test_a_provider_that_keeps_the_same_bytes_once_gives_the_project_one_file(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        first = await put(store, project, shared, "file-1")
        again = await reserve(store, project, shared)
        assert await store.bind_upload(project.id, again.id, UploadedFile("file-1", 10, "processed"), SOMEBODY) == first
        assert await store.unresolved_files(None, 10) == []
        assert await store.catalog_usage(project.id) == Usage(1, 10)
        assert await changes(store, again.id) == ["file_intents.create", "file_intents.merge"]

    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("purpose", [None, "batch"])
    @pytest.mark.parametrize("apart", [0, 1])
    async def test_lists_of_one_and_of_several_targets_are_ordered_paged_and_counted(
        self,
        store: MetadataStore,
        project: Project,
        shared: VirtualKey,
        second: VirtualKey,
        clock: ManualClock,
        newest_first: bool,
        purpose: str | None,
        apart: int,
    ) -> None:
        made: list[CatalogFile] = []
        for number in range(9):
            file = await put(store, project, shared if number % 3 else second, purpose="evals" if number % 2 else "batch")
            clock.advance(apart + 0.002)
            made += [file] * (purpose in (None, file.purpose))
        made = made[::-1] if newest_first else made
        for keys in ((shared,), (second,), (shared, second), (second, shared, second), ()):
            expected = [file.provider_file_id for file in made if file.virtual_key_id in {key.id for key in keys}]
            query: dict[str, Any] = {"purpose": purpose, "newest_first": newest_first}
            paged: list[str] = []
            while len(paged) < len(expected):
                asked = CatalogQuery(tuple(key.id for key in keys), 2, after=paged[-1] if paged else None, **query)
                page = await store.list_catalog_files(project.id, asked)
                paged += [file.provider_file_id or "" for file in page.files]
                assert (page.total, page.has_more) == (len(expected), len(paged) < len(expected))
            assert paged == expected
            assert await listed(store, project, *keys, limit=3, offset=1, **query) == expected[1:4]

    async def test_a_list_goes_on_after_a_file_that_is_gone_but_after_no_foreign_one(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        old = await put(store, project, shared)
        clock.advance(1)
        gone, foreign = await put(store, project, shared), await put(store, other, shared)
        await delete(store, gone)
        assert await listed(store, project, shared, after=gone.provider_file_id) == [old.provider_file_id]
        for after in (foreign.provider_file_id, "unknown"):
            with pytest.raises(CursorNotFound):
                await listed(store, project, shared, after=after)
        clock.advance(7 * 86_400)
        await store.forget_old_entries(None)
        with pytest.raises(CursorNotFound):
            await listed(store, project, shared, after=gone.provider_file_id)
        assert await listed(store, project, shared) == [old.provider_file_id]

    async def test_a_deletion_hides_the_file_at_once_and_is_found_until_it_is_finished(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        file = await put(store, project, shared, "file-1")
        begun = [await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, SOMEBODY) for _ in range(2)]
        assert [(entry.id, entry.state) for entry in begun] == [(file.id, FileState.DELETING)] * 2
        with pytest.raises(FileNotFound):
            await store.get_catalog_file(project.id, shared.id, "file-1")
        assert (await listed(store, project, shared), await store.catalog_usage(project.id)) == ([], Usage(0, 0))
        assert await store.claim_unresolved_files(RECONCILER, 10) == []
        clock.advance(CLAIM.seconds)
        assert [entry.id for entry in await store.claim_unresolved_files(RECONCILER, 10)] == [file.id]
        assert [await store.finish_catalog_delete(project.id, file.id, NOBODY) for _ in range(2)] == [True, False]
        with pytest.raises(FileNotFound):
            await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, SOMEBODY)
        assert await changes(store, "file-1") == ["files.create", "files.delete", "files.confirm_delete"]

    async def test_a_deletion_that_the_provider_refuses_leaves_the_file_as_it_was(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        file = await put(store, project, shared, "file-1")
        await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, SOMEBODY)
        assert await store.cancel_catalog_delete(project.id, file.id, SOMEBODY) == file
        for call in (store.cancel_catalog_delete, store.finish_catalog_delete):
            with pytest.raises(IntentNotFound):
                await call(project.id, file.id, SOMEBODY)
        assert await store.get_catalog_file(project.id, shared.id, "file-1") == file

    async def test_binding_and_deleting_at_once_leave_the_file_there_or_gone(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        for _ in range(10):
            intent, name = await reserve(store, project, shared), new_id()
            bound, begun = await asyncio.gather(
                store.bind_upload(project.id, intent.id, UploadedFile(name, 1, "processed"), SOMEBODY),
                store.begin_catalog_delete(project.id, shared.id, name, CLAIM, SOMEBODY),
                return_exceptions=True,
            )
            assert isinstance(bound, CatalogFile)
            assert isinstance(begun, FileNotFound | CatalogFile)
            assert (name in await listed(store, project, shared)) == isinstance(begun, FileNotFound)

    async def test_what_the_provider_says_of_a_file_is_taken_over(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        file = await put(store, project, shared, "file-1")
        unchanged = await store.refresh_catalog_file(project.id, shared.id, "file-1", FileReport("processed", 10))
        assert unchanged == file
        report = FileReport("error", 70, 2**40, "new.jsonl")
        changed = await store.refresh_catalog_file(project.id, shared.id, "file-1", report)
        assert (changed.status, changed.bytes, changed.expires_at, changed.filename) == ("error", 70, 2**40, "new.jsonl")
        assert await store.get_catalog_file(project.id, shared.id, "file-1") == changed
        assert await store.catalog_usage(project.id) == Usage(1, 70)

    async def test_a_foreign_file_answers_every_call_as_an_unknown_one_does(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey
    ) -> None:
        file, pending = await put(store, other, shared, "file-1"), await reserve(store, other, shared)
        deleting = await put(store, other, shared, "file-2")
        await store.begin_catalog_delete(other.id, shared.id, "file-2", CLAIM, NOBODY)
        before = await store.unresolved_files(None, 10)
        for name in ("file-1", "file-2", "unknown"):
            for call in (
                store.get_catalog_file(project.id, shared.id, name),
                store.refresh_catalog_file(project.id, shared.id, name, FileReport("error")),
                store.begin_catalog_delete(project.id, shared.id, name, CLAIM, NOBODY),
            ):
                with pytest.raises(FileNotFound, match=name):
                    await call
            assert await store.find_catalog_files(project.id, name) == []
            assert not await store.close_catalog_file(project.id, shared.id, name, NOBODY)
            assert await store.jobs_holding(project.id, shared.id, name, 10) == []
        for intent_id in (file.id, pending.id, deleting.id, uuid7(0)):
            for change in (store.mark_upload_unknown, store.fail_upload, store.finish_catalog_delete, store.cancel_catalog_delete):
                with pytest.raises(IntentNotFound):
                    await change(project.id, intent_id, NOBODY)
            with pytest.raises(IntentNotFound):
                await store.bind_upload(project.id, intent_id, UploadedFile("file-3", 1, "processed"), NOBODY)
            assert not await store.renew_claim(project.id, intent_id, CLAIM)
        assert await listed(store, project, shared) == []
        assert await store.catalog_usage(project.id, shared.id) == Usage(0, 0)
        assert await store.unresolved_files(None, 10) == before
        assert await listed(store, other, shared) == ["file-1"]

    async def test_through_another_virtual_key_the_projects_own_file_is_not_there(
        self, store: MetadataStore, project: Project, shared: VirtualKey, second: VirtualKey
    ) -> None:
        await put(store, project, shared, "file-1")
        with pytest.raises(FileNotFound):
            await store.get_catalog_file(project.id, second.id, "file-1")
        assert not await store.close_catalog_file(project.id, second.id, "file-1", NOBODY)
