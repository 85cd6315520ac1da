"""Downloads in ranges: whole, verified, and gone on with."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fileplane.client import Client, Damaged, NotFound, Progress, TargetExists, TargetFailed, Unavailable
from fileplane.client.planning import CHUNK
from support.meddler import CONTENT as CONTENT_REQUESTS
from support.meddler import Meddler, sha256
from support.polling import eventually
from support.server import RunningServer, fileplane_environment

SECONDS = 60
CHUNKS = 4
SIZE = CHUNKS * CHUNK - 17
PROGRAM = """
import sys
from fileplane.client import Client
file_id, target, base_url = sys.argv[1:]
with Client(base_url, parallel_from=1, connections=2) as client:
    print(client.download(file_id, target).sha256)
"""


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(8).randbytes(SIZE)


@pytest.fixture(scope="module")
def stored(server: RunningServer, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file's id."""
    path = tmp_path_factory.mktemp("stored") / "stored.bin"
    path.write_bytes(content)
    with Client(server.base_url, server.api_key, parallel_from=1) as client:
        return client.upload(path, purpose="user_data", resume=False, settle_seconds=SECONDS).id


@pytest.fixture
def client(proxy: Meddler, server: RunningServer) -> Iterator[Client]:
    with Client(proxy.base_url, server.api_key, parallel_from=1) as made:
        yield made


def left_beside(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def ranges(proxy: Meddler) -> int:
    """Requests of content, but for the first, which asks for all and takes only the head."""
    return proxy.count(CONTENT_REQUESTS)


def test_a_large_file_comes_in_ranges_and_is_verified(client: Client, proxy: Meddler, stored: str, content: bytes, tmp_path: Path) -> None:
    target, told = tmp_path / "copy", list[Progress]()
    done = client.download(stored, target, progress=told.append)
    assert (done.path, done.size, done.sha256, done.verified) == (target, SIZE, sha256(content), True)
    assert target.read_bytes() == content
    assert told[-1] == Progress("copy", SIZE, SIZE, 0)
    assert ranges(proxy) == 1 + CHUNKS
    assert left_beside(target) == []


def test_a_small_file_is_one_request(proxy: Meddler, server: RunningServer, stored: str, content: bytes, tmp_path: Path) -> None:
    with Client(proxy.base_url, server.api_key, parallel_from=SIZE + 1) as client:
        assert client.download(stored, tmp_path / "copy").verified
    assert (tmp_path / "copy").read_bytes() == content
    assert ranges(proxy) == 1


def start(proxy: Meddler, server: RunningServer, stored: str, target: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, stored, str(target), proxy.base_url],
        env=fileplane_environment(FILEPLANE_API_KEY=server.api_key),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def remembered(directory: Path) -> int:
    """Chunks that are."""
    return sum(len(path.read_bytes().splitlines()) - 1 for path in directory.glob(".fileplane-*.jsonl"))


def test_a_download_killed_again_and_again_fetches_only_what_is_missing(
    proxy: Meddler, server: RunningServer, stored: str, content: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    for number in range(1, CHUNKS):
        proxy.go_on.clear()
        ranged: list[str] = []

        def meets(_: str, headers: Any, ranged: list[str] = ranged) -> object:
            if "Range" in headers:
                ranged.append(headers["Range"])
            # One range gets through, and then all connections stand still.
            return "halt" if "Range" in headers and len(ranged) > 1 else None

        proxy.meets = meets
        process = start(proxy, server, stored, target)
        eventually(lambda number=number: remembered(tmp_path) == number, "a range is remembered", seconds=SECONDS)
        process.kill()
        process.communicate(timeout=SECONDS)
        proxy.go_on.set()
        assert not target.exists()
    proxy.meets, before = (lambda _, __: None), ranges(proxy)
    process = start(proxy, server, stored, target)
    stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout.decode().strip()) == (0, sha256(content)), stderr
    assert target.read_bytes() == content
    assert ranges(proxy) == before + 1
    assert left_beside(target) == []


@pytest.mark.parametrize("fate", ["refused", "cut", 503], ids=str)
def test_a_range_that_breaks_off_goes_on_where_it_was(
    client: Client, proxy: Meddler, stored: str, content: bytes, tmp_path: Path, fate: object
) -> None:
    asked: list[str] = []

    def meets(_: str, headers: Any) -> object:
        if "Range" in headers:
            asked.append(headers["Range"])
        return fate if "Range" in headers and len(asked) == 2 else None

    proxy.meets = meets
    assert client.download(stored, tmp_path / "copy").verified
    assert (tmp_path / "copy").read_bytes() == content
    assert len(asked) == CHUNKS + 1
    if fate == "cut":
        starts = {int(re.findall("[0-9]+", text)[0]) % CHUNK for text in asked}
        assert starts - {0}


def interrupted(proxy: Meddler, server: RunningServer, stored: str, target: Path) -> None:
    """A download that is killed after its first range."""
    proxy.go_on.clear()
    proxy.meets = lambda _, headers: "halt" if "Range" in headers and not headers["Range"].startswith("bytes=0-") else None
    process = start(proxy, server, stored, target)
    eventually(lambda: remembered(target.parent) == 1, "a range is remembered", seconds=SECONDS)
    process.kill()
    process.communicate(timeout=SECONDS)
    proxy.go_on.set()
    proxy.meets = lambda _, __: None


def test_a_file_that_is_another_by_now_is_fetched_anew(
    client: Client, proxy: Meddler, server: RunningServer, stored: str, content: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    interrupted(proxy, server, stored, target)
    (kept,) = tmp_path.glob(".fileplane-*.jsonl")
    kept.write_text(kept.read_text().replace(sha256(content), sha256(b"older")))
    assert client.download(stored, target).verified
    assert target.read_bytes() == content
    assert left_beside(target) == []


def test_damage_to_what_was_kept_is_found_and_nothing_appears(
    client: Client, proxy: Meddler, server: RunningServer, stored: str, tmp_path: Path
) -> None:
    target = tmp_path / "copy"
    interrupted(proxy, server, stored, target)
    (partial,) = tmp_path.glob(".fileplane-*.partial")
    with partial.open("r+b") as file:
        file.write(b"damage")
    with pytest.raises(Damaged, match="SHA-256"):
        client.download(stored, target)
    assert (target.exists(), left_beside(target)) == (False, [])


def test_two_downloads_to_one_place_at_once_do_not_disturb_each_other(client: Client, stored: str, content: bytes, tmp_path: Path) -> None:
    outcomes: list[bool] = []

    def fetch() -> None:
        outcomes.append(client.download(stored, tmp_path / "copy", overwrite=True).verified)

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert outcomes == [True, True]
    assert (tmp_path / "copy").read_bytes() == content
    assert left_beside(tmp_path / "copy") == []


def test_without_resumption_a_failure_leaves_nothing(proxy: Meddler, server: RunningServer, stored: str, tmp_path: Path) -> None:
    proxy.meets = lambda _, headers: 403 if not headers.get("Range", "bytes=0-").startswith("bytes=0-") else None
    with Client(proxy.base_url, server.api_key, parallel_from=1) as client, pytest.raises(Exception, match="403"):
        client.download(stored, tmp_path / "copy", resume=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_hash_is_not_known_yet_comes_in_ranges_and_is_verified_when_it_is(
    client: Client, proxy: Meddler, server: RunningServer, stored: str, content: bytes, tmp_path: Path
) -> None:
    with server.client() as api:
        uploads = api.get("/uploads").json()["data"]
    upload_id = next(upload["id"] for upload in uploads if upload["file"] and upload["file"]["id"] == stored)
    # What the server told of these bytes before it had read them through, and still knows.
    proxy.told = {"etag": f'"parts-{upload_id.removeprefix("upload_")}"'}
    assert client.download(stored, tmp_path / "copy").verified
    assert (tmp_path / "copy").read_bytes() == content


def test_what_is_in_the_way_is_left_alone(client: Client, proxy: Meddler, stored: str, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"precious")
    with pytest.raises(TargetExists) as caught:
        client.download(stored, tmp_path / "copy")
    assert (caught.value.target, proxy.seen) == (tmp_path / "copy", [])
    with pytest.raises(TargetFailed, match="directory"):
        client.download(stored, tmp_path)
    with pytest.raises(TargetFailed, match="cannot be written"):
        client.download(stored, tmp_path / "missing" / "copy")
    assert list(tmp_path.iterdir()) == [tmp_path / "copy"]


def test_a_file_that_is_not_there_is_said(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        client.download("01890000-0000-7000-8000-000000000000", tmp_path / "copy")
    assert caught.value.status == 404


def test_a_server_that_breaks_off_every_time_is_given_up_and_gone_on_with_later(
    proxy: Meddler, server: RunningServer, stored: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileplane.client.service.PATIENCE_ATTEMPTS", 2)
    proxy.meets = lambda _, headers: "refused" if not headers.get("Range", "bytes=0-").startswith("bytes=0-") else None
    with Client(proxy.base_url, server.api_key, parallel_from=1, connections=1) as client:
        with pytest.raises(Unavailable, match="failed"):
            client.download(stored, tmp_path / "copy")
        proxy.meets, told = (lambda _, __: None), list[Progress]()
        client.download(stored, tmp_path / "copy", progress=told.append)
    assert told[-1].resumed == CHUNK
    assert (tmp_path / "copy").read_bytes() == content
