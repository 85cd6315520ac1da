"""Which target a request goes to, through the whole server: by chance, by rule, nested, inherited, by default, and as edited just now."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2

from gateway.conftest import Fake, Project, as_header
from support.polling import eventually

INDEX = "x-portkey-last-used-option-index"


def _target(project: Project, name: str = "", **more: Any) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return {"provider": "openai", "api_key": f"{project.credential}-{name}", "custom_host": project.fake.base_url, **named, **more}


def _used(project: Project, document: dict[str, Any], **headers: str) -> str:
    answer = project.upload(as_header(document) | headers)
    assert answer.status_code == 200, answer.text
    return answer.headers[INDEX].removeprefix("config.")


def _conditional(project: Project, query: dict[str, Any], **more: Any) -> dict[str, Any]:
    strategy = {"mode": "conditional", "conditions": [{"query": query, "then": "yes"}], "default": "no", **more}
    return {"strategy": strategy, "targets": [_target(project, "yes"), _target(project, "no")]}


def test_a_weight_of_zero_is_never_chosen_and_the_others_all_are(project: Project) -> None:
    targets = [_target(project, "never", weight=0), _target(project, "often", weight=1), _target(project, "too", weight=1.5)]
    used = {_used(project, {"strategy": {"mode": "loadbalance"}, "targets": targets}) for _ in range(40)}
    assert used == {"targets[1]", "targets[2]"}
    assert project.fake.files(project.credential + "-never") == []


def test_weights_that_are_all_zero_are_refused_at_once(project: Project, fake: Fake) -> None:
    targets = [_target(project, weight=0), _target(project, weight=0)]
    answer = project.upload(as_header({"strategy": {"mode": "loadbalance"}, "targets": targets}))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "targets")
    assert fake.requests() == []


OPERATORS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"metadata.a": "x"}, {"a": "x"}, True),
    ({"metadata.a": {"$eq": "x"}}, {"a": "y"}, False),
    ({"metadata.a": {"$ne": "x"}}, {}, True),
    ({"metadata.a": {"$gt": 5}}, {"a": "6"}, True),
    ({"metadata.a": {"$gte": 5}}, {"a": 5}, True),
    ({"metadata.a": {"$lt": 5}}, {"a": 5}, False),
    ({"metadata.a": {"$lte": 5}}, {"a": 5}, True),
    ({"metadata.a": {"$in": ["x", "y"]}}, {"a": "y"}, True),
    ({"metadata.a": {"$nin": ["x", "y"]}}, {"a": "y"}, False),
    ({"metadata.a": {"$regex": "^eu-"}}, {"a": "eu-west"}, True),
    ({"$and": [{"metadata.a": "x"}, {"metadata.b": "y"}]}, {"a": "x"}, False),
    ({"$or": [{"metadata.a": "x"}, {"metadata.b": "y"}]}, {"b": "y"}, True),
    ({"$or": [{"metadata.a": "x"}, {"metadata.b": "y"}], "metadata.c": "z"}, {"b": "y"}, False),
    ({"url.pathname": "/v1/files"}, {}, True),
    ({"url.pathname": {"$regex": "content$"}}, {}, False),
]


def test_a_condition_leads_where_it_says_with_every_operator(project: Project) -> None:
    for query, metadata, holds in OPERATORS:
        used = _used(project, _conditional(project, query), **{"x-portkey-metadata": json.dumps(metadata)})
        assert used == ("targets[0]" if holds else "targets[1]"), query


def test_without_a_condition_that_holds_and_a_default_the_request_is_refused(project: Project, fake: Fake) -> None:
    document = _conditional(project, {"metadata.a": "x"}, default=None)
    for answer in (project.upload(as_header(document)), project.client.get("/files/file-1", headers=as_header(document))):
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", "x-portkey-config")
    assert fake.requests() == []


def test_an_unknown_operator_is_refused(project: Project, fake: Fake) -> None:
    answer = project.upload(as_header(_conditional(project, {"metadata.a": {"$near": "x"}})))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "strategy.conditions[0].query.metadata.a.$near")
    assert fake.requests() == []


def test_strategies_are_nested_and_hand_their_options_down(project: Project, fake: Fake) -> None:
    inner = {
        "strategy": {"mode": "loadbalance"},
        "retry": {"attempts": 1, "on_status_codes": [503]},
        "targets": [_target(project, "never", weight=0), _target(project, "first")],
    }
    last = {"provider": "openai", "api_key": f"{project.credential}-last", "retry": {"attempts": 0}}
    document = {
        "strategy": {"mode": "fallback", "on_status_codes": [503]},
        "custom_host": fake.base_url,
        "forward_headers": ["x-of-the-whole"],
        "targets": [inner, last],
    }
    fake.plan("refuse", "upload", status=503, times=2)
    assert _used(project, document, **{"x-of-the-whole": "handed down"}) == "targets[1]"
    sent = fake.requests("upload")
    credentials = [one["headers"]["authorization"].removeprefix(f"Bearer {project.credential}-") for one in sent]
    assert credentials == ["first", "first", "last"]
    assert {one["headers"]["x-of-the-whole"] for one in sent} == {"handed down"}
    fake.plan("refuse", "upload", status=503, times=3)
    answer = project.upload(as_header(document))
    assert (answer.status_code, answer.headers[INDEX]) == (503, "config.targets[1]")
    assert answer.headers["x-portkey-retry-attempt-count"] == "0", "its own option wins over those around it"


def _saved(project: Project, document: dict[str, Any]) -> str:
    answer = project.client.post("/configs", json={"name": "saved", "config": document})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["slug"]


def test_an_edited_config_reaches_a_routed_call_within_five_seconds(project: Project) -> None:
    slug = _saved(project, _target(project, "before"))
    headers = {"x-portkey-config": slug}
    assert project.upload(headers).status_code == 200
    edited = project.client.put(f"/configs/{slug}", json={"config": {"targets": [_target(project, "after")]}})
    assert edited.status_code == 200, edited.text
    began = time.monotonic()
    while project.upload(headers).headers[INDEX] == "config":
        assert time.monotonic() - began < 5
    assert project.fake.files(project.credential + "-after")


def test_the_default_of_an_api_key_goes_before_its_projects_and_may_be_binding(project: Project) -> None:
    own = _saved(project, {"targets": [_target(project, "key")]})
    of_project = project.client.post("/configs", json={"name": "p", "config": _target(project, "project"), "is_default": 1})
    assert of_project.status_code == 200
    wanted = {"name": "bound", "scopes": ["files.read", "files.write"], "defaults": {"config_id": own, "allow_config_override": False}}
    made = project.client.post("/api-keys/workspace/service", json=wanted)
    assert made.status_code == 200, made.text
    bound = {"x-portkey-api-key": made.json()["key"]}

    def listed(**headers: str) -> httpx2.Response:
        return httpx2.get(f"{project.server.base_url}/files", headers=bound | headers, trust_env=False)

    assert listed().headers[INDEX] == "config.targets[0]"
    assert listed(**{"x-portkey-config": own}).status_code == 200
    for name, value in (
        ("x-portkey-provider", "fileplane"),
        ("x-portkey-config", "pc-other"),
        ("x-portkey-virtual-key", "other"),
        ("x-portkey-custom-host", "https://elsewhere.example/v1"),
    ):
        answer = listed(**{name: value})
        assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (403, "beyond_own_rights", name)
    eventually(lambda: project.client.get("/files").headers.get(INDEX) == "config", 15)
