"""What every provider of jobs promises of providers that refuse, lie, stall and break off, as tests that run against its fake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from fileplane.catalog import JobKind
from fileplane.errors import (
    FileplaneError,
    JobLost,
    JobTimedOut,
    JobUnknown,
    ProviderRefused,
    UnsupportedProviderOperation,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.remote_jobs import JobRecords, RemoteJobQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_jobs_world import ALL, OPERATIONS, RECORDS, SAFE, begin, kept_jobs
from fileplane.testing.provider_world import SECRET, World, assert_tells_no_secret, new_world

_REFUSALS = (400, 401, 403, 409, 422, 429, 500, 503)
_TOO_LARGE = 20 << 20
_NO_IDS: tuple[Any, ...] = ("../../etc", "a/b", "a b", "a\r\nb", "x" * 201, 7, [], {"id": "../x"}, {"name": "x"}, True)


class ProviderJobFaultsSuite:
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

    @pytest.fixture
    async def impatient_world(self) -> AsyncIterator[World]:
        """One whose deadlines are short, for tests in which they pass."""
        deadlines: dict[str, Any] = {"egress_connect_seconds": 0.3, "egress_first_byte_seconds": 0.3, "egress_idle_seconds": 0.3}
        async with new_world(self.flavour, self.fields, jobs="manual", **deadlines) as world:
            yield world

    async def test_a_refusal_is_passed_on_with_what_the_provider_says(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        calls = [*ALL.values(), *([RECORDS] if kind is JobKind.FINE_TUNING else [])]
        for call in calls:
            for status in _REFUSALS:
                said = {"error": {"message": f"No, {status}.", "type": "some_error", "param": "some.field", "code": "some_code"}}
                world.fake.plan(Fault("refuse", status=status, body=said, headers={"set-cookie": "a=b", "retry-after": "7"}))
                with pytest.raises(ProviderRefused) as caught:
                    await call(world, kind, job.id)
                error = caught.value
                assert (error.status, error.message) == (status, f"No, {status}.")
                assert (error.type, error.param, error.code) == ("some_error", "some.field", "some_code")
                assert (error.headers, error.retry_after) == ({"retry-after": "7"}, 7)
            world.fake.plan(Fault("refuse", status=403, body=json.dumps(world.fake.flavour.error(403, "Not with this key.", None, None))))
            with pytest.raises(ProviderRefused, match=r"Not with this key\."):
                await call(world, kind, job.id)
        assert list(kept_jobs(world, kind)) == [job.id]

    async def test_an_unknown_url_is_no_unknown_job(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        world.fake.plan(Fault("refuse", operation=f"{OPERATIONS[kind]}.create", status=404))
        world.fake.plan(Fault("refuse", operation=f"{OPERATIONS[kind]}.list", status=404))
        for name in ("create", "list"):
            with pytest.raises(ProviderRefused) as caught:
                await ALL[name](world, kind, job.id)
            assert caught.value.status == 404
        world.fake.plan(Fault("refuse", operation=f"{OPERATIONS[kind]}.cancel", status=404))
        with pytest.raises(UnsupportedProviderOperation):
            await SAFE["cancel"](world, kind, job.id)
        if kind is JobKind.FINE_TUNING:
            for records in JobRecords:
                world.fake.plan(Fault("refuse", operation=f"fine_tuning.{records.value}", status=404))
                with pytest.raises(UnsupportedProviderOperation):
                    await world.provider.job_records(world.target, job.id, records, RemoteJobQuery())
        get = f"{OPERATIONS[kind]}.get"
        for words in ("Method does not exist.", f"No static resource v1/{job.id}.", "Unknown workspace"):
            world.fake.plan(Fault("refuse", operation=get, status=404, body={"error": {"message": words, "code": "not_found"}}))
            with pytest.raises(ProviderRefused):
                await SAFE["get"](world, kind, job.id)
        said = {"error": {"message": f"Could not find fine tune: {job.id}", "code": "fine_tune_not_found"}}
        world.fake.plan(Fault("refuse", operation=get, status=404, body=said))
        with pytest.raises(JobUnknown):
            await SAFE["get"](world, kind, job.id)

    @pytest.mark.parametrize("operation", ALL)
    async def test_a_secret_that_a_provider_echoes_is_told_to_nobody(self, world: World, kind: JobKind, operation: str) -> None:
        job = (await begin(world, kind)).job
        said = {"error": {"message": f"Incorrect API key: {SECRET}\x1b[31m\r\nx", "type": SECRET, "param": SECRET, "code": SECRET}}
        for body in (said, {"message": f"Bearer {SECRET}"}, f"key {SECRET} is wrong", f"<b>{SECRET}</b>"):
            world.fake.plan(Fault("refuse", status=401, body=body, headers={"x-key": SECRET, "set-cookie": SECRET}))
            with pytest.raises(ProviderRefused) as caught:
                await ALL[operation](world, kind, job.id)
            assert_tells_no_secret(caught.value)
        kept_jobs(world, kind)[job.id]["metadata"] = {"sent": f"Authorization: Bearer {SECRET}"}
        if operation != "create":
            told = await ALL[operation](world, kind, job.id)
            documents = [one.document for one in told.jobs] if operation == "list" else [told.document]
            assert documents[0]["metadata"] == {"sent": "Authorization: Bearer ********"}

    @pytest.mark.parametrize("fault", [Fault("garbage"), Fault("html", status=200), Fault("bomb", at=_TOO_LARGE)], ids=lambda one: one.kind)
    async def test_an_answer_that_is_none_is_no_success(self, world: World, kind: JobKind, fault: Fault) -> None:
        job = (await begin(world, kind)).job
        for call in SAFE.values():
            world.fake.plan(replace(fault, operation=OPERATIONS[kind]))
            with pytest.raises(UpstreamAnswerInvalid):
                await call(world, kind, job.id)

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("garbage"),
            Fault("html", status=200),
            Fault("html", status=502),
            Fault("html", status=504),
            Fault("close_request_at", at=1),
            Fault("close_request_at", at=1, reset=True),
            Fault("close_response_at", at=-1),
            Fault("close_response_at", at=-1, reset=True),
            Fault("close_response_at", at=5),
            Fault("redirect", location="http://127.0.0.1:1/"),
            Fault("huge_headers", at=60_000),
            Fault("wrong_length", by=10),
            Fault("refuse", status=200, headers={"content-encoding": "br"}),
            Fault("refuse", status=204, body=b""),
            Fault("bomb", at=_TOO_LARGE),
            Fault("odd_id", body="../../etc"),
            Fault("odd_id", body=""),
            Fault("foreign_result", body="../../etc"),
            Fault("odd_status", body={"a": 1}),
        ],
        ids=lambda fault: f"{fault.kind} {fault.status or ''}{fault.at or ''}{fault.body or ''}{' reset' * fault.reset}".strip(),
    )
    async def test_once_a_job_was_sent_its_outcome_is_unknown_and_it_is_not_sent_again(
        self, world: World, kind: JobKind, fault: Fault
    ) -> None:
        await world.upload()
        world.fake.plan(replace(fault, operation=f"{OPERATIONS[kind]}.create"))
        with pytest.raises(UpstreamOutcomeUnknown) as caught:
            await ALL["create"](world, kind, "")
        error = caught.value
        assert isinstance(error, JobTimedOut if fault.status == 504 else JobLost)
        assert (error.code, error.definitive) == ("upstream_outcome_unknown", True)
        assert "job" in error.message
        assert "file" not in error.message.replace("names a file", "")
        assert_tells_no_secret(error)
        assert len(world.fake.requests_for(OPERATIONS[kind])) == 1

    async def test_a_job_whose_creation_was_never_answered_is_found_in_the_list(self, impatient_world: World, kind: JobKind) -> None:
        world = impatient_world
        file = await world.upload()
        world.fake.plan(Fault("hang", operation=OPERATIONS[kind]))
        with pytest.raises(JobTimedOut):
            await ALL["create"](world, kind, "")
        assert len(world.fake.requests_for(OPERATIONS[kind])) == 1
        [job] = (await world.provider.list_jobs(world.target, kind, RemoteJobQuery())).jobs
        assert (job.id, job.inputs) == (next(iter(kept_jobs(world, kind))), (file.id,))

    async def test_a_provider_that_is_not_there_has_begun_nothing(self, world: World, kind: JobKind) -> None:
        await world.upload()
        await world.fake.stop()
        try:
            for call in ALL.values():
                with pytest.raises(UpstreamUnreachable):
                    await call(world, kind, "batch_1")
        finally:
            await world.fake.start()
        assert kept_jobs(world, kind) == {}

    @pytest.mark.parametrize("operation", SAFE)
    async def test_a_safe_call_that_is_not_answered_ends_by_its_deadline(
        self, impatient_world: World, kind: JobKind, operation: str
    ) -> None:
        world = impatient_world
        job = (await begin(world, kind)).job
        world.fake.plan(Fault("hang_before"))
        with pytest.raises(UpstreamTimeout) as caught:
            await SAFE[operation](world, kind, job.id)
        assert (caught.value.status, caught.value.definitive) == (504, False)
        assert_tells_no_secret(caught.value)

    @pytest.mark.parametrize("operation", SAFE)
    async def test_a_safe_call_whose_connection_breaks_may_be_made_again(self, world: World, kind: JobKind, operation: str) -> None:
        job = (await begin(world, kind)).job
        world.fake.reset()
        # A connection that was kept alive may be tried anew, so it breaks twice.
        world.fake.plan(Fault("close_response_at", at=-1, times=2))
        with pytest.raises(UpstreamUnreachable) as caught:
            await SAFE[operation](world, kind, job.id)
        assert (caught.value.status, caught.value.definitive) == (502, False)
        assert len(world.fake.requests_for(f"{OPERATIONS[kind]}.cancel")) == (operation == "cancel"), "an action is sent once"

    @pytest.mark.parametrize("operation", ALL)
    async def test_no_redirect_is_followed_with_the_credential(self, world: World, kind: JobKind, operation: str) -> None:
        job = (await begin(world, kind)).job
        async with new_world(self.flavour, self.fields) as other:
            world.fake.plan(Fault("redirect", status=307, location=f"{other.fake.base_url}/batches"))
            with pytest.raises(FileplaneError) as caught:
                await ALL[operation](world, kind, job.id)
            assert caught.value.status == 502
            assert other.fake.requests == []

    @pytest.mark.parametrize("operation", ["get", "cancel"])
    async def test_the_description_of_another_job_is_not_passed_on(self, world: World, kind: JobKind, operation: str) -> None:
        one, other = (await begin(world, kind)).job, (await begin(world, kind)).job
        world.fake.plan(Fault("refuse", operation=OPERATIONS[kind], status=200, body=dict(other.document)))
        with pytest.raises(UpstreamAnswerInvalid):
            await SAFE[operation](world, kind, one.id)

    @pytest.mark.parametrize("operation", ["get", "list", "cancel"])
    async def test_a_job_that_names_a_file_by_what_is_no_id_is_not_passed_on(self, world: World, kind: JobKind, operation: str) -> None:
        job = (await begin(world, kind)).job
        for file_id in _NO_IDS:
            world.fake.plan(Fault("foreign_result", operation=OPERATIONS[kind], body=file_id))
            kept_jobs(world, kind)[job.id]["status"] = job.status
            with pytest.raises(UpstreamAnswerInvalid):
                await SAFE[operation](world, kind, job.id)

    async def test_the_file_of_somebody_else_is_told_as_a_result_for_the_catalog_to_judge(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        world.fake.plan(Fault("foreign_result", operation=OPERATIONS[kind], body="file-of-another"))
        found = await SAFE["get"](world, kind, job.id)
        assert [result.file_id for result in found.results] == ["file-of-another"]

    async def test_an_action_that_is_answered_with_nothing_is_looked_up(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        world.fake.plan(Fault("refuse", operation=f"{OPERATIONS[kind]}.cancel", status=204, body=b""))
        assert await SAFE["cancel"](world, kind, job.id) == job

    async def test_the_target_s_own_timeout_holds(self, world: World, kind: JobKind) -> None:
        job = (await begin(world, kind)).job
        hasty = replace(world, target=replace(world.target, request_timeout_seconds=0.2))
        world.fake.plan(Fault("hang_before", times=2))
        with pytest.raises(UpstreamTimeout):
            await SAFE["get"](hasty, kind, job.id)
        with pytest.raises(JobTimedOut):
            await ALL["create"](hasty, kind, job.id)
