"""Patterns in conditions mean what they mean elsewhere, and no pattern can make a search slow."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.routing.pattern_syntax import LONGEST_PATTERN, PatternError
from fileplane.routing.patterns import LONGEST_TEXT, MOST_STEPS, Pattern

PIECES = ["a", "b", "1", "-", ".", "^", "$", "(", "(?:", ")", "|", "*", "+", "?", "{2}", "{0,2}", "{1,}", "[ab]", "[^a1]", "\\d", "\\W",
          "[\\d-]", "[\\Wa]", "*?", "[^\\s]", "\\.", "\\x61"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=10), st.lists(st.text("ab1-\n", max_size=7), min_size=1, max_size=4))
def test_a_pattern_finds_what_the_usual_engine_finds(pieces: list[str], texts: list[str]):
    source = "".join(pieces)
    try:
        pattern = Pattern(source)
    except PatternError:
        return
    usual = re.compile(source.replace("$", "\\Z"), re.ASCII)
    for text in texts:
        assert pattern.search(text) == (usual.search(text) is not None)


@pytest.mark.parametrize(
    ("source", "found", "not_found"),
    [
        ("", ["", "a"], []),
        ("pro", ["pro", "a pro b"], ["prO", ""]),
        ("^(gold|silver)-[a-z0-9]{1,8}$", ["gold-a1", "silver-abcdefgh"], ["gold-", "gold-abcdefghi", "xgold-a", "gold-a\n"]),
        ("^/v1/files(/[^/]+)?$", ["/v1/files", "/v1/files/file-1"], ["/v1/files/", "/v1/files/a/content"]),
        ("a.c", ["abc", "a\u00e9c"], ["a\nc", "a\u2028c"]),
        ("[\\w.-]+@[\\w-]+\\.[a-z]{2,}", ["me@example.org"], ["me@example", "@example.org"]),
        ("\\u00e9|\\x41", ["é", "A"], ["e", "a"]),
        ("[]", [], ["", "a"]),
        ("[^]", ["a", "\n"], [""]),
        ("[a-]", ["-", "a"], ["b"]),
        ("(){128}a", ["a"], [""]),
        ("(a*)*b", ["b", "aab"], ["aa"]),
    ],
)
def test_patterns_have_their_usual_meaning(source: str, found: list[str], not_found: list[str]):
    pattern = Pattern(source)
    assert [text for text in found if not pattern.search(text)] == []
    assert [text for text in not_found if pattern.search(text)] == []


@pytest.mark.parametrize(
    "source",
    ["(", ")", "a)", "[a", "*", "+a", "a**", "a*+", "^*", "{2}", "a{3,2}", "a{129}", "a{1,999}", "(?=a)", "(?!a)", "(?<n>a)", "(?i)a",
     "\\1", "\\b", "\\", "\\p{L}", "[b-a]", "[a-\\d]", "x" * (LONGEST_PATTERN + 1), "(" * 17 + ")" * 17, "(a{128}){128}",
     "(((){128}){128}){128}", "(?:a?){99}(?:a?){99}(?:a?){99}"],
)  # fmt: skip
def test_what_a_pattern_cannot_have_is_refused(source: str):
    with pytest.raises(PatternError):
        Pattern(source)


@pytest.mark.parametrize(
    "source", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*a){12}$", "a*a*a*a*a*a*a*a*b", "(x+x+)+y", "([a-z]+)*1", "(a?){90}a{30}"]
)
def test_no_pattern_makes_a_search_slow(source: str):
    pattern, calls = Pattern(source), [0]

    def count(_frame: object, event: str, _argument: object) -> None:
        calls[0] += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        pattern.search("a" * (LONGEST_TEXT - 1) + "!")
    finally:
        sys.setprofile(None)
    assert pattern.steps <= MOST_STEPS
    assert calls[0] <= 12 * pattern.steps * LONGEST_TEXT


def test_a_text_that_is_too_long_matches_nothing():
    assert Pattern("a").search("a" * LONGEST_TEXT)
    assert not Pattern("a").search("a" * (LONGEST_TEXT + 1))
