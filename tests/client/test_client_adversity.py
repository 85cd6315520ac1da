"""What must not pass for success: sources, servers and memories that are not what they should be."""

from __future__ import annotations

import json
import os
import random
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from client.conftest import NewClient
from fileplane.client import Client, ClientError, SourceChanged, SourceFailed, Unavailable
from fileplane.client.journal import name_for
from fileplane.client.planning import CHUNK
from support.meddler import PARTS as PART_REQUESTS
from support.meddler import Meddler, sha256
from support.projects import Key
from support.server import RunningServer

SECONDS = 60


@pytest.fixture
def api(server: RunningServer, key: Key) -> Any:
    with server.client(key.plain) as client:
        yield client


class Odd(BaseHTTPRequestHandler):
    """Does as :attr:`acts` says."""

    protocol_version = "HTTP/1.1"
    acts: Any = None

    def do_GET(self) -> None:
        self.acts(self)

    def do_POST(self) -> None:
        self.acts(self)

    def answers(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"content_length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def odd(acts: Any) -> Iterator[str]:
    """The base URL of a server that answers every request by ``acts``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Acting", (Odd,), {"acts": staticmethod(acts)}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()


def test_a_pipe_that_has_nothing_to_read_just_now_is_waited_for(new_client: NewClient, api: httpx2.Client) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b"begin ")

    def later() -> None:
        os.write(writing, b"end")
        os.close(writing)

    timer = threading.Timer(0.3, later)
    timer.start()
    with new_client() as client, os.fdopen(reading, "rb", buffering=0) as source:
        file = client.upload(source, purpose="user_data", filename="piped")
    timer.join(SECONDS)
    assert api.get(f"/files/{file.id}/content").content == b"begin end"


@pytest.mark.parametrize("other", ["etag", "size"])
def test_ranges_of_another_file_are_never_put_together_with_those_of_the_first(tmp_path: Path, other: str) -> None:
    size, asked = 2 * CHUNK, []

    def acts(request: Odd) -> None:
        wanted = request.headers.get("range")
        if wanted is None:
            request.answers(200, b"", content_length=str(size), accept_ranges="bytes", etag='"first"')
            return
        asked.append(wanted)
        start, end = map(int, wanted.removeprefix("bytes=").split("-"))
        changed = start > 0
        total = size + 1 if changed and other == "size" else size
        etag = '"second"' if changed and other == "etag" else '"first"'
        # A server, or a cache before it, that does not know If-Range.
        request.answers(206, bytes([changed]) * (end + 1 - start), content_range=f"bytes {start}-{end}/{total}", etag=etag)

    with odd(acts) as url, Client(url, "key", connections=1, parallel_from=1) as client, pytest.raises(Unavailable, match="changed"):
        client.download("file-1", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_comes_before_the_file_has_gone_is_no_success(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(30_000_000))

    def acts(request: Odd) -> None:
        request.rfile.read(1000)
        request.answers(200, json.dumps({"id": "file-1", "bytes": 30_000_000, "filename": "source"}).encode(), connection="close")
        request.close_connection = True

    with odd(acts) as url, Client(url, "key") as client, pytest.raises(Unavailable, match="before"):
        client.upload(source, purpose="user_data")


def test_a_file_that_is_written_to_while_it_goes_in_one_request_is_refused(new_client: NewClient, api: httpx2.Client, source: Path) -> None:
    def writes(_: object) -> None:
        with source.open("r+b") as file:
            file.write(b"changed")
        os.utime(source, ns=(1, 1))

    with new_client(parallel_from=1 << 40) as client, pytest.raises(SourceChanged):
        client.upload(source, purpose="user_data", progress=writes)
    assert api.get("/files").json()["data"] == []


def broken_off(new_client: NewClient, proxy: Meddler, source: Path) -> None:
    """Leaves an upload of which half of the parts are there."""
    proxy.meets = lambda request, _: 403 if PART_REQUESTS.fullmatch(request) and proxy.done(PART_REQUESTS) >= 10 else None
    with new_client() as client, pytest.raises(ClientError):
        client.upload(source, purpose="user_data")
    proxy.meets = lambda _, __: None


@pytest.mark.parametrize("how", ["written in place", "replaced"])
def test_other_bytes_of_the_same_size_and_time_are_not_mixed_with_those_sent_before(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, how: str
) -> None:
    broken_off(new_client, proxy, source)
    before, content = source.stat(), random.Random(9).randbytes(source.stat().st_size)
    if how == "replaced":
        source.rename(source.with_name("older"))
    source.write_bytes(content)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert sha256(api.get(f"/files/{file.id}/content").content) == sha256(content)


def test_bytes_that_change_while_they_go_and_keep_the_time_are_refused(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    before = source.stat()

    def meets(request: str, _: object) -> None:
        if request.endswith("/parts") and proxy.count(PART_REQUESTS) == 15:
            with source.open("r+b") as file:
                file.write(b"other")
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))

    proxy.meets = meets
    with new_client(connections=1) as client, pytest.raises(SourceChanged):
        client.upload(source, purpose="user_data")
    assert api.get("/files").json()["data"] == []


def test_a_file_that_is_only_moved_while_it_goes_is_sent(new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path) -> None:
    content = source.read_bytes()

    def meets(request: str, _: object) -> None:
        if request.endswith("/parts") and proxy.count(PART_REQUESTS) == 5:
            source.rename(source.with_name("moved"))

    proxy.meets = meets
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert api.get(f"/files/{file.id}/content").content == content


@pytest.mark.parametrize(
    ("name", "value"),
    [("part_bytes", "many"), ("part_bytes", -5), ("part_bytes", 0), ("part_bytes", 1), ("part_bytes", [1]), ("upload_id", {})],
)
def test_a_memory_whose_heading_is_nonsense_does_no_harm(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path, name: str, value: object
) -> None:
    broken_off(new_client, proxy, source)
    kept = next(path for path in (state / "uploads").iterdir() if path.suffix == ".jsonl")
    heading, rest = kept.read_bytes().split(b"\n", 1)
    lines = b'{"number": [1], "part_id": [1]}\n{"number": 1, "part_id": {}}\n'
    kept.write_bytes(json.dumps(json.loads(heading) | {name: value}).encode() + b"\n" + rest + lines)
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert api.get(f"/files/{file.id}/content").content == source.read_bytes()
    assert proxy.count(PART_REQUESTS) < 100


def test_a_disk_too_full_to_remember_parts_stops_no_upload(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written: list[int] = []

    def meets(request: str, _: object) -> None:
        if request.endswith("/parts") and not written:
            written.append(next(path for path in (state / "uploads").iterdir() if path.suffix == ".jsonl").stat().st_size)
            # Nothing in this process gets larger than what is remembered by now.
            resource.setrlimit(resource.RLIMIT_FSIZE, (written[0], limits[1]))

    proxy.meets = meets
    try:
        with new_client() as client:
            file = client.upload(source, purpose="user_data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert written
    assert api.get(f"/files/{file.id}/content").content == source.read_bytes()


@pytest.mark.parametrize("length", ["999999999999999999", "9" * 5000])
def test_a_length_that_no_file_has_is_not_planned_for(tmp_path: Path, length: str) -> None:
    def acts(request: Odd) -> None:
        request.answers(200, b"short", content_length=length, accept_ranges="bytes", etag='"first"', connection="close")
        request.close_connection = True

    with odd(acts) as url, Client(url, "key") as client, pytest.raises(ClientError):
        client.download("file-1", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("whose", ["partial", "jsonl"])
def test_what_another_user_has_put_beside_the_target_is_not_gone_on_with(
    proxy: Meddler, key: Key, source: Path, tmp_path: Path, whose: str
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    with Client(proxy.base_url, key.plain, parallel_from=1) as client:
        file = client.upload(source, purpose="user_data", settle_seconds=SECONDS)
        # Forged: every byte is there, and the hash is that of these.
        forged, size = bytes(source.stat().st_size), source.stat().st_size
        marks = name_for("copy", proxy.base_url, file.id, [])
        partial, journal = folder / f".fileplane-{marks}.partial", folder / f".fileplane-{marks}.jsonl"
        partial.write_bytes(forged)
        heading = {"version": 1, "size": size, "etag": f'"{sha256(forged)}"', "chunk": CHUNK, "base_url": proxy.base_url}
        journal.write_text(json.dumps(heading) + '\n{"number": 0}\n')
        os.chown(partial if whose == "partial" else journal, 12345, 12345)
        client.download(file.id, folder / "copy")
    assert (folder / "copy").read_bytes() == source.read_bytes()
    assert (folder / "copy").stat().st_uid == 0


@pytest.mark.parametrize("parallel_from", [1, 1 << 40])
def test_a_name_that_is_not_unicode_is_said_before_anything_is_sent(
    new_client: NewClient, proxy: Meddler, source: Path, parallel_from: int
) -> None:
    with new_client(parallel_from=parallel_from) as client, pytest.raises(SourceFailed, match="not UTF-8"):
        client.upload(source, purpose="user_data", filename="bad\udcff")
    assert not [request for request in proxy.seen if request == "POST /v1/uploads"]
