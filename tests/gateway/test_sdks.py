"""The SDKs that name a provider only have to be told another base URL."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.conftest import Project
from sdk.processes import NODE, run
from support.server import running_server

# The options of createHeaders and of Portkey's clients, in their own spelling.
SPELLINGS = {
    "python": {"virtual_key": "virtual_key", "custom_host": "custom_host", "authorization": "Authorization"},
    "node": {"virtual_key": "virtualKey", "custom_host": "customHost", "authorization": "Authorization"},
}
COMMANDS = {"python": (sys.executable, "python/gateway_sdk.py"), "node": (str(NODE), "node/gateway_sdk.mjs")}


def _ways(project: Project, language: str) -> dict[str, Any]:
    slug, spelled = project.virtual_key(), SPELLINGS[language]
    host = project.fake.base_url
    own = {"provider": "openai", spelled["custom_host"]: host}
    config = {"provider": "openai", "api_key": project.credential, "custom_host": host}
    saved = project.client.post("/configs", json={"name": "saved", "config": {"virtual_key": slug}}).json()["data"]["slug"]
    bearer = {spelled["authorization"]: f"Bearer {project.credential}"}
    return {
        "openai, a virtual key": {"sdk": "openai", "bearer": "OPENAI_API_KEY", "options": {spelled["virtual_key"]: slug}},
        "openai, a slug": {"sdk": "openai", "bearer": project.key, "options": {"provider": f"@{slug}"}},
        "openai, its own key and host": {"sdk": "openai", "bearer": project.credential, "options": own},
        "openai, an inline config": {"sdk": "openai", "bearer": "DUMMY-KEY", "options": {"config": config}},
        "openai, a saved config": {"sdk": "openai", "bearer": "DUMMY-KEY", "options": {"config": saved}},
        "portkey, a virtual key": {"sdk": "portkey", "options": {spelled["virtual_key"]: slug}},
        "portkey, a slug": {"sdk": "portkey", "options": {"provider": f"@{slug}"}},
        "portkey, its own key and host": {"sdk": "portkey", "options": own | bearer},
        "portkey, an inline config": {"sdk": "portkey", "options": {"config": config}},
        "portkey, a saved config": {"sdk": "portkey", "options": {"config": saved}},
        "openai, a config that the headers complete": {
            "sdk": "openai",
            "bearer": project.credential,
            "options": own | {"config": {"retry": {"attempts": 1}}},
        },
        "portkey, a config that the headers complete": {"sdk": "portkey", "options": own | bearer | {"config": {"retry": {"attempts": 1}}}},
    }


def _passed_through(project: Project, language: str, base_url: str) -> dict[str, Any]:
    """At a server that asks for no key of its own, where Portkey's header may hold the provider's."""
    own = {"provider": "openai", SPELLINGS[language]["custom_host"]: project.fake.base_url}
    there = {"base_url": base_url, "api_key": project.credential}
    config = {"config": {"api_key": project.credential, "provider": "openai", "custom_host": project.fake.base_url}}
    return {
        "openai, passed through": {"sdk": "openai", "bearer": project.credential, "options": own, **there},
        "openai, passed through in Portkey's header": {"sdk": "openai", "bearer": "OPENAI_API_KEY", "options": own, **there},
        "openai, an inline config passed through": {"sdk": "openai", "bearer": "DUMMY-KEY", "options": config, **there},
        "portkey, passed through": {"sdk": "portkey", "options": own, **there},
        "portkey, an inline config passed through": {"sdk": "portkey", "options": config, **there},
    }


@pytest.fixture(scope="module")
def passthrough(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("open") / "data", auth="passthrough", egress_allow="127.0.0.1") as running:
        yield running.base_url


@pytest.mark.parametrize("language", sorted(COMMANDS))
def test_every_sdk_makes_the_five_calls_in_every_way(project: Project, passthrough: str, language: str) -> None:
    ways = _ways(project, language) | _passed_through(project, language, passthrough)
    given = json.dumps({"base_url": project.server.base_url, "api_key": project.key, "ways": ways})
    seen = json.loads(run(COMMANDS[language], given=given))
    assert seen.keys() == ways.keys()
    for way, steps in seen.items():
        file_id = steps["made"][0]
        assert file_id.startswith("file-"), way
        assert steps["made"] == steps["got"] == [file_id, 9, "batch", "a.jsonl"], way
        both = [file_id, steps["other"]]
        assert (steps["content"], sorted(steps["listed"])) == ('{"a": 1}\n', sorted(both)), way
        assert steps["deleted"] == [[one, True] for one in both], way
    assert project.fake.files(project.credential) == []
    uploads = project.fake.requests("upload")
    assert len(uploads) == 2 * len(ways)
    assert {one["headers"]["authorization"] for one in uploads} == {f"Bearer {project.credential}"}
    assert not [name for one in project.fake.requests() for name in one["headers"] if name.startswith("x-portkey")]
