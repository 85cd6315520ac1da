"""A batch is told line by line what would make a provider refuse it."""

from __future__ import annotations

import json

import pytest

from fileplane.files.validation import BATCH_URLS, Code, Kind, ValidationRules, Verdict, new_validator

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
ABSENT = object()


def changed(**fields: object) -> dict[str, object]:
    """A good request with some fields changed or taken out."""
    return {name: value for name, value in (GOOD | fields).items() if value is not ABSENT}


def verdict_of(*requests: object, rules: ValidationRules | None = None) -> Verdict:
    validator = new_validator("batch", rules)
    assert validator is not None
    validator.feed(b"\n".join(json.dumps(request).encode() for request in requests))
    return validator.finish()


def found(verdict: Verdict) -> list[tuple[int, Code]]:
    return [(problem.line, problem.code) for problem in verdict.problems]


@pytest.mark.parametrize("url", BATCH_URLS)
def test_every_endpoint_that_openai_runs_batches_for_is_allowed(url: str) -> None:
    verdict = verdict_of(changed(url=url), changed(url=url, custom_id="b"))
    assert verdict == Verdict(Kind.BATCH, 2, (), 0, (), complete=True)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"custom_id": ABSENT}, Code.MISSING_CUSTOM_ID),
        ({"custom_id": ""}, Code.INVALID_CUSTOM_ID),
        ({"custom_id": 7}, Code.INVALID_CUSTOM_ID),
        ({"custom_id": None}, Code.INVALID_CUSTOM_ID),
        ({"custom_id": ["a"]}, Code.INVALID_CUSTOM_ID),
        ({"method": ABSENT}, Code.INVALID_METHOD),
        ({"method": "GET"}, Code.INVALID_METHOD),
        ({"method": "post"}, Code.INVALID_METHOD),
        ({"method": 1}, Code.INVALID_METHOD),
        ({"url": ABSENT}, Code.INVALID_URL),
        ({"url": None}, Code.INVALID_URL),
        ({"url": "/v1/files"}, Code.INVALID_URL),
        ({"url": "v1/chat/completions"}, Code.INVALID_URL),
        ({"url": "/v1/chat/completions/"}, Code.INVALID_URL),
        ({"url": "https://api.openai.com/v1/chat/completions"}, Code.INVALID_URL),
        ({"body": ABSENT}, Code.INVALID_BODY),
        ({"body": None}, Code.INVALID_BODY),
        ({"body": []}, Code.INVALID_BODY),
        ({"body": "{}"}, Code.INVALID_BODY),
    ],
)
def test_each_wrong_field_has_its_code(fields: dict[str, object], code: Code) -> None:
    before, after = changed(custom_id="before"), changed(custom_id="after")
    assert found(verdict_of(before, changed(**fields), after)) == [(2, code)]


def test_every_problem_of_a_line_is_told() -> None:
    assert found(verdict_of({})) == [(1, Code.MISSING_CUSTOM_ID), (1, Code.INVALID_METHOD), (1, Code.INVALID_URL), (1, Code.INVALID_BODY)]


@pytest.mark.parametrize("field", [{"model": 5}, {"model": None}, {}, {"model": {"name": "m"}}])
def test_what_a_body_holds_is_for_the_provider_to_judge(field: dict[str, object]) -> None:
    verdict = verdict_of(changed(), changed(custom_id="b", body=field), changed(custom_id="c"))
    assert (verdict.valid, verdict.warnings) == (True, ())


def test_further_fields_are_let_pass() -> None:
    assert verdict_of(changed(note=[1, {"x": None}])).valid


@pytest.mark.parametrize("custom_id", ["a", "日本", "x" * 64, "x" * 65, "é" * 200, "x" * 100_000])
def test_a_custom_id_used_twice_is_told_with_its_first_line(custom_id: str) -> None:
    verdict = verdict_of(changed(custom_id=custom_id), changed(custom_id="other"), changed(custom_id=custom_id))
    assert found(verdict) == [(3, Code.DUPLICATE_CUSTOM_ID)]
    assert verdict.problems[0].message.endswith("is already that of line 1")
    assert len(verdict.problems[0].message) < 120


def test_a_custom_id_is_the_text_and_not_how_it_is_written() -> None:
    validator = new_validator("batch")
    assert validator is not None
    for spelling in (b"caf\xc3\xa9", b"caf\\u00e9"):
        validator.feed(b'{"custom_id": "' + spelling + b'", "method": "POST", "url": "/v1/responses", "body": {}}\n')
    assert found(validator.finish()) == [(2, Code.DUPLICATE_CUSTOM_ID)]


def test_custom_ids_that_differ_late_or_in_case_only_are_different() -> None:
    ids = ["a", "A", "a ", "x" * 64, "x" * 65, "x" * 66, "y" * 1_000 + "1", "y" * 1_000 + "2"]
    assert verdict_of(*(changed(custom_id=custom_id) for custom_id in ids)).valid


def test_a_custom_id_counts_even_on_a_line_that_is_wrong_otherwise() -> None:
    verdict = verdict_of(changed(method="GET"), changed())
    assert found(verdict) == [(1, Code.INVALID_METHOD), (2, Code.DUPLICATE_CUSTOM_ID)]


def test_a_file_has_one_url() -> None:
    verdict = verdict_of(
        changed(url="/nowhere"),
        changed(custom_id="b"),
        changed(custom_id="c", url="/v1/responses"),
        changed(custom_id="d"),
        changed(custom_id="e", url="/v1/responses", method="GET"),
    )
    assert found(verdict) == [
        (1, Code.INVALID_URL),
        (3, Code.MISMATCHED_URL),
        (5, Code.INVALID_METHOD),
        (5, Code.MISMATCHED_URL),
    ]


def test_the_allowed_urls_are_a_setting() -> None:
    rules = ValidationRules(batch_urls=("/v1/rerank",))
    assert verdict_of(changed(url="/v1/rerank"), rules=rules).valid
    verdict = verdict_of(changed(), rules=rules)
    assert verdict.problems[0].message == "url '/v1/chat/completions' is none that a batch may have, such as '/v1/rerank'"


def test_a_second_model_is_one_warning_and_no_problem() -> None:
    models = [None, "m", "m", "n", "o", "m"]
    verdict = verdict_of(*(changed(custom_id=str(number), body={"model": model}) for number, model in enumerate(models)))
    assert verdict.valid
    assert [(warning.line, warning.code) for warning in verdict.warnings] == [(4, Code.MISMATCHED_MODEL)]


def test_a_second_model_is_noticed_on_a_line_that_is_wrong() -> None:
    verdict = verdict_of(changed(), changed(custom_id="b", method="GET", body={"model": "n"}))
    assert [(warning.line, warning.code) for warning in verdict.warnings] == [(2, Code.MISMATCHED_MODEL)]


def test_a_batch_has_no_more_lines_than_allowed() -> None:
    rules = ValidationRules(max_batch_lines=3)
    requests = [changed(custom_id=str(number)) for number in range(6)]
    assert verdict_of(*requests[:3], rules=rules).valid
    verdict = verdict_of(*requests, rules=rules)
    assert (found(verdict), verdict.lines, verdict.complete) == ([(4, Code.TOO_MANY_LINES)], 4, False)
    verdict = verdict_of(*requests[:3], [], *requests[3:], rules=rules)
    assert (found(verdict), verdict.complete) == ([(4, Code.TOO_MANY_LINES)], False)


def test_too_many_lines_are_told_even_when_the_list_is_full() -> None:
    rules = ValidationRules(max_batch_lines=3, listed_problems=2)
    verdict = verdict_of({}, {}, {}, changed(), rules=rules)
    assert (found(verdict), verdict.problem_count) == ([(1, Code.MISSING_CUSTOM_ID), (4, Code.TOO_MANY_LINES)], 13)


def test_fifty_thousand_requests_are_allowed_by_default() -> None:
    line = b'{"custom_id": "%d", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}\n'
    validator = new_validator("batch")
    assert validator is not None
    validator.feed(b"".join(line % number for number in range(50_001)))
    assert found(validator.finish()) == [(50_001, Code.TOO_MANY_LINES)]


def test_what_is_quoted_cannot_reach_a_terminal() -> None:
    verdict = verdict_of(changed(custom_id="\x1b[2J\u202e\x9b"), changed(custom_id="\x1b[2J\u202e\x9b", url="/\x07\n\u2028"))
    assert [problem.code for problem in verdict.problems] == [Code.DUPLICATE_CUSTOM_ID, Code.INVALID_URL]
    assert all(problem.message.isprintable() for problem in verdict.problems)
