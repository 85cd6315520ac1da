"""What of a provider's refusal reaches callers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.providers.refusals import cleaned, refusal, retry_after_of, says_nothing_is_there
from fileplane.secrets.values import Secret

KEY = 'sk-canary/with+odd"characters-0123456789'


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "2000", "retry-after": "9"}, 2),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None):
    assert retry_after_of(headers) == seconds


def test_a_date_is_a_time_to_wait():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after_of({"retry-after": soon}) or 0) <= 30
    assert retry_after_of({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}) == 0


def test_callers_are_never_told_to_wait_longer_than_sdks_do():
    error = refusal(429, {"retry-after": "3600"}, b"{}")
    assert error.headers == {"retry-after": "60"}
    assert error.retry_after == 3_600


@given(before=st.text(max_size=50), after=st.text(max_size=50))
def test_no_secret_survives_in_any_spelling(before: str, after: str):
    for spelling in (KEY, "sk-canary%2Fwith%2Bodd%22characters-0123456789", 'sk-canary/with+odd\\"characters-0123456789'):
        assert spelling not in cleaned(before + spelling + after, [Secret(KEY), Secret(f"Bearer {KEY}")])


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcdefghijklmnopqrstuvwx is wrong",
        "Bearer abcdefgh.ijkl-mnop",
        "gsk_0123456789abcdefghij",
        "AIzaSyA0123456789abcdefghijklmnop",
    ],
)
def test_what_looks_like_a_key_of_somebody_else_is_masked_too(text: str):
    assert "********" in cleaned(text)


@given(body=st.binary(max_size=300), status=st.integers(100, 999))
def test_whatever_a_provider_answers_makes_one_error(body: bytes, status: int):
    error = refusal(status, {}, body)
    assert 400 <= error.status < 600
    assert error.message
    assert len(error.message) < 1_100


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]"])
def test_a_refusal_that_says_nothing_of_itself_has_the_documented_code(body: bytes):
    assert (refusal(502, {}, body).type, refusal(502, {}, body).code) == ("upstream_error", "provider_refused")
    assert refusal(400, {}, b'{"error": {"message": "No.", "code": null}}').code is None


def test_cloud_storage_s_reason_is_the_code():
    body = b'{"error": {"code": 403, "message": "No.", "errors": [{"message": "No.", "domain": "global", "reason": "forbidden"}]}}'
    assert (refusal(403, {}, body).message, refusal(403, {}, body).code) == ("No.", "forbidden")
    for errors in (b"[]", b"1", b"[1]", b'[{"reason": 1}]'):
        assert refusal(403, {}, body.replace(body[body.index(b"[") : -2], errors)).code is None


def test_only_a_conflict_and_what_is_not_implemented_are_final_among_what_sdks_repeat():
    assert {status for status in range(400, 600) if refusal(status, {}, b"").definitive} == {409, 501}


def test_anthropic_s_code_stands_among_the_details_and_google_s_is_a_word_beside_a_number():
    details = {"error_code": "file_not_downloadable"}
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "No.", "details": details}, "request_id": "req_1"}
    error = refusal(400, {}, json.dumps(said).encode())
    assert (error.status, error.type, error.code, error.message) == (400, "invalid_request_error", "file_not_downloadable", "No.")
    said = {"error": {"code": 403, "message": "No.", "status": "PERMISSION_DENIED", "details": [{"@type": "x"}]}}
    error = refusal(403, {}, json.dumps(said).encode())
    assert (error.status, error.type, error.code) == (403, "permission_error", "PERMISSION_DENIED")
    for details in ("x", [], {"error_code": "two words"}, {"error_code": ["x"]}, {}):
        said = {"type": "error", "error": {"message": "No.", "details": details}}
        assert refusal(400, {}, json.dumps(said).encode()).code is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "No such File object: file-1", "type": "invalid_request_error", "param": "id", "code": null}}',
        b'{"type": "error", "error": {"type": "not_found_error", "message": "File `file_1` not found."}}',
        b'{"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}',
        b'{"error": {"code": 404, "message": "Not Found", "errors": [{"message": "Not Found", "domain": "global", "reason": "notFound"}]}}',
        b'{"error": {"code": 404, "message": "No such object: bucket/route", "errors": [{"reason": "notFound"}]}}',
        b'{"error": {"code": "notFound", "message": "The file was not found."}}',
        b'{"detail": "File not found"}',
        b"No such object: bucket/name",
        b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>",
        b"<Error><Code>NoSuchKey</Code></Error>",
        b'{"error": {"message": "Could not find fine tune: file-1", "type": "invalid_request_error", "code": "fine_tune_not_found"}}',
        b'{"error": {"message": "No batch found with id \'file-1\'.", "type": "invalid_request_error"}}',
        b'{"error": {"message": "file-1 does not exist", "code": null}}',
        b'{"message": "dataset with id x not found"}',
        b'{"error": {"type": "not_found_error", "message": "The file has expired.", "details": {"error_code": "file_expired"}}}',
        b'{"error": {"code": "file_not_found"}}',
        b'{"code": 5, "message": "accounts/a/datasets/file-1 not found"}',
        b'{"code": "Some requested entity was not found", "error": "file-1 does not exist or you have no access to it"}',
    ],
)
def test_a_provider_that_says_of_a_thing_that_it_is_not_there_is_believed(body: bytes):
    assert says_nothing_is_there(body, "file-1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"404 page not found",
        b'"404 page not found"',
        b"default backend - 404",
        b"<html><head><title>404 Not Found</title></head></html>",
        b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>",
        b"<Error/>",
        b'{"detail": "Not Found"}',
        b'{"detail": "Not found."}',
        b'{"message": "no Route matched with those values"}',
        b'{"message": "404 Not Found: The requested URL was not found on the server. If you entered it manually, check it."}',
        b'{"error": "Not Found: /v1/v1/files/file-1"}',
        b'{"message": "Cannot GET /files/file-1", "error": "Not Found", "statusCode": 404}',
        b'{"message": "Route GET:/files/file-1 not found", "error": "Not Found", "statusCode": 404}',
        b'{"timestamp": 1, "status": 404, "error": "Not Found", "path": "//files"}',
        b'{"error": {"code": "404", "message": "Resource not found"}}',
        b'{"error": {"message": "Invalid URL (GET /files/file-1)", "type": "invalid_request_error", "param": null, "code": null}}',
        b'{"error": {"message": "Unknown request URL: GET /v1/v1/files. Please check the URL", "code": "unknown_url"}}',
        b'{"error": {"code": 404, "message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}}',
        b'{"code": 5, "message": "Method does not exist.", "details": []}',
        b'{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "No static resource v1/files/file-1."}',
        b'{"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}',
        b'{"error": {"code": 404, "message": "Unknown workspace"}}',
        b'{"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}',
        b'{"error": {"message": "API key not found"}}',
        b'{"message": "Account acc not found", "code": "NOT_FOUND"}',
        b'{"message": "Unable to match incoming request to an operation"}',
        b'{"error": "Instance not found"}',
        b'{"message": "no healthy upstream"}',
        b'{"message": "The file service was not found"}',
        b'{"error": {"message": "Project not found. Create it before you upload a file."}}',
        b'{"error": {"message": "The content of this file is not available yet.", "code": "content_not_available"}}',
        b'{"error": {"code": "not_found"}}',
        b'{"error": {"message": "No such thing as /v1/files/file-1"}}',
        b'{"error": {"message": "v1/files/file-1 was not found on this server"}}',
        b'{"error": {"message": "https://api.example.com/v1/files/file-1 was not found"}}',
        b'{"error": {"message": "my-file-1 was not found"}}',
    ],
)
def test_what_only_says_that_an_address_leads_nowhere_says_nothing_of_the_thing(body: bytes):
    assert not says_nothing_is_there(body, "file-1")
