"""Identifiers: unguessable, ordered by time, and read back in every form they are printed in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.ids import API_KEY_PREFIX, hash_api_key, new_api_key, new_blob_key, new_request_id, openai_style, parse_file_id, uuid7

SOME_ID = "018bcfe5-6800-7bf2-b270-6322ef9d9ffd"
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_a_uuid_of_version_7_that_begins_with_its_time(now_ms: int) -> None:
    made = uuid7(now_ms)
    assert _UUID7.fullmatch(made)
    assert int(made.replace("-", "")[:12], 16) == now_ms


@given(st.integers(0, 2**48 - 2), st.integers(1, 10_000))
def test_later_ids_sort_after_earlier_ones(now_ms: int, later: int) -> None:
    assert uuid7(now_ms) < uuid7(min(now_ms + later, 2**48 - 1)) or now_ms == 2**48 - 1


def test_ids_of_one_instant_differ_in_74_bits() -> None:
    made = [int(uuid7(0).replace("-", ""), 16) for _ in range(2_000)]
    ever_set = ever_clear = 0
    for value in made:
        ever_set |= value
        ever_clear |= ~value & (2**128 - 1)
    assert len(set(made)) == len(made)
    assert (ever_set & ever_clear).bit_count() == 74


@given(st.integers(0, 2**48 - 1))
def test_both_printed_forms_are_read_back_in_either_case(now_ms: int) -> None:
    made = uuid7(now_ms)
    for form in (made, openai_style(made), made.upper(), openai_style(made).upper()):
        assert parse_file_id(form) == made


@pytest.mark.parametrize(
    "text",
    ["", "file-", "file-abc123", "0" * 32, "{" + SOME_ID + "}", "urn:uuid:" + SOME_ID, SOME_ID + "\n", " " + SOME_ID],
)
def test_anything_else_is_no_file_id(text: str) -> None:
    assert parse_file_id(text) is None


def test_api_keys_are_recognisable_random_and_hashed_whole() -> None:
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(API_KEY_PREFIX + "[0-9A-Za-z]{43}", key) for key in keys)
    assert len({hash_api_key(key) for key in keys}) == 100
    assert hash_api_key("é\udcff") != hash_api_key("é")


def test_blob_keys_are_never_the_same_twice() -> None:
    keys = {new_blob_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(re.fullmatch("[0-9a-f]{2}/[0-9a-f]{30}", key) for key in keys)


def test_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1_000)}) == 1_000
