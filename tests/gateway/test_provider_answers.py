"""What is passed on of a provider's answers besides their bodies: its own id of the call, and how long it wants to be left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from gateway.conftest import Fake, Project, as_header
from support.polling import eventually

NAME = "x-fileplane-provider-request-id"
BODY = {"id": "file-made", "object": "file", "bytes": 3, "created_at": 1, "filename": "a.jsonl", "purpose": "batch", "status": "processed"}


@pytest.mark.parametrize("header", ["x-request-id", "request-id", "apim-request-id", "x-ms-request-id"])
@pytest.mark.parametrize("status", [200, 429])
def test_a_providers_own_id_of_a_call_is_in_the_answer_and_in_the_log(project: Project, fake: Fake, header: str, status: int) -> None:
    body = BODY if status == 200 else {"error": {"message": "Slow down."}}
    fake.plan("refuse", "upload", status=status, headers={header: "req_8f14e45f"}, body=body)
    answer = project.upload(project.own)
    assert (answer.status_code, answer.headers[NAME]) == (status, "req_8f14e45f")
    assert answer.headers["x-request-id"] != "req_8f14e45f"
    assert _access_line(project, answer)["provider_request_id"] == "req_8f14e45f"


@pytest.mark.parametrize("call", ["list", "get", "content", "delete"])
def test_every_call_passes_it_on(project: Project, fake: Fake, call: str) -> None:
    file_id = project.upload(project.own).json()["id"]
    documents: dict[str, tuple[str, str, Any]] = {
        "list": ("GET", "/files", {"data": []}),
        "get": ("GET", f"/files/{file_id}", {**BODY, "id": file_id}),
        "content": ("GET", f"/files/{file_id}/content", "{}\n"),
        "delete": ("DELETE", f"/files/{file_id}", {"id": file_id, "deleted": True}),
    }
    method, path, body = documents[call]
    fake.plan("refuse", call, status=200, headers={"x-request-id": f"req-{call}"}, body=body)
    answer = project.client.request(method, path, headers=project.own)
    assert (answer.status_code, answer.headers[NAME]) == (200, f"req-{call}")


def test_an_id_that_is_none_or_holds_the_credential_is_not_passed_on(project: Project, fake: Fake) -> None:
    for value in (project.credential, f"id.{project.credential}", "two words", "x" * 200, "<b>"):
        fake.plan("refuse", "list", status=200, headers={"x-request-id": value}, body={"data": []})
        answer = project.client.get("/files", headers=project.own)
        assert answer.status_code == 200
        assert NAME not in answer.headers
        assert "provider_request_id" not in _access_line(project, answer)


def test_the_id_is_that_of_the_last_attempt_and_none_where_that_was_not_answered(project: Project, fake: Fake) -> None:
    fake.plan("refuse", "list", status=503, headers={"x-request-id": "first"})
    fake.plan("refuse", "list", call=2, status=200, headers={"x-request-id": "second"}, body={"data": []})
    target = {"provider": "openai", "api_key": project.credential, "custom_host": fake.base_url, "retry": {"attempts": 1}}
    assert project.client.get("/files", headers=as_header(target)).headers[NAME] == "second"
    fake.reset()
    fake.plan("refuse", "list", status=503, headers={"x-request-id": "first"})
    fake.plan("close_response_at", "list", call=2, times=9, at=-1)
    answer = project.client.get("/files", headers=as_header(target))
    assert (answer.status_code, NAME in answer.headers) == (502, False)


def test_an_answer_of_the_native_store_has_none(project: Project) -> None:
    answer = project.client.get("/files")
    assert (answer.status_code, NAME in answer.headers) == (200, False)


def _date(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0"}, 1, 1),
        ({"retry-after": "0.4"}, 1, 1),
        ({"retry-after": "999999"}, 60, 60),
        ({"retry-after-ms": "2500"}, 2, 3),
        ({"retry-after": "date in 30 s"}, 20, 30),
        ({"retry-after": "date in 7200 s"}, 60, 60),
        ({"retry-after": "date in -50 s"}, 1, 1),
    ],
    ids=str,
)
def test_how_long_a_provider_wants_to_be_left_alone_is_passed_on_within_bounds(
    project: Project, fake: Fake, status: int, said: dict[str, str], low: int, high: int
) -> None:
    headers = {name: _date(int(value.split()[2])) if value.startswith("date") else value for name, value in said.items()}
    fake.plan("refuse", "list", status=status, headers=headers)
    answer = project.client.get("/files", headers=project.own)
    assert answer.status_code == status
    assert low <= int(answer.headers["retry-after"]) <= high


@pytest.mark.parametrize("said", ["soon", "-5", "1e9", "Thu, 99 Foo 2026 00:00:00 GMT", ""])
def test_what_is_no_time_is_not_passed_on(project: Project, fake: Fake, said: str) -> None:
    fake.plan("refuse", "list", status=429, headers={"retry-after": said})
    answer = project.client.get("/files", headers=project.own)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, False)


def _access_line(project: Project, answer: httpx2.Response) -> dict[str, Any]:
    def lines() -> list[dict[str, Any]]:
        entries = (json.loads(line) for line in project.server.log.splitlines() if answer.headers["x-request-id"] in line)
        return [entry for entry in entries if entry["event"] == "request"]

    eventually(lines, "the access line")
    return lines()[0]
