"""What every MetadataStore promises to those who look after the catalog of files at providers, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from fileplane.access import Project
from fileplane.catalog import CatalogQuery, Claim, FileReport, JobKind, NewJob, ProviderFile, UploadedFile
from fileplane.credentials import Sharing, VirtualKey
from fileplane.errors import FileNotFound
from fileplane.ids import uuid7
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound
from fileplane.metadata.control import StillInUse
from fileplane.testing.catalog_fixtures import (
    CLAIM,
    RECONCILER,
    SOMEBODY,
    CatalogFixtures,
    changes,
    delete,
    listed,
    put,
    refresh,
    reserve,
    start,
)
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY
from fileplane.testing.secrets_suite import changed


class MetadataCatalogUpkeepSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    async def test_a_file_past_its_end_is_gone_and_its_deletion_can_be_begun(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        file, kept = await put(store, project, shared, expires_after=3_600), await put(store, project, shared)
        name = file.provider_file_id or ""
        clock.advance(3_599)
        assert await store.get_catalog_file(project.id, shared.id, name) == file
        clock.advance(1)
        assert await listed(store, project, shared) == [kept.provider_file_id]
        assert (await store.list_catalog_files(project.id, CatalogQuery((shared.id,), 10))).total == 1
        for call in (
            store.get_catalog_file(project.id, shared.id, name),
            store.refresh_catalog_file(project.id, shared.id, name, FileReport("error")),
            store.begin_catalog_delete(project.id, shared.id, name, CLAIM, NOBODY),
        ):
            with pytest.raises(FileNotFound):
                await call
        assert [expired.id for expired in await store.expire_catalog_files(CLAIM, 10)] == [file.id]
        assert await store.expire_catalog_files(CLAIM, 10) == []
        assert [unresolved.id for unresolved in await store.unresolved_files(None, 10)] == [file.id]
        assert await store.finish_catalog_delete(project.id, file.id, NOBODY)
        assert (await changes(store, name))[-2:] == ["files.expire", "files.confirm_delete"]

    async def test_an_expiry_that_the_provider_does_not_know_of_is_the_one_that_was_asked_for(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        """Whatever later one the provider tells of; where it tells of an earlier one, that holds."""
        now = clock.now_ms() // 1000
        for name, told, shown in (("file-1", None, now + 3_600), ("file-2", now + 9_999, now + 3_600), ("file-3", now + 60, now + 60)):
            intent = await reserve(store, project, shared, expires_after=3_600, ends_here=True)
            file = await store.bind_upload(project.id, intent.id, UploadedFile(name, 1, "processed", expires_at=told), SOMEBODY)
            assert (file.ends_here, file.expires_at) == (True, shown)
            refreshed = await store.refresh_catalog_file(project.id, shared.id, name, FileReport("processed", expires_at=now + 5_000))
            assert refreshed.expires_at == shown
        intent = await reserve(store, project, shared, expires_after=3_600)
        theirs = await store.bind_upload(project.id, intent.id, UploadedFile("file-4", 1, "processed", expires_at=now + 9_999), SOMEBODY)
        assert (theirs.ends_here, theirs.expires_at) == (False, now + 9_999)
        clock.advance(3_600)
        assert await listed(store, project, shared) == ["file-4"]
        ended = [file.provider_file_id for file in await store.expire_catalog_files(CLAIM, 10)]
        assert (ended[0], set(ended)) == ("file-3", {"file-1", "file-2", "file-3"})

    async def test_a_deletion_that_keeps_failing_is_taken_on_ever_more_rarely(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        await put(store, project, shared, "file-1", expires_after=3_600)
        clock.advance(3_600)
        [file] = await store.expire_catalog_files(RECONCILER, 10)
        waits, began = [], clock.now_ms() // 1000
        for _ in range(9):
            assert file.due_at is not None
            waits.append(file.due_at - began)
            clock.advance(waits[-1] - 1)
            assert await store.claim_unresolved_files(RECONCILER, 10) == []
            clock.advance(1)
            began = clock.now_ms() // 1000
            [file] = await store.claim_unresolved_files(RECONCILER, 10)
            assert (file.due_at or 0) - began == RECONCILER.seconds  # until something was tried
            assert await store.put_off_unresolved_file(project.id, file.id, RECONCILER)
            [file] = await store.unresolved_files(None, 10)
        assert waits == [60, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
        again = await store.begin_catalog_delete(project.id, shared.id, "file-1", RECONCILER, SOMEBODY)
        assert (again.tries, (again.due_at or 0) - began) == (0, 60)
        assert not await store.put_off_unresolved_file(project.id, file.id, Claim("somebody else", 60))
        assert await store.finish_catalog_delete(project.id, file.id, NOBODY)
        for gone in (file.id, uuid7(0)):
            assert not await store.put_off_unresolved_file(project.id, gone, RECONCILER)

    async def test_of_virtual_keys_that_are_left_out_nothing_is_taken_on(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        lost = await reserve(store, project, shared)
        held = await put(store, project, shared, expires_after=3_600)
        job = await start(store, project, shared, held)
        clock.advance(86_400)
        waiting = await store.begin_job(project.id, NewJob(shared.id, JobKind.BATCH, (), "key"), Claim("somebody", 0), NOBODY)
        for claim in (store.claim_unresolved_files, store.claim_held_catalog_files, store.claim_unresolved_jobs):
            assert await claim(RECONCILER, 10, (shared.id, "another")) == []
        assert [file.id for file in await store.claim_unresolved_files(RECONCILER, 10, ("another",))] == [lost.id]
        assert [file.id for file in await store.claim_held_catalog_files(RECONCILER, 10, ("another",))] == [held.id]
        assert waiting.id in {found.id for found in await store.claim_unresolved_jobs(RECONCILER, 10, ("another",))}
        assert job.id != waiting.id

    async def test_any_number_of_virtual_keys_can_be_left_out(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        lost, held = await reserve(store, project, shared), await put(store, project, shared, expires_after=3_600)
        await start(store, project, shared, held)
        waiting = await store.begin_job(project.id, NewJob(shared.id, JobKind.BATCH, (), "key"), Claim("somebody", 0), NOBODY)
        clock.advance(86_400)
        others = [f"another {number}" for number in range(70_000)]  # a statement takes 32,766 values of SQLite, 65,535 of PostgreSQL
        for claim in (store.claim_unresolved_files, store.claim_held_catalog_files, store.claim_unresolved_jobs):
            assert await claim(RECONCILER, 10, [*others, shared.id]) == []
        assert [file.id for file in await store.claim_unresolved_files(RECONCILER, 10, others)] == [lost.id]
        assert [file.id for file in await store.claim_held_catalog_files(RECONCILER, 10, others)] == [held.id]
        assert waiting.id in {found.id for found in await store.claim_unresolved_jobs(RECONCILER, 10, others)}

    async def test_what_a_job_holds_past_its_expiry_is_taken_on_by_one_and_ends_with_the_job(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        held, free = await put(store, project, shared, expires_after=3_600), await put(store, project, shared, expires_after=7_200)
        job = await start(store, project, shared, held)
        assert await store.claim_held_catalog_files(RECONCILER, 10) == []
        clock.advance(3_600)
        taken = await asyncio.gather(*[store.claim_held_catalog_files(Claim(f"node {number}", 60), 10) for number in range(3)])
        assert [file.id for files in taken for file in files] == [held.id]
        clock.advance(59)
        assert await store.claim_held_catalog_files(RECONCILER, 10) == []
        clock.advance(1)
        assert [file.id for file in await store.claim_held_catalog_files(RECONCILER, 10)] == [held.id]
        assert set(await listed(store, project, shared)) == {free.provider_file_id, held.provider_file_id}
        assert await store.unresolved_files(None, 10) == []
        await refresh(store, job, "completed")
        clock.advance(60)
        assert await store.claim_held_catalog_files(RECONCILER, 10) == []
        assert [file.id for file in await store.expire_catalog_files(CLAIM, 10)] == [held.id]

    async def test_a_clock_that_leapt_ahead_and_back_keeps_no_held_file_from_being_looked_after(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        files = [await put(store, project, shared, expires_after=seconds) for seconds in (3_600, 2_592_000)]
        await start(store, project, shared, *files)
        clock.advance(4_000_000)
        assert len(await store.claim_held_catalog_files(RECONCILER, 10)) == 2
        clock.advance(-3_990_000)
        assert len(await store.claim_held_catalog_files(RECONCILER, 10)) == 2
        assert await store.claim_held_catalog_files(RECONCILER, 10) == []

    async def test_what_the_provider_has_forgotten_is_closed_once(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        await put(store, project, shared, "file-1")
        assert [await store.close_catalog_file(project.id, shared.id, "file-1", NOBODY) for _ in range(2)] == [True, False]
        assert await listed(store, project, shared) == []
        assert await changes(store, "file-1") == ["files.create", "files.vanish"]
        again = await put(store, project, shared, "file-1")
        assert await store.get_catalog_file(project.id, shared.id, "file-1") == again

    async def test_an_adopted_file_is_the_projects_in_the_place_of_its_age(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        await put(store, project, shared, "file-2")
        born = clock.now_ms() // 1000 - 1_000
        found = ProviderFile("file-1", "fine-tune", "f", 7, "text/plain", "error", born, born + 10**6)
        file = await store.adopt_catalog_file(project.id, shared.id, found, SOMEBODY)
        assert (file.created_at, file.expires_at, file.status, file.bytes, file.purpose) == (born, born + 10**6, "error", 7, "fine-tune")
        assert await store.adopt_catalog_file(project.id, shared.id, found, SOMEBODY) == file
        ahead = await store.adopt_catalog_file(project.id, shared.id, ProviderFile("file-3", "batch", created_at=2**40), SOMEBODY)
        assert ahead.created_at == clock.now_ms() // 1000
        assert (await listed(store, project, shared))[-1] == "file-1"
        assert await store.catalogued_ids(shared.id, ["file-1", "file-2", "unknown"]) == {"file-1", "file-2"}
        assert await changes(store, "file-1") == ["files.adopt"]

    async def test_a_list_knows_its_files_until_their_cursors_end_and_no_others(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, twin: VirtualKey, clock: ManualClock
    ) -> None:
        for name, purpose in (("file-live", "batch"), ("file-other", "evals"), ("file-leaving", "batch"), ("file-gone", "batch")):
            await put(store, project, shared, name, purpose=purpose)
        await put(store, other, shared, "file-foreign")
        for name in ("file-leaving", "file-gone"):
            file = await store.begin_catalog_delete(project.id, shared.id, name, CLAIM, SOMEBODY)
        await store.finish_catalog_delete(project.id, file.id, SOMEBODY)
        asked = ["file-live", "file-other", "file-leaving", "file-gone", "file-foreign", "unknown"]
        known = partial(store.known_file_ids, project.id)
        assert await known(CatalogQuery((twin.id, shared.id), 1), asked) == set(asked[:4])
        assert await known(CatalogQuery((shared.id,), 1, "batch"), asked) == {"file-live", "file-leaving", "file-gone"}
        assert await known(CatalogQuery((twin.id,), 1), asked) == await known(CatalogQuery((), 1), asked) == set()
        clock.advance(7 * 86_400)
        await store.forget_old_entries(None)
        assert await known(CatalogQuery((shared.id,), 1, "batch"), asked) == {"file-live", "file-leaving"}

    async def test_a_file_is_taken_from_another_project_only_when_that_is_said(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, twin: VirtualKey
    ) -> None:
        file = await put(store, other, shared, "file-1")
        for key in (shared, twin):
            with pytest.raises(AlreadyBound) as refusal:
                await store.adopt_catalog_file(project.id, key.id, ProviderFile("file-1", "batch"), SOMEBODY)
            assert refusal.value.project_id == other.id
            assert await store.catalogued_ids(key.id, ["file-1"]) == {"file-1"}
        await store.begin_catalog_delete(other.id, shared.id, "file-1", CLAIM, SOMEBODY)
        with pytest.raises(AlreadyBound):
            await store.adopt_catalog_file(project.id, twin.id, ProviderFile("file-1", "batch"), SOMEBODY, move=True)
        await store.cancel_catalog_delete(other.id, file.id, SOMEBODY)
        await store.adopt_catalog_file(project.id, twin.id, ProviderFile("file-1", "batch"), SOMEBODY, move=True)
        assert (await listed(store, other, shared), await listed(store, project, twin)) == ([], ["file-1"])
        assert (await changes(store, "file-1"))[-2:] == ["files.give_away", "files.adopt"]

    async def test_unresolved_files_are_claimed_by_one_at_a_time_and_shown_in_order(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        intents = []
        for _ in range(6):
            intents.append((await reserve(store, project, shared)).id)
            clock.advance(1)
        clock.advance(CLAIM.seconds)
        shown = await store.unresolved_files(None, 4)
        shown += await store.unresolved_files(shown[-1], 4)
        assert [file.id for file in shown] == intents
        taken = await asyncio.gather(*[store.claim_unresolved_files(Claim(f"node {number}", 60), 2) for number in range(4)])
        assert sorted(file.id for files in taken for file in files) == sorted(intents)
        assert not await store.renew_claim(project.id, intents[0], CLAIM)
        (mine,) = [file for files in taken for file in files if file.id == intents[0]]
        clock.advance(50)
        assert await store.renew_claim(project.id, intents[0], Claim(mine.claimed_by or "", 60))
        clock.advance(10)
        assert {file.id for file in await store.claim_unresolved_files(RECONCILER, 10)} == set(intents[1:])

    async def test_it_is_known_since_when_nobody_sends_an_upload_any_more(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        began = clock.now_ms() // 1000
        lost, unheard = await reserve(store, project, shared), await reserve(store, project, shared)
        assert (lost.unresolved_since, unheard.unresolved_since) == (None, None)
        for _ in range(20):
            clock.advance(300)
            for one in (lost, unheard):
                assert await store.renew_claim(project.id, one.id, Claim(one.claimed_by or "", 400))
        await store.mark_upload_unknown(project.id, unheard.id, NOBODY)
        [first] = await store.claim_unresolved_files(RECONCILER, 10)
        assert (first.id, first.reserved_at, first.unresolved_since) == (unheard.id, began, began + 6_000)
        clock.advance(400)
        found = {file.id: file.unresolved_since for file in await store.claim_unresolved_files(RECONCILER, 10)}
        assert found == {lost.id: began + 6_400, unheard.id: began + 6_000}
        clock.advance(400)
        assert {file.id: file.unresolved_since for file in await store.claim_unresolved_files(RECONCILER, 10)} == found
        clock.advance(3_600)
        for file in await store.claim_unresolved_files(RECONCILER, 10):
            assert await store.put_off_unresolved_file(project.id, file.id, RECONCILER)
        rarely = await store.unresolved_files(None, 10)
        assert {(file.due_at or 0) - clock.now_ms() // 1000 for file in rarely} == {3_600}
        clock.advance(-(10**6))  # as when a clock is set right: an hour is counted from the time that it says now
        back = await store.claim_unresolved_files(RECONCILER, 10)
        assert [file.unresolved_since for file in back] == [clock.now_ms() // 1000] * 2

    async def test_a_clock_that_leapt_ahead_and_back_keeps_nothing_from_being_resolved(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        clock.advance(10**8)
        intent = await reserve(store, project, shared)
        clock.advance(-(10**8))
        assert [file.id for file in await store.claim_unresolved_files(RECONCILER, 10)] == [intent.id]

    async def test_project_and_virtual_key_stay_while_something_is_at_the_provider(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        file, pending = await put(store, project, shared), await reserve(store, project, shared)

        async def users() -> list[tuple[str, ...]]:
            found = []
            for call in (store.delete_virtual_key(shared.slug, NOBODY), store.delete_project(project.id, NOBODY, force=True)):
                with pytest.raises(StillInUse) as refusal:
                    await call
                found.append(tuple(user for user in refusal.value.users if "provider" in user))
            return found

        assert await users() == [("2 files at providers",)] * 2
        await store.begin_catalog_delete(project.id, shared.id, file.provider_file_id or "", CLAIM, NOBODY)
        assert await users() == [("2 files at providers",)] * 2
        await store.finish_catalog_delete(project.id, file.id, NOBODY)
        assert await users() == [("1 file at a provider",)] * 2
        await store.fail_upload(project.id, pending.id, NOBODY)
        await store.delete_virtual_key(shared.slug, NOBODY)
        await store.delete_project(project.id, NOBODY)

    async def test_files_that_are_given_to_projects_are_not_left_to_the_account(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        file = await put(store, project, shared)
        wider = changed(shared, sharing=Sharing.ACCOUNT)
        with pytest.raises(StillInUse) as refusal:
            await store.update_virtual_key(shared, wider, NOBODY)
        assert refusal.value.users == ("1 file at a provider",)
        assert await store.get_virtual_key(shared.slug) == shared
        await delete(store, file)
        assert (await store.update_virtual_key(shared, wider, NOBODY)).sharing is Sharing.ACCOUNT
