"""Which targets a request goes to: strategies, what is inherited, and what headers may change."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.routing.configs import parse_config
from fileplane.routing.plans import ConcreteTarget, Plan, plan_route
from fileplane.routing.route_requests import read_route_request
from fileplane.secrets.values import Secret

HOST = {"x-portkey-custom-host": "https://caller.example/v1"}
OWN_KEY = Secret("callers-own")


def planned(
    document: dict[str, Any],
    headers: dict[str, str] | None = None,
    *,
    chance: float = 0.0,
    from_caller: bool = False,
    path: str = "/v1/files",
) -> Plan:
    request = read_route_request(headers or {}, pathname=path, api_key=OWN_KEY)
    return plan_route(parse_config(document), request, lambda: chance, from_caller=from_caller)


def only(plan: Plan) -> ConcreteTarget:
    (attempt,) = plan.attempts
    return attempt.target


def chain(plan: Plan, statuses: dict[str, int]) -> list[str]:
    """The virtual keys that are called when each answers with its status."""
    called, attempt = [], 0
    while True:
        name = plan.attempts[attempt].target.credential.virtual_key
        called.append(name)
        following = plan.after(attempt, statuses[name])
        if following is None:
            return called
        assert following > attempt
        attempt = following


def fallback(*targets: object, codes: list[int] | None = None) -> dict[str, Any]:
    strategy = {"mode": "fallback"} if codes is None else {"mode": "fallback", "on_status_codes": codes}
    return {"strategy": strategy, "targets": [{"virtual_key": one} if isinstance(one, str) else one for one in targets]}


@pytest.mark.parametrize(
    ("document", "statuses", "called"),
    [
        (fallback("a", "b", "c"), {"a": 200}, "a"),
        (fallback("a", "b", "c"), {"a": 204}, "a"),
        (fallback("a", "b", "c"), {"a": 500, "b": 404, "c": 502}, "abc"),
        (fallback("a", "b", codes=[429, 503]), {"a": 500}, "a"),
        (fallback("a", "b", codes=[429, 503]), {"a": 503, "b": 503}, "ab"),
        (fallback("a", "b", codes=[200]), {"a": 200, "b": 500}, "ab"),
        (fallback(fallback("a", "b", codes=[429]), "c", codes=[500]), {"a": 429, "b": 500, "c": 200}, "abc"),
        (fallback(fallback("a", "b", codes=[429]), "c", codes=[500]), {"a": 500, "c": 200}, "ac"),
        (fallback(fallback("a", "b", codes=[429]), "c", codes=[500]), {"a": 429, "b": 429}, "ab"),
        (fallback(fallback("a", "b", codes=[429]), "c", codes=[500]), {"a": 404}, "a"),
        (fallback("a", fallback("b", fallback("c", "d")), "e"), dict.fromkeys("abcde", 500), "abcde"),
        (fallback("a", fallback("b", "c", codes=[429]), "d"), {"a": 500, "b": 500, "d": 500}, "abd"),
        (fallback({"targets": [{"virtual_key": "a"}]}, "b"), {"a": 500, "b": 200}, "ab"),
    ],
    ids=range(13),
)
def test_a_fallback_goes_on_after_the_statuses_it_names(document: dict[str, Any], statuses: dict[str, int], called: str):
    assert "".join(chain(planned(document), statuses)) == called


def test_each_load_balancer_draws_for_itself():
    balanced = {"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "a"}, {"virtual_key": "b"}]}
    draws = iter([0.9, 0.1])
    plan = plan_route(
        parse_config(fallback(balanced, balanced)), read_route_request({}, pathname="/"), lambda: next(draws), from_caller=False
    )
    assert [attempt.target.credential.virtual_key for attempt in plan.attempts] == ["b", "a"]


@pytest.mark.parametrize(("weights", "seed"), [([1, 1], 1), ([7, 2, 1], 2), ([0.7, 0.3, 0], 3), ([0, 5, 0], 4), ([1e-3, 1e-3, 2e-3], 5)])
def test_load_is_shared_by_weight(weights: list[float], seed: int):
    targets = [{"virtual_key": f"k{number}", "weight": weight} for number, weight in enumerate(weights)]
    config = parse_config({"strategy": {"mode": "loadbalance"}, "targets": targets})
    source, request, draws = random.Random(seed), read_route_request({}, pathname="/"), 4_000
    counts = Counter(only(plan_route(config, request, source.random, from_caller=False)).credential.virtual_key for _ in range(draws))
    for number, weight in enumerate(weights):
        share = weight / sum(weights)
        # Five standard deviations at the most even share, and nothing at all for a weight of zero.
        assert abs(counts[f"k{number}"] / draws - share) <= (0.04 if weight else 0)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1 - 2**-53])
def test_a_weight_of_zero_is_never_drawn(chance: float):
    weights = [0, 0.1, 0.2, 0.7, 0]
    targets = [{"virtual_key": f"k{number}", "weight": weight} for number, weight in enumerate(weights)]
    plan = planned({"strategy": {"mode": "loadbalance"}, "targets": targets}, chance=chance)
    assert only(plan).credential.virtual_key in {"k1", "k2", "k3"}


CONDITIONS = [
    ({"metadata.a": "x"}, {"a": "x"}, True),
    ({"metadata.a": "x"}, {"a": "X"}, False),
    ({"metadata.a": "x"}, {}, False),
    ({"metadata.a": 5}, {"a": "5"}, False),
    ({"metadata.a": 5}, {"a": 5.0}, True),
    ({"metadata.a": 1}, {"a": True}, False),
    ({"metadata.a": True}, {"a": True}, True),
    ({"metadata.a": None}, {"a": None}, True),
    ({"metadata.a": None}, {}, False),
    ({"metadata.a": {"$eq": "x"}, "metadata.b": "y"}, {"a": "x", "b": "z"}, False),
    ({"metadata.a": {"$ne": "x"}}, {"a": "y"}, True),
    ({"metadata.a": {"$ne": "x"}}, {}, True),
    ({"metadata.a": {"$ne": "x"}}, {"a": "x"}, False),
    ({"metadata.a": {"$in": ["x", "y"]}}, {"a": "y"}, True),
    ({"metadata.a": {"$in": ["x", None]}}, {}, False),
    ({"metadata.a": {"$nin": ["x", "y"]}}, {"a": "z"}, True),
    ({"metadata.a": {"$nin": ["x", "y"]}}, {"a": "x"}, False),
    ({"metadata.a": {"$nin": ["x"]}}, {}, True),
    ({"metadata.a": {"$gt": 5}}, {"a": "10"}, True),
    ({"metadata.a": {"$gt": "5"}}, {"a": 5}, False),
    ({"metadata.a": {"$gte": 5}}, {"a": "5 items"}, True),
    ({"metadata.a": {"$lt": 5}}, {"a": "many"}, False),
    ({"metadata.a": {"$lt": 5}}, {}, False),
    ({"metadata.a": {"$lte": -1.5}}, {"a": "-1.5e0"}, True),
    ({"metadata.a": {"$gt": 1, "$lt": 3}}, {"a": "2"}, True),
    ({"metadata.a": {"$gt": 1, "$lt": 3}}, {"a": "4"}, False),
    ({"metadata.a": {"$gt": 0}}, {"a": True}, False),
    ({"metadata.a": {"$regex": "^x[0-9]+$"}}, {"a": "x12"}, True),
    ({"metadata.a": {"$regex": "."}}, {"a": 5}, False),
    ({"metadata.a": {"$regex": ""}}, {}, False),
    ({"metadata.a.b": "x"}, {"a.b": "x"}, True),
    ({"$or": [{"metadata.a": "x"}, {"metadata.b": "y"}]}, {"b": "y"}, True),
    ({"$or": [{"metadata.a": "x"}, {"metadata.b": "y"}]}, {"b": "z"}, False),
    # Portkey looks at the $or alone, whatever stands beside it.
    ({"$or": [{"metadata.a": "x"}], "metadata.b": "y"}, {"a": "x"}, False),
    ({"$and": [{"metadata.a": "x"}, {"$or": [{"metadata.b": "y"}, {"metadata.b": "z"}]}]}, {"a": "x", "b": "z"}, True),
    ({"url.pathname": "/v1/files"}, {}, True),
    ({"url.pathname": {"$regex": "/content$"}}, {}, False),
    ({"params.model": {"$eq": "m"}}, {}, False),
]


@pytest.mark.parametrize(("query", "metadata", "holds"), CONDITIONS, ids=range(len(CONDITIONS)))
def test_a_condition_holds_or_not(query: dict[str, Any], metadata: dict[str, Any], holds: bool):
    document = {
        "strategy": {"mode": "conditional", "conditions": [{"query": query, "then": "yes"}], "default": "no"},
        "targets": [{"name": "no", "virtual_key": "n"}, {"name": "yes", "virtual_key": "y"}],
    }
    assert only(planned(document, {"x-portkey-metadata": json.dumps(metadata)})).name == ("yes" if holds else "no")


def test_without_a_condition_that_holds_and_a_default_there_is_no_route():
    strategy = {"mode": "conditional", "conditions": [{"query": {"metadata.a": 1}, "then": "a"}]}
    with pytest.raises(InvalidValue, match=r"'strategy'.* has no default"):
        planned({"strategy": strategy, "targets": [{"name": "a", "virtual_key": "a"}]})


def test_the_callers_metadata_win_over_the_configs():
    document = {
        "metadata": {"a": "x", "b": "kept"},
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.a": "x", "metadata.b": "kept"}, "then": "a"}],
            "default": "b",
        },
        "targets": [{"name": "a", "virtual_key": "a"}, {"name": "b", "virtual_key": "b"}],
    }
    assert only(planned(document)).name == "a"
    assert only(planned(document, {"x-portkey-metadata": '{"c": "x"}'})).name == "a"
    assert only(planned(document, {"x-portkey-metadata": '{"a": "y"}'})).name == "b"


def test_a_targets_own_option_wins_and_others_come_from_around_it():
    document = {
        "retry": {"attempts": 5},
        "request_timeout": 1_000,
        "override_params": {"a": 1, "b": 1},
        "metadata": {"a": "1", "b": "1"},
        **fallback(
            {"virtual_key": "x", "retry": {"attempts": 1}, "override_params": {"b": 2}, "metadata": {"b": "2"}},
            {"request_timeout": 2_000, "targets": [{"virtual_key": "y", "forward_headers": []}]},
        ),
        "forward_headers": ["x-a"],
    }
    first, second = (attempt.target.options for attempt in planned(document).attempts)
    assert (first.retry.attempts, first.request_timeout_ms, first.forward_headers) == (1, 1_000, ("x-a",))
    assert (dict(first.override_params), dict(first.metadata)) == ({"a": "1", "b": "2"}, {"a": "1", "b": "2"})
    assert (second.retry.attempts, second.request_timeout_ms, second.forward_headers) == (5, 2_000, ())


@pytest.mark.parametrize(
    ("above", "own", "expected"),
    [
        ({"provider": "openai", "api_key": "p"}, {}, ("openai", None, "p", {})),
        ({"provider": "openai", "api_key": "p"}, {"api_key": "c"}, ("openai", None, "c", {})),
        ({"provider": "openai", "api_key": "p", "openai_project": "q"}, {"openai_organization": "o"},
         ("openai", None, "p", {"openai_project": "q", "openai_organization": "o"})),
        ({"provider": "openai", "api_key": "p", "openai_project": "q"}, {"provider": "anthropic"}, ("anthropic", None, None, {})),
        ({"provider": "openai", "api_key": "p"}, {"provider": "openai"}, ("openai", None, None, {})),
        ({"provider": "openai", "api_key": "p"}, {"virtual_key": "v"}, (None, "v", None, {})),
        ({"virtual_key": "v"}, {}, (None, "v", None, {})),
        ({"virtual_key": "v"}, {"openai_project": "q"}, (None, "v", None, {"openai_project": "q"})),
        ({"virtual_key": "v"}, {"provider": "openai", "api_key": "c"}, ("openai", None, "c", {})),
    ],
    ids=range(9),
)  # fmt: skip
def test_no_key_is_inherited_by_a_target_of_another_provider(above: dict[str, Any], own: dict[str, Any], expected: tuple[Any, ...]):
    credential = only(planned({**above, "targets": [own]})).credential
    shown = None if credential.api_key is None else credential.api_key.reveal()
    assert (credential.provider, credential.virtual_key, shown, dict(credential.fields)) == expected


def test_headers_win_over_every_option_but_the_credential():
    own = {"custom_host": "https://own.example", "forward_headers": ["x-own"], "retry": {"attempts": 3}}
    document = {"request_timeout": 1, "targets": [{"provider": "openai", "api_key": "own", **own}]}
    headers = {
        **HOST,
        "x-portkey-request-timeout": "99",
        "x-portkey-forward-headers": "['X-Theirs', 'x-b']",
        "x-portkey-provider": "anthropic",
        "x-portkey-virtual-key": "theirs",
        "x-portkey-openai-organization": "theirs",
    }
    target = only(planned(document, headers, from_caller=True))
    assert target.options.custom_host == "https://caller.example/v1"
    assert (target.options.request_timeout_ms, target.options.forward_headers) == (99, ("x-theirs", "x-b"))
    assert target.options.retry.attempts == 3
    assert (target.credential.provider, target.credential.virtual_key, target.credential.fields) == ("openai", None, ())
    assert target.credential.api_key == Secret("own")


def test_a_config_without_provider_is_completed_from_the_headers():
    headers = {**HOST, "x-portkey-provider": "OpenAI", "x-portkey-openai-organization": "org", "x-portkey-aws-session-token": "t"}
    target = only(planned({"retry": {"attempts": 1}}, headers))
    assert (target.credential.provider, target.credential.api_key) == ("openai", OWN_KEY)
    assert dict(target.credential.fields) == {"openai_organization": "org", "aws_session_token": Secret("t")}
    assert target.options.custom_host == HOST["x-portkey-custom-host"]


@pytest.mark.parametrize(
    "header",
    [{"x-portkey-virtual-key": "v"}, {"x-portkey-provider": "@v"}, {"x-portkey-provider": "openai", "x-portkey-virtual-key": "@v"}],
)
def test_a_virtual_key_in_a_header_comes_alone(header: dict[str, str]):
    credential = only(planned({}, {**header, "x-portkey-azure-ad-token": "t", "x-portkey-openai-project": "p"})).credential
    assert (credential.provider, credential.virtual_key, credential.api_key) == (None, "v", None)
    assert dict(credential.fields) == {"openai_project": "p"}


@pytest.mark.parametrize(
    ("document", "headers", "from_caller", "param"),
    [
        ({"virtual_key": "v"}, HOST, True, "x-portkey-custom-host"),
        ({"targets": [{"virtual_key": "v"}]}, HOST, False, "x-portkey-custom-host"),
        ({"provider": "openai", "api_key": "of the config"}, HOST, False, "x-portkey-custom-host"),
        ({"provider": "bedrock", "aws_secret_access_key": "of the config"}, HOST, False, "x-portkey-custom-host"),
        ({}, {"x-portkey-virtual-key": "v", **HOST}, True, "x-portkey-custom-host"),
        ({}, {"x-portkey-virtual-key": "v", "x-portkey-azure-resource-name": "r"}, True, "x-portkey-azure-resource-name"),
        ({"custom_host": "https://h"}, {"x-portkey-virtual-key": "v"}, True, "custom_host"),
    ],
    ids=range(7),
)
def test_a_stored_credential_goes_only_to_its_own_host(document: dict[str, Any], headers: dict[str, str], from_caller: bool, param: str):
    with pytest.raises(InvalidValue, match="stored credential") as refused:
        planned(document, headers, from_caller=from_caller)
    assert refused.value.param == param


def test_a_host_without_a_stored_credential_may_be_the_callers():
    saved = {"provider": "openai", "custom_host": "https://saved.example"}
    assert only(planned(saved, HOST)).options.custom_host == HOST["x-portkey-custom-host"]
    assert only(planned(saved)).options.custom_host == "https://saved.example"


def test_without_any_provider_there_is_no_route():
    with pytest.raises(InvalidValue) as refused:
        planned({"retry": {"attempts": 1}})
    assert refused.value.param == "x-portkey-config"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-portkey-provider", "open ai"),
        ("x-portkey-provider", "@pc-a"),
        ("x-portkey-virtual-key", ""),
        ("x-portkey-virtual-key", "A B"),
        ("x-portkey-custom-host", "localhost"),
        ("x-portkey-request-timeout", "0"),
        ("x-portkey-request-timeout", "1.5"),
        ("x-portkey-request-timeout", "9" * 5_000),
        ("x-portkey-forward-headers", "x-a, x-portkey-api-key"),
        ("x-portkey-forward-headers", "a b"),
        ("x-portkey-forward-headers", ",".join(f"x-{number}" for number in range(51))),
        ("x-portkey-metadata", "{"),
        ("x-portkey-metadata", "[]"),
        ("x-portkey-metadata", "[" * 9_000),
        ("x-portkey-azure-resource-name", "evil.example/#"),
        ("x-portkey-azure-foundry-url", "http://u:p@h"),
        ("x-portkey-aws-session-token", "x" * 20_000),
    ],
    ids=range(17),
)
def test_a_header_that_cannot_be_understood_is_refused(header: str, value: str):
    with pytest.raises(InvalidValue) as refused:
        read_route_request({header: value}, pathname="/")
    assert refused.value.param == header


def test_two_headers_that_name_different_virtual_keys_are_refused():
    with pytest.raises(InvalidValue):
        read_route_request({"x-portkey-provider": "@a", "x-portkey-virtual-key": "b"}, pathname="/")
