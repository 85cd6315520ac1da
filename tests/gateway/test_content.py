"""Content through the gateway: exact bytes, lengths and parts, whatever the provider says, leaves out or does wrongly."""

from __future__ import annotations

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx2
import pytest

from gateway.conftest import Fake, Project

TYPES = [
    ("text/plain; charset=utf-16", "ÿþ\x00line\r\n".encode("latin-1")),
    ("text/plain", b"\xef\xbb\xbf\r\n\n\r\xff\xfe"),
    ("application/json", b'{"big": 12345678901234567890123, "twice": 1, "twice": 2.0, "deep": "\\u0000"} \n'),
    ("application/jsonl", b'{"a": 9007199254740993}\n\n{"b": NaN}\r\n'),
    ("text/csv; charset=latin1", b"a;b\xe4\r\n=1+1\r\n"),
    ("application/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n\x00\x0d\x0a"),
    ("application/zip", b"PK\x03\x04" + bytes(range(256))),
    ("application/octet-stream", bytes(range(256)) * 3),
    ("text/event-stream", b"data: [DONE]\n\n"),
    ("application/gzip", gzip.compress(b"kept as it is", mtime=0)),
]


def _uploaded(project: Project, content: bytes, **headers: Any) -> str:
    answer = project.upload(headers or project.own, content, "a.bin", purpose="user_data")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@dataclass(frozen=True)
class Got:
    """An answer as it came over the wire."""

    status_code: int
    headers: httpx2.Headers
    content: bytes

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.content)["error"]


def _get(project: Project, file_id: str, **headers: str) -> Got:
    sent = {**project.own, "accept-encoding": "gzip, br", **{name.replace("_", "-"): value for name, value in headers.items()}}
    with project.client.stream("GET", f"/files/{file_id}/content", headers=sent) as answer:
        content = b"".join(answer.iter_raw())
    return Got(answer.status_code, answer.headers, content)


@pytest.mark.parametrize(("media_type", "content"), TYPES, ids=[media_type for media_type, _ in TYPES])
@pytest.mark.parametrize("fault", [None, "gzip", "no_length"])
def test_bytes_are_exact_whatever_their_type_and_however_they_are_sent(
    project: Project, fake: Fake, media_type: str, content: bytes, fault: str | None
) -> None:
    file_id = fake.put(project.credential, content, media_type)
    if fault is not None:
        fake.plan(fault, "content")
    got = _get(project, file_id)
    assert (got.status_code, got.content, got.headers["content-type"]) == (200, content, media_type)
    assert "content-encoding" not in got.headers
    assert fake.requests("content")[0]["headers"]["accept-encoding"] == "identity"
    assert (got.headers.get("content-length") == str(len(content))) is (fault is None)


@pytest.mark.parametrize("fault", ["gzip", "no_length"])
def test_the_length_of_a_file_that_was_counted_here_is_told_also_where_the_provider_does_not(
    project: Project, fake: Fake, fault: str
) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    content = os.urandom(70_000)
    file_id = project.upload(headers, content, "a.bin", purpose="user_data").json()["id"]
    fake.plan(fault, "content")
    answer = project.client.get(f"/files/{file_id}/content", headers=headers)
    assert (answer.content, answer.headers["content-length"]) == (content, "70000")


class _Unreliable(BaseHTTPRequestHandler):
    """A provider that takes files, and serves other bytes than it was given, without a length."""

    served: ClassVar[bytes] = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        made = {"id": "file-other", "object": "file", "created_at": 1, "filename": "a.bin", "purpose": "user_data", "status": "processed"}
        self._answer(json.dumps(made).encode())

    def do_GET(self) -> None:
        self._answer(self.served)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("difference", [-1, 1], ids=["shorter", "longer"])
def test_content_of_another_length_than_was_counted_here_is_never_taken_for_whole(project: Project, difference: int) -> None:
    class Provider(_Unreliable):
        served = b"x" * (700_000 + difference)

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(server.serve_forever, 0.02)
        slug = project.virtual_key(custom_host=f"http://127.0.0.1:{server.server_port}/v1")
        headers = {"x-portkey-virtual-key": slug}
        file_id = project.upload(headers, b"x" * 700_000, "a.bin", purpose="user_data").json()["id"]
        with pytest.raises(httpx2.RemoteProtocolError):
            project.client.get(f"/files/{file_id}/content", headers=headers)
        server.shutdown()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "close_response_at", "at": 200_000},
        {"kind": "close_response_at", "at": 40_000},
        {"kind": "close_response_at", "at": 40_000, "reset": True},
    ],
    ids=["closed late", "closed", "reset"],
)
@pytest.mark.parametrize("asked", [{}, {"range": "bytes=10-"}], ids=["whole", "part"])
def test_a_body_that_falls_short_breaks_the_answer_off(project: Project, fake: Fake, fault: dict[str, Any], asked: dict[str, str]) -> None:
    file_id = _uploaded(project, os.urandom(300_000))
    fake.plan(operation="content", **fault)
    with pytest.raises(httpx2.RemoteProtocolError):
        _get(project, file_id, **asked)


def test_a_body_that_was_announced_too_long_is_never_taken_for_whole(project: Project, fake: Fake) -> None:
    file_id = _uploaded(project, os.urandom(300_000))
    fake.plan("wrong_length", "content", by=5, times=2)
    with pytest.raises(httpx2.RemoteProtocolError):
        _get(project, file_id)
    answer = _get(project, file_id, range="bytes=10-")
    assert (answer.status_code, answer.error["code"]) == (502, "upstream_answer_invalid")


def test_a_body_that_never_begins_is_told_as_the_error_it_is(project: Project, fake: Fake) -> None:
    file_id = _uploaded(project, os.urandom(300_000))
    fake.plan("close_response_at", "content", at=0)
    answer = _get(project, file_id)
    assert (answer.status_code, answer.error["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize(("asked", "first", "last"), [
    ("bytes=0-0", 0, 0), ("bytes=0-", 0, 99), ("bytes=99-", 99, 99), ("bytes=98-500", 98, 99), ("bytes=-1", 99, 99), ("bytes=-500", 0, 99),
    ("bytes = 3-4", 3, 4), ("BYTES=3-4", 3, 4), (f"bytes=9-{'9' * 40}", 9, 99), (f"bytes=-{'9' * 40}", 0, 99),
])  # fmt: skip
@pytest.mark.parametrize("heeded", [True, False], ids=["heeded", "ignored"])
def test_a_part_is_exactly_what_was_asked_for(project: Project, fake: Fake, asked: str, first: int, last: int, heeded: bool) -> None:
    content = os.urandom(50).hex().encode()
    file_id = _uploaded(project, content)
    if not heeded:
        fake.plan("refuse", "content", status=200, body=content.decode())
    answer = _get(project, file_id, range=asked)
    assert (answer.status_code, answer.content) == (206, content[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/100"
    assert answer.headers["content-length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 40}-"])
@pytest.mark.parametrize("heeded", [True, False], ids=["heeded", "ignored"])
@pytest.mark.parametrize("size", [100, 0])
def test_a_part_outside_the_file_is_refused_with_its_size(project: Project, fake: Fake, asked: str, heeded: bool, size: int) -> None:
    file_id = _uploaded(project, b"x" * size)
    if not heeded:
        fake.plan("refuse", "content", status=200, body="x" * size)
    answer = _get(project, file_id, range=asked)
    assert (answer.status_code, answer.error["code"]) == (416, "invalid_range")
    assert answer.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes"])
def test_a_range_that_is_none_is_refused_before_the_provider_is_asked(project: Project, fake: Fake, asked: str) -> None:
    file_id = _uploaded(project, b"x" * 100)
    answer = _get(project, file_id, range=asked)
    assert (answer.status_code, answer.error["param"]) == (400, "range")
    assert fake.requests("content") == []


@pytest.mark.parametrize("headers", [{"range": "bytes=0-1,5-6"}, {"range": "bytes=0-1", "if_range": '"etag"'}], ids=str)
def test_several_ranges_and_a_condition_that_cannot_be_held_against_anything_give_the_whole(
    project: Project, fake: Fake, headers: dict[str, str]
) -> None:
    file_id = _uploaded(project, b"0123456789")
    answer = _get(project, file_id, **headers)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert "range" not in fake.requests("content")[0]["headers"]


@pytest.mark.parametrize("way", ["own", "virtual key"])
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_the_head_of_a_download_has_its_length_and_fetches_nothing(project: Project, fake: Fake, way: str, size: int) -> None:
    headers = project.own if way == "own" else {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers, b"x" * size, "ä.bin", purpose="user_data").json()["id"]
    answer = project.client.head(f"/files/{file_id}/content", headers={**headers, "range": "bytes=0-0"})
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(size), b"")
    assert "filename*=UTF-8''%C3%A4.bin" in answer.headers["content-disposition"]
    assert fake.requests("content") == []
    again = project.client.get(f"/files/{file_id}/content", headers=headers)
    assert (again.headers["content-length"], len(again.content)) == (str(size), size)


def test_the_head_of_a_download_has_no_length_where_the_provider_tells_none(project: Project, fake: Fake) -> None:
    file_id = _uploaded(project, b"x" * 100)
    said = {"id": file_id, "object": "file", "created_at": 1, "filename": "a.bin", "purpose": "user_data"}
    fake.plan("refuse", "get", status=200, body=said)
    answer = project.client.head(f"/files/{file_id}/content", headers=project.own)
    assert (answer.status_code, "content-length" in answer.headers) == (200, False)


def test_the_head_of_what_does_not_exist_or_cannot_be_downloaded_is_that_of_the_download(project: Project, fake: Fake) -> None:
    for headers in (project.own, {"x-portkey-virtual-key": project.virtual_key()}):
        answers = [project.client.request(method, "/files/file-nobody/content", headers=headers) for method in ("HEAD", "GET")]
        assert [answer.status_code for answer in answers] == [404, 404]
    openrouter = {**project.own, "x-portkey-provider": "openrouter"}
    answers = [project.client.request(method, "/files/file-some/content", headers=openrouter) for method in ("HEAD", "GET")]
    assert [answer.status_code for answer in answers] == [501, 501]
    assert [request for request in fake.requests() if request["path"].endswith("file-some")] == []


@pytest.mark.parametrize("asked", [None, "bytes=2-4"])
def test_an_answer_that_is_whole_but_shorter_than_the_file_is_not_taken_for_it(project: Project, fake: Fake, asked: str | None) -> None:
    way = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = _uploaded(project, b"0123456789", **way)
    fake.plan("refuse", "content", status=200, body="01234", headers={"content-type": "text/plain"})
    answer = project.client.get(f"/files/{file_id}/content", headers=way | ({} if asked is None else {"range": asked}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_answer_invalid")
    if asked is not None:
        fake.plan("partial", "content", body="bytes 2-4/5")
        answer = project.client.get(f"/files/{file_id}/content", headers=way | {"range": asked})
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_answer_invalid")
    assert project.client.get(f"/files/{file_id}/content", headers=way).content == b"0123456789"
