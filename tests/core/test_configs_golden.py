"""Configs as people write them, each beside what becomes of it: fields without effect, the attempts for some requests, or problems.

An attempt is the path of its target, the provider or @virtual-key, and its exits: statuses (null for every failure) and next attempt.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fileplane.routing.config_documents import to_document
from fileplane.routing.configs import find_problems, parse_config
from fileplane.routing.plans import Attempt, plan_route
from fileplane.routing.route_requests import read_route_request

FILES = sorted((Path(__file__).parent / "config_examples").glob("*.json"))
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in FILES}
ACCEPTED = sorted(name for name, example in EXAMPLES.items() if "refused" not in example)
REFUSED = sorted(EXAMPLES.keys() - set(ACCEPTED))


def shown(attempt: Attempt) -> list[Any]:
    credential = attempt.target.credential
    where = credential.provider if credential.virtual_key is None else f"@{credential.virtual_key}"
    exits = [[None if one.on_status_codes is None else list(one.on_status_codes), one.attempt] for one in attempt.exits]
    return [attempt.target.path, where, *exits]


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_example_leads_where_it_is_written_down(name: str):
    example = EXAMPLES[name]
    config = parse_config(json.dumps(example["document"]))
    assert list(config.ignored) == example["ignored"]
    assert example["requests"]
    for written in example["requests"]:
        request = read_route_request(written.get("headers", {}), pathname=written.get("pathname", "/v1/files"))
        request = replace(request, params=tuple(written.get("params", {}).items()))
        plan = plan_route(config, request, partial(written.get, "chance", 0.0), from_caller=False)
        assert [shown(attempt) for attempt in plan.attempts] == written["attempts"]


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_example_is_the_same_config_after_it_was_written_and_read_again(name: str):
    config = parse_config(EXAMPLES[name]["document"])
    assert parse_config(json.dumps(to_document(config, reveal=True))) == config


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_example_has_the_problems_that_are_written_down(name: str):
    assert [problem.path for problem in find_problems(EXAMPLES[name]["document"])] == EXAMPLES[name]["refused"]
