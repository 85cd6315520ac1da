"""Fileplane in front of Fileplane in front of Fileplane: three servers, of which only the last one keeps files."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest

from support.expect import UUID7, assert_list
from support.polling import eventually
from support.server import RunningServer, running_server

AWKWARD = b'\xff\xfe{"n": 12345678901234567890, "n": 1.0}\r\n\x00\xe2\x82'


@dataclass(frozen=True)
class Chain:
    """``client`` calls the outermost, by a virtual key that leads to the middle one, whose default leads to the innermost."""

    outer: RunningServer
    middle: RunningServer
    inner: RunningServer
    client: httpx2.Client

    def upload(self, content: bytes, name: str = "a.bin", purpose: str = "user_data", **headers: str) -> httpx2.Response:
        return self.client.post("/files", headers=headers, data={"purpose": purpose}, files={"file": (name, content)})


def _leads_to(server: RunningServer, upstream: RunningServer) -> str:
    """The slug of a virtual key at ``server`` that leads to another server."""
    with server.client() as client:
        body = {"name": "next", "provider": "openai", "key": upstream.api_key, "custom_host": upstream.base_url}
        answer = client.post("/virtual-keys", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["slug"]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with ExitStack() as stack:
        inner, middle, outer = (
            stack.enter_context(running_server(tmp_path_factory.mktemp(name) / "data", egress_allow="127.0.0.1", workers=1))
            for name in ("inner", "middle", "outer")
        )
        slug = _leads_to(middle, inner)
        with middle.client() as client:
            saved = client.post("/configs", json={"name": "on", "config": {"virtual_key": slug}, "is_default": 1})
            assert saved.status_code == 200, saved.text
            eventually(lambda: "x-portkey-provider" in client.get("/files").headers, 15)
        headers = outer.headers | {"x-portkey-virtual-key": _leads_to(outer, middle)}
        yield Chain(
            outer, middle, inner, stack.enter_context(httpx2.Client(base_url=outer.base_url, headers=headers, timeout=60, trust_env=False))
        )


@pytest.mark.parametrize("size", [0, 1, 300_000, 9_000_000], ids="{} bytes".format)
def test_files_come_through_all_three_to_the_byte(chain: Chain, size: int) -> None:
    content = os.urandom(size)
    made = chain.upload(content, "ein Bild, 日本.bin")
    assert made.status_code == 200, made.text
    file_id = made.json()["id"]
    assert UUID7.fullmatch(file_id), "an id is the one that the innermost gave"
    assert (made.json()["bytes"], made.json()["filename"]) == (size, "ein Bild, 日本.bin")
    assert chain.client.get(f"/files/{file_id}").json()["id"] == file_id
    got = chain.client.get(f"/files/{file_id}/content")
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(content).digest()
    assert got.headers["content-length"] == str(size)
    with chain.inner.client() as inner:
        assert inner.get(f"/files/{file_id}/content").content == content
    assert chain.client.delete(f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    for server in (chain.middle, chain.inner):
        with server.client() as client:
            assert client.get(f"/files/{file_id}").status_code == 404


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a.html", "a.pdf"])
def test_no_type_changes_the_bytes(chain: Chain, name: str) -> None:
    file_id = chain.upload(AWKWARD, name).json()["id"]
    assert chain.client.get(f"/files/{file_id}/content").content == AWKWARD
    part = chain.client.get(f"/files/{file_id}/content", headers={"range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, AWKWARD[2:6])
    assert chain.client.head(f"/files/{file_id}/content").headers["content-length"] == str(len(AWKWARD))
    assert chain.client.delete(f"/files/{file_id}").status_code == 200


def test_a_list_is_paged_through_all_three(chain: Chain) -> None:
    ids = [chain.upload(b"%d" % number).json()["id"] for number in range(5)]
    for server in (chain.outer, chain.middle, chain.inner):
        through = {"x-portkey-virtual-key": chain.client.headers["x-portkey-virtual-key"]} if server is chain.outer else {}
        with server.client() as client:
            seen: list[str] = []
            while len(seen) < 5:
                query = {"limit": 2, "order": "asc"} | ({"after": seen[-1]} if seen else {})
                page = client.get("/files", params=query, headers=through)
                assert_list(page, ids[len(seen) : len(seen) + 2], has_more=len(seen) < 4, total=5)
                seen += [file["id"] for file in page.json()["data"]]
    for file_id in ids:
        assert chain.client.delete(f"/files/{file_id}").status_code == 200
    assert_list(chain.client.get("/files"), [], total=0)


def test_errors_keep_the_one_envelope(chain: Chain) -> None:
    unknown = chain.client.get("/files/01900000-0000-7000-8000-000000000000")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "id")
    for answer, param in ((chain.upload(b"x", purpose="no such purpose"), "purpose"), (chain.upload(b"x", purpose="nonsense"), "purpose")):
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    outside = chain.upload(b"0123456789")
    part = chain.client.get(f"/files/{outside.json()['id']}/content", headers={"range": "bytes=99-"})
    assert (part.status_code, part.json()["error"]["code"]) == (416, "invalid_range")
    assert chain.client.delete(f"/files/{outside.json()['id']}").status_code == 200
    assert_list(chain.client.get("/files"), [], total=0)


def test_a_server_that_stands_still_ends_in_time_and_leaves_nothing_behind(chain: Chain) -> None:
    file_id = chain.upload(b"before").json()["id"]
    [worker] = chain.inner.workers()
    worker.send_signal(signal.SIGSTOP)
    try:
        answer = chain.client.get(f"/files/{file_id}", headers={"x-portkey-request-timeout": "500"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "request_timeout")
        answer = chain.client.get(f"/files/{file_id}/content", headers={"x-portkey-request-timeout": "500"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "request_timeout")
    finally:
        worker.send_signal(signal.SIGCONT)
    assert chain.client.get(f"/files/{file_id}/content").content == b"before"
    assert chain.client.delete(f"/files/{file_id}").status_code == 200
