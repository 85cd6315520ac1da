"""A verdict depends on the bytes alone, names lines as an editor does, and takes little memory whatever arrives."""

from __future__ import annotations

import hashlib
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fileplane.files.validation import Code, Kind, Problem, ValidationRules, Validator, Verdict, new_validator
from fileplane.files.validation.lines import is_utf8

MIB = 1024 * 1024
PURPOSES = ("batch", "fine-tune", None)


def request(custom_id: str, *, url: str = "/v1/embeddings", model: str = "m") -> bytes:
    line = {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": model, "input": "naïve 日本 😀"}}
    return json.dumps(line, ensure_ascii=False).encode()


def validator_for(purpose: str | None, rules: ValidationRules | None = None) -> Validator:
    validator = new_validator(purpose, rules)
    assert validator is not None
    return validator


def verdict_of(data: bytes, purpose: str | None = "batch", rules: ValidationRules | None = None, cuts: list[int] | None = None) -> Verdict:
    validator = validator_for(purpose, rules)
    edges = [0, *sorted(cut for cut in cuts or [] if 0 < cut < len(data)), len(data)]
    for start, end in itertools.pairwise(edges):
        validator.feed(data[start:end])
    return validator.finish()


def found(verdict: Verdict) -> list[tuple[int, Code]]:
    return [(problem.line, problem.code) for problem in verdict.problems]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("purpose", ["batch", None])
def test_line_ends_and_a_byte_order_mark_are_a_matter_of_taste(start: bytes, end: bytes, last: bool, purpose: str | None) -> None:
    data = start + end.join([request("a"), request("b"), request("c")]) + (end if last else b"")
    assert verdict_of(data, purpose) == Verdict(Kind.BATCH, 3, (), 0, (), complete=True)


@pytest.mark.parametrize(("first", "code"), [(b"{", Code.INVALID_JSON), (b"x" * 301, Code.LINE_TOO_LONG)])
def test_a_byte_order_mark_is_none_on_a_later_line(first: bytes, code: Code) -> None:
    verdict = verdict_of(first + b"\n\xef\xbb\xbf" + request("b"), rules=ValidationRules(max_line_bytes=300))
    assert found(verdict) == [(1, code), (2, Code.INVALID_JSON)]


@pytest.mark.parametrize("end", [b"\n", b"\n\n\n", b"\n \t\r\n\n", b"\n   "])
def test_blank_lines_at_the_end_are_let_pass(end: bytes) -> None:
    verdict = verdict_of(request("a") + b"\n" + request("b") + end)
    assert (verdict.valid, verdict.lines) == (True, 2)


def test_blank_lines_before_another_are_one_problem_and_count() -> None:
    data = b"\n" + request("a") + b"\n\n \t \n\r\n" + request("b") + b"\n\n{\n\n"
    verdict = verdict_of(data)
    assert found(verdict) == [(1, Code.BLANK_LINE), (3, Code.BLANK_LINE), (7, Code.BLANK_LINE), (8, Code.INVALID_JSON)]
    assert [problem.message for problem in verdict.problems[:2]] == ["the line is blank", "this and the next 2 lines are blank"]
    assert verdict.lines == 8


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_file_without_lines_is_empty(data: bytes, purpose: str | None) -> None:
    verdict = verdict_of(data, purpose)
    assert (found(verdict), verdict.lines, verdict.complete) == ([(1, Code.EMPTY_FILE)], 0, True)


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\x97", b"caf\xe9"])
def test_what_is_no_utf8_is_found_even_where_nobody_looks(wrong: bytes) -> None:
    broken = b'{"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": {"input": "' + wrong + b'"}}'
    data = b"\n".join([request("a"), broken, request("c"), b'{"custom_id": "\xff', b"\xff", request("a")])
    verdict = verdict_of(data)
    assert found(verdict) == [(2, Code.INVALID_UTF8), (4, Code.INVALID_UTF8), (5, Code.INVALID_UTF8), (6, Code.DUPLICATE_CUSTOM_ID)]


def test_utf8_that_ends_within_a_character_is_found_at_the_end() -> None:
    assert found(verdict_of(request("a") + b'\n{"custom_id": "\xe6\x97')) == [(2, Code.INVALID_UTF8)]


@pytest.mark.parametrize("text", [b"\xe6\x97", b"x" * 200_000 + b"\xe6\x97", b"x" * 65_535 + b"\xe6\x97"])
def test_an_unfinished_character_is_no_utf8_and_ends_the_search(text: bytes) -> None:
    assert not is_utf8(text)
    assert is_utf8(text + b"\xa5")


def test_long_text_of_any_script_is_utf8_wherever_it_is_looked_at() -> None:
    text = "aé日😀" * 50_000
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"input": text}}, ensure_ascii=False).encode()
    for shift in range(12):
        assert verdict_of(b" " * shift + line).valid


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("line", [b"[]", b"1", b'"text"', b"null", b"[{}]"])
def test_a_line_must_be_an_object(line: bytes, purpose: str | None) -> None:
    assert found(verdict_of(line, purpose)) == [(1, Code.NOT_AN_OBJECT)]


BROKEN = [
    b"{",
    b"{}}",
    b"{} {}",
    b"{'a': 1}",
    b'{"a": 1,}',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 01}',
    b'{"a": 1.}',
    b'{"a": +1}',
    b'{"a": .5}',
    b'{"a": "\t"}',
    b'{"a": "\\x"}',
    b'{"a": "\\ud800"}',
    b'{"a": tru}',
    b'{"a" 1}',
    b"{a: 1}",
    b'{"a": "\x00"}',
    b"{}\x00",
    b'{"a": 1} // no',
    b"Line",
]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("line", BROKEN)
def test_what_is_no_json_is_said_to_be_none(line: bytes, purpose: str | None) -> None:
    assert found(verdict_of(line, purpose)) == [(1, Code.INVALID_JSON)]


@pytest.mark.parametrize("line", BROKEN)
def test_json_is_checked_within_the_body_that_nobody_reads(line: bytes) -> None:
    data = b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"x": ' + line + b"}}"
    assert found(verdict_of(data)) == [(1, Code.INVALID_JSON)]


def test_a_wrong_field_does_not_hide_broken_json_behind_it() -> None:
    assert found(verdict_of(b'{"custom_id": 1, "method": "GET", "body": {]')) == [(1, Code.INVALID_JSON)]


def test_of_equal_keys_the_last_counts() -> None:
    line = b'{"custom_id": 1, "custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": 1, "body": {}}'
    assert verdict_of(line).valid


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"messages":[{"role":"user","content":['])
def test_nesting_without_end_is_a_problem_of_its_line_only(opening: bytes, purpose: str | None) -> None:
    bomb = b'{"custom_id":"b","body":' + opening * 100_000
    verdict = verdict_of(request("a") + b"\n" + bomb + b"\n" + opening * 100_000 + b"\n" + request("c"), purpose)
    if purpose == "fine-tune":
        assert found(verdict)[1:3] == [(2, Code.NESTED_TOO_DEEPLY), (3, Code.NESTED_TOO_DEEPLY)]
    else:
        assert found(verdict) == [(2, Code.NESTED_TOO_DEEPLY), (3, Code.NESTED_TOO_DEEPLY)]


def test_usual_nesting_is_let_pass() -> None:
    body = b'{"x": ' + b"[" * 400 + b"]" * 400 + b"}"
    assert verdict_of(b'{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": ' + body + b"}").valid


def test_a_line_of_exactly_the_limit_is_let_pass_and_one_more_byte_is_not() -> None:
    line = request("a")
    rules = ValidationRules(max_line_bytes=len(line))
    other = request("bb")
    assert verdict_of(line + b"\n", rules=rules).valid
    for data in (other + b"\n" + line, line + b"\n" + other, other):
        for cuts in ([], [3], list(range(len(data)))):
            verdict = verdict_of(data, rules=rules, cuts=cuts)
            assert [problem.code for problem in verdict.problems] == [Code.LINE_TOO_LONG]
            assert verdict.problems[0].line == (2 if data.startswith(line) else 1)
            assert verdict.lines == data.count(b"\n") + 1


def test_a_blank_line_before_one_that_is_too_long_comes_first() -> None:
    rules = ValidationRules(max_line_bytes=300)
    data = request("a") + b"\n\n" + b"x" * 301 + b"\n\n" + request("b")
    assert found(verdict_of(data, rules=rules)) == [(2, Code.BLANK_LINE), (3, Code.LINE_TOO_LONG), (4, Code.BLANK_LINE)]


PIECES_OF_FILES = [
    request("a"),
    request("b"),
    request("c" * 70),
    request("d", url="/v1/responses"),
    request("e", model="other"),
    request("f") + b"\r",
    b"",
    b" \t",
    b"\r",
    b"{}",
    b"{",
    b"[]",
    b'{"custom_id": "\xff"}',
    b"\xe6\x97",
    "日本".encode(),
    b'{"custom_id": "a"}',
    b'{"messages": [{"role": "user", "content": "x"}], "answer": 1}',
    b'{"messages": [{"role": "assistant", "content": "x"}]}',
    b'{"messages": [{"role": "user", "content": "x"}]}',
    b'{"prompt": "p", "completion": "c"}',
    b'{"input": {"messages": [{"role": "user", "content": "x"}]}}',
]
FILES = st.builds(
    lambda start, lines, end: start + b"\n".join(lines) + end,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.sampled_from(PIECES_OF_FILES), max_size=30),
    st.sampled_from([b"", b"\n", b"\n\n"]),
)


@given(FILES, st.lists(st.integers(1, 3_000), max_size=20), st.sampled_from(PURPOSES), st.integers(2, 100))
def test_the_verdict_is_the_same_however_the_bytes_are_cut(data: bytes, cuts: list[int], purpose: str | None, counted: int) -> None:
    # A small limit makes small blocks of lines, while all is one block in what it is compared with.
    longest = max(len(line) for line in data.split(b"\n"))
    whole = verdict_of(data, purpose, ValidationRules(counted_problems=counted))
    assert whole == verdict_of(data, purpose, ValidationRules(counted_problems=counted, max_line_bytes=max(longest, 1)), cuts)
    assert whole == verdict_of(data, purpose, ValidationRules(counted_problems=counted, max_line_bytes=max(longest, 1)))


@given(FILES, st.lists(st.integers(1, 3_000), max_size=20), st.sampled_from(PURPOSES), st.integers(1, 200))
def test_too_long_is_too_long_however_the_bytes_are_cut(data: bytes, cuts: list[int], purpose: str | None, longest: int) -> None:
    rules = ValidationRules(max_line_bytes=longest)
    verdict = verdict_of(data, purpose, rules, cuts)
    assert verdict == verdict_of(data, purpose, rules)
    too_long = [number for number, line in enumerate(data.split(b"\n"), start=1) if len(line) > longest]
    assert [problem.line for problem in verdict.problems if problem.code is Code.LINE_TOO_LONG] == too_long


@given(st.binary(max_size=400), st.lists(st.integers(1, 400), max_size=5), st.sampled_from(PURPOSES), st.integers(1, 100))
@example(b"\xef\xbb", [1], "batch", 1)
@example(b"\n\n\x00\n", [], None, 1)
def test_bytes_of_any_kind_get_a_verdict(data: bytes, cuts: list[int], purpose: str | None, longest: int) -> None:
    verdict = verdict_of(data, purpose, ValidationRules(max_line_bytes=longest), cuts)
    assert verdict.valid == (verdict.details() is None)
    assert verdict.problem_count == len(verdict.problems)


KEYS = ["custom_id", "method", "url", "body", "model", "messages", "role", "content", "weight", "tools", "tool_calls", "function", "name"]
KEYS += ["input", "preferred_output", "non_preferred_output", "preferred_completion", "prompt", "completion", "type", "text", "arguments"]
TEXTS = st.text('aé日😀"\\/\x00\x1b\x7f\u2028\u202e 0', max_size=5)
SCALARS = st.sampled_from(["POST", "/v1/responses", "user", "assistant", "system", "tool", "function", "text", "", 0, 1, 1.5, True, None])
VALUES = st.recursive(
    SCALARS | TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.sampled_from(PURPOSES))
def test_json_of_any_shape_gets_a_verdict_that_can_be_shown(objects: list[dict[str, object]], purpose: str | None) -> None:
    verdict = verdict_of("\n".join(json.dumps(value, ensure_ascii=False) for value in objects).encode(), purpose)
    assert verdict.lines == len(objects)
    for problem in (*verdict.problems, *verdict.warnings):
        assert 1 <= problem.line <= len(objects)
        assert problem.message.isprintable()
        assert len(problem.message) < 500
        assert problem.code not in {Code.INVALID_JSON, Code.INVALID_UTF8, Code.NOT_AN_OBJECT, Code.EMPTY_FILE}


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def expected_of(line: bytes) -> Code | None:
    """What Python's own parser says of a line."""
    try:
        value = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return Code.INVALID_UTF8
    except ValueError:
        return Code.INVALID_JSON
    return None if isinstance(value, dict) else Code.NOT_AN_OBJECT


@given(OBJECTS, st.data())
def test_json_is_what_other_parsers_take_for_it(value: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode())
    position = data.draw(st.integers(0, len(line) - 1))
    line[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    text = bytes(line)
    assume(b"\n" not in text and text.strip(b" \t\r") and b"\\ud" not in text.lower())
    for purpose in ("batch", "fine-tune"):
        codes = {problem.code for problem in verdict_of(text, purpose).problems}
        assert codes & {Code.INVALID_JSON, Code.INVALID_UTF8, Code.NOT_AN_OBJECT} == ({expected_of(text)} - {None})


@pytest.mark.parametrize("sizes", [[1], [65_536], [16_384], [1_000_000], [200_000, 7, 0, 100_000, 65_537]])
def test_a_hash_alongside_gets_every_byte_once_and_in_order(sizes: list[int]) -> None:
    data = b"\n".join(request(str(number)) for number in range(4_000))[: 3_000 if sizes == [1] else None]
    validator, digest = validator_for("batch"), hashlib.sha256()
    position = 0
    for size in itertools.cycle(sizes):
        validator.feed(data[position : position + size], alongside=digest.update)
        position += size
        if position >= len(data):
            break
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    assert validator.finish() == verdict_of(data)


def test_a_hash_alongside_gets_every_byte_even_when_the_rest_is_not_validated() -> None:
    data = b"{\n" * 100_000
    validator, digest = validator_for("batch", ValidationRules(counted_problems=10)), hashlib.sha256()
    for start in range(0, len(data), 10_000):
        validator.feed(data[start : start + 10_000], alongside=digest.update)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    verdict = validator.finish()
    assert (verdict.problem_count, verdict.lines, verdict.complete) == (10, 10, False)
    assert verdict.details() is not None
    assert str(verdict.details()).startswith("Not valid: at least 10 problems in 10 lines. Line 1: ")


def test_the_list_of_problems_is_bounded_and_their_number_is_not() -> None:
    verdict = verdict_of(b"{\n" * 50, rules=ValidationRules(listed_problems=7))
    assert (len(verdict.problems), verdict.problem_count, verdict.complete) == (7, 50, True)


def peak_memory(action: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def feed_all(validator: Validator, pieces: Iterator[bytes]) -> Verdict:
    for piece in pieces:
        validator.feed(piece)
    return validator.finish()


def test_a_line_of_500_mb_is_not_held() -> None:
    piece = b'{"custom_id": "a", "body": ' + b"x" * MIB
    verdicts = []
    validator = validator_for("batch")
    assert peak_memory(lambda: verdicts.append(feed_all(validator, itertools.repeat(piece, 500)))) < 40 * MIB
    assert found(verdicts[0]) == [(1, Code.LINE_TOO_LONG)]


def test_500_mb_of_the_longest_lines_are_validated_in_the_room_of_one() -> None:
    start = b'{"method": "POST", "url": "/v1/embeddings", "body": {"input": "'
    piece = b"x" * (MIB - 64)

    def lines() -> Iterator[bytes]:
        for number in range(32):
            yield start
            yield from itertools.repeat(piece, 16)
            yield f'"}}, "custom_id": "{number}"}}\n'.encode()

    verdicts = []
    validator = validator_for("batch")
    assert peak_memory(lambda: verdicts.append(feed_all(validator, lines()))) < 40 * MIB
    assert (verdicts[0].valid, verdicts[0].lines) == (True, 32)


def test_fifty_thousand_ids_take_little_memory() -> None:
    def lines() -> Iterator[bytes]:
        for number in range(50_000):
            yield b'{"custom_id": "request-%09d", "method": "POST", "url": "/v1/embeddings", "body": {}}\n' % number

    validator = validator_for("batch")
    verdicts = []
    assert peak_memory(lambda: verdicts.append(feed_all(validator, lines()))) < 12 * MIB
    assert verdicts[0].valid


@pytest.mark.parametrize("purpose", ["assistants", "vision", "user_data", "evals", "batch_output", "other"])
def test_other_purposes_have_no_validator(purpose: str) -> None:
    assert new_validator(purpose) is None


def test_a_purpose_that_is_told_late_is_guessed_from_the_first_line() -> None:
    example_of_both = b'{"messages": [{"role": "user", "content": "\\"custom_id\\""}]}'
    for data, purpose in ((request("a"), "batch"), (b"\n{}\n" + request("a"), "fine-tune"), (example_of_both, "fine-tune")):
        validator = validator_for(None)
        assert validator.purpose is None
        validator.feed(data)
        verdict = validator.finish()
        assert validator.purpose == purpose
        assert verdict == verdict_of(data, purpose)


def test_details_name_the_first_twenty_problems() -> None:
    details = str(verdict_of(b"[]\n" * 25).details())
    assert details.startswith("Not valid: 25 problems in 25 lines. Line 1: the line must be a JSON object. Line 2: ")
    assert details.endswith(" Line 20: the line must be a JSON object. And 5 more.")


def test_details_of_one_problem_are_in_the_singular() -> None:
    assert verdict_of(b"[]").details() == "Not valid: 1 problem in 1 line. Line 1: the line must be a JSON object."
    assert verdict_of(b"").details() == "Not valid: 1 problem in 0 lines. Line 1: the file has no lines."


def test_a_valid_file_has_no_details_even_with_warnings() -> None:
    verdict = verdict_of(request("a") + b"\n" + request("b", model="other"))
    assert verdict.warnings == (
        Problem(2, Code.MISMATCHED_MODEL, "model 'other' differs from 'm' of the lines before; most providers run one model a file"),
    )
    assert (verdict.valid, verdict.details()) == (True, None)
