"""Two projects that use one account at a provider see nothing of each other's jobs, whatever the provider says."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from support.jobs import Caller, JobsFake, error_of, manual_fake, new_caller, ok
from support.server import RunningServer

JOBS = {"batches": "batch_0123456789abcdef", "fine_tuning/jobs": "ftjob-0123456789abcdef"}
CALLS = {
    "batches": [("GET", ""), ("POST", "/cancel"), ("GET", "/output")],
    "fine_tuning/jobs": [
        *(("GET", path) for path in ("", "/events", "/checkpoints")),
        *(("POST", path) for path in ("/cancel", "/pause", "/resume")),
    ],
}


@pytest.fixture(scope="module")
def manual() -> Iterator[JobsFake]:
    with manual_fake() as fake:
        yield fake


@pytest.fixture(scope="module")
def organisation(gateway: RunningServer) -> str:
    return gateway.create_key(organisation=True)


@pytest.fixture(params=["one virtual key", "one credential"])
def callers(gateway: RunningServer, manual: JobsFake, organisation: str, request: pytest.FixtureRequest) -> Iterator[tuple[Caller, Caller]]:
    """Of two projects, which share a virtual key, or only the credential behind two of them."""
    manual.control("POST", "reset", {})
    one, other = (new_caller(gateway, manual, request.node.nodeid) for _ in range(2))
    with one.client, other.client:
        ids = [ok(caller.client.get("/admin/workspaces"))["data"][0]["id"] for caller in (one, other)]
        maker = Caller(gateway, manual, one.credential, organisation)
        with maker.client:
            shared = maker.use_virtual_key(f"shared-{one.credential[3:11]}", project_ids=ids)
        for number, caller in enumerate((one, other)):
            if request.param == "one credential":
                body = {"name": "own", "slug": f"{shared}-{number}", "integration_id": shared}
                caller.use(ok(caller.client.post("/providers", json=body))["slug"])
            else:
                caller.use(shared)
        yield one, other


def without(answer: httpx2.Response, job_id: str) -> tuple[int, str]:
    return answer.status_code, answer.text.replace(job_id, "it")


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_a_job_of_another_project_is_answered_as_one_that_never_was(callers: tuple[Caller, Caller], kind: str) -> None:
    one, other = callers
    job_id, file_id = one.a_batch() if kind == "batches" else one.a_tuning()
    one.go_on(job_id, "finalizing" if kind == "batches" else "running")
    sent = len(one.fake.control("GET", "requests"))
    for method, path in CALLS[kind]:
        theirs = other.client.request(method, f"/{kind}/{job_id}{path}")
        unknown = other.client.request(method, f"/{kind}/{JOBS[kind]}{path}")
        assert without(theirs, job_id) == without(unknown, JOBS[kind])
        assert theirs.status_code == 404
    assert ok(other.client.get(f"/{kind}"))["data"] == []
    assert error_of(other.client.get(f"/{kind}", params={"after": job_id})) == error_of(
        other.client.get(f"/{kind}", params={"after": JOBS[kind]})
    )
    assert len(one.fake.control("GET", "requests")) == sent, "the provider was asked about what is another's"
    done = ok(one.client.get(f"/{kind}/{job_id}"))
    results = [done["output_file_id"]] if kind == "batches" else done["result_files"]
    for result in (*results, file_id):
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            assert other.client.request(method, f"/files/{result}{path}").status_code == 404
        assert ok(one.client.get(f"/files/{result}"))["id"] == result
    assert other.file_ids() == []
    assert ok(one.client.delete(f"/files/{file_id}"))["deleted"]


def test_no_job_can_begin_with_a_file_of_another_project(callers: tuple[Caller, Caller]) -> None:
    one, other = callers
    theirs, unknown = one.upload(purpose="fine-tune"), "file-0123456789abcdef"
    mine = other.upload(purpose="fine-tune")
    for begin in (
        other.begin_batch,
        other.begin_tuning,
        lambda file_id: other.begin_tuning(mine, validation_file=file_id),
    ):
        answers = [begin(file_id) for file_id in (theirs, unknown)]
        assert without(answers[0], theirs) == without(answers[1], unknown)
        assert answers[0].status_code == 404
    assert one.fake.requests("batches.create") == one.fake.requests("fine_tuning.create") == []
    for caller, file_id in ((one, theirs), (other, mine)):
        assert ok(caller.client.delete(f"/files/{file_id}"))["deleted"]


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_a_result_that_the_provider_says_is_anothers_is_neither_shown_nor_served(callers: tuple[Caller, Caller], kind: str) -> None:
    one, other = callers
    theirs = one.upload(b"secret", purpose="user_data")
    job_id, _ = other.a_batch() if kind == "batches" else other.a_tuning()
    looks = [f"/{kind}/{job_id}", f"/{kind}", *([f"/{kind}/{job_id}/output"] if kind == "batches" else [])]
    name = kind.partition("/")[0]
    for path in looks:
        other.fake.plan("foreign_result", f"{name}.get", body=theirs)
        answer = other.client.get(path)
        assert theirs not in answer.text
        assert "secret" not in answer.text
    other.fake.plan("foreign_result", f"{name}.cancel", body=theirs)
    assert theirs not in other.client.post(f"/{kind}/{job_id}/cancel").text
    other.fake.plan("foreign_result", f"{name}.create", body=theirs)
    begun = other.begin_batch(other.upload()) if kind == "batches" else other.begin_tuning(other.upload(purpose="fine-tune"))
    assert begun.status_code == 200
    assert theirs not in begun.text
    assert other.client.get(f"/files/{theirs}/content").status_code == 404
    assert one.client.get(f"/files/{theirs}/content").content == b"secret"
    assert theirs not in other.file_ids()


def test_a_result_is_the_projects_as_soon_as_it_is_named_and_before_anybody_else_can_take_it(callers: tuple[Caller, Caller]) -> None:
    one, other = callers
    job_id, _ = one.a_batch()
    one.go_on(job_id, "finalizing")
    result = ok(one.client.get("/batches"))["data"][0]["output_file_id"]
    theirs, _ = other.a_batch()
    other.fake.plan("foreign_result", "batches.get", body=result)
    assert ok(other.client.get(f"/batches/{theirs}"))["output_file_id"] is None
    assert one.client.get(f"/files/{result}/content").status_code == 200
    assert other.client.get(f"/files/{result}").status_code == 404
