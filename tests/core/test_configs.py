"""What a config document may say, and the path of every problem in one that may not."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.routing.config_documents import redacted, to_document
from fileplane.routing.config_json import DEEPEST_JSON, LARGEST_DOCUMENT, MOST_FIELDS, MOST_VALUES
from fileplane.routing.config_options import split_header_list
from fileplane.routing.config_problems import MOST_PROBLEMS
from fileplane.routing.config_targets import DEEPEST_TARGET, MOST_TARGETS
from fileplane.routing.config_values import DEFAULT_RETRY_CODES
from fileplane.routing.configs import find_problems, parse_config, slug_or_config
from fileplane.routing.slugs import is_slug, parse_config_slug, parse_virtual_key_slug, slug_from_name
from fileplane.secrets.values import REDACTED, Secret

KEY = {"virtual_key": "k"}
CANARY = "canary-9f8e7d"


def paths(document: object) -> list[str]:
    return [problem.path for problem in find_problems(document)]


def conditional(query: object, **more: Any) -> dict[str, Any]:
    return {
        "strategy": {"mode": "conditional", "conditions": [{"query": query, "then": "a"}], **more},
        "targets": [{"name": "a", **KEY}, {"name": "b", **KEY}],
    }


def group(mode: str, *targets: object, **more: object) -> dict[str, Any]:
    return {"strategy": {"mode": mode, **more}, "targets": list(targets)}


QUERY = "strategy.conditions[0].query"

WRONG = [
    # strategy
    (group("round-robin", KEY), ["strategy.mode"]),
    ({"strategy": {}, "targets": [KEY]}, ["strategy.mode"]),
    ({"strategy": "fallback", "targets": [KEY]}, ["strategy"]),
    ({"strategy": ["fallback"], "targets": [KEY]}, ["strategy"]),
    (group(5, KEY), ["strategy.mode"]),
    ({"strategy": {"mode": "fallback"}}, ["targets"]),
    ({"targets": [KEY, KEY]}, ["strategy"]),
    (group("single", KEY, KEY), ["targets"]),
    (group("fallback", KEY, KEY, on_status_codes=[]), ["strategy.on_status_codes"]),
    (group("fallback", KEY, KEY, on_status_codes=["429"]), ["strategy.on_status_codes[0]"]),
    (group("fallback", KEY, KEY, on_status_codes=[429, 600]), ["strategy.on_status_codes[1]"]),
    (group("fallback", KEY, KEY, on_status_codes=[True]), ["strategy.on_status_codes[0]"]),
    (group("fallback", KEY, KEY, on_status_code=[429]), ["strategy.on_status_code"]),
    # targets
    ({"targets": []}, ["targets"]),
    ({"targets": {}}, ["targets"]),
    ({"targets": [5]}, ["targets[0]"]),
    (group("fallback", KEY, None), ["targets[1]"]),
    (group("fallback", KEY, {}), ["targets[1].provider"]),
    (group("fallback", KEY, {"api_key": "s"}), ["targets[1].provider"]),
    (group("fallback", KEY, group("loadbalance")), ["targets[1].targets"]),
    (group("fallback", {"name": "a", **KEY}, {"name": "a", **KEY}), ["targets[1].name"]),
    (group("fallback", {"name": " a", **KEY}, {"name": 5, **KEY}), ["targets[0].name", "targets[1].name"]),
    # weights
    (group("loadbalance", {"weight": 0, **KEY}, {"weight": 0.0, **KEY}), ["targets"]),
    (group("loadbalance", {"weight": -1, **KEY}), ["targets[0].weight"]),
    (group("loadbalance", {"weight": "1", **KEY}, {"weight": True, **KEY}), ["targets[0].weight", "targets[1].weight"]),
    (group("fallback", group("loadbalance", {"weight": 2e6, **KEY}), KEY), ["targets[0].targets[0].weight"]),
    # credentials
    ({"virtual_key": "Not A Slug"}, ["virtual_key"]),
    ({"virtual_key": "pc-config"}, ["virtual_key"]),
    ({"provider": "OpenAI"}, ["provider"]),
    ({"provider": "@"}, ["provider"]),
    ({"provider": "@a", "virtual_key": "b"}, ["virtual_key"]),
    ({"api_key": "s"}, ["provider"]),
    ({"provider": "openai", "api_key": ""}, ["api_key"]),
    ({"provider": "openai", "api_key": "a\r\nhost: b"}, ["api_key"]),
    ({"provider": "openai", "api_key": "********"}, ["api_key"]),
    ({"provider": "openai", "api_key": 5}, ["api_key"]),
    ({**KEY, "api_key": "s"}, ["api_key"]),
    ({**KEY, "custom_host": "https://h/v1"}, ["custom_host"]),
    ({**KEY, "azure_resource_name": "other"}, ["azure_resource_name"]),
    ({**KEY, "aws_secret_access_key": "s"}, ["aws_secret_access_key"]),
    ({"custom_host": "https://h/v1", "targets": [KEY]}, ["targets[0].custom_host"]),
    ({"provider": "fileplane", "api_key": "s"}, ["provider"]),
    ({"provider": "azure-openai", "azure_resource_name": "h#"}, ["azure_resource_name"]),
    ({"provider": "azure-openai", "azure_resource_name": "h/?"}, ["azure_resource_name"]),
    ({"provider": "bedrock", "aws_region": "a..b"}, ["aws_region"]),
    ({"provider": "azure-ai", "azure_foundry_url": "file:///etc"}, ["azure_foundry_url"]),
    ({"provider": "bedrock", "aws_regoin": "x"}, ["aws_regoin"]),
    # options
    ({"retry": {}}, ["retry.attempts"]),
    ({"retry": 3}, ["retry"]),
    ({"retry": {"attempts": 11}}, ["retry.attempts"]),
    ({"retry": {"attempts": -1}}, ["retry.attempts"]),
    ({"retry": {"attempts": 1.5}}, ["retry.attempts"]),
    ({"retry": {"attempts": 1, "on_status_codes": [99]}}, ["retry.on_status_codes[0]"]),
    ({"retry": {"attempts": 1, "use_retry_after_header": "yes"}}, ["retry.use_retry_after_header"]),
    (
        {"retry": {"attempts": 1, "use_retry_after_header": True, "use_retry_after_headers": False}},
        ["retry.use_retry_after_headers"],
    ),
    ({"retry": {"attempt": 1, "attempts": 1}}, ["retry.attempt"]),
    ({"request_timeout": 0}, ["request_timeout"]),
    ({"request_timeout": 1e30}, ["request_timeout"]),
    ({"request_timeout": "10"}, ["request_timeout"]),
    ({"custom_host": "h"}, ["custom_host"]),
    ({"custom_host": "ftp://h"}, ["custom_host"]),
    ({"custom_host": "https://"}, ["custom_host"]),
    ({"custom_host": "https://u:p@h"}, ["custom_host"]),
    ({"custom_host": "https://h/?a"}, ["custom_host"]),
    ({"custom_host": "https://h#"}, ["custom_host"]),
    ({"custom_host": "https://h:99999"}, ["custom_host"]),
    ({"custom_host": "https://[::1"}, ["custom_host"]),
    ({"custom_host": "https://h\\evil"}, ["custom_host"]),
    ({"custom_host": "https://hé"}, ["custom_host"]),
    ({"custom_host": "https://h/ a"}, ["custom_host"]),
    ({"custom_host": "https://h/" + "a" * 2048}, ["custom_host"]),
    ({"forward_headers": ["a b"]}, ["forward_headers[0]"]),
    ({"forward_headers": ["x-a", "X-Portkey-Api-Key", "Cookie", 5]}, ["forward_headers[1]", "forward_headers[2]", "forward_headers[3]"]),
    ({"forward_headers": "x-a, authorization"}, ["forward_headers[1]"]),
    ({"forward_headers": 5}, ["forward_headers"]),
    ({"forward_headers": ["a"] * 51}, ["forward_headers"]),
    ({"override_params": []}, ["override_params"]),
    ({"metadata": {"a": 5}}, ["metadata.a"]),
    ({"metadata": {"a": "x" * 1025}}, ["metadata.a"]),
    ({"metadata": {str(number): "" for number in range(65)}}, ["metadata"]),
    # conditions
    (group("conditional", KEY), ["strategy.conditions"]),
    (group("conditional", KEY, conditions=[]), ["strategy.conditions"]),
    (group("conditional", KEY, conditions=[5]), ["strategy.conditions[0]"]),
    (group("conditional", KEY, conditions=[{}]), ["strategy.conditions[0].query", "strategy.conditions[0].then"]),
    (conditional({"metadata.a": 1}, default="c"), ["strategy.default"]),
    (
        group("conditional", {"name": "a", **KEY}, conditions=[{"query": {"metadata.a": 1}, "then": "b"}]),
        ["strategy.conditions[0].then"],
    ),
    (conditional({}), [QUERY]),
    (conditional([]), [QUERY]),
    (conditional({"metadata": "a"}), [f"{QUERY}.metadata"]),
    (conditional({"metadata.": "a"}), [f"{QUERY}.metadata."]),
    (conditional({"url.host": "a"}), [f"{QUERY}.url.host"]),
    (conditional({"$nor": []}), [f"{QUERY}.$nor"]),
    (conditional({"$or": []}), [f"{QUERY}.$or"]),
    (conditional({"$and": None}), [f"{QUERY}.$and"]),
    (conditional({"$or": [{"metadata.a": 1}, 5]}), [f"{QUERY}.$or[1]"]),
    (conditional({"metadata.a": {}}), [f"{QUERY}.metadata.a"]),
    (conditional({"metadata.a": ["x"]}), [f"{QUERY}.metadata.a"]),
    (conditional({"metadata.a": {"$equals": 1}}), [f"{QUERY}.metadata.a.$equals"]),
    (conditional({"metadata.a": {"$gt": "many"}}), [f"{QUERY}.metadata.a.$gt"]),
    (conditional({"metadata.a": {"$lte": True}}), [f"{QUERY}.metadata.a.$lte"]),
    (conditional({"metadata.a": {"$in": "x"}}), [f"{QUERY}.metadata.a.$in"]),
    (conditional({"metadata.a": {"$nin": []}}), [f"{QUERY}.metadata.a.$nin"]),
    (conditional({"metadata.a": {"$in": [[1]]}}), [f"{QUERY}.metadata.a.$in"]),
    (conditional({"metadata.a": {"$eq": {}}}), [f"{QUERY}.metadata.a.$eq"]),
    (conditional({"metadata.a": {"$regex": "("}}), [f"{QUERY}.metadata.a.$regex"]),
    (conditional({"metadata.a": {"$regex": 5}}), [f"{QUERY}.metadata.a.$regex"]),
    (conditional({"$or": [{f"metadata.{number}": {"$regex": "a{100}"}} for number in range(12)]}), [f"{QUERY}.$or[10].metadata.10.$regex"]),
    # fields
    ({"targts": [KEY]}, ["targts"]),
    ({"virtualKey": "k"}, ["virtualKey"]),
    ({"api-key": "k"}, ["api-key"]),
    ({"Provider": "openai"}, ["Provider"]),
    ({"retries": {"attempts": 1}}, ["retries"]),
    ({"timeout": 5}, ["timeout"]),
    ({"retry": {"attempts": 1, "zzz": 1}}, ["retry.zzz"]),
    ({"mode": "fallback", **KEY}, ["mode"]),
    ({"strategy": {"modes": "fallback"}}, ["strategy.modes", "strategy.mode"]),
    ({"virtual_key": 5}, ["virtual_key"]),
    ({"config": "pc-other"}, ["config"]),
    ({"targets": [{"config": "other"}]}, ["targets[0].config"]),
    ({"targets": [{"config": "pc-other", **KEY}]}, ["targets[0].config"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), WRONG, ids=[f"{number}-{where[0]}" for number, (_, where) in enumerate(WRONG)])
def test_a_wrong_document_is_refused_with_the_path_of_each_problem(document: dict[str, Any], expected: list[str]):
    assert paths(document) == expected
    with pytest.raises(InvalidValue) as refused:
        parse_config(json.dumps(document))
    assert refused.value.param == expected[0]
    assert all(f"'{path}'" in refused.value.message for path in expected)


RIGHT = [
    {},
    KEY,
    {"provider": "@k"},
    {"virtual_key": "@k"},
    {"provider": "openai", **KEY},
    {"strategy": {"mode": "single"}, **KEY},
    {"targets": [KEY]},
    {"provider": "openai", "api_key": "s", "targets": [{"custom_host": "https://h"}]},
    {"retry": {"attempts": 0}, "virtual_key": None, "targets": None},
    {"custom_host": "http://[::1]:8080/v1"},
    {"custom_host": "https://127.0.0.1"},
    {"provider": "azure-openai", "azure_extra_params": True},
    group("loadbalance", {"weight": 0, **KEY}, {"weight": 0.1, **KEY}),
    group("fallback", {"name": "a", **KEY}, group("fallback", {"name": "a", **KEY}, KEY)),
    conditional({"metadata.a.b": None, "params.x": {"$gt": "5", "$ne": 6.5}, "$or": [{"url.pathname": {"$regex": "^/v1"}}]}),
    {**KEY, "openai_organization": "org", "some_field_of_next_year": 1},
]


@pytest.mark.parametrize("document", RIGHT, ids=range(len(RIGHT)))
def test_a_right_document_is_accepted_and_stays_the_same(document: dict[str, Any]):
    config = parse_config(json.dumps(document))
    assert parse_config(document) == parse_config(json.dumps(document).encode()) == config
    assert parse_config(to_document(config, reveal=True)) == config


@pytest.mark.parametrize("document", RIGHT, ids=range(len(RIGHT)))
def test_equal_configs_have_equal_hashes_and_one_with_secrets_has_none(document: dict[str, Any]):
    config = parse_config(document)
    if REDACTED in json.dumps(to_document(config)):
        with pytest.raises(TypeError):
            hash(config)
    else:
        assert hash(config) == hash(parse_config(json.dumps(document)))


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", "null", '"pc-a"', b"\xff{}", "\ud800", "[" * 60_000, '{"a":' * 10_000, '{"a": ' + "9" * 5_000 + "}", 5, None, b"{}x",
     '{"metadata": {"a": "' + "x" * LARGEST_DOCUMENT + '"}}'],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_document_at_all_is_refused_as_a_whole(document: object):
    with pytest.raises(InvalidValue) as refused:
        parse_config(document)
    assert refused.value.param == "config"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ('{"name": "a", "name": "b"}', "name"),
        ('{"targets": [{"virtual_key": "a", "virtual_key": "b"}]}', "targets[0].virtual_key"),
        ('{"cache": {"max_age": NaN}}', "cache.max_age"),
        ('{"targets": [{"weight": NaN}]}', "targets[0].weight"),
        ('{"targets": [{"weight": 1e999}]}', "targets[0].weight"),
        ({"weight": float("-inf")}, "weight"),
        ('{"cache": {"max_age": 9223372036854775808}}', "cache.max_age"),
        ('{"cache": ["\\ud800"]}', "cache[0]"),
        ({"cache": {5: 6}}, "cache"),
        ({"cache": [b"", {1}]}, "cache[0]"),
        ({"cache": {"x" * 99: object()}}, f"cache.{'x' * 64}…"),
        ({"cache": list(range(MOST_VALUES))}, "config"),
        ({"cache": {str(number): 0 for number in range(MOST_FIELDS + 1)}}, "cache"),
        ({"cache": ["x" * LARGEST_DOCUMENT]}, "config"),
        ('{"cache": ' + "[" * (DEEPEST_JSON + 1) + "]" * (DEEPEST_JSON + 1) + "}", "config"),
    ],
    ids=range(15),
)
def test_what_no_json_document_should_hold_is_refused_where_it_stands(document: object, path: str):
    with pytest.raises(InvalidValue) as refused:
        parse_config(document)
    assert refused.value.param == path


def test_a_document_that_contains_itself_is_refused():
    document: dict[str, Any] = {"cache": {}}
    document["cache"]["again"] = document
    with pytest.raises(InvalidValue, match="deeper"):
        parse_config(document)


def test_targets_may_be_many_and_deep_but_not_more():
    def deep(levels: int) -> dict[str, Any]:
        return {"targets": [deep(levels - 1)]} if levels else dict(KEY)

    parse_config(deep(DEEPEST_TARGET))
    assert paths(deep(DEEPEST_TARGET + 1)) == [".".join(["targets[0]"] * DEEPEST_TARGET) + ".targets"]
    parse_config(group("fallback", *[KEY] * MOST_TARGETS))
    assert paths(group("fallback", *[KEY] * (MOST_TARGETS + 1))) == ["targets"]
    assert paths(group("fallback", group("fallback", *[KEY] * 60), group("fallback", *[KEY] * 60))) == ["targets[1].targets"]


def test_the_first_problems_are_told_and_the_others_counted():
    document = group("fallback", *[{"weight": -1, **KEY}] * 30)
    assert len(paths(document)) == MOST_PROBLEMS
    with pytest.raises(InvalidValue, match=r"There are 10 more problems\.$") as refused:
        parse_config(document)
    assert refused.value.message.count("Invalid 'targets[") == MOST_PROBLEMS


def test_many_fields_that_nobody_knows_are_no_config():
    with pytest.raises(InvalidValue, match="unknown fields"):
        parse_config({f"zzz{number}": 1 for number in range(51)})


def test_fields_without_effect_are_kept_and_listed():
    document = {
        "cache": {"mode": "simple"},
        "qqq": [1],
        **group("loadbalance", {**KEY, "input_guardrails": ["g"]}, on_status_codes=[429], sticky={"ttl": 5}),
    }
    config = parse_config(document)
    assert config.ignored == ("cache", "qqq", "strategy.sticky", "strategy.on_status_codes", "targets[0].input_guardrails")
    kept = to_document(config, reveal=True)
    assert parse_config(kept) == config
    assert kept["cache"] == {"mode": "simple"}
    assert kept["strategy"] == {"mode": "loadbalance", "on_status_codes": [429], "sticky": {"ttl": 5}}
    assert kept["qqq"] == [1]
    assert kept["targets"][0]["input_guardrails"] == ["g"]


@pytest.mark.parametrize("flag", ["use_retry_after_header", "use_retry_after_headers"])
def test_the_retry_after_flag_has_two_spellings(flag: str):
    retry = parse_config({"retry": {"attempts": 2, flag: True}}).root.options.retry
    assert retry is not None
    assert retry.use_retry_after_header
    assert retry.on_status_codes == DEFAULT_RETRY_CODES


@pytest.mark.parametrize("text", ["X-A, x-b", "['X-A', 'x-b']", '["x-a","X-B", "x-a"]', "x-a,,x-b,"])
def test_forwarded_headers_have_several_spellings(text: str):
    assert parse_config({"forward_headers": text}).root.options.forward_headers == ("x-a", "x-b")
    names = split_header_list(text)
    assert parse_config({"forward_headers": names}).root.options.forward_headers == ("x-a", "x-b")


@pytest.mark.parametrize("document", [{"forward_headers": []}, {"forward_headers": ""}])
def test_an_empty_list_of_forwarded_headers_is_no_missing_one(document: dict[str, Any]):
    assert parse_config(document).root.options.forward_headers == ()
    assert parse_config({}).root.options.forward_headers is None


def secretive() -> dict[str, Any]:
    return group(
        "fallback",
        {"provider": "openai", "api_key": CANARY, "override_params": {"headers": {"Authorization": CANARY}, "max_tokens": 5}},
        {"provider": "bedrock", "aws_access_key_id": CANARY, "aws_secret_access_key": CANARY, "aws_session_token": CANARY},
        {"provider": "vertex-ai", "vertex_service_account_json": {"private_key": CANARY}},
        {"provider": "azure-openai", "azure_entra_client_secret": CANARY, "azure_ad_token": CANARY, "unheard_of": {"password": [CANARY]}},
    )


def test_secrets_are_never_shown():
    config = parse_config(secretive())
    shown = [repr(config), str(config), f"{config.root.targets[0].credential}", repr(dataclasses.asdict(config.root.targets[1]))]
    shown += [json.dumps(to_document(config)), json.dumps(redacted(secretive()))]
    assert [text for text in shown if CANARY in text] == []
    assert json.dumps(to_document(config, reveal=True)).count(CANARY) == 9
    assert redacted(secretive())["targets"][0]["override_params"] == {"headers": {"Authorization": "********"}, "max_tokens": 5}


def test_a_secret_neither_travels_nor_tells():
    secret = Secret(CANARY)
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    assert secret == Secret(CANARY) != Secret("x")
    assert secret != CANARY
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert CANARY not in f"{secret}{secret!r}"


@pytest.mark.parametrize("document", [document for document, _ in WRONG], ids=range(len(WRONG)))
def test_a_refusal_repeats_no_value(document: dict[str, Any]):
    def marked(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: marked(one) for name, one in value.items()}
        if isinstance(value, list):
            return [marked(one) for one in value]
        return f"{value} {CANARY}" if isinstance(value, str) else value

    with pytest.raises(InvalidValue) as refused:
        parse_config(marked(document))
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "config", "virtual_key"),
    [
        ("pc-nightl-1f09ac", "pc-nightl-1f09ac", None),
        ("main-258f4d", None, "main-258f4d"),
        ("@main-258f4d", None, "main-258f4d"),
        ("a", None, "a"),
        ("pc-", None, None),
        ("@pc-a", None, None),
        ("", None, None),
        ("@", None, None),
        ("@@a", None, None),
        ("-a", None, None),
        ("A", None, None),
        ("a b", None, None),
        ("a\n", None, None),
        ("ä", None, None),
        ("a" * 128, None, "a" * 128),
        ("a" * 129, None, None),
    ],
)
def test_slugs_have_a_grammar(text: str, config: str | None, virtual_key: str | None):
    assert parse_config_slug(text) == config
    assert parse_virtual_key_slug(text) == virtual_key


@pytest.mark.parametrize(
    ("name", "prefix", "slug"),
    [
        ("Nightly Batches", "pc-", "pc-nightl-1f09ac"),
        ("Production", "", "produc-1f09ac"),
        ("日本", "", "1f09ac"),
        ("a -- b", "pc-", "pc-a-b-1f09ac"),
        ("PC", "", "1f09ac"),
    ],
)
def test_a_slug_is_made_from_a_name(name: str, prefix: str, slug: str):
    assert slug_from_name(name, "1f09ac", prefix=prefix) == slug
    assert is_slug(slug)
    assert (parse_config_slug(slug) if prefix else parse_virtual_key_slug(slug)) == slug


def test_a_slug_needs_a_proper_suffix():
    with pytest.raises(ValueError, match="suffix"):
        slug_from_name("name", "NO")


def test_a_header_holds_a_slug_or_a_config():
    assert slug_or_config(" pc-a1 ") == "pc-a1"
    assert slug_or_config('{"virtual_key": "k"}') == parse_config(KEY)
    with pytest.raises(InvalidValue):
        slug_or_config("main-258f4d")
