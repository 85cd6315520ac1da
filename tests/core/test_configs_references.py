"""What a config refers to must exist, and no config leads back to itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.routing.config_references import DEEPEST_REFERENCE, check_references, configs_of, expand, virtual_keys_of
from fileplane.routing.config_values import Config
from fileplane.routing.configs import parse_config
from fileplane.routing.plans import plan_route
from fileplane.routing.route_requests import RouteRequest, read_route_request


@dataclass
class Known:
    """A directory of one project."""

    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    virtual_keys: frozenset[str] = frozenset({"mine"})

    def has_virtual_key(self, slug: str) -> bool:
        return slug in self.virtual_keys

    def has_provider(self, name: str) -> bool:
        return name in {"openai", "fileplane"}

    def config(self, slug: str) -> Config | None:
        return parse_config(self.documents[slug]) if slug in self.documents else None


def refers(*slugs: str, **options: object) -> dict[str, Any]:
    return {"strategy": {"mode": "fallback"}, "targets": [{"config": slug, **options} for slug in slugs]}


def refusal(document: dict[str, Any], known: Known, own_slug: str | None = None) -> InvalidValue:
    with pytest.raises(InvalidValue) as refused:
        parse_config(document, directory=known, own_slug=own_slug)
    return refused.value


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"virtual_key": "theirs"}, "virtual_key"),
        ({"provider": "@theirs"}, "virtual_key"),
        ({"provider": "nobody", "api_key": "s"}, "provider"),
        ({"targets": [{"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "mine"}, {"virtual_key": "theirs"}]}]},
         "targets[0].targets[1].virtual_key"),
        (refers("pc-gone"), "targets[0].config"),
        ({"targets": [refers("pc-gone")]}, "targets[0].targets[0].config"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_does_not_exist_is_refused_where_it_is_named(document: dict[str, Any], path: str):
    refused = refusal(document, Known())
    assert refused.param == path
    assert "theirs" not in refused.message


def test_what_exists_is_accepted():
    known = Known({"pc-a": {"virtual_key": "mine"}})
    config = parse_config(refers("pc-a", "pc-a"), directory=known)
    assert configs_of(config) == {"pc-a"}
    assert virtual_keys_of(parse_config({"targets": [{"provider": "@mine"}]}, directory=known)) == {"mine"}


@pytest.mark.parametrize(
    ("documents", "path"),
    [
        ({"pc-a": refers("pc-own")}, "targets[1].config"),
        ({"pc-a": refers("pc-b"), "pc-b": refers("pc-own")}, "targets[1].config"),
        ({"pc-a": refers("pc-a")}, "targets[1].config"),
    ],
)
def test_a_circle_is_refused_where_the_document_enters_it(documents: dict[str, Any], path: str):
    document = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "mine"}, {"config": "pc-a"}]}
    refused = refusal(document, Known(documents), "pc-own")
    assert refused.param == path
    assert "back to itself" in refused.message


def test_a_config_that_refers_to_itself_is_refused():
    assert refusal(refers("pc-own"), Known({"pc-own": {"virtual_key": "mine"}}), "pc-own").param == "targets[0].config"
    parse_config(refers("pc-own"), directory=Known({"pc-own": {"virtual_key": "mine"}}))


def test_a_chain_of_configs_has_a_longest():
    chain = {f"pc-{number}": refers(f"pc-{number + 1}") for number in range(DEEPEST_REFERENCE)}
    known = Known({**chain, f"pc-{DEEPEST_REFERENCE}": {"virtual_key": "mine"}})
    parse_config(refers("pc-1"), directory=known)
    assert refusal(refers("pc-0"), known).param == "targets[0].config"


def test_configs_that_multiply_are_refused_before_they_are_large():
    wide = {f"pc-{number}": refers(*[f"pc-{number + 1}"] * 90) for number in range(2)}
    refused = refusal(refers("pc-0"), Known({**wide, "pc-2": {"virtual_key": "mine"}}))
    assert refused.param == "targets[0].config"
    assert "100 targets" in refused.message
    parse_config({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "mine"}] * 100}, directory=Known())


def plan_of(document: dict[str, Any], known: Known):
    config = expand(parse_config(document), known)
    return [attempt.target for attempt in plan_route(config, RouteRequest(), lambda: 0.0, from_caller=True).attempts]


def test_a_config_takes_the_place_of_the_target_that_names_it():
    known = Known({"pc-a": {"retry": {"attempts": 1}, **refers("pc-b")}, "pc-b": {"virtual_key": "mine", "request_timeout": 5}})
    document = {"retry": {"attempts": 2}, "request_timeout": 9, "forward_headers": ["x-a"], **refers("pc-a", "pc-b")}
    first, second = plan_of(document, known)
    assert first.path == "config.targets[0].targets[0].targets[0].targets[0]"
    assert second.path == "config.targets[1].targets[0]"
    assert first.credential.virtual_key == second.credential.virtual_key == "mine"
    assert (first.options.retry.attempts, second.options.retry.attempts) == (1, 2)
    assert first.options.request_timeout_ms == second.options.request_timeout_ms == 5
    assert first.options.forward_headers == ("x-a",)


def test_a_config_takes_neither_host_nor_key_from_the_one_that_names_it():
    known = Known({"pc-a": {"provider": "openai", "api_key": "secret-of-a"}, "pc-empty": {"retry": {"attempts": 1}}})
    (target,) = plan_of({"custom_host": "https://elsewhere.example", **refers("pc-a")}, known)
    assert target.options.custom_host is None
    with pytest.raises(InvalidValue) as refused:
        plan_of({"provider": "openai", "api_key": "s", **refers("pc-empty")}, known)
    assert refused.value.param == "targets[0].targets[0].provider"


def test_a_config_that_went_away_since_is_refused_when_it_is_used():
    config = parse_config(refers("pc-a"), directory=Known({"pc-a": {"virtual_key": "mine"}}))
    with pytest.raises(InvalidValue) as refused:
        expand(config, Known())
    assert refused.value.param == "targets[0].config"
    check_references(config, Known({"pc-a": {"virtual_key": "mine"}}))


def test_a_saved_config_in_one_of_the_callers_sends_its_key_nowhere_else():
    config = expand(parse_config(refers("pc-a")), Known({"pc-a": {"provider": "openai", "api_key": "secret-of-a"}}))
    request = read_route_request({"x-portkey-custom-host": "https://caller.example"}, pathname="/")
    with pytest.raises(InvalidValue, match="stored credential"):
        plan_route(config, request, lambda: 0.0, from_caller=True)
