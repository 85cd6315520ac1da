"""Lengths of uploads: told to the provider whenever they can be known, whatever follows the caller's form, and never wrongly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fileplane.testing.provider_world import pattern
from gateway.conftest import Fake, Project, as_header

CONTENT = pattern(600_000)
BOUNDARY = "caller-boundary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: text/x-odd\r\n\r\n'
).encode()
CLOSING = f"\r\n--{BOUNDARY}--".encode()
ENDS = {
    "a line break, as curl and most SDKs": b"\r\n",
    "nothing": b"",
    "a single byte": b"\n",
    "an epilogue": b"\r\nThis is the epilogue.\r\n",
    "a long epilogue": b"\r\n" + b"-" * 50_000,
}


def send(project: Project, headers: dict[str, str], body: bytes | Iterator[bytes]) -> httpx2.Response:
    return project.client.post("/files", headers={**headers, "content-type": TYPE}, content=body)


def _spooled(project: Project) -> dict[str, str]:
    target = {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url}
    return as_header({**target, "retry": {"attempts": 1}})


def _assert_arrived(project: Project, request: dict[str, Any], content: bytes = CONTENT) -> None:
    assert (request["status"], request["body_complete"]) == (200, True)
    [file] = project.fake.files(project.credential)
    assert (file["filename"], file["purpose"], file["bytes"]) == ("a.bin", "user_data", len(content))
    assert hashlib.sha256(project.fake.content(project.credential, file["id"])).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("end", ENDS)
def test_an_upload_that_passes_straight_through_announces_its_length_whatever_follows_its_form(
    project: Project, fake: Fake, end: str
) -> None:
    answer = send(project, project.own, HEAD + CONTENT + CLOSING + ENDS[end])
    assert (answer.status_code, answer.json()["bytes"]) == (200, len(CONTENT)), answer.text
    [request] = fake.requests("upload")
    assert int(request["headers"]["content-length"]) == request["body_bytes"]
    assert "transfer-encoding" not in request["headers"]
    _assert_arrived(project, request)


def test_the_announced_length_is_that_of_an_upload_whose_length_was_known(project: Project, fake: Fake) -> None:
    for headers in (project.own, _spooled(project)):
        assert send(project, headers, HEAD + CONTENT + CLOSING + b"\r\n").status_code == 200
    straight, spooled = (int(request["headers"]["content-length"]) for request in fake.requests("upload"))
    assert straight == spooled


def test_an_upload_that_is_spooled_announces_its_length(project: Project, fake: Fake) -> None:
    def body() -> Iterator[bytes]:
        yield from (HEAD, CONTENT, CLOSING)

    assert send(project, _spooled(project), body()).status_code == 200
    [request] = fake.requests("upload")
    assert int(request["headers"]["content-length"]) == request["body_bytes"]
    _assert_arrived(project, request)


def test_an_upload_of_unknown_length_is_passed_on_in_chunks(project: Project, fake: Fake) -> None:
    def body() -> Iterator[bytes]:
        yield from (HEAD, CONTENT, CLOSING)

    assert send(project, project.own, body()).status_code == 200
    [request] = fake.requests("upload")
    assert request["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in request["headers"]
    _assert_arrived(project, request)


@pytest.mark.parametrize("cut", [0, 1, 30, len(HEAD) - 70, len(HEAD) - 3, len(HEAD), len(HEAD) + 1], ids=str)
def test_where_the_callers_bytes_are_cut_changes_nothing(project: Project, fake: Fake, cut: int) -> None:
    whole = HEAD + CONTENT + CLOSING + b"\r\n"

    def body() -> Iterator[bytes]:
        yield from (piece for piece in (whole[:cut], whole[cut : cut + 1], whole[cut + 1 :]) if piece)

    headers = {**project.own, "content-length": str(len(whole))}
    assert send(project, headers, body()).status_code == 200
    [request] = fake.requests("upload")
    assert int(request["headers"]["content-length"]) == request["body_bytes"]
    _assert_arrived(project, request)


def test_a_file_that_looks_like_the_end_of_its_form_arrives_whole(project: Project, fake: Fake) -> None:
    content = (CLOSING[:-3] + b"\r\n--" + CLOSING[1:] + b"\r\n") * 20_000
    assert send(project, project.own, HEAD + content + CLOSING + b"\r\n").status_code == 200
    [request] = fake.requests("upload")
    _assert_arrived(project, request, content)


def _field(name: str, value: str) -> bytes:
    return f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


EXPIRY = _field("expires_after[anchor]", "created_at") + _field("expires_after[seconds]", "3600")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 200_000, 256 * 1024 - len(HEAD + EXPIRY + CLOSING)])
def test_a_small_form_may_have_its_fields_in_any_order(project: Project, fake: Fake, *, size: int, chunked: bool) -> None:
    whole, content = HEAD + CONTENT[:size] + EXPIRY + CLOSING, CONTENT[:size]
    answer = send(project, project.own, iter([whole]) if chunked else whole)
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_at"] == answer.json()["created_at"] + 3600
    [request] = fake.requests("upload")
    assert int(request["headers"]["content-length"]) == request["body_bytes"], "a form that is had whole has a length"
    _assert_arrived(project, request, content)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_field_after_the_file_leaves_nothing_at_the_provider(project: Project, fake: Fake, *, chunked: bool) -> None:
    whole = HEAD + CONTENT + _field("expires_after[seconds]", "3600") + CLOSING + b"\r\n"
    answer = send(project, project.own, iter([whole]) if chunked else whole)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "expires_after[seconds]")
    assert [request["body_complete"] for request in fake.requests("upload")] == [False]
    assert fake.files(project.credential) == []


@pytest.mark.parametrize(
    ("name", "declared", "shown"),
    [
        ("a.csv", "text/csv; charset=latin1", "text/csv; charset=latin1"),
        ("a.gif", "image/gif", "image/gif"),
        ("a.jsonl", "application/octet-stream", "application/jsonl"),
        ("a.bin", 'text/plain; name="a"', "application/octet-stream"),
    ],
    ids=["parameters", "another type", "no type", "no harmless one"],
)
def test_the_type_that_a_caller_gives_a_file_reaches_the_provider(project: Project, name: str, declared: str, shown: str) -> None:
    made = project.client.post("/files", headers=project.own, data={"purpose": "user_data"}, files={"file": (name, b"x", declared)})
    assert made.status_code == 200, made.text
    answer = project.client.get(f"/files/{made.json()['id']}/content", headers=project.own)
    assert answer.headers["content-type"] == shown
