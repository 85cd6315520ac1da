"""Configs with several targets, repetitions and timeouts, for uploads as for every other call."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.conftest import Fake, Project, as_header
from support.polling import eventually


def _target(project: Project, credential: str, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": credential, "custom_host": project.fake.base_url, **more}


def _second(project: Project) -> str:
    return project.credential + "-second"


def _spool_is_empty(project: Project) -> bool:
    spool: Path = project.server.data_dir / "spool"
    return not spool.exists() or not list(spool.iterdir())


def _fallback(project: Project, **strategy: Any) -> dict[str, str]:
    targets = [_target(project, project.credential), _target(project, _second(project))]
    return as_header({"strategy": {"mode": "fallback", **strategy}, "targets": targets})


def test_an_upload_whose_first_target_dies_near_its_end_arrives_once_and_whole_at_the_second(project: Project, fake: Fake) -> None:
    content = os.urandom(8 << 20)
    fake.plan("close_request_at", "upload", at=len(content) * 9 // 10, reset=True)
    answer = project.upload(_fallback(project), content, "large.bin", purpose="user_data")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert fake.files(project.credential) == []
    [arrived] = fake.files(_second(project))
    assert arrived["id"] == answer.json()["id"]
    assert hashlib.sha256(fake.content(_second(project), arrived["id"])).digest() == hashlib.sha256(content).digest()
    assert _spool_is_empty(project)


def test_a_fallback_goes_on_only_after_the_statuses_it_names(project: Project, fake: Fake) -> None:
    fake.plan("refuse", "upload", status=400, times=2)
    answer = project.upload(_fallback(project, on_status_codes=[429]))
    assert (answer.status_code, answer.headers["x-portkey-last-used-option-index"]) == (400, "config.targets[0]")
    answer = project.upload(_fallback(project, on_status_codes=[400]))
    assert (answer.status_code, answer.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")


def test_an_upload_is_sent_again_whole_after_a_refusal_that_is_to_be_repeated(project: Project, fake: Fake) -> None:
    fake.plan("refuse", "upload", status=503, times=2)
    headers = as_header(_target(project, project.credential, retry={"attempts": 3}))
    content = os.urandom(600_000)
    answer = project.upload(headers, content, "some.bin", purpose="user_data")
    assert (answer.status_code, answer.headers["x-portkey-retry-attempt-count"]) == (200, "2")
    [arrived] = fake.files(project.credential)
    assert fake.content(project.credential, arrived["id"]) == content
    assert len(fake.requests("upload")) == 3


def test_repetitions_end_with_the_providers_own_refusal(project: Project, fake: Fake) -> None:
    fake.plan("refuse", "list", status=503, times=9)
    answer = project.client.get("/files", headers=as_header(_target(project, project.credential, retry={"attempts": 1})))
    assert (answer.status_code, answer.headers["x-portkey-retry-attempt-count"]) == (503, "-1")
    assert len(fake.requests("list")) == 2


def test_what_a_provider_asks_to_wait_is_waited_or_not_tried_at_all(project: Project, fake: Fake) -> None:
    retry = {"attempts": 1, "use_retry_after_header": True}
    headers = as_header(_target(project, project.credential, retry=retry))
    fake.plan("refuse", "list", status=429, headers={"retry-after": "1"})
    began = time.monotonic()
    assert project.client.get("/files", headers=headers).status_code == 200
    assert time.monotonic() - began >= 1
    fake.plan("refuse", "list", status=429, headers={"retry-after": "3600"})
    answer = project.client.get("/files", headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


def test_an_upload_of_unknown_outcome_is_not_repeated(project: Project, fake: Fake) -> None:
    fake.plan("close_response_at", "upload", at=-1)
    answer = project.upload(as_header(_target(project, project.credential, retry={"attempts": 3, "on_status_codes": [502]})))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_outcome_unknown")
    assert answer.headers["x-should-retry"] == "false"
    assert len(fake.requests("upload")) == 1


def test_ids_go_to_the_target_that_has_them(project: Project) -> None:
    one, two = project.upload(project.own).json()["id"], None
    other = {**project.own, "authorization": f"Bearer {_second(project)}"}
    two = project.upload(other).json()["id"]
    targets = [_target(project, project.credential), _target(project, _second(project))]
    spread = as_header({"strategy": {"mode": "loadbalance"}, "targets": targets})
    for file_id, path in ((one, "config.targets[0]"), (two, "config.targets[1]")):
        answer = project.client.get(f"/files/{file_id}", headers=spread)
        assert (answer.status_code, answer.headers["x-portkey-last-used-option-index"]) == (200, path)
        assert project.client.get(f"/files/{file_id}/content", headers=spread).content == b"{}\n"
        assert project.client.delete(f"/files/{file_id}", headers=spread).status_code == 200
    assert project.client.get(f"/files/{one}", headers=spread).status_code == 404


def test_a_list_of_several_targets_has_every_file_once(project: Project) -> None:
    other = {**project.own, "authorization": f"Bearer {_second(project)}"}
    slug = project.virtual_key(credential=project.credential + "-third")
    ids = {project.upload(headers).json()["id"] for headers in (project.own, project.own, other, other, {"x-portkey-virtual-key": slug})}
    targets = [_target(project, project.credential), {"virtual_key": slug}, _target(project, _second(project))]
    spread = as_header({"strategy": {"mode": "loadbalance"}, "targets": targets})
    for limit in (1, 2, 3, 100):
        seen: list[str] = []
        while True:
            page = project.client.get("/files", params={"limit": limit, **({"after": seen[-1]} if seen else {})}, headers=spread).json()
            seen += [file["id"] for file in page["data"]]
            assert len(seen) <= len(ids)
            if not page["has_more"]:
                break
        assert sorted(seen) == sorted(ids)


def test_conditions_choose_by_metadata(project: Project, fake: Fake) -> None:
    targets = [_target(project, project.credential, name="a"), _target(project, _second(project), name="b")]
    conditions = [{"query": {"metadata.plan": "pro"}, "then": "b"}]
    chosen = as_header({"strategy": {"mode": "conditional", "conditions": conditions, "default": "a"}, "targets": targets})
    project.upload({**chosen, "x-portkey-metadata": '{"plan": "pro"}'})
    project.upload(chosen)
    assert [len(fake.files(one)) for one in (project.credential, _second(project))] == [1, 1]


def test_the_requests_own_timeout_is_a_408(project: Project, fake: Fake) -> None:
    fake.plan("hang", "list")
    answer = project.client.get("/files", headers={**project.own, "x-portkey-request-timeout": "300"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("way", ["straight", "spooled"])
def test_a_form_that_breaks_off_leaves_no_file_at_the_provider(project: Project, fake: Fake, way: str) -> None:
    import httpx2

    headers = project.own if way == "straight" else as_header(_target(project, project.credential, retry={"attempts": 1}))
    head = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'

    def body() -> Any:
        yield head
        for _ in range(8):
            yield os.urandom(1 << 18)
        yield b"\r\n--c--\r\n"

    answer = httpx2.post(
        f"{project.server.base_url}/files",
        headers={**headers, "x-portkey-api-key": project.key, "content-type": "multipart/form-data; boundary=b"},
        content=body(),
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 400, answer.text
    assert fake.files(project.credential) == []
    eventually(lambda: _spool_is_empty(project), 5)
    sent = fake.requests("upload")
    assert [request["body_complete"] for request in sent] == ([False] if way == "straight" else [])


def test_fields_may_follow_a_file_that_is_small_or_is_spooled(project: Project) -> None:
    files = [("file", ("a.jsonl", b"{}\n")), ("purpose", (None, "batch"))]
    answer = project.client.post("/files", headers=project.own, files=files)
    assert (answer.status_code, answer.json()["purpose"]) == (200, "batch")
    files = [("file", ("a.bin", os.urandom(1 << 20))), ("purpose", (None, "user_data"))]
    answer = project.client.post("/files", headers=project.own, files=files)
    assert (answer.status_code, answer.json()["bytes"]) == (200, 1 << 20)
