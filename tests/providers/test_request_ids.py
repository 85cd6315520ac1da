"""The provider's own id of a call: taken from whatever header it is in, and only if it can be shown."""

from __future__ import annotations

import pytest

from fileplane.providers.request_ids import request_id_of
from fileplane.secrets.values import Secret

CREDENTIAL = Secret("Bearer tok-5f2c9d0e7b6a")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-request-id": "req_011CSHoEeqs5C35K2UUqR7Fy"}, "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ({"request-id": "req_1"}, "req_1"),
        ({"apim-request-id": "0f0f-1", "x-ms-request-id": "2"}, "0f0f-1"),
        ({"x-ms-request-id": " 5b7e2f1c-8d3a-4c55-9a66-0e1d2c3b4a59 "}, "5b7e2f1c-8d3a-4c55-9a66-0e1d2c3b4a59"),
        ({"x-amzn-requestid": "a/b+c=="}, "a/b+c=="),
        ({"x-request-id": "bad value", "request-id": "good"}, "good"),
        ({}, None),
    ],
    ids=str,
)
def test_the_first_usable_one_is_taken(headers: dict[str, str], expected: str | None):
    assert request_id_of(headers, [CREDENTIAL]) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a b",
        "a\x7f",
        "a,b",
        'a"b',
        "<script>",
        "é",
        "x" * 129,
        "-a",
        "tok-5f2c9d0e7b6a",
        "id-tok-5f2c9d0e7b6a-1",
        "sk-0123456789abcdefghijkl",
    ],
    ids=repr,
)
def test_what_is_none_or_holds_a_secret_is_not_shown(value: str):
    assert request_id_of({"x-request-id": value}, [CREDENTIAL]) is None
