"""A job that fails, is answered wrongly or is cancelled anywhere is accounted for, and so are its inputs and results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fileplane.catalog import CatalogQuery, Claim, JobKind, JobQuery, JobState, NewJob
from fileplane.clock import SystemClock
from fileplane.errors import FileInUse, FileplaneError, StorageUnavailable, UpstreamOutcomeUnknown
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.remote_route import RemoteTarget
from fileplane.metadata.base import MetadataStore
from fileplane.providers.remote_jobs import JobAction, RemoteJobQuery
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import CancelledAt, Fails, NaughtyMetadataStore, Plan
from fileplane.testing.provider_world import SECRET
from gateway.test_every_point import LARGE_FORM, ORIGIN, Place, new_place
from support.jobs import LINE

BATCH = JobKind.BATCH


@dataclass
class Jobs:
    """The use cases over a store that may fail, and one input."""

    place: Place
    jobs: RemoteJobs
    file_id: str

    async def create(self) -> str:
        document = {"input_file_id": self.file_id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
        made = await self.jobs.create(self.place.route(), self.place.principal, ORIGIN, BATCH, document)
        return str(made["id"])

    async def get(self, job_id: str) -> dict[str, Any]:
        return await self.jobs.get(self.place.route(), self.place.principal, ORIGIN, BATCH, job_id)

    async def cancel(self, job_id: str) -> dict[str, Any]:
        return await self.jobs.act(self.place.route(), self.place.principal, ORIGIN, BATCH, job_id, JobAction.CANCEL)

    async def listed(self) -> list[dict[str, Any]]:
        page = await self.jobs.list(self.place.route(), self.place.principal, ORIGIN, BATCH, RemoteJobQuery())
        return list(page.documents)

    @property
    def there(self) -> dict[str, dict[str, Any]]:
        return self.place.world.fake.accounts.of(SECRET).batches

    async def bound(self) -> set[str | None]:
        page = await self.place.store.list_jobs(self.place.project.id, JobQuery((self.place.key.id,), BATCH, 100))
        return {job.provider_job_id for job in page.jobs}

    async def can_be_deleted(self) -> bool:
        claim = Claim("somebody", 60)
        try:
            await self.place.store.begin_catalog_delete(self.place.project.id, self.place.key.id, self.file_id, claim, ORIGIN)
        except FileInUse:
            return False
        return True

    async def check(self, returned: str | None) -> None:
        """Every job at the provider is the project's or what an intent is about, and as long as one may run, it holds its input."""
        bound, there = await self.bound(), set(self.there)
        unresolved = await self.place.store.unresolved_jobs(None, 100)
        assert bound <= there
        assert returned is None or returned in bound
        assert len(there - bound) <= len(unresolved)
        if there:
            assert not await self.can_be_deleted()

    async def reconcile(self, seconds_later: float = SURE_AFTER_SECONDS + 700.0) -> int:
        async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
            return self.place.route().plan[0]

        clock = ManualClock(SystemClock().now_ms() / 1000 + seconds_later)
        self.place.store._clock = clock
        return await Reconciler(self.place.store, target_of, clock).run()


async def form() -> Any:
    events: list[UploadEvent] = [FormField("purpose", "batch"), FileBegins("in.jsonl", "application/jsonl"), LINE]
    for event in events:
        yield event


async def new_jobs(place: Place, plan: Plan | None = None) -> Jobs:
    created = await place_files(place).create(place.route(), place.principal, ORIGIN, form(), LARGE_FORM)
    return jobs_over(place, plan or Plan({}), created.file.id)


def jobs_over(place: Place, plan: Plan, file_id: str) -> Jobs:
    store = cast("MetadataStore", NaughtyMetadataStore(place.store, plan))
    return Jobs(place, RemoteJobs(store, RemoteFiles(store, place.settings)), file_id)


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
async def test_a_database_that_fails_at_any_step_of_a_creation_leaves_the_job_accounted_for_and_found(tmp_path: Path, after: bool) -> None:
    for point in range(1, 12):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=after)})
        async with new_place(tmp_path / str(point)) as place:
            jobs, returned = await new_jobs(place, plan), None
            with suppress(FileplaneError):
                returned = await jobs.create()
            await jobs.jobs.settle()
            await jobs.check(returned)
            await jobs.reconcile()
            assert await place.store.unresolved_jobs(None, 9) == []
            assert await jobs.bound() == set(jobs.there)
            if not plan.struck:
                assert point > 2
                return
    raise AssertionError("the creation never came to its end")


async def test_a_database_that_fails_for_good_after_a_creation_leaves_a_job_that_is_found(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer.")) for point in range(2, 9)})
        jobs = await new_jobs(place, plan)
        with pytest.raises(UpstreamOutcomeUnknown):
            await jobs.create()
        await jobs.check(None)
        assert await jobs.reconcile() == 1
        assert await jobs.bound() == set(jobs.there) != set()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_a_creation_that_is_cancelled_at_any_wait_leaves_the_job_accounted_for(tmp_path: Path, late: bool) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        for point in range(1, 200):
            cancelled = CancelledAt(point, late=late)
            task, returned = asyncio.create_task(cancelled.run(jobs.create())), None
            with suppress(asyncio.CancelledError, FileplaneError):
                returned = await task
            await jobs.jobs.settle()
            await jobs.check(returned)
            if not cancelled.struck:
                break
        else:
            raise AssertionError("the creation never came to its end")
        for _ in range(40):
            if not await jobs.reconcile():
                break
        assert await jobs.bound() == set(jobs.there)
        assert await place.store.unresolved_jobs(None, 9) == []


FAULTS: dict[str, dict[str, Any]] = {
    "refuses": {"kind": "refuse", "status": 429},
    "fails": {"kind": "refuse", "status": 500},
    "loses it behind a proxy": {"kind": "html", "status": 502},
    "takes it and never answers": {"kind": "hang"},
    "never answers": {"kind": "hang_before"},
    "takes it and closes": {"kind": "close_response_at", "at": -1},
    "answers half": {"kind": "close_response_at", "at": 20},
    "redirects": {"kind": "redirect", "location": "http://127.0.0.1:9/elsewhere"},
    "talks nonsense": {"kind": "garbage"},
    "gives an id twice": {"kind": "duplicate_id"},
    "gives an id that is none": {"kind": "odd_id", "body": "../../files"},
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_a_provider_that_misbehaves_leaves_every_job_accounted_for(tmp_path: Path, fault: str) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        first = await jobs.create()
        place.world.fake.plan(Fault(operation="batches.create", **FAULTS[fault]))
        returned = None
        with suppress(FileplaneError):
            returned = await jobs.create()
        await jobs.jobs.settle()
        assert not await jobs.can_be_deleted()
        assert (await jobs.get(first))["id"] == first
        jobs.there.pop("../../files", None)
        await jobs.check(returned)
        await jobs.reconcile()
        assert await jobs.bound() == set(jobs.there)


Step = Callable[[Jobs, str], Awaitable[Any]]
STEPS: dict[str, Step] = {
    "get": lambda jobs, job_id: jobs.get(job_id),
    "cancel": lambda jobs, job_id: jobs.cancel(job_id),
    "list": lambda jobs, _job_id: jobs.listed(),
}


@pytest.mark.parametrize("step", sorted(STEPS))
async def test_a_database_that_fails_as_a_job_is_looked_at_shows_no_result_that_is_not_bound(tmp_path: Path, step: str) -> None:
    for point in range(1, 12):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."))})
        async with new_place(tmp_path / str(point)) as place:
            jobs = await new_jobs(place)
            job_id = await jobs.create()
            if step != "cancel":
                jobs.there[job_id]["status"] = "finalizing"
            failing = jobs_over(place, plan, jobs.file_id)
            shown: Any = None
            with suppress(FileplaneError):
                shown = await STEPS[step](failing, job_id)
            files = await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))
            for name in results_in(shown):
                assert name in {file.provider_file_id for file in files.files}
            assert (await jobs.get(job_id))["id"] == job_id
            if not plan.struck:
                assert point > 1
                return
    raise AssertionError("the step never came to its end")


def place_files(place: Place) -> RemoteFiles:
    return RemoteFiles(place.store, place.settings)


def results_in(shown: Any) -> list[str]:
    documents = shown if isinstance(shown, list) else [shown] if shown else []
    return [document["output_file_id"] for document in documents if document["output_file_id"]]


async def test_a_crash_between_record_and_answer_keeps_the_hold_until_it_is_found_out(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        await place.store.begin_job(place.project.id, NewJob(place.key.id, BATCH, (jobs.file_id,), "key"), Claim("the dead", 60), ORIGIN)
        assert not await jobs.can_be_deleted()
        assert await jobs.reconcile(seconds_later=120.0) == 1
        assert not await jobs.can_be_deleted(), "it may still be on its way"
        assert await jobs.reconcile() == 1
        assert await jobs.can_be_deleted()


async def test_lost_creations_with_the_same_input_each_get_a_job_of_their_own(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        ordinary = await jobs.create()
        for _ in range(2):
            place.world.fake.plan(Fault("hang", operation="batches.create"))
            with pytest.raises(UpstreamOutcomeUnknown):
                await jobs.create()
        assert await jobs.bound() == {ordinary}
        assert await jobs.reconcile(seconds_later=0.0) == 2
        assert await jobs.bound() == set(jobs.there)
        assert len(jobs.there) == 3


async def test_a_job_that_nobody_here_began_is_taken_by_no_lost_creation(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        other = await place.world.upload(LINE)
        await place.world.provider.create_job(place.world.target, BATCH, {"input_file_id": other.id, "endpoint": "/v1/embeddings"})
        place.world.fake.plan(Fault("hang_before", operation="batches.create"))
        with pytest.raises(UpstreamOutcomeUnknown):
            await jobs.create()
        assert await jobs.reconcile() == 1
        assert await jobs.bound() == set()
        assert await jobs.can_be_deleted()


async def test_the_jobs_behind_many_holds_are_all_asked_about_before_a_deletion(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        jobs = await new_jobs(place)
        ids = [await jobs.create() for _ in range(11)]
        for job_id in ids:
            jobs.there[job_id]["status"] = "failed"
        await place_files(place).delete(place.route(), place.principal, jobs.file_id, ORIGIN)
        assert place.world.fake.accounts.of(SECRET).files == {}
        states = {(await place.store.get_job(place.project.id, place.key.id, BATCH, job_id)).state for job_id in ids}
        assert states == {JobState.ENDED}
