"""Portkey's own clients make, read, change and remove projects and API keys, and parse what they are answered without loss."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from sdk.processes import NODE, run
from support.expect import UUID7
from support.server import RunningServer

CLIENTS = {"Python": (sys.executable, "python/portkey_access.py"), "Node": (str(NODE), "node/portkey_access.mjs")}


@pytest.fixture(scope="module", params=sorted(CLIENTS))
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def seen(sdk_server: RunningServer, language: str) -> dict[str, Any]:
    """What the SDK's process saw, step by step."""
    given = json.dumps({"base_url": sdk_server.base_url, "api_key": sdk_server.api_key})
    return json.loads(run(CLIENTS[language], given=given))


def test_projects_are_made_listed_changed_and_removed(seen: dict[str, Any], language: str) -> None:
    made = seen["made"]
    assert UUID7.fullmatch(made["id"])
    assert made["slug"].startswith("ws-from-")
    assert (made["name"], made["description"], made["object"]) == (f"From {language}", "for tests", "workspace")
    assert made["defaults"]["metadata"] == {"team": "a"}
    [listed] = seen["listed"]["data"]
    assert listed["id"] == made["id"]
    assert seen["listed"]["total"] == 1
    assert seen["updated"]["description"] == "changed"
    assert {name: seen["retrieved"][name] for name in made} | {"description": None} == made | {
        "description": None,
        "last_updated_at": seen["updated"]["last_updated_at"],
    }
    assert (seen["deleted"]["id"], seen["deleted"]["deleted"]) == (made["id"], True)


def test_keys_are_made_used_listed_changed_rotated_and_removed(seen: dict[str, Any]) -> None:
    made, retrieved = seen["key made"], seen["key retrieved"]
    assert made["key"].startswith("fpk_")
    assert seen["files"] == 0
    assert (retrieved["key"], retrieved["type"], retrieved["user_id"]) == (f"********{made['key'][-4:]}", "workspace-user", "ada")
    assert retrieved["scopes"] == ["files.read", "prompts.render"]
    assert retrieved["rate_limits"] == [{"type": "requests", "unit": "rpm", "value": 60}]
    assert (retrieved["defaults"]["metadata"], retrieved["expires_at"]) == ({"a": "b"}, "2099-01-01T00:00:00Z")
    assert (retrieved["description"], retrieved["workspace_id"]) == ("changed", seen["made"]["id"])
    assert [key["id"] for key in seen["keys listed"]["data"]] == [made["id"]]
    assert seen["key rotated"]["key"] != made["key"]
    assert (seen["key deleted"]["id"], seen["key deleted"]["deleted"]) == (made["id"], True)


def test_what_is_not_there_is_said(seen: dict[str, Any]) -> None:
    assert "Fileplane does not have guardrails." in seen["guardrails"]
