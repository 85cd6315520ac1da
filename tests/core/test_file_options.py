"""What a request says of a file for an object store: in headers and configs, by either name, with the headers' word before the config's."""

from __future__ import annotations

from typing import Any

import pytest

from fileplane.errors import InvalidValue
from fileplane.routing.config_documents import to_document
from fileplane.routing.configs import parse_config
from fileplane.routing.plans import plan_route
from fileplane.routing.route_requests import read_route_request

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"


def options_of(document: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, str]:
    request = read_route_request(headers or {}, pathname="/v1/files")
    return dict(plan_route(parse_config(document), request, lambda: 0.0, from_caller=True).attempts[0].target.options.file_options)


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("x-portkey-file-purpose", "file_purpose", "upload"),
        ("x-portkey-provider-model", "provider_model", MODEL),
        ("x-portkey-aws-bedrock-model", "provider_model", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc"),
        ("x-portkey-provider-file-name", "provider_file_name", "in/a b.jsonl"),
        ("x-portkey-aws-s3-object-key", "provider_file_name", "in/a.jsonl"),
    ],
)
def test_every_header_has_its_field_in_a_config(header: str, name: str, value: str) -> None:
    assert options_of({"virtual_key": "k"}, {header: value}) == {name: value}
    spelling = header.removeprefix("x-portkey-").replace("-", "_")
    document = {"virtual_key": "k", spelling: value}
    assert options_of(document) == {name: value}
    assert to_document(parse_config(document)) == {"virtual_key": "k", name: value}
    assert options_of(document, {header: value[:-1] + "x"}) == {name: value[:-1] + "x"}


def test_a_target_takes_over_what_it_does_not_say_itself() -> None:
    document = {"file_purpose": "batch", "provider_model": MODEL, "targets": [{"virtual_key": "k", "provider_model": "other.model"}]}
    assert options_of(document) == {"file_purpose": "batch", "provider_model": "other.model"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file_purpose", "a b"),
        ("file_purpose", "x" * 65),
        ("provider_model", "a b"),
        ("provider_model", "/etc"),
        ("provider_file_name", "../x"),
        ("provider_file_name", "a/%2e%2e/x"),
        ("aws_s3_object_key", "a/./x"),
        ("aws_bedrock_model", "x" * 600),
    ],
)
def test_what_could_be_no_such_thing_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidValue, match=name):
        parse_config({"virtual_key": "k", name: value})
    header = f"x-portkey-{name.replace('_', '-')}"
    with pytest.raises(InvalidValue) as caught:
        read_route_request({header: value}, pathname="/v1/files")
    assert caught.value.param == header


def test_two_names_of_one_thing_may_not_contradict_each_other() -> None:
    same = {"virtual_key": "k", "provider_model": MODEL, "aws_bedrock_model": MODEL}
    assert options_of(same) == {"provider_model": MODEL}
    with pytest.raises(InvalidValue, match="aws_bedrock_model"):
        parse_config(same | {"aws_bedrock_model": "other.model"})
    with pytest.raises(InvalidValue):
        read_route_request({"x-portkey-provider-file-name": "a", "x-portkey-aws-s3-object-key": "b"}, pathname="/v1/files")
