"""Answers that seem to say more than they do: anybody's 404, a lost deletion, an id or a key that stands for something else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from gateway.conftest import Project, as_header
from support.expect import assert_openai_error
from support.jobs import LINE, Caller, JobsFake, error_of, manual_fake, new_caller, ok
from support.server import RunningServer


@pytest.fixture
def headers(project: Project) -> dict[str, str]:
    return {"x-portkey-virtual-key": project.virtual_key()}


@pytest.fixture(scope="module")
def jobs_fake() -> Iterator[JobsFake]:
    with manual_fake("openai") as running:
        yield running


@pytest.fixture
def caller(gateway: RunningServer, jobs_fake: JobsFake, request: pytest.FixtureRequest) -> Iterator[Caller]:
    jobs_fake.control("POST", "reset", {})
    made = new_caller(gateway, jobs_fake, request.node.nodeid)
    with made.client:
        made.use_virtual_key()
        yield made


def uploaded(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("operation", ["get", "content", "delete"])
def test_a_page_of_an_ingress_takes_no_file_away(project: Project, headers: dict[str, str], operation: str) -> None:
    file_id = uploaded(project.upload(headers, b"kept"))
    project.fake.plan("html", operation, status=404)
    path = f"/files/{file_id}/content" if operation == "content" else f"/files/{file_id}"
    refused = project.client.request("DELETE" if operation == "delete" else "GET", path, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "provider_refused")
    assert project.client.get(f"/files/{file_id}/content", headers=headers).content == b"kept"
    assert [file["id"] for file in project.client.get("/files", headers=headers).json()["data"]] == [file_id]
    assert project.client.delete(f"/files/{file_id}", headers=headers).json()["deleted"]
    assert project.fake.files(project.credential) == []


NOT_YET = {"error": {"message": "The content of this file was not found.", "type": "invalid_request_error", "code": "content_not_found"}}
NO_FILE = {"error": {"message": "No such file.", "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (NOT_YET, NOT_YET["error"]["message"]),
        (NO_FILE, "The file is there, but no content of it now. Ask for it later, or look at its status."),
    ],
    ids=["no content", "no file"],
)
def test_content_that_a_provider_does_not_have_takes_no_file_away(
    project: Project, headers: dict[str, str], said: dict[str, Any], told: str
) -> None:
    file_id = uploaded(project.upload(headers, b"kept"))
    project.fake.plan("refuse", "content", status=404, body=said)
    refused = project.client.get(f"/files/{file_id}/content", headers=headers)
    assert_openai_error(refused, 404, "content_not_found")
    assert refused.json()["error"]["message"] == f"openai: {told}"
    assert project.client.get(f"/files/{file_id}", headers=headers).json()["id"] == file_id
    assert project.client.get("/files", headers=headers).json()["total"] == 1
    assert project.client.get(f"/files/{file_id}/content", headers=headers).content == b"kept"


def test_content_is_gone_for_good_only_when_the_provider_does_not_know_the_file_either(project: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    project.client.delete(f"/files/{file_id}", headers=project.own)
    project.fake.plan("refuse", "get", status=503)
    assert project.client.get(f"/files/{file_id}/content", headers=headers).status_code == 503
    assert project.client.get("/files", headers=headers).json()["total"] == 1
    assert_openai_error(project.client.get(f"/files/{file_id}/content", headers=headers), 404, None, param="id")
    assert project.client.get("/files", headers=headers).json()["total"] == 0


def test_an_address_that_leads_nowhere_for_a_while_takes_no_file_away(project: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    slug = headers["x-portkey-virtual-key"]
    astray = {"custom_host": project.fake.base_url + "/v1", "key": project.credential}
    assert project.client.put(f"/virtual-keys/{slug}", json=astray).status_code == 200
    assert project.client.get(f"/files/{file_id}", headers=headers).status_code == 404
    assert project.client.delete(f"/files/{file_id}", headers=headers).status_code == 404
    assert project.client.put(f"/virtual-keys/{slug}", json=astray | {"custom_host": project.fake.base_url}).status_code == 200
    assert project.client.get(f"/files/{file_id}", headers=headers).json()["id"] == file_id


def test_a_page_of_an_ingress_ends_no_job_and_lets_go_of_no_file(caller: Caller) -> None:
    file_id = caller.upload(LINE)
    batch = ok(caller.begin_batch(file_id))
    caller.fake.control("POST", "faults", {"kind": "html", "operation": "batches.get", "status": 404, "times": 2})
    assert caller.client.get(f"/batches/{batch['id']}").status_code == 404
    assert error_of(caller.client.delete(f"/files/{file_id}")) == (409, "file_in_use", "id")
    assert ok(caller.client.get(f"/batches/{batch['id']}"))["status"] == "validating"
    assert [one["id"] for one in ok(caller.client.get("/batches"))["data"]] == [batch["id"]]


@pytest.mark.parametrize(("kind", "status"), [("refuse", 503), ("close_response_at", 502)])
def test_a_deletion_that_is_sent_again_as_its_failure_asks_for_succeeds(
    project: Project, headers: dict[str, str], kind: str, status: int
) -> None:
    file_id = uploaded(project.upload(headers))
    project.fake.plan(kind, "delete", **({"status": 503} if kind == "refuse" else {"at": -1}))
    assert project.client.delete(f"/files/{file_id}", headers=headers).status_code == status
    assert project.client.get(f"/files/{file_id}", headers=headers).status_code == 404
    assert project.client.delete(f"/files/{file_id}", headers=headers).json() == {"id": file_id, "object": "file", "deleted": True}
    assert project.fake.files(project.credential) == []
    assert_openai_error(project.client.delete(f"/files/{file_id}", headers=headers), 404, None, param="id")


def actions_about(project: Project, file_id: str) -> list[str]:
    records = project.client.get("/audit-logs", params={"resource_id": file_id}).json()["records"]
    return [one["action"] for one in reversed(records)]


@pytest.mark.parametrize("asked", [{}, {"x-portkey-config": '{"retry": {"attempts": 1, "on_status_codes": [409]}}'}])
def test_a_deletion_that_the_provider_says_it_has_not_made_leaves_the_file_as_it_was(
    project: Project, headers: dict[str, str], asked: dict[str, str]
) -> None:
    file_id = uploaded(project.upload(headers, b"kept"))
    project.fake.plan("refuse", "delete", status=200, body={"id": file_id, "object": "file", "deleted": False}, times=2)
    refused = project.client.delete(f"/files/{file_id}", headers=headers | asked)
    assert_openai_error(refused, 409, "file_not_deleted", definitive=True)
    assert project.client.get(f"/files/{file_id}/content", headers=headers).content == b"kept"
    assert project.client.get("/files", headers=headers).json()["total"] == 1
    assert actions_about(project, file_id) == ["create", "delete", "cancel_delete"]


def test_a_deletion_of_unknown_outcome_says_that_it_is_gone_on_with(project: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    project.fake.plan("refuse", "delete", status=503, body={"error": {"message": "Overloaded."}})
    said = project.client.delete(f"/files/{file_id}", headers=headers).json()["error"]["message"]
    assert said.startswith("openai: Overloaded. The file is not served any more, and its deletion is gone on with here")
    assert actions_about(project, file_id) == ["create", "delete"]
    assert project.client.delete(f"/files/{file_id}", headers=headers).json()["deleted"]
    assert actions_about(project, file_id) == ["create", "delete", "confirm_delete"]


def test_of_several_deletions_of_a_file_at_once_one_has_deleted_it(project: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    project.fake.plan("drip", "delete", bytes_per_second=100, times=4)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: project.client.delete(f"/files/{file_id}", headers=headers), range(4)))
    assert len(project.fake.requests("delete")) > 1, "they were not at once"
    others = sorted(answers, key=lambda answer: answer.status_code)
    assert others.pop(0).json() == {"id": file_id, "object": "file", "deleted": True}
    for other in others:
        assert_openai_error(other, 404, None, param="id")


def test_what_another_project_is_deleting_is_nothing_to_delete(project: Project, neighbour: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    project.fake.plan("refuse", "delete", status=503)
    assert project.client.delete(f"/files/{file_id}", headers=headers).status_code == 503
    theirs = {"x-portkey-virtual-key": neighbour.virtual_key("theirs")}
    assert_openai_error(neighbour.client.delete(f"/files/{file_id}", headers=theirs), 404, None, param="id")
    assert len(project.fake.requests("delete")) == 1


def test_an_idempotency_key_stands_for_an_upload_to_where_it_went(project: Project, headers: dict[str, str]) -> None:
    other = project.virtual_key("other", credential="sk-other-account")
    once = {"idempotency-key": "k"}
    first = uploaded(project.upload(headers | once))
    refused = project.upload({"x-portkey-virtual-key": other} | once)
    assert_openai_error(refused, 409, "idempotency_conflict", param="idempotency-key", definitive=True)
    both = {"targets": [{"virtual_key": other}, {"virtual_key": headers["x-portkey-virtual-key"]}], "strategy": {"mode": "fallback"}}
    repeated = project.upload(as_header(both) | once)
    assert (uploaded(repeated), repeated.headers["idempotent-replayed"]) == (first, "true")
    assert repeated.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert len(project.fake.requests("upload")) == 1


def test_an_id_that_stands_for_other_bytes_is_not_passed_off_as_the_upload(project: Project, headers: dict[str, str]) -> None:
    first = project.upload(headers, b"AAAA", "first.jsonl").json()
    project.fake.plan("duplicate_id", "upload")
    lost = project.upload(headers, b"BBBB", "second.jsonl")
    assert "the id of another file" in assert_openai_error(lost, 502, "upstream_outcome_unknown", type="upstream_error", definitive=True)
    listed = project.client.get("/files", headers=headers).json()
    assert [(file["id"], file["filename"]) for file in listed["data"]] == [(first["id"], "first.jsonl")]


def test_what_is_said_to_openai_alone_reaches_it(project: Project) -> None:
    said = {"x-portkey-openai-beta": "assistants=v2", "x-portkey-openai-organization": "org-a", "x-portkey-openai-project": "proj_a"}
    assert project.client.get("/files", headers=project.own | said).status_code == 200
    [request] = project.fake.requests("list")
    heard = {name: request["headers"].get(name) for name in ("openai-beta", "openai-organization", "openai-project")}
    assert heard == {"openai-beta": "assistants=v2", "openai-organization": "org-a", "openai-project": "proj_a"}


@pytest.mark.parametrize("value", ["Basic dXNlcjpwdw==", "Bearer bearer sk-a", "Bearer sk-a sk-b"])
def test_what_is_no_key_is_not_sent_on_as_one(project: Project, value: str) -> None:
    refused = project.client.get("/files", headers=project.own | {"authorization": value})
    assert_openai_error(refused, 400, "invalid_value", param="authorization")
    assert project.fake.requests("list") == []


def test_a_call_that_failed_after_repetitions_says_that_all_attempts_failed(project: Project, headers: dict[str, str]) -> None:
    file_id = uploaded(project.upload(headers))
    project.fake.plan("refuse", "get", status=503)
    project.fake.plan("refuse", "get", status=400, call=2)
    document = {"virtual_key": headers["x-portkey-virtual-key"], "retry": {"attempts": 3, "on_status_codes": [503]}}
    refused = project.client.get(f"/files/{file_id}", headers=as_header(document))
    assert (refused.status_code, refused.headers["x-portkey-retry-attempt-count"]) == (400, "-1")


@pytest.mark.parametrize("how", ["own", "virtual key"])
def test_a_download_that_breaks_off_before_its_first_byte_is_repeated_as_the_config_asks(
    project: Project, headers: dict[str, str], how: str
) -> None:
    content = bytes(range(256)) * 4_000
    own = {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url}
    document = (own if how == "own" else {"virtual_key": headers["x-portkey-virtual-key"]}) | {"retry": {"attempts": 2}}
    file_id = uploaded(project.upload(as_header(document), content))
    project.fake.plan("close_response_at", "content", at=0)
    served = project.client.get(f"/files/{file_id}/content", headers=as_header(document))
    assert (served.status_code, served.content == content) == (200, True)
    assert served.headers["x-portkey-retry-attempt-count"] == "1"
    project.fake.plan("close_response_at", "content", at=0, times=3)
    refused = project.client.get(f"/files/{file_id}/content", headers=as_header(document))
    assert_openai_error(refused, 502, "upstream_unreachable", type="upstream_error")
    assert refused.headers["x-portkey-retry-attempt-count"] == "-1"
    assert len(project.fake.requests("content")) == 5
