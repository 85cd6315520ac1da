"""What holds for every config document, whatever stands in it."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import InvalidValue
from fileplane.routing.config_documents import redacted, to_document
from fileplane.routing.config_fields import OTHER_FIELDS, PROVIDER_FIELDS, STRATEGY_FIELDS, TARGET_FIELDS
from fileplane.routing.config_problems import MOST_PROBLEMS
from fileplane.routing.configs import find_problems, parse_config
from fileplane.routing.plans import plan_route
from fileplane.routing.route_requests import read_route_request

CANARY = "canary-51b2"
NAMES = sorted(
    {
        *TARGET_FIELDS,
        *STRATEGY_FIELDS,
        *list(PROVIDER_FIELDS)[::4],
        *list(OTHER_FIELDS)[:3],
        "attempts",
        "query",
        "then",
        "$or",
        "metadata.a",
    }
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["fallback", "openai", "@k", "k", "a"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=5),
    max_leaves=20,
)

LEAVES = ({"virtual_key": "k"}, {"provider": "@k2"}, {"provider": "openai", "api_key": CANARY}, {"provider": "fileplane"})
OPTIONS: dict[str, tuple[Any, ...]] = {
    "retry": ({"attempts": 0}, {"attempts": 10, "use_retry_after_headers": True}, {"attempts": 3, "on_status_codes": [429, 500, 429]}),
    "request_timeout": (1, 500, 9_999),
    "forward_headers": ([], "", ["x-a", "X-A"], "x-a, x-b", "['x-a']"),
    "override_params": ({}, {"a": 1, "b": [True]}, {"a": None, "c": {"d": 1.5}}),
    "metadata": ({}, {"a": "", "b": "é"}, {"a": "x"}),
    "cache": ({"mode": "simple"}, {"mode": "semantic", "max_age": 5}),
}
COMPARED = (
    "a",
    "",
    1,
    1.5,
    True,
    None,
    {"$in": ["a", None]},
    {"$nin": [1]},
    {"$gt": "5", "$lt": 9},
    {"$regex": "^a|b$"},
    {"$ne": "x", "$eq": "y"},
)


def made_query(source: random.Random, depth: int) -> dict[str, Any]:
    if depth and source.random() < 0.4:
        return {source.choice(["$and", "$or"]): [made_query(source, depth - 1) for _ in range(source.randint(1, 3))]}
    names = source.sample(["metadata.plan", "metadata.a", "params.model", "url.pathname"], source.randint(1, 2))
    return {name: source.choice(COMPARED) for name in names}


def made_document(source: random.Random, depth: int = 3) -> dict[str, Any]:
    """A good one. Hypothesis's own strategies for a tree of this kind take a hundred times as long."""
    options = {name: source.choice(values) for name, values in OPTIONS.items() if source.random() < 0.4}
    if depth < 3 and (depth == 0 or source.random() < 0.5):
        return {**options, **source.choice(LEAVES), "weight": source.choice([1, 3, 0.1, 2.5])}
    targets = [{**made_document(source, depth - 1), "name": f"t{number}"} for number in range(source.randint(1, 3))]
    then = [source.choice(targets)["name"] for _ in range(3)]
    strategies = [
        {"mode": "loadbalance"},
        {"mode": "fallback"},
        {"mode": "fallback", "on_status_codes": source.sample(range(100, 600), 250)},
        {"mode": "conditional", "conditions": [{"query": made_query(source, 2), "then": one} for one in then[:2]], "default": then[2]},
    ]
    return {**options, "strategy": source.choice(strategies), "targets": targets}


DOCUMENTS = st.integers(0, 2**32).map(lambda seed: made_document(random.Random(seed)))


def param_of_refusal(document: object) -> str | None:
    """The path at which a document is refused, or None for one that is not."""
    try:
        parse_config(document)
    except InvalidValue as error:
        return error.param or ""
    return None


@given(ANYTHING | st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6))
def test_a_document_is_understood_or_refused(document: Any):
    refused = param_of_refusal(document)
    assert refused != ""
    if refused is None:
        config = parse_config(document)
        assert parse_config(json.dumps(to_document(config, reveal=True))) == config


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_a_text_is_understood_or_refused(text: str | bytes):
    assert param_of_refusal(text) != ""


@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6))
def test_the_problems_are_those_of_the_refusal(document: dict[str, Any]):
    try:
        problems = find_problems(document)
    except InvalidValue:
        return
    assert len(problems) <= MOST_PROBLEMS
    assert param_of_refusal(document) == ((problems[0].path or "config") if problems else None)


@given(DOCUMENTS)
def test_a_good_document_stays_the_same_when_it_is_written_and_read_again(document: dict[str, Any]):
    config = parse_config(document)
    written = to_document(config, reveal=True)
    assert parse_config(json.dumps(written)) == config
    assert to_document(parse_config(written), reveal=True) == written


@given(DOCUMENTS)
def test_a_good_document_never_shows_its_secrets(document: dict[str, Any]):
    config = parse_config(document)
    assert CANARY not in f"{config!r}{json.dumps(to_document(config))}{json.dumps(redacted(document))}"


def nodes_on_the_way(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """The document, and each target down to the one of that path."""
    nodes = [document]
    for step in path.split(".")[1:]:
        nodes.append(nodes[-1]["targets"][int(step.removeprefix("targets[").removesuffix("]"))])
    return nodes


@given(DOCUMENTS, st.integers(0, 99))
def test_a_targets_option_is_its_own_or_the_nearest_one_around_it(document: dict[str, Any], seed: int):
    plan = plan_route(parse_config(document), read_route_request({}, pathname="/v1/files"), random.Random(seed).random, from_caller=False)
    for attempt in plan.attempts:
        target, nodes = attempt.target, nodes_on_the_way(document, attempt.target.path)
        timeouts = [node["request_timeout"] for node in nodes if "request_timeout" in node]
        retries = [node["retry"]["attempts"] for node in nodes if "retry" in node]
        params: dict[str, Any] = {}
        metadata: dict[str, str] = {}
        for node in nodes:
            params |= node.get("override_params", {})
            metadata |= node.get("metadata", {})
        assert target.options.request_timeout_ms == (timeouts[-1] if timeouts else None)
        assert (None if target.options.retry is None else target.options.retry.attempts) == (retries[-1] if retries else None)
        assert {name: json.loads(text) for name, text in target.options.override_params} == params
        assert dict(target.options.metadata) == metadata


@given(DOCUMENTS, st.integers(0, 99), st.integers(100, 599))
def test_a_plan_only_goes_forward_and_ends(document: dict[str, Any], seed: int, status: int):
    plan = plan_route(parse_config(document), read_route_request({}, pathname="/v1/files"), random.Random(seed).random, from_caller=False)
    assert len({attempt.target.path for attempt in plan.attempts}) == len(plan.attempts)
    for number in range(len(plan.attempts)):
        following = plan.after(number, status)
        assert following is None or number < following < len(plan.attempts)


@given(st.lists(st.floats(0, 1_000) | st.integers(0, 10), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_a_draw_falls_where_the_weights_put_it(weights: list[float], chance: float):
    targets = [{"virtual_key": f"k{number}", "weight": weight} for number, weight in enumerate(weights)]
    document = {"strategy": {"mode": "loadbalance"}, "targets": targets}
    if not sum(weights) > 0:
        assert [problem.path for problem in find_problems(document)] == ["targets"]
        return
    plan = plan_route(parse_config(document), read_route_request({}, pathname="/"), lambda: chance, from_caller=False)
    chosen = int(plan.attempts[0].target.credential.virtual_key.removeprefix("k"))
    point, total = chance * sum(weights), sum(weights)
    assert weights[chosen] > 0
    assert sum(weights[:chosen]) <= point or math.isclose(sum(weights[:chosen]), point, abs_tol=total * 1e-9)
    assert point <= sum(weights[: chosen + 1]) or math.isclose(point, sum(weights[: chosen + 1]), abs_tol=total * 1e-9)
