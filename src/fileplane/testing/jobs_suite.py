"""What every MetadataStore promises of the jobs at providers, their inputs and their results, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio

import pytest

from fileplane.access import Project
from fileplane.catalog import ENDED_STATUSES, CatalogFile, Job, JobKind, JobQuery, JobReport, JobState, NewJob, ProviderFile
from fileplane.credentials import VirtualKey
from fileplane.errors import FileInUse, FileNotFound
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound, JobNotFound
from fileplane.metadata.control import StillInUse, VirtualKeyNotFound
from fileplane.testing.catalog_fixtures import (
    CLAIM,
    RECONCILER,
    SOMEBODY,
    CatalogFixtures,
    begin,
    changes,
    delete,
    listed,
    new_id,
    put,
    refresh,
    start,
)
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY


class MetadataJobsSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    @pytest.fixture
    async def file(self, store: MetadataStore, project: Project, shared: VirtualKey) -> CatalogFile:
        """A file that jobs can use."""
        return await put(store, project, shared, "file-input", expires_after=3_600)

    async def is_held(self, store: MetadataStore, file: CatalogFile) -> bool:
        """Whether the file cannot be deleted; it is as before afterwards."""
        name = file.provider_file_id or ""
        holders = await store.jobs_holding(file.project_id, file.virtual_key_id, name, 10)
        deletion = store.begin_catalog_delete(file.project_id, file.virtual_key_id, name, CLAIM, NOBODY)
        if not holders:
            await deletion
            await store.cancel_catalog_delete(file.project_id, file.id, NOBODY)
            return False
        with pytest.raises(FileInUse) as refusal:
            await deletion
        assert all((job.provider_job_id or job.id) in refusal.value.message for job in holders)
        return True

    async def test_a_job_holds_its_inputs_from_its_beginning_to_its_end(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile, clock: ManualClock
    ) -> None:
        assert not await self.is_held(store, file)
        intent = await begin(store, project, shared, file, file)
        assert (intent.state, intent.input_file_ids, intent.provider_job_id) == (JobState.RESERVED, ("file-input",), None)
        assert await self.is_held(store, file)
        clock.advance(5)
        job = (await store.bind_job(project.id, intent.id, "job-1", JobReport("validating"), SOMEBODY)).job
        assert (job.id, job.state, job.status, job.created_at) == (intent.id, JobState.ACTIVE, "validating", clock.now_ms() // 1000)
        assert await store.get_job(project.id, shared.id, JobKind.BATCH, "job-1") == job
        assert await store.find_jobs(project.id, JobKind.BATCH, "job-1") == [job]
        assert await self.is_held(store, file)
        clock.advance(5)
        ended = await refresh(store, job, "completed")
        assert (ended.state, ended.ended_at) == (JobState.ENDED, clock.now_ms() // 1000)
        assert not await self.is_held(store, file)
        assert await changes(store, intent.id) == ["job_intents.create"]
        assert await changes(store, "job-1") == ["batches.create", "batches.end"]

    @pytest.mark.parametrize("kind", list(JobKind))
    async def test_the_table_says_which_words_end_a_job_and_any_other_word_is_active(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile, kind: JobKind
    ) -> None:
        words = {"cancelling": False, "never heard of": False, "": False, "COMPLETED": False}
        for status, ends in (dict.fromkeys(sorted(ENDED_STATUSES[kind]), True) | words).items():
            assert ends == (status in ENDED_STATUSES[kind])
            job = await start(store, project, shared, file, status=status, kind=kind)
            assert (job.state, job.status) == (JobState.ENDED if ends else JobState.ACTIVE, status)
            assert await self.is_held(store, file) == (not ends)
            await refresh(store, job, "failed")

    async def test_a_file_in_use_does_not_expire_before_its_last_job_ends(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile, clock: ManualClock
    ) -> None:
        one, two = [await start(store, project, shared, file) for _ in range(2)]
        clock.advance(5_000)
        await refresh(store, one, "completed")
        assert await self.is_held(store, file)
        assert (await store.get_catalog_file(project.id, shared.id, "file-input")).expires_at == file.expires_at
        assert await store.expire_catalog_files(CLAIM, 10) == []
        await refresh(store, two, "completed")
        with pytest.raises(FileNotFound):
            await store.get_catalog_file(project.id, shared.id, "file-input")
        assert len(await store.expire_catalog_files(CLAIM, 10)) == 1

    async def test_a_job_begins_only_with_files_that_the_project_has_there(
        self,
        store: MetadataStore,
        project: Project,
        other: Project,
        shared: VirtualKey,
        second: VirtualKey,
        file: CatalogFile,
        clock: ManualClock,
    ) -> None:
        foreign, elsewhere = await put(store, other, shared), await put(store, project, second)
        gone, going, ended = [await put(store, project, shared, expires_after=60 * number or None) for number in range(3)]
        await delete(store, gone)
        await store.begin_catalog_delete(project.id, shared.id, going.provider_file_id or "", CLAIM, NOBODY)
        clock.advance(120)
        names = [entry.provider_file_id or "" for entry in (foreign, elsewhere, gone, going, ended)]
        for name in (*names, "unknown"):
            with pytest.raises(FileNotFound, match=name):
                await store.begin_job(project.id, NewJob(shared.id, JobKind.BATCH, ("file-input", name), "key"), CLAIM, NOBODY)
        with pytest.raises(VirtualKeyNotFound):
            await store.begin_job(project.id, NewJob(uuid7(0), JobKind.BATCH, (), "key"), CLAIM, NOBODY)
        assert not await self.is_held(store, file)
        assert await store.unresolved_jobs(None, 10) == []

    async def test_a_job_and_a_deletion_that_begin_at_once_exclude_each_other(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        for number in range(10):
            file = await put(store, project, shared)
            attempts = [
                begin(store, project, shared, file),
                store.begin_catalog_delete(project.id, shared.id, file.provider_file_id or "", CLAIM, NOBODY),
            ]
            outcomes = await asyncio.gather(*attempts[:: 1 if number % 2 else -1], return_exceptions=True)
            assert sum(isinstance(outcome, Job | CatalogFile) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, FileNotFound | FileInUse) for outcome in outcomes) == 1

    async def test_a_creation_with_unknown_outcome_keeps_its_holds_until_it_is_found_out(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile, clock: ManualClock
    ) -> None:
        crashed, lost, there = [await begin(store, project, shared, file) for _ in range(3)]
        for job in (lost, there, there):
            await store.mark_job_unknown(project.id, job.id, NOBODY)
        claims = await asyncio.gather(*[store.claim_unresolved_jobs(RECONCILER, 10) for _ in range(3)])
        assert sorted(job.id for jobs in claims for job in jobs) == sorted([lost.id, there.id])
        clock.advance(CLAIM.seconds)
        shown = await store.unresolved_jobs(None, 2)
        assert {job.id for job in shown + await store.unresolved_jobs(shown[-1], 2)} == {crashed.id, lost.id, there.id}
        assert len(await store.claim_unresolved_jobs(RECONCILER, 10)) == 3
        await store.bind_job(project.id, there.id, "job-1", JobReport("completed"), NOBODY)
        for _ in range(2):
            await store.fail_job(project.id, lost.id, NOBODY)
        assert await self.is_held(store, file)
        await store.fail_job(project.id, crashed.id, NOBODY)
        assert not await self.is_held(store, file)
        assert await store.unresolved_jobs(None, 10) == []
        for job in (crashed, there):
            with pytest.raises(IntentNotFound):
                await store.bind_job(project.id, job.id, "job-2", JobReport("completed"), NOBODY)
            with pytest.raises(IntentNotFound):
                await store.mark_job_unknown(project.id, job.id, NOBODY)
        assert await changes(store, lost.id) == ["job_intents.create", "job_intents.unknown", "job_intents.fail"]

    async def test_a_job_is_bound_to_one_intent(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, second: VirtualKey
    ) -> None:
        intents = [await begin(store, owner, shared) for owner in (project, other, project)]
        attempts = [store.bind_job(intent.project_id, intent.id, "job-1", JobReport("x"), NOBODY) for intent in intents]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, AlreadyBound) for outcome in outcomes) == 2
        assert len(await store.unresolved_jobs(None, 10)) == 2
        elsewhere = await begin(store, other, second)
        for _ in range(2):
            await store.bind_job(other.id, elsewhere.id, "job-1", JobReport("x"), NOBODY)
        tuning = await begin(store, other, shared, kind=JobKind.FINE_TUNING)
        await store.bind_job(other.id, tuning.id, "job-1", JobReport("x"), NOBODY)

    async def test_the_results_of_a_job_are_the_projects_before_they_are_shown(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, file: CatalogFile, clock: ManualClock
    ) -> None:
        job = await start(store, project, shared, file)
        report = JobReport("completed", (ProviderFile("out", "batch_output", "o.jsonl", 5), ProviderFile("err", "batch_output")))
        for _ in range(2):
            refreshed = await store.refresh_job(project.id, shared.id, JobKind.BATCH, job.provider_job_id or "", report, SOMEBODY)
            assert (refreshed.job.result_file_ids, refreshed.refused) == (("err", "out"), ())
        out = await store.get_catalog_file(project.id, shared.id, "out")
        assert (out.filename, out.bytes, out.purpose, out.created_at) == ("o.jsonl", 5, "batch_output", clock.now_ms() // 1000)
        assert set(await listed(store, project, shared, purpose="batch_output")) == {"out", "err"}
        assert await listed(store, other, shared) == []
        assert not await self.is_held(store, out)
        assert await changes(store, "out") == ["files.create", "files.delete", "files.cancel_delete"]

    async def test_a_result_that_was_deleted_does_not_come_back(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile
    ) -> None:
        job = await refresh(store, await start(store, project, shared, file), "completed", "out")
        await delete(store, await store.get_catalog_file(project.id, shared.id, "out"))
        await refresh(store, job, "completed", "out", "late")
        assert set(await listed(store, project, shared)) == {"late", "file-input"}

    async def test_a_result_that_is_another_projects_is_refused(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, twin: VirtualKey, file: CatalogFile
    ) -> None:
        theirs, mine = await put(store, other, twin), await put(store, project, shared)
        names = (theirs.provider_file_id or "", mine.provider_file_id or "", "out")
        report = JobReport("completed", tuple(ProviderFile(name, "batch_output") for name in names))
        job = await start(store, project, shared, file)
        for _ in range(2):
            refreshed = await store.refresh_job(project.id, shared.id, JobKind.BATCH, job.provider_job_id or "", report, SOMEBODY)
            assert refreshed.refused == names[:1]
            assert set(refreshed.job.result_file_ids) == set(names[1:])
        assert await listed(store, other, twin) == list(names[:1])
        assert refreshed.job.state is JobState.ENDED

    async def test_an_answer_that_was_overtaken_does_not_make_a_job_active_again(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile
    ) -> None:
        job = await refresh(store, await start(store, project, shared, file), "completed", "out")
        late = await refresh(store, job, "finalizing", "err")
        assert (late.state, late.status, late.result_file_ids) == (JobState.ENDED, "completed", ("err", "out"))
        assert not await self.is_held(store, file)

    @pytest.mark.parametrize("newest_first", [True, False])
    async def test_jobs_are_listed_in_order_by_kind_and_over_several_targets(
        self, store: MetadataStore, project: Project, shared: VirtualKey, second: VirtualKey, clock: ManualClock, newest_first: bool
    ) -> None:
        made = []
        for number in range(7):
            made.append((await start(store, project, shared if number % 3 else second)).provider_job_id or "")
            await start(store, project, shared, kind=JobKind.FINE_TUNING)
            await begin(store, project, shared)
            clock.advance(0.002)
        expected = made[::-1] if newest_first else made
        paged: list[str] = []
        while len(paged) < 7:
            after = paged[-1] if paged else None
            query = JobQuery((shared.id, second.id), JobKind.BATCH, 3, newest_first=newest_first, after=after)
            page = await store.list_jobs(project.id, query)
            paged += [job.provider_job_id or "" for job in page.jobs]
            assert page.has_more == (len(paged) < 7)
        assert paged == expected
        assert (await store.list_jobs(project.id, JobQuery((), JobKind.BATCH, 3))).jobs == ()

    async def test_a_job_that_the_provider_has_forgotten_is_closed_and_holds_nothing(
        self, store: MetadataStore, project: Project, shared: VirtualKey, file: CatalogFile
    ) -> None:
        job = await start(store, project, shared, file)
        name = job.provider_job_id or ""
        assert [await store.close_job(project.id, shared.id, JobKind.BATCH, name, NOBODY) for _ in range(2)] == [True, False]
        for kind, known in ((JobKind.BATCH, {name}), (JobKind.FINE_TUNING, set[str]())):
            assert await store.known_job_ids(project.id, JobQuery((shared.id,), kind, 1), [name, "unknown"]) == known
        with pytest.raises(JobNotFound):
            await store.get_job(project.id, shared.id, JobKind.BATCH, name)
        assert not await self.is_held(store, file)
        assert (await changes(store, name))[-1] == "batches.vanish"

    async def test_a_foreign_job_answers_every_call_as_an_unknown_one_does(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, file: CatalogFile
    ) -> None:
        job, pending = await start(store, project, shared, file), await begin(store, project, shared, file)
        before = await store.unresolved_jobs(None, 10)
        report = JobReport("completed", (ProviderFile("out", "batch_output"),))
        for name, key, kind in (
            (job.provider_job_id or "", shared.id, JobKind.BATCH),
            (new_id("job"), shared.id, JobKind.BATCH),
        ):
            with pytest.raises(JobNotFound, match=name):
                await store.get_job(other.id, key, kind, name)
            with pytest.raises(JobNotFound, match=name):
                await store.refresh_job(other.id, key, kind, name, report, NOBODY)
            assert await store.find_jobs(other.id, kind, name) == []
            assert not await store.close_job(other.id, key, kind, name, NOBODY)
            with pytest.raises(CursorNotFound):
                await store.list_jobs(other.id, JobQuery((key,), kind, 10, after=name))
            assert await store.known_job_ids(other.id, JobQuery((key,), kind, 1), [name]) == set()
        with pytest.raises(JobNotFound):
            await store.get_job(project.id, shared.id, JobKind.FINE_TUNING, job.provider_job_id or "")
        for intent_id in (job.id, pending.id, uuid7(0)):
            for change in (store.mark_job_unknown, store.fail_job):
                with pytest.raises(IntentNotFound):
                    await change(other.id, intent_id, NOBODY)
            with pytest.raises(IntentNotFound):
                await store.bind_job(other.id, intent_id, "job-x", report, NOBODY)
        assert (await store.list_jobs(other.id, JobQuery((shared.id,), JobKind.BATCH, 10))).jobs == ()
        assert await store.jobs_holding(other.id, shared.id, "file-input", 10) == []
        assert await listed(store, other, shared) == []
        assert (await store.unresolved_jobs(None, 10), await self.is_held(store, file)) == (before, True)

    async def test_a_held_file_is_not_given_to_another_project_but_is_closed_when_it_is_gone(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, file: CatalogFile
    ) -> None:
        job = await start(store, project, shared, file)
        with pytest.raises(FileInUse):
            await store.adopt_catalog_file(other.id, shared.id, ProviderFile("file-input", "batch"), NOBODY, move=True)
        assert await store.close_catalog_file(project.id, shared.id, "file-input", NOBODY)
        again = await put(store, project, shared, "file-input")
        assert not await self.is_held(store, again)
        await refresh(store, job, "completed")

    async def test_project_and_virtual_key_stay_while_a_job_is_not_over(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        job, _ = await start(store, project, shared), await start(store, project, shared, status="completed")
        for call in (store.delete_virtual_key(shared.slug, NOBODY), store.delete_project(project.id, NOBODY, force=True)):
            with pytest.raises(StillInUse) as refusal:
                await call
            assert refusal.value.users[-1] == "1 job"
        await refresh(store, job, "failed")
        await store.delete_virtual_key(shared.slug, NOBODY)
        await store.delete_project(project.id, NOBODY)
