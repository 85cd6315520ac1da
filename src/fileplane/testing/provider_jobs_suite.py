"""What every provider of jobs promises, as tests that run against its fake.

An adapter's own test file subclasses :class:`ProviderJobsSuite` and names the ``flavour`` of :mod:`fileplane.testing.fake_provider`. What a
provider cannot do is not skipped: it has to be refused, and before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from fileplane.catalog import JobKind, JobState, job_state
from fileplane.errors import InvalidValue, JobUnknown, ProviderRefused, UnsupportedProviderOperation
from fileplane.providers.remote_jobs import JobAction, JobRecords, RemoteJobPage, RemoteJobQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_jobs_world import ALL, LINES, OPERATIONS, SAFE, begin, kept_jobs, step
from fileplane.testing.provider_world import SECRET, World, new_world

_FOREIGN_IDS = (
    "../models",
    "..",
    ".",
    "a/b",
    "a%2fb",
    "a?b",
    "a#b",
    "a\\b",
    "a b",
    "",
    "a\r\nb",
    "a\x00b",
    "é",
    "x" * 201,
    "%2e%2e",
    "a/..",
)
_UNKNOWN = "batch_0123456789abcdef01234567"
_WAY = {
    JobKind.BATCH: ["validating", "in_progress", "finalizing", "completed"],
    JobKind.FINE_TUNING: ["validating_files", "queued", "running", "succeeded"],
}


class ProviderJobsSuite:
    """Subclass it; every method is a promise. ``kinds`` are those of the provider."""

    flavour: ClassVar[str] = "openai"
    fields: ClassVar[Mapping[str, str]] = {}
    kinds: ClassVar[tuple[JobKind, ...]] = tuple(JobKind)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every promise of jobs is one of each kind that the provider has."""
        if "kind" in metafunc.fixturenames:
            kinds = metafunc.cls.kinds
            metafunc.parametrize("kind", kinds, ids=[kind.value for kind in kinds])

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with new_world(self.flavour, self.fields, jobs="manual") as world:
            yield world

    async def test_the_kinds_of_jobs_that_are_declared_can_be_run_and_no_other(self, world: World) -> None:
        assert world.capabilities.jobs == frozenset(self.kinds)
        await world.upload()
        world.fake.reset()
        for kind in set(JobKind) - set(self.kinds):
            for call in ALL.values():
                with pytest.raises(UnsupportedProviderOperation):
                    await call(world, kind, _UNKNOWN)
        assert world.fake.requests == []

    async def test_what_begins_a_job_is_sent_to_the_letter_once_and_with_its_length(self, world: World, kind: JobKind) -> None:
        begun = await begin(world, kind)
        [request] = world.fake.requests_for(OPERATIONS[kind])
        assert request.document == begun.document
        assert request.headers["content-type"] == "application/json"
        assert int(request.headers["content-length"]) == request.body_bytes
        assert "transfer-encoding" not in request.headers
        assert list(kept_jobs(world, kind)) == [begun.job.id]

    async def test_a_job_is_described_in_openai_s_terms(self, world: World, kind: JobKind) -> None:
        before = int(time.time())
        begun = await begin(world, kind)
        found = await world.provider.get_job(world.target, kind, begun.job.id)
        for job in (begun.job, found):
            assert (job.kind, job.status, job.inputs, job.results) == (kind, _WAY[kind][0], (begun.file_id,), ())
            assert job.document["id"] == job.id
            assert job.document["status"] == job.status
            assert job.document["object"] == {JobKind.BATCH: "batch", JobKind.FINE_TUNING: "fine_tuning.job"}[kind]
            assert before <= job.document["created_at"] <= time.time() + 2
            assert "" not in [value for name, value in job.document.items() if name.endswith(("_id", "_at"))]
            assert SECRET not in repr(job)
        assert found.document == begun.job.document

    async def test_a_job_goes_its_way_in_openai_s_words_and_its_results_are_files(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        words = [job.status]
        for _ in _WAY[kind][1:]:
            assert job_state(kind, job.status) is JobState.ACTIVE
            assert job.results == ()
            step(world, kind, job.id)
            job = await world.provider.get_job(world.target, kind, job.id)
            words.append(job.status)
        assert words == _WAY[kind]
        assert job_state(kind, job.status) is JobState.ENDED
        if kind is JobKind.BATCH:
            assert [result.file_id for result in job.results] == [job.document["output_file_id"], job.document["error_file_id"]]
        else:
            assert [result.file_id for result in job.results] == job.document["result_files"]
        assert {result.purpose for result in job.results} == {"batch_output" if kind is JobKind.BATCH else "fine-tune-results"}
        for result in job.results:
            assert await world.download(result.file_id)
        [listed] = (await world.provider.list_jobs(world.target, kind, RemoteJobQuery())).jobs
        assert listed == job

    async def test_a_job_without_failed_lines_has_no_file_of_them(self, world: World) -> None:
        begun = await begin(world, JobKind.BATCH)
        world.fake.accounts.of(SECRET).files[begun.file_id].path.write_bytes(LINES.splitlines(keepends=True)[0])
        for _ in _WAY[JobKind.BATCH]:
            step(world, JobKind.BATCH, begun.job.id)
        job = await world.provider.get_job(world.target, JobKind.BATCH, begun.job.id)
        assert job.document["error_file_id"] is None
        assert [result.file_id for result in job.results] == [job.document["output_file_id"]]

    async def test_a_job_can_be_cancelled_and_a_second_time_the_provider_s_refusal_is_told(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        cancelled = await world.provider.act_on_job(world.target, kind, job.id, JobAction.CANCEL)
        assert cancelled.id == job.id
        assert cancelled.status == {JobKind.BATCH: "cancelling", JobKind.FINE_TUNING: "cancelled"}[kind]
        step(world, kind, job.id)
        ended = await world.provider.get_job(world.target, kind, job.id)
        assert (ended.status, job_state(kind, ended.status)) == ("cancelled", JobState.ENDED)
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.act_on_job(world.target, kind, job.id, JobAction.CANCEL)
        assert caught.value.status == 400

    async def test_a_job_is_paused_and_resumed_where_that_can_be_done(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        world.fake.reset()
        for action, status in ((JobAction.PAUSE, "paused"), (JobAction.RESUME, "queued")):
            if kind is JobKind.BATCH or action.value in world.fake.flavour.lacks_of_jobs:
                with pytest.raises(UnsupportedProviderOperation):
                    await world.provider.act_on_job(world.target, kind, job.id, action)
            else:
                assert (await world.provider.act_on_job(world.target, kind, job.id, action)).status == status
        if kind is JobKind.BATCH:
            assert world.fake.requests == []

    @pytest.mark.parametrize("records", list(JobRecords))
    @pytest.mark.parametrize("limit", [None, 2])
    async def test_records_are_shown_once_newest_first_and_say_truly_whether_there_are_more(
        self, world: World, records: JobRecords, limit: int | None
    ) -> None:
        kind = JobKind.FINE_TUNING
        if kind not in world.capabilities.jobs:
            with pytest.raises(UnsupportedProviderOperation):
                await world.provider.job_records(world.target, _UNKNOWN, records, RemoteJobQuery(limit=limit))
            assert world.fake.requests == []
            return
        job = (await begin(world, kind)).job
        for _ in _WAY[kind]:
            step(world, kind, job.id)
        kept = world.fake.accounts.of(SECRET).records[job.id, records.value]
        query = RemoteJobQuery(limit=limit)
        shown: list[Mapping[str, Any]] = []
        while True:
            page = await world.provider.job_records(world.target, job.id, records, query)
            assert len(page.documents) == min(limit or 20, len(kept) - len(shown))
            shown += page.documents
            if not page.has_more:
                break
            query = replace(query, after=shown[-1]["id"])
        assert shown == kept[::-1]
        with pytest.raises(JobUnknown):
            await world.provider.job_records(world.target, _UNKNOWN, records, RemoteJobQuery())

    @pytest.mark.parametrize("limit", [1, 3, 7, 100, None])
    async def test_pages_show_every_job_once_and_say_truly_whether_there_is_more(
        self, world: World, kind: JobKind, limit: int | None
    ) -> None:
        made = [(await begin(world, kind)).job.id for _ in range(7)]
        pages = await _every_page(world, kind, RemoteJobQuery(limit=limit))
        assert [job.id for page in pages for job in page.jobs] == made[::-1]
        assert len(pages) == -(-7 // (limit or 20))
        assert [page.has_more for page in pages] == [True] * (len(pages) - 1) + [False]
        assert all(page.next_cursor == (page.jobs[-1].id if page.has_more else None) for page in pages)

    async def test_an_empty_list_is_an_empty_page(self, world: World, kind: JobKind) -> None:
        page = await world.provider.list_jobs(world.target, kind, RemoteJobQuery())
        assert (page.jobs, page.has_more, page.next_cursor) == ((), False, None)

    async def test_a_cursor_that_is_no_job_is_refused(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        with pytest.raises(InvalidValue) as caught:
            await world.provider.list_jobs(world.target, kind, RemoteJobQuery(limit=2, after=_UNKNOWN))
        assert caught.value.param == "after"
        page = await world.provider.list_jobs(world.target, kind, RemoteJobQuery(after=job.id))
        assert (page.jobs, page.has_more) == ((), False)
        world.fake.plan(Fault("refuse", operation=OPERATIONS[kind], status=404))
        if world.fake.flavour.pages_jobs:
            with pytest.raises(InvalidValue):
                await world.provider.list_jobs(world.target, kind, RemoteJobQuery(after=_UNKNOWN))
        world.fake.reset()
        with pytest.raises(InvalidValue):
            await world.provider.list_jobs(world.target, kind, RemoteJobQuery(after="../x"))
        assert world.fake.requests == []

    async def test_a_job_that_is_unknown_is_not_found(self, world: World, kind: JobKind) -> None:
        await begin(world, kind)
        with pytest.raises(JobUnknown):
            await world.provider.get_job(world.target, kind, _UNKNOWN)
        with pytest.raises(JobUnknown):
            await world.provider.act_on_job(world.target, kind, _UNKNOWN, JobAction.CANCEL)

    async def test_a_job_of_the_other_kind_is_not_found(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        [other] = [other for other in JobKind if other is not kind]
        with pytest.raises(JobUnknown if other in world.capabilities.jobs else UnsupportedProviderOperation):
            await world.provider.get_job(world.target, other, job.id)

    async def test_an_id_that_would_lead_elsewhere_is_not_found_and_never_sent(self, world: World, kind: JobKind) -> None:
        for job_id in _FOREIGN_IDS:
            with pytest.raises(JobUnknown):
                await world.provider.get_job(world.target, kind, job_id)
            for action in JobAction:
                with pytest.raises(JobUnknown):
                    await world.provider.act_on_job(world.target, kind, job_id, action)
            for records in JobRecords:
                with pytest.raises(JobUnknown):
                    await world.provider.job_records(world.target, job_id, records, RemoteJobQuery())
        assert world.fake.requests == []

    async def test_a_status_that_nobody_knows_is_passed_on_and_means_that_the_job_goes_on(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        for word in ("Awaiting_Moderation", "done-ish", None, ""):
            world.fake.plan(Fault("odd_status", operation=OPERATIONS[kind], body=word))
            found = await world.provider.get_job(world.target, kind, job.id)
            assert found.status == found.document["status"] == (word or "")
            assert job_state(kind, found.status) is JobState.ACTIVE

    async def test_a_document_that_is_none_or_too_large_is_refused_before_anything_is_sent(self, world: World, kind: JobKind) -> None:
        for document in ({"metadata": {"a": "x" * (1 << 20)}}, {"seed": float("nan")}, {"seed": b"bytes"}):
            with pytest.raises(InvalidValue):
                await world.provider.create_job(world.target, kind, document)
        assert world.fake.requests == []

    async def test_a_job_with_a_file_that_is_not_there_is_refused_by_the_provider(self, world: World, kind: JobKind) -> None:
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.create_job(world.target, kind, {"input_file_id": "file-x", "training_file": "file-x"})
        assert caught.value.status == 400
        assert kept_jobs(world, kind) == {}

    async def test_only_the_calls_on_jobs_are_made_and_each_with_the_credential(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        for call in SAFE.values():
            await call(world, kind, job.id)
        root = world.fake.flavour.prefix + {JobKind.BATCH: "/batches", JobKind.FINE_TUNING: "/fine_tuning/jobs"}[kind]
        requests = world.fake.requests_for(OPERATIONS[kind])
        assert [request.path for request in requests] == [root, f"{root}/{job.id}", root, f"{root}/{job.id}/cancel"]
        for request in requests:
            names = [name.lower() for name, _ in request.pairs]
            assert len(names) == len(set(names))
            assert SECRET in request.headers.get("authorization", "") + request.headers.get("api-key", "")
            assert request.query == dict(world.fake.flavour.needs_query)


async def _every_page(world: World, kind: JobKind, query: RemoteJobQuery) -> list[RemoteJobPage]:
    pages = [await world.provider.list_jobs(world.target, kind, query)]
    while pages[-1].has_more:
        assert len(pages) < 100, "the pages never end"
        pages.append(await world.provider.list_jobs(world.target, kind, replace(query, after=pages[-1].next_cursor)))
    return pages
