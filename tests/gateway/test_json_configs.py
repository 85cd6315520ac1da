"""Configs that look into JSON bodies, or change them: of batches, fine-tuning jobs and uploads in parts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conftest import Fake, Project, as_header
from support.expect import assert_openai_error

LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {}}\n'


def _target(project: Project, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, **more}


def _by(project: Project, query: dict[str, Any], **strategy: Any) -> dict[str, str]:
    """Leads to ``targets[1]`` where the query holds, and else, with a ``default``, to ``targets[0]``."""
    conditions = {"mode": "conditional", "conditions": [{"query": query, "then": "b"}], **strategy}
    return as_header({"strategy": conditions, "targets": [_target(project, "a"), _target(project, "b")]})


def _batch(file_id: str, **more: Any) -> dict[str, Any]:
    return {"input_file_id": file_id, "endpoint": "/v1/embeddings", "completion_window": "24h", **more}


def _input(project: Project) -> str:
    return str(project.upload(project.own, LINE, "a.jsonl").json()["id"])


def _path_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-portkey-last-used-option-index"])


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ({"params.endpoint": "/v1/embeddings"}, 1),
        ({"params.endpoint": {"$regex": "^/v1/emb"}}, 1),
        ({"params.endpoint": "/v1/chat/completions"}, 0),
        ({"params.priority": {"$gt": 2}}, 1),
        ({"params.urgent": True}, 1),
        ({"params.metadata": {"$ne": None}}, 1),
        ({"params.metadata": "x"}, 0),
        ({"$and": [{"params.urgent": True}, {"$or": [{"params.priority": 9}, {"params.priority": 3}]}]}, 1),
        ({"params.nothing": "x"}, 0),
    ],
)
def test_a_condition_compares_the_members_of_a_new_job(project: Project, query: dict[str, Any], target: int) -> None:
    asked = _batch(_input(project), priority=3, urgent=True, metadata={"team": "x"})
    answer = project.client.post("/batches", headers=_by(project, query, default="a"), json=asked)
    assert _path_of(answer) == f"config.targets[{target}]"
    assert project.fake.requests("batches.create")[-1]["headers"]["content-type"] == "application/json"
    assert answer.json()["metadata"] == {"team": "x"}


def test_a_condition_compares_the_members_of_a_new_upload_in_parts(project: Project) -> None:
    headers = _by(project, {"params.purpose": "batch"}, default="a")
    for purpose, target in (("batch", 1), ("user_data", 0)):
        wanted = {"filename": "a.jsonl", "purpose": purpose, "bytes": 3, "mime_type": "application/jsonl"}
        assert _path_of(project.client.post("/uploads", headers=headers, json=wanted)) == f"config.targets[{target}]"


def test_a_call_without_a_json_body_has_no_such_members(project: Project) -> None:
    by = {"params.purpose": "batch"}
    assert _path_of(project.upload(_by(project, by, default="a"))) == "config.targets[0]"
    refused = project.upload(_by(project, by))
    assert_openai_error(refused, 400, "invalid_value", param="x-portkey-config")
    assert _path_of(project.client.get("/batches", headers=_by(project, by, default="a"))) == "config.targets[0]"


@pytest.mark.parametrize(
    ("body", "media_type", "status", "param", "code"),
    [
        (b"{", "application/json", 400, "body", "invalid_value"),
        (b"[]", "application/json", 400, "body", "invalid_value"),
        (b'{"a": 1, "a": 2}', "application/json", 400, "a", "invalid_value"),
        (b"{}", "text/plain", 415, "content-type", "unsupported_media_type"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "application/json", 400, "body", "invalid_value"),
    ],
    ids=["broken", "list", "twice", "type", "large"],
)
def test_a_body_that_cannot_be_read_is_refused_as_ever(
    project: Project, fake: Fake, body: bytes, media_type: str, status: int, param: str, code: str | None
) -> None:
    headers = {**_by(project, {"params.endpoint": "x"}, default="a"), "content-type": media_type}
    assert_openai_error(project.client.post("/batches", headers=headers, content=body), status, code, param=param)
    assert fake.requests("batches.create") == []


@pytest.mark.parametrize("way", ["own", "virtual key"])
def test_the_members_that_a_config_gives_replace_those_of_the_job(project: Project, way: str) -> None:
    given = {"completion_window": "1h", "metadata": {"team": "platform"}}
    if way == "own":
        headers, target = project.own, _target(project, "a", override_params=given)
    else:
        slug = project.virtual_key(credential=project.credential)
        headers, target = {"x-portkey-virtual-key": slug}, {"virtual_key": slug, "override_params": given}
    file_id = project.upload(headers, LINE, "a.jsonl").json()["id"]
    answer = project.client.post("/batches", headers=as_header(target), json=_batch(file_id, metadata={"team": "mine", "kept": "no"}))
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["completion_window"], made["metadata"], made["endpoint"]) == ("1h", {"team": "platform"}, "/v1/embeddings")


def test_the_target_that_is_chosen_gets_what_its_own_config_gives(project: Project) -> None:
    targets = [_target(project, name, override_params={"completion_window": name}) for name in ("1h", "2h")]
    strategy = {"mode": "conditional", "conditions": [{"query": {"params.metadata": "none"}, "then": "1h"}], "default": "2h"}
    headers = as_header({"strategy": strategy, "targets": targets, "override_params": {"metadata": {"from": "above"}}})
    made = project.client.post("/batches", headers=headers, json=_batch(_input(project))).json()
    assert (made["completion_window"], made["metadata"]) == ("2h", {"from": "above"})


@pytest.mark.parametrize("way", ["own", "virtual key"])
@pytest.mark.parametrize("name", ["input_file_id", "InputFileId", "portkey_options"])
def test_a_config_does_not_say_which_files_a_job_reads(project: Project, fake: Fake, way: str, name: str) -> None:
    slug = project.virtual_key(credential=project.credential)
    given = {"override_params": {name: "file-of-another"}}
    target = _target(project, "a", **given) if way == "own" else {"virtual_key": slug, **given}
    headers = project.own if way == "own" else {"x-portkey-virtual-key": slug}
    file_id = project.upload(headers, LINE, "a.jsonl").json()["id"]
    answer = project.client.post("/batches", headers=as_header(target), json=_batch(file_id))
    if way == "own" and name == "InputFileId":
        assert answer.status_code == 200, answer.text  # nobody else's files are behind a credential of one's own
        return
    assert_openai_error(answer, 400, "invalid_value", param=name)
    assert fake.requests("batches.create") == []
