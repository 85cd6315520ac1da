"""Repetitions and what answers tell of them, through the whole server."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from gateway.conftest import Fake, Project, as_header

TOLD = ("provider", "trace-id", "last-used-option-index", "retry-attempt-count")


def _target(project: Project, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, **more}


def _told(answer: Any) -> dict[str, str]:
    return {name: answer.headers[f"x-portkey-{name}"] for name in TOLD}


def test_an_upload_that_is_repeated_sends_whole_copies_and_makes_one_file(project: Project, fake: Fake) -> None:
    content = os.urandom(3_000_000)
    fake.plan("refuse", "upload", status=500, times=2)
    made = project.upload(as_header(_target(project, retry={"attempts": 2})), content, "a.bin", purpose="user_data")
    assert (made.status_code, _told(made)["retry-attempt-count"]) == (200, "2")
    sent = fake.requests("upload")
    assert [one["body_complete"] for one in sent] == [True] * 3
    assert len({one["body_bytes"] for one in sent}) == 1
    [file] = fake.files(project.credential)
    assert file["id"] == made.json()["id"]
    assert hashlib.sha256(fake.content(project.credential, file["id"])).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("spelling", ["use_retry_after_header", "use_retry_after_headers"])
@pytest.mark.parametrize("header", [{"retry-after": "3600"}, {"retry-after-ms": "3600000"}, {"x-ms-retry-after-ms": "3600000"}], ids=str)
def test_a_provider_that_asks_for_more_than_is_waited_is_not_asked_again(
    project: Project, fake: Fake, spelling: str, header: dict[str, str]
) -> None:
    fake.plan("refuse", "list", status=429, headers=header, times=2)
    answer = project.client.get("/files", headers=as_header(_target(project, retry={"attempts": 3, spelling: True})))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert len(fake.requests("list")) == 1


def test_a_timeout_of_the_config_is_a_408_that_can_be_repeated_or_lead_on(project: Project, fake: Fake) -> None:
    fake.plan("hang", "list", times=2)
    slow = _target(project, request_timeout=300)
    answer = project.client.get("/files", headers=as_header(slow))
    assert (answer.status_code, answer.json()["error"]["code"], _told(answer)["retry-attempt-count"]) == (408, "request_timeout", "0")
    answer = project.client.get("/files", headers=as_header(slow | {"retry": {"attempts": 1, "on_status_codes": [408]}}))
    assert (answer.status_code, _told(answer)["retry-attempt-count"]) == (200, "1")
    fake.plan("hang_before", "upload")
    document = {"strategy": {"mode": "fallback"}, "targets": [slow, _target(project)]}
    answer = project.upload(as_header(document))
    assert (answer.status_code, _told(answer)["last-used-option-index"]) == (200, "config.targets[1]")


def test_answers_tell_their_way_on_every_call_and_on_errors(project: Project, fake: Fake) -> None:
    sent = {**project.own, "x-portkey-trace-id": "trace-7"}
    way = {"provider": "openai", "trace-id": "trace-7", "last-used-option-index": "config", "retry-attempt-count": "0"}
    made = project.upload(sent)
    file_id = made.json()["id"]
    assert _told(made) == way
    for method, path, status in (
        ("GET", "/files", 200),
        ("GET", f"/files/{file_id}", 200),
        ("GET", f"/files/{file_id}/content", 200),
        ("HEAD", f"/files/{file_id}/content", 200),
        ("DELETE", f"/files/{file_id}", 200),
        ("GET", f"/files/{file_id}", 404),
        ("GET", f"/files/{file_id}/content", 404),
        ("POST", f"/files/{file_id}/restore", 501),
        ("GET", "/files?limit=0", 400),
    ):
        answer = project.client.request(method, path, headers=sent)
        assert (answer.status_code, _told(answer)) == (status, way), path
    fake.plan("refuse", "list", status=418)
    answer = project.client.get("/files", headers=sent)
    assert (answer.status_code, _told(answer)) == (418, way)
    answer = project.client.get("/files", headers={**sent, "x-portkey-custom-host": "http://127.0.0.1:9/v1"})
    assert (answer.status_code, _told(answer)) == (502, way)


@pytest.mark.parametrize("sent", ["", "x" * 257, "\u00e4", "a b"], ids=["none", "too long", "no ASCII", "a space"])
def test_a_trace_id_that_cannot_be_echoed_is_the_requests_own(project: Project, sent: str) -> None:
    headers = project.own | ({"x-portkey-trace-id": sent.encode("latin-1")} if sent else {})
    answer = project.client.get("/files", headers=headers)
    assert answer.status_code == 200
    assert _told(answer)["trace-id"] == answer.headers["x-request-id"]
