"""The fake provider is faithful enough for OpenAI's own client, runs its jobs, and is steered from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import openai
import pytest

from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.faults import FaultPlan
from support.server import fileplane_environment

LINES = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {}}\nno json\n'


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running("--jobs", "manual") as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-fake", base_url=base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def control(base_url: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=base_url.removesuffix("/v1") + "/_control", trust_env=False) as control:
        yield control
        control.post("/reset")


def test_openai_s_client_finds_what_it_expects(client: openai.OpenAI):
    made = client.files.create(file=("a.jsonl", LINES), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3_600})
    assert (made.filename, made.bytes, made.expires_at) == ("a.jsonl", len(LINES), made.created_at + 3_600)
    assert client.files.retrieve(made.id).status == "processed"
    assert client.files.content(made.id).content == LINES
    assert made.id in [file.id for file in client.files.list(limit=1)]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.retrieve(made.id)
    assert caught.value.param == "id"


def test_a_batch_goes_on_step_by_step_and_makes_its_files(client: openai.OpenAI, control: httpx2.Client):
    file = client.files.create(file=("a.jsonl", LINES), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    statuses = [batch.status]
    while client.batches.retrieve(batch.id).status != "completed":
        assert control.post("/jobs", json={"credential": "sk-fake", "id": batch.id}).status_code == 200
        statuses.append(client.batches.retrieve(batch.id).status)
    assert statuses == ["validating", "in_progress", "finalizing", "completed"]
    done = client.batches.retrieve(batch.id)
    assert json.loads(client.files.content(done.output_file_id or "").text)["custom_id"] == "a"
    assert client.files.retrieve(done.error_file_id or "").purpose == "batch_output"
    assert [one.id for one in client.batches.list()] == [batch.id]


def test_a_fine_tuning_job_makes_its_results(client: openai.OpenAI, control: httpx2.Client):
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(training_file=file.id, model="gpt-4o-mini")
    for _ in range(3):
        control.post("/jobs", json={"credential": "sk-fake", "id": job.id})
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert client.files.retrieve(done.result_files[0]).purpose == "fine-tune-results"


def test_a_fine_tuning_job_is_paused_and_resumed_and_keeps_records(client: openai.OpenAI, control: httpx2.Client):
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(training_file=file.id, model="gpt-4o-mini")
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.pause(job.id)
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    for _ in range(2):
        control.post("/jobs", json={"credential": "sk-fake", "id": job.id})
    steps = [checkpoint.step_number for checkpoint in client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)]
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert steps == [3, 2, 1]
    assert messages == ["The job is succeeded", "The job is running", "Asked to resume", "Asked to pause", "Created fine-tuning job"]


def test_a_job_is_made_whatever_a_test_needs_and_a_fault_strikes_at_one_operation_of_jobs(client: openai.OpenAI, control: httpx2.Client):
    file = client.files.create(file=("a.jsonl", LINES), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/responses", completion_window="24h")
    control.post("/jobs", json={"credential": "sk-fake", "id": batch.id, "status": "expired", "set": {"output_file_id": file.id}})
    found = client.batches.retrieve(batch.id)
    assert (found.status, found.output_file_id) == ("expired", file.id)
    control.post("/faults", json={"kind": "refuse", "operation": "batches.list", "status": 400})
    assert client.batches.retrieve(batch.id).id == batch.id
    with pytest.raises(openai.BadRequestError):
        client.batches.list()


def test_faults_requests_and_the_clock_are_steered_from_outside(client: openai.OpenAI, control: httpx2.Client):
    faults = [{"kind": "refuse", "operation": "get", "call": 2, "status": 429, "headers": {"retry-after": "7"}}]
    assert control.post("/faults", json=faults).status_code == 200
    file = client.files.create(file=("a.jsonl", LINES), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3_600})
    client.files.retrieve(file.id)
    with pytest.raises(openai.RateLimitError):
        client.files.retrieve(file.id)
    control.post("/clock", json={"seconds": 3_601})
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    requests = control.get("/requests").json()
    assert [request["operation"] for request in requests] == ["upload", "get", "get", "get"]
    assert [request["status"] for request in requests] == [200, 200, 429, 404]
    assert requests[0]["headers"]["authorization"] == "Bearer sk-fake"
    assert control.post("/faults", json={"kind": "nonsense"}).status_code == 400


def test_a_credential_sees_its_own_files_alone_and_a_bad_one_nothing(client: openai.OpenAI, base_url: str):
    file = client.files.create(file=("a.jsonl", LINES), purpose="batch")
    with openai.OpenAI(api_key="sk-other", base_url=base_url, max_retries=0) as other, pytest.raises(openai.NotFoundError):
        other.files.retrieve(file.id)
    with openai.OpenAI(api_key="bad", base_url=base_url, max_retries=0) as nobody, pytest.raises(openai.AuthenticationError):
        nobody.files.list()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx',
        b'--b\r\nContent-Disposition: attachment; name="file"\r\n\r\nx\r\n--b--\r\n',
        b"no form at all",
    ],
    ids=range(7),
)
def test_a_form_that_is_none_is_refused_and_leaves_no_file(base_url: str, body: bytes):
    headers = {"authorization": "Bearer sk-strict", "content-type": "multipart/form-data; boundary=b"}
    with httpx2.Client(base_url=base_url, headers=headers, trust_env=False) as client:
        assert client.post("/files", content=body).status_code == 400
        assert client.get("/files").json()["data"] == []


def test_a_fault_strikes_at_its_call_and_as_often_as_planned():
    plan = FaultPlan()
    plan.add(Fault("hang", operation="get", call=2, times=2))
    struck = [plan.for_call(name) is not None for name in ("get", "list", "get", "list", "get", "get")]
    assert struck == [False, False, True, False, True, False]
    with pytest.raises(ValueError, match="nonsense"):
        Fault("nonsense")
