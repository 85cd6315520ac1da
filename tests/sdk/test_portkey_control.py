"""The control plane through Portkey's own clients: what an operator makes, reads, changes and removes."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sdk.processes import NODE, Outcome, run
from support.server import RunningServer
from support.stored import assert_nowhere_in

SECRET = "sk-canary-control-plane-7f3e9a"
COMMANDS = {
    "portkey-python-sync": (sys.executable, "python/portkey_control.py", "sync"),
    "portkey-python-async": (sys.executable, "python/portkey_control.py", "async"),
    "portkey-node": (str(NODE), "node/portkey_control.mjs"),
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="session")
def controlled(sdk_server: RunningServer) -> Callable[[str], Outcome]:
    """Runs a client, the first time it is asked for."""

    def perform(client: str) -> Outcome:
        job = {"client": client, "base_url": sdk_server.base_url, "api_key": sdk_server.api_key, "secret": SECRET, "folder": "."}
        return Outcome(client, json.loads(run(COMMANDS[client], given=json.dumps(job))))

    return functools.cache(perform)


@pytest.fixture(scope="session", params=COMMANDS)
def operator(request: pytest.FixtureRequest, controlled: Callable[[str], Outcome]) -> Outcome:
    """What each client saw as an operator."""
    return controlled(request.param)


def by(entries: list[dict[str, Any]], name: str, value: object) -> dict[str, Any]:
    """The one entry that has this value."""
    (found,) = [entry for entry in entries if entry[name] == value]
    return found


def test_every_step_that_should_succeed_does(operator: Outcome) -> None:
    refused = {
        "key oversteps",
        "integration in use",
        "virtual key in use",
        "workspace in use",
        "config wrong",
        "not provided",
        "workspace after",
    }
    failed = {step: result["error"]["message"] for step, result in operator.steps.items() if "error" in result}
    assert {step: message for step, message in failed.items() if step not in refused} == {}
    assert set(failed) == refused


def test_a_workspace_is_made_read_listed_and_changed(operator: Outcome) -> None:
    made, read = operator.value("workspace create"), operator.value("workspace retrieve")
    name = f"{operator.client} space"
    assert (made["name"], read["name"], read["slug"]) == (name, name, made["slug"])
    assert read["defaults"]["metadata"] == {"team": "blue"}
    assert TIME.fullmatch(read["created_at"])
    assert by(operator.value("workspace list")["data"], "id", made["id"])["name"] == name


def test_an_api_key_is_shown_once_and_does_what_its_scopes_say(operator: Outcome) -> None:
    made, read = operator.value("key create"), operator.value("key retrieve")
    assert made["key"].startswith("fpk_")
    assert read.get("key") is None or made["key"] not in read["key"]
    assert (read["name"], read["type"], read["status"]) == (f"{operator.client} key", "workspace-service", "active")
    assert sorted(read["scopes"]) == ["completions.write", "files.delete", "files.read", "files.write"]
    assert [(limit["type"], limit["unit"], limit["value"]) for limit in read["rate_limits"]] == [("requests", "rpm", 500)]
    assert by(operator.value("key list")["data"], "id", made["id"])["name"] == read["name"]
    updated = operator.value("key updated")
    assert (updated["name"], sorted(updated["scopes"])) == ("renamed", ["files.delete", "files.read", "files.write"])
    assert operator.value("key use")["purpose"] == "user_data"
    assert operator.error("key oversteps")["status"] == 403


def test_a_rotated_key_and_the_one_before_both_work_during_the_overlap(operator: Outcome) -> None:
    rotated = operator.value("key rotate")
    assert rotated["key"] != operator.value("key create")["key"]
    assert TIME.fullmatch(rotated["key_transition_expires_at"])
    uploaded = operator.value("key use")["id"]
    for step in ("key new use", "key old use"):
        assert [file["id"] for file in operator.value(step)["data"]] == [uploaded]


def test_a_virtual_key_shows_everything_but_its_secret(operator: Outcome) -> None:
    slug = operator.value("virtual key create")["slug"]
    read = operator.value("virtual key retrieve")
    assert (read["name"], read["slug"], read["status"]) == (f"{operator.client} openai", slug, "active")
    assert by(operator.value("virtual key list")["data"], "slug", slug)["name"] == read["name"]
    assert operator.value("virtual key updated")["note"] == "for tests"


def test_a_config_is_made_read_listed_and_changed(operator: Outcome) -> None:
    made, credential = operator.value("config create"), operator.value("virtual key create")["slug"]
    assert made["slug"].startswith("pc-")
    assert documents(operator.value("config retrieve")) == {
        "strategy": {"mode": "fallback"},
        "targets": [{"virtual_key": credential}],
    }
    assert by(operator.value("config list")["data"], "slug", made["slug"])["name"] == f"{operator.client} config"
    assert operator.value("config update")["version_id"] != made["version_id"]
    assert documents(operator.value("config updated")) == {"virtual_key": credential, "retry": {"attempts": 2}}


def documents(answer: dict[str, Any]) -> Any:
    """The document that an answer shows, which Portkey has as text or as an object."""
    shown = answer["config"]
    return json.loads(shown) if isinstance(shown, str) else shown


def test_a_provider_uses_an_integrations_credential(operator: Outcome) -> None:
    integration, provider = operator.value("integration create")["slug"], operator.value("provider create")["slug"]
    assert operator.value("integration retrieve")["ai_provider_id"] == "openai"
    assert by(operator.value("integration list")["data"], "slug", integration)["name"] == f"{operator.client} account"
    read = operator.value("provider retrieve")
    assert (read["slug"], read["name"], read["integration_id"]) == (provider, f"{operator.client} provider", integration)
    assert by(operator.value("provider list")["data"], "slug", provider)["integration_id"] == integration
    assert operator.error("integration in use")["status"] == 409
    assert provider in operator.error("integration in use")["message"]


def test_what_is_in_use_is_not_removed_and_the_message_says_by_what(operator: Outcome) -> None:
    assert operator.error("virtual key in use")["status"] == 409
    assert operator.value("config create")["slug"] in operator.error("virtual key in use")["message"]
    assert operator.error("workspace in use")["status"] == 409
    assert "1 config" in operator.error("workspace in use")["message"]


def test_a_wrong_config_is_refused_with_the_path_of_what_is_wrong(operator: Outcome) -> None:
    error = operator.error("config wrong")
    assert error["status"] == 400
    assert "strategy.mode" in error["message"]


def test_what_is_not_provided_says_so(operator: Outcome) -> None:
    assert operator.error("not provided")["status"] == 501
    assert "guardrails" in operator.error("not provided")["message"].lower()


def test_what_was_removed_is_gone(operator: Outcome) -> None:
    assert operator.error("workspace after")["status"] == 404


def test_no_secret_is_in_any_answer_log_metric_or_byte_on_disk(operator: Outcome, sdk_server: RunningServer) -> None:
    assert SECRET not in json.dumps(operator.steps)
    with sdk_server.client() as client:
        assert SECRET not in client.get(f"{sdk_server.url}/metrics").text
        assert SECRET not in client.get("/audit-logs").text
    assert SECRET not in sdk_server.log
    assert_nowhere_in(sdk_server.data_dir, SECRET)
