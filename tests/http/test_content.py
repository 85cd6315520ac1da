from __future__ import annotations

import hashlib
import random

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.expect import assert_file, assert_openai_error
from support.forms import upload, uploaded
from support.raw_http import Connection
from support.tenants import NewTenant, Tenant
from support.wire import answer_to, bearer, request_head

DIGITS = b"0123456789"
PROTECTION = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


@pytest.fixture
def digits(api: httpx2.Client) -> str:
    """The path of the content of a file of ten bytes."""
    return f"/files/{uploaded(api, DIGITS, filename='digits.txt')['id']}/content"


def assert_whole(response: httpx2.Response, content: bytes = DIGITS) -> None:
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-length"] == str(len(content))
    assert response.headers["etag"] == etag_of(content)
    assert response.headers["accept-ranges"] == "bytes"
    assert "content-range" not in response.headers


def assert_part(response: httpx2.Response, start: int, end: int, content: bytes = DIGITS) -> None:
    """Bytes ``start`` to ``end``, the latter included, as the headers count them."""
    assert (response.status_code, response.content) == (206, content[start : end + 1])
    assert response.headers["content-range"] == f"bytes {start}-{end}/{len(content)}"
    assert response.headers["content-length"] == str(end + 1 - start)
    assert response.headers["etag"] == etag_of(content)


def test_content_is_the_exact_bytes_with_their_length_and_hash(api: httpx2.Client, digits: str):
    assert_whole(api.get(digits))
    assert_whole(api.get(digits, headers={"accept": "application/binary", "accept-encoding": "gzip, deflate, br"}))


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_large_content_comes_back_whole_and_in_ranges(api: httpx2.Client, size: int):
    content = random.Random(size).randbytes(size)
    path = f"/files/{uploaded(api, content)['id']}/content"
    assert_whole(api.get(path), content)
    step = size // 4 + 1
    joined = b""
    for start in range(0, size, step):
        response = api.get(path, headers={"range": f"bytes={start}-{start + step - 1}"})
        assert_part(response, start, min(start + step, size) - 1, content)
        joined += response.content
    assert joined == content


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=3-5", 3, 5),
        ("bytes=9-9", 9, 9),
        ("bytes=5-", 5, 9),
        ("bytes=0-", 0, 9),
        ("bytes=-1", 9, 9),
        ("bytes=-10", 0, 9),
        ("bytes=-11", 0, 9),
        ("bytes=-99999999999999", 0, 9),
        ("bytes=8-10", 8, 9),
        ("bytes=0-999999999999999999", 0, 9),
        ("bytes=0-9223372036854775807", 0, 9),
        ("bytes=5-18446744073709551615", 5, 9),
        (f"bytes=-{'9' * 40}", 0, 9),
        ("Bytes=3-5", 3, 5),
        ("bytes=003-005", 3, 5),
    ],
)
def test_a_range_is_answered_with_its_part(api: httpx2.Client, digits: str, asked: str, start: int, end: int):
    assert_part(api.get(digits, headers={"range": asked}), start, end)


@pytest.mark.parametrize(
    "asked", ["bytes=10-", "bytes=10-10", "bytes=11-20", "bytes=-0", "bytes=999999999999999999-", f"bytes={'9' * 40}-"]
)
def test_a_range_outside_the_file_is_refused_with_its_length(api: httpx2.Client, digits: str, asked: str):
    response = api.get(digits, headers={"range": asked})
    assert "10 bytes" in assert_openai_error(response, 416, "invalid_range", param="range")
    assert response.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_an_empty_file_has_no_range(api: httpx2.Client, asked: str):
    path = f"/files/{uploaded(api, b'')['id']}/content"
    response = api.get(path, headers={"range": asked})
    assert_openai_error(response, 416, "invalid_range", param="range")
    assert response.headers["content-range"] == "bytes */0"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=0x0-0x1",
        "bytes=+1-2",
        "bytes=1.5-2",
        "lines=0-1",
        "items=0-1",
        "=0-1",
        "0-1",
        "bytes 0-1",
        "",
        "bytes=0 - 1",
        "bytes:0-1",
        "none",
    ],
)
def test_a_range_of_another_unit_or_form_is_refused(api: httpx2.Client, digits: str, asked: str):
    assert_openai_error(api.get(digits, headers={"range": asked}), 400, "invalid_value", param="range")


@pytest.mark.parametrize("asked", ["bytes=0-0,2-3", "bytes=0-0, -1", "bytes=5-,0-", "bytes=" + ",".join(["0-0"] * 1_000)])
def test_several_ranges_are_answered_with_the_whole_file(api: httpx2.Client, digits: str, asked: str):
    assert_whole(api.get(digits, headers={"range": asked}))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.one_of(st.from_regex(r"\Abytes=[0-9]{0,3}-[0-9]{0,3}\Z"), st.text("bytes=-,0123456789 ", max_size=20)).map(str.strip))
def test_whatever_range_is_asked_for_the_answer_is_true(api: httpx2.Client, digits: str, asked: str):
    response = api.get(digits, headers={"range": asked})
    if response.status_code == 206:
        span = response.headers["content-range"].removeprefix("bytes ").removesuffix("/10")
        start, end = map(int, span.split("-"))
        assert_part(response, start, end)
    elif response.status_code == 200:
        assert_whole(response)
    else:
        status = response.status_code
        assert_openai_error(response, status, {400: "invalid_value", 416: "invalid_range"}[status], param="range")


def test_a_range_is_honoured_only_while_its_condition_holds(api: httpx2.Client, digits: str):
    asked = {"range": "bytes=2-4"}
    assert_part(api.get(digits, headers=asked | {"if-range": etag_of(DIGITS)}), 2, 4)
    for validator in (etag_of(b"other"), "W/" + etag_of(DIGITS), "Wed, 21 Oct 2015 07:28:00 GMT", "*", etag_of(DIGITS)[1:-1]):
        assert_whole(api.get(digits, headers=asked | {"if-range": validator}))
    assert_whole(api.get(digits, headers={"if-range": etag_of(DIGITS)}))
    assert_whole(api.get(digits, headers={"range": "bytes=99-", "if-range": etag_of(b"other")}))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("extra", [{}, {"range": "bytes=0-1"}, {"range": "bytes=99-"}], ids=["whole", "range", "range outside"])
def test_known_bytes_are_not_sent_again(api: httpx2.Client, digits: str, method: str, extra: dict[str, str]):
    own = etag_of(DIGITS)
    for validator in (own, f"W/{own}", "*", f'"other", {own}', f'{own},"other"'):
        response = api.request(method, digits, headers={"if-none-match": validator, **extra})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", own)
        assert "content-type" not in response.headers


def test_known_bytes_may_be_named_in_any_of_several_lines(api: httpx2.Client, digits: str):
    lines = [("if-none-match", '"other"'), ("if-none-match", etag_of(DIGITS))]
    assert api.get(digits, headers=lines).status_code == 304
    assert_whole(api.get(digits, headers=[("if-none-match", '"other"'), ("if-none-match", '"another"')]))


@pytest.mark.parametrize(
    "validator", [etag_of(b"other"), "", '"', "W/", hashlib.sha256(DIGITS).hexdigest(), etag_of(DIGITS).upper(), "x" * 5_000]
)
def test_other_bytes_are_sent(api: httpx2.Client, digits: str, validator: str):
    assert_whole(api.get(digits, headers={"if-none-match": validator}))


def test_the_condition_of_a_file_that_does_not_exist_is_not_looked_at(api: httpx2.Client):
    response = api.get("/files/unknown/content", headers={"if-none-match": "*", "range": "bytes=0-0"})
    assert_openai_error(response, 404, None, param="id")


@pytest.mark.parametrize("content", [DIGITS, b"", bytes(2_000_000)], ids=["small", "empty", "large"])
def test_head_has_the_headers_of_get_and_not_one_byte_more(tenant: Tenant, content: bytes):
    path = f"/v1/files/{uploaded(tenant.client, content, filename='a.json')['id']}/content"
    with Connection(tenant.server) as connection:
        connection.send(request_head("HEAD", path, bearer(tenant.key.plain)))
        head = answer_to(connection, "HEAD")
        # On the same connection: a stray byte of a body would be read as the beginning of this answer.
        connection.send(request_head("GET", path, bearer(tenant.key.plain)))
        got = answer_to(connection)
        connection.send(request_head("HEAD", path + "x", bearer(tenant.key.plain)))
        missing = answer_to(connection, "HEAD")
        connection.send(request_head("GET", "/healthz"))
        assert answer_to(connection).json() == {"status": "ok"}
    assert (head.status_code, got.status_code, missing.status_code) == (200, 200, 404)
    assert got.content == content
    assert head.headers["content-length"] == str(len(content))
    varying = ("x-request-id", "date")
    assert without(head.headers, varying) == without(got.headers, varying)


def without(headers: httpx2.Headers, names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


def test_head_takes_no_range(api: httpx2.Client, digits: str):
    response = api.head(digits, headers={"range": "bytes=2-4"})
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "10")


def test_head_of_a_file_that_does_not_exist_is_not_found(api: httpx2.Client):
    response = api.head("/files/unknown/content")
    assert (response.status_code, response.content) == (404, b"")


OCTETS = "application/octet-stream"


@pytest.mark.parametrize(
    ("filename", "declared", "shown"),
    [
        ("a.jsonl", OCTETS, "application/jsonl"),
        ("a.json", OCTETS, "application/json"),
        ("a.pdf", "application/pdf", "application/pdf"),
        ("a.PDF", OCTETS, "application/pdf"),
        ("a.txt", "text/html", "text/plain"),
        ("a.csv", None, "text/csv"),
        ("a.png", "image/png", "image/png"),
        ("a.jpg", "image/svg+xml", "image/jpeg"),
        ("a.jpeg", OCTETS, "image/jpeg"),
        ("a.webp", OCTETS, "image/webp"),
        ("a.mp3", OCTETS, "audio/mpeg"),
        ("a.wav", OCTETS, "audio/wav"),
        ("a.bin", "application/pdf", "application/pdf"),
        ("a", "text/csv; charset=utf-8", "text/csv"),
        ("a", "TEXT/PLAIN", "text/plain"),
        ("a", None, OCTETS),
        ("json", None, OCTETS),
        (".png", None, "image/png"),
        ("a.png.exe", None, OCTETS),
        ("a.html", "text/html", OCTETS),
        ("a.html", "text/html; charset=utf-8", OCTETS),
        ("a.svg", "image/svg+xml", OCTETS),
        ("a.xml", "application/xml", OCTETS),
        ("a.xhtml", "application/xhtml+xml", OCTETS),
        ("a.js", "text/javascript", OCTETS),
        ("a.mjs", "application/javascript", OCTETS),
        ("a.css", "text/css", OCTETS),
        ("a.swf", "application/x-shockwave-flash", OCTETS),
        ("a.mht", "multipart/related", OCTETS),
        ("a.gif", "image/gif", OCTETS),
        ("a", "text/html\t", OCTETS),
        ("a", "text/html,text/plain", OCTETS),
        ("a", "text/plain,text/html", OCTETS),
        ("a", "*/*", OCTETS),
        ("a", "nonsense", OCTETS),
    ],
)
def test_content_is_shown_as_a_harmless_type_or_as_octets(api: httpx2.Client, filename: str, declared: str | None, shown: str):
    content = b"<html><script>alert(1)</script></html>"
    file = assert_file(upload(api, content, filename=filename, media_type=declared))
    path = f"/files/{file['id']}/content"
    for response in (api.get(path), api.head(path), api.get(path, headers={"range": "bytes=0-3"})):
        assert response.headers["content-type"] == shown
        assert {name: response.headers[name] for name in PROTECTION} == PROTECTION
        assert response.headers["content-disposition"].startswith("attachment; ")
        assert "set-cookie" not in response.headers
        assert "access-control-allow-origin" not in response.headers


def test_content_may_be_kept_by_the_caller_alone_and_is_asked_for_again(api: httpx2.Client, digits: str):
    assert api.get(digits).headers["cache-control"] == "private, no-cache"


def test_the_content_of_every_purpose_can_be_downloaded(new_tenant: NewTenant):
    api = new_tenant().client
    for purpose in ("assistants", "batch", "fine-tune", "vision", "user_data", "evals", "batch_output"):
        assert_whole(api.get(f"/files/{uploaded(api, DIGITS, purpose=purpose)['id']}/content"))
