"""What docs/operations.md and docs/api.md say of a server that only a real one can show."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.documents import blocks, read
from support.polling import eventually
from support.server import RunningServer, running_server

HEAD_SECONDS = 1


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("documented") / "data", head_seconds=HEAD_SECONDS) as running:
        yield running


def log_lines(server: RunningServer, request_id: str) -> list[dict[str, object]]:
    """Every line about a request, once its access line has been written."""

    def lines() -> list[dict[str, object]]:
        return [line for line in map(json.loads, server.log.splitlines()) if line.get("request_id") == request_id]

    eventually(lambda: any(line["event"] == "request" for line in lines()), f"the access line of {request_id}")
    return lines()


def upload(server: RunningServer) -> dict[str, str]:
    with server.client() as client:
        return client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.txt", b"bytes")}).json()


def answer_to(server: RunningServer, request: bytes) -> bytes:
    """Everything that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_the_fields_of_an_access_line_are_the_documented_ones(server: RunningServer):
    with server.client() as client:
        response = client.get("/files")
    [line] = log_lines(server, response.headers["x-request-id"])
    [shown] = [json.loads(block.text) for block in blocks("json") if '"event"' in block.text]
    assert list(line) == list(shown)
    for name in line:
        assert re.search(rf"^\|.*`{name}`.*\|", read("docs/operations.md"), re.MULTILINE), name


def test_the_entries_of_a_data_directory_are_the_documented_ones(server: RunningServer):
    upload(server)
    documented = re.findall(
        r"`([^`]+)`", read("docs/operations.md").partition("## The data directory")[2].partition("The directory has")[0]
    )
    assert {path.name for path in server.data_dir.iterdir()} <= set(documented) | {"blobs"}
    assert {name.rstrip("/") for name in documented if not name.startswith("blobs/<")} >= {"fileplane.db", "server.lock", "blobs/tmp"}


def test_a_failure_of_the_store_is_in_the_log_under_the_request_id(tmp_path: Path):
    with running_server(tmp_path / "data") as server, server.client() as client:
        file = upload(server)
        for blob in server.data_dir.glob("blobs/??/*"):
            blob.unlink()
        damaged = client.get(f"/files/{file['id']}/content")
        (server.data_dir / "blobs" / "tmp").rmdir()
        unavailable = httpx2.get(f"{server.url}/readyz", trust_env=False)

        assert (damaged.status_code, unavailable.status_code) == (500, 503)
        for response in (damaged, unavailable):
            lines = log_lines(server, response.headers["x-request-id"])
            assert any(line["event"] != "request" and line["level"] in {"warning", "error"} for line in lines), lines


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET /healthz HTTP/3.7\r\nHost: x\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", 400),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % number for number in range(101)) + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nBig: " + b"a" * 3_000_000 + b"\r\n\r\n", 431),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else value[:30].decode(),
)
def test_what_never_reaches_the_application_is_answered_as_documented(own_server: RunningServer, request_head: bytes, status: int):
    head, _, body = answer_to(own_server, request_head).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head.lower()
    assert b"x-request-id" not in head
    assert body == b""
    assert f"{status}, empty" in read("docs/api.md")


def test_a_body_whose_chunks_are_none_has_reached_the_application_and_is_answered_by_it(own_server: RunningServer):
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {own_server.api_key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answered, _, body = answer_to(own_server, head.encode() + b"no hexadecimal length\r\n--b--\r\n").partition(b"\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in answered
    assert json.loads(body)["error"]["code"] == "invalid_multipart"


def test_heads_within_the_documented_limits_are_accepted(own_server: RunningServer):
    lines = b"".join(b"H%d: x\r\n" % number for number in range(98))
    for head in (lines, b"Big: " + b"a" * 390_000 + b"\r\n"):
        assert answer_to(own_server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n").startswith(
            b"HTTP/1.1 200 "
        )


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HTTP/1.1\r\nHost:", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["nothing", "half a head", "kept alive"],
)
def test_a_connection_without_the_rest_of_a_head_is_closed(own_server: RunningServer, sent: bytes):
    answer = answer_to(own_server, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
