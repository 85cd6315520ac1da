"""Uploads in parts: whole, verified, and gone on with."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from client.conftest import PART, PARTS, SIZE, NewClient
from fileplane.client import Client, ClientError, Damaged, File, Progress, Refused, SourceChanged, SourceFailed, Unavailable
from support.meddler import PARTS as PART_REQUESTS
from support.meddler import Meddler, sha256
from support.polling import eventually
from support.projects import Key
from support.server import RunningServer, fileplane_environment

SECONDS = 60
KILLS = 10
PROGRAM = """
import sys
from pathlib import Path
from fileplane.client import Client
source, state, base_url, part = sys.argv[1:]
with Client(base_url, part_bytes=int(part), parallel_from=1, state_directory=Path(state)) as client:
    print(client.upload(source, purpose="user_data").id)
"""


@pytest.fixture
def api(server: RunningServer, key: Key) -> Any:
    with server.client(key.plain) as client:
        yield client


def start(source: Path, state: Path, proxy: Meddler, key: Key) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(source), str(state), proxy.base_url, str(PART)],
        env=fileplane_environment(FILEPLANE_API_KEY=key.plain),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def is_whole(api: httpx2.Client, file_id: str, source: Path) -> bool:
    return api.get(f"/files/{file_id}/content").content == source.read_bytes()


def nothing_left(api: httpx2.Client) -> bool:
    return all(upload["status"] in {"cancelled", "completed"} for upload in api.get("/uploads").json()["data"])


def remembered(state: Path) -> list[Path]:
    return sorted((state / "uploads").iterdir())


def nth_time(number: int, fate: object) -> Callable[[str, Any], object]:
    """``fate`` befalls the part requests from that number on, counted from 1, once."""
    count = 0

    def meets(request: str, _: object) -> object:
        nonlocal count
        count += bool(PART_REQUESTS.fullmatch(request))
        return fate if PART_REQUESTS.fullmatch(request) and count == number else None

    return meets


def test_a_large_file_goes_in_parts_and_every_part_is_verified(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path
) -> None:
    told: list[Progress] = []
    with new_client() as client:
        file = client.upload(source, purpose="user_data", media_type="text/plain", progress=told.append, settle_seconds=SECONDS)
    assert (file.filename, file.bytes, file.purpose, file.status) == ("source.bin", SIZE, "user_data", "processed")
    assert file.sha256 == sha256(source.read_bytes())
    assert proxy.count(PART_REQUESTS) == PARTS
    assert told[-1] == Progress("source.bin", SIZE, SIZE, 0)
    assert is_whole(api, file.id, source)
    assert remembered(state) == []
    assert not any("md5" in json.loads(body) for bodies in proxy.bodies.values() for body in bodies)


def test_a_small_file_is_one_request_whose_hash_is_compared(new_client: NewClient, proxy: Meddler, source: Path) -> None:
    with new_client(parallel_from=SIZE + 1) as client:
        file = client.upload(source, purpose="user_data", filename="other.bin", expires_after=3_600)
    assert (file.filename, file.sha256) == ("other.bin", sha256(source.read_bytes()))
    assert file.document["expires_at"] - file.document["created_at"] == 3_600
    assert proxy.seen[0] == "POST /v1/files"
    assert proxy.count(PART_REQUESTS) == 0


def test_an_upload_killed_ten_times_ends_with_the_right_hash_and_sends_only_what_is_missing(
    proxy: Meddler, key: Key, api: httpx2.Client, source: Path, state: Path
) -> None:
    for number in range(1, KILLS + 1):
        proxy.go_on.clear()
        begun = proxy.count(PART_REQUESTS)
        # One part gets through, and then all connections stand still.
        proxy.meets = lambda _, __, begun=begun: "halt" if proxy.count(PART_REQUESTS) > begun + 1 else None
        process = start(source, state, proxy, key)
        eventually(lambda number=number: lines(state) == number, "a part is remembered", seconds=SECONDS)
        process.kill()
        process.communicate(timeout=SECONDS)
        proxy.go_on.set()
        assert proxy.done(PART_REQUESTS) == number
    proxy.meets = lambda _, __: None
    process = start(source, state, proxy, key)
    stdout, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, stderr
    assert is_whole(api, stdout.decode().strip(), source)
    assert proxy.done(PART_REQUESTS) == PARTS
    assert remembered(state) == []


def lines(state: Path) -> int:
    """Parts that are remembered."""
    if not (state / "uploads").exists():
        return 0
    return sum(len(path.read_bytes().splitlines()) - 1 for path in remembered(state) if path.suffix == ".jsonl")


def test_ctrl_c_leaves_what_can_be_gone_on_with_and_holds_no_key(
    proxy: Meddler, key: Key, new_client: NewClient, source: Path, state: Path
) -> None:
    proxy.meets = lambda _, __: "halt" if proxy.count(PART_REQUESTS) > 5 else None
    process = start(source, state, proxy, key)
    eventually(lambda: lines(state) >= 5, "parts are remembered", seconds=SECONDS)
    process.send_signal(signal.SIGINT)
    proxy.go_on.set()
    process.communicate(timeout=SECONDS)
    assert process.returncode in {1, -signal.SIGINT}
    kept = [path for path in remembered(state) if path.suffix == ".jsonl"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]
    assert key.plain.encode() not in b"".join(path.read_bytes() for path in remembered(state))
    proxy.meets, told = (lambda _, __: None), []
    with new_client() as client:
        file = client.upload(source, purpose="user_data", progress=told.append, settle_seconds=SECONDS)
    assert file.sha256 == sha256(source.read_bytes())
    assert told[-1].resumed == 5 * PART
    assert proxy.done(PART_REQUESTS) == PARTS


def broken_off(new_client: NewClient, proxy: Meddler, source: Path) -> None:
    """An upload that is refused for a while after five parts."""
    proxy.meets = lambda _, __: 401 if proxy.count(PART_REQUESTS) > 5 else None
    with new_client(connections=1) as client, pytest.raises(ClientError):
        client.upload(source, purpose="user_data")
    proxy.meets = lambda _, __: None
    assert proxy.done(PART_REQUESTS) == 5


def test_a_changed_file_is_sent_anew(new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path) -> None:
    broken_off(new_client, proxy, source)
    source.write_bytes(source.read_bytes()[::-1])
    os.utime(source, ns=(1, 1))
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert is_whole(api, file.id, source)
    assert proxy.done(PART_REQUESTS) == 5 + PARTS
    assert nothing_left(api)


def test_an_upload_that_the_server_has_given_up_begins_anew(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    broken_off(new_client, proxy, source)
    api.post(f"/uploads/{api.get('/uploads').json()['data'][0]['id']}/cancel")
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert is_whole(api, file.id, source)
    assert proxy.done(PART_REQUESTS) == 5 + PARTS


def test_an_upload_that_is_unknown_to_the_server_begins_anew(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    broken_off(new_client, proxy, source)
    proxy.meets = lambda request, _: 404 if request.startswith("GET /v1/uploads/") else None
    with new_client() as client:
        assert is_whole(api, client.upload(source, purpose="user_data").id, source)


def test_an_upload_that_ends_at_the_server_while_it_is_gone_on_with_begins_anew(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    broken_off(new_client, proxy, source)
    upload_id = api.get("/uploads").json()["data"][0]["id"]
    proxy.meets = lambda request, _: api.post(f"/uploads/{upload_id}/cancel") and None if PART_REQUESTS.fullmatch(request) else None
    with new_client() as client:
        assert is_whole(api, client.upload(source, purpose="user_data").id, source)


def test_an_upload_whose_last_answer_was_lost_is_found_complete(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    proxy.alters = lambda request, document: document.pop("file") if request.endswith("/complete") else None
    with new_client() as client:
        with pytest.raises(Unavailable):
            client.upload(source, purpose="user_data")
        proxy.alters = lambda _, __: None
        file = client.upload(source, purpose="user_data")
    assert is_whole(api, file.id, source)
    assert proxy.done(PART_REQUESTS) == PARTS
    assert len(api.get("/files").json()["data"]) == 1


def test_a_memory_that_is_torn_or_nonsense_does_no_harm(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path
) -> None:
    broken_off(new_client, proxy, source)
    kept = next(path for path in remembered(state) if path.suffix == ".jsonl")
    kept.write_bytes(kept.read_bytes()[:-20] + b'\n{"number": "x"}\n[]\n{"number": 99999999, "part_id": 1}\n\xff\n')
    with new_client() as client:
        assert is_whole(api, client.upload(source, purpose="user_data").id, source)
    assert proxy.done(PART_REQUESTS) == PARTS + 1


@pytest.mark.parametrize("fate", ["refused", "lost", 408, 429, 500, (503, {"retry-after": "0"})], ids=str)
def test_a_part_that_fails_is_sent_again(new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, fate: object) -> None:
    proxy.meets = nth_time(7, fate)
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert is_whole(api, file.id, source)
    assert proxy.count(PART_REQUESTS) == PARTS + 1


@pytest.mark.parametrize("fate", [400, 413, 501, (500, {"x-should-retry": "false"})], ids=str)
def test_a_part_that_is_refused_for_good_is_not_sent_again(new_client: NewClient, proxy: Meddler, source: Path, fate: object) -> None:
    proxy.meets = nth_time(PARTS, fate)
    with new_client() as client, pytest.raises(ClientError) as caught:
        client.upload(source, purpose="user_data")
    assert caught.value.status == (fate[0] if isinstance(fate, tuple) else fate)
    assert proxy.count(PART_REQUESTS) == PARTS


def test_a_part_that_was_damaged_on_its_way_is_noticed_and_sent_again(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    damaged: list[str] = []

    def alters(request: str, document: dict[str, Any]) -> None:
        if PART_REQUESTS.fullmatch(request) and not damaged:
            damaged.append(document["id"])
            document["sha256"] = sha256(b"other")

    proxy.alters = alters
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert is_whole(api, file.id, source)
    assert proxy.count(PART_REQUESTS) == PARTS + 1
    completion = next(bodies[0] for request, bodies in proxy.bodies.items() if request.endswith("/complete"))
    assert damaged[0] not in json.loads(completion)["part_ids"]


def test_a_server_that_tells_no_hash_of_parts_verifies_the_md5_of_the_whole(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    proxy.alters = lambda _, document: document.pop("sha256", None) and None
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert file.status == "processed"
    assert is_whole(api, file.id, source)
    assert any("md5" in json.loads(body) for request, bodies in proxy.bodies.items() for body in bodies if request.endswith("/complete"))


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_uploads_gets_one_request(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, status: int
) -> None:
    proxy.meets = lambda request, _: status if request == "POST /v1/uploads" else None
    with new_client() as client:
        file = client.upload(source, purpose="user_data")
    assert file.sha256 == sha256(source.read_bytes())
    assert is_whole(api, file.id, source)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written to"])
def test_a_file_that_changes_meanwhile_is_refused_and_leaves_nothing(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path, change: str
) -> None:
    def meets(_: str, __: object) -> None:
        if proxy.count(PART_REQUESTS) == 3:
            with source.open("r+b") as file:
                file.truncate(SIZE + 1 if change == "grows" else SIZE // 2 if change == "shrinks" else SIZE)
                file.write(b"!")
            os.utime(source, ns=(1, 1))

    proxy.meets = meets
    with new_client(connections=2) as client, pytest.raises(SourceChanged, match="changed while it was being sent"):
        client.upload(source, purpose="user_data")
    assert nothing_left(api)
    assert remembered(state) == []
    assert api.get("/files").json()["data"] == []


def test_a_refusal_leaves_nothing_and_says_why(new_client: NewClient, api: httpx2.Client, source: Path) -> None:
    with new_client() as client, pytest.raises(Refused, match="'tuning' is not one of") as caught:
        client.upload(source, purpose="tuning")
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")
    assert str(caught.value.request_id).startswith("req_")
    assert nothing_left(api)


def test_without_resumption_a_failure_leaves_nothing(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path, state: Path
) -> None:
    proxy.meets = nth_time(5, 403)
    with new_client() as client, pytest.raises(ClientError):
        client.upload(source, purpose="user_data", resume=False)
    assert nothing_left(api)
    assert not state.exists()


def test_two_clients_with_the_same_file_at_once_do_not_disturb_each_other(new_client: NewClient, api: httpx2.Client, source: Path) -> None:
    files: list[File] = []
    both = threading.Barrier(2)

    def send() -> None:
        with new_client(connections=2) as client:
            both.wait(SECONDS)
            files.append(client.upload(source, purpose="user_data"))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert [is_whole(api, file.id, source) for file in files] == [True, True]


def test_an_open_file_goes_from_where_it_stands_and_other_streams_as_they_read(
    new_client: NewClient, api: httpx2.Client, source: Path, tmp_path: Path
) -> None:
    content = source.read_bytes()
    with gzip.open(tmp_path / "z", "wb") as packed:
        packed.write(content)
    with new_client() as client, source.open("rb") as opened, gzip.open(tmp_path / "z") as unpacked:
        opened.read(1_000)
        files = [client.upload(given, purpose="user_data") for given in (opened, unpacked, io.BytesIO(content))]
    assert [api.get(f"/files/{file.id}/content").content for file in files] == [content[1_000:], content, content]
    assert [file.filename for file in files] == ["source.bin", "z", "upload"]


def test_what_cannot_be_read_is_said(new_client: NewClient, tmp_path: Path) -> None:
    with new_client() as client:
        with pytest.raises(SourceFailed, match="No such file"):
            client.upload(tmp_path / "missing", purpose="user_data")
        with pytest.raises(SourceFailed, match="directory"):
            client.upload(tmp_path, purpose="user_data")


def test_bytes_of_one_request_that_were_damaged_are_deleted_again(
    new_client: NewClient, proxy: Meddler, api: httpx2.Client, source: Path
) -> None:
    proxy.meets = lambda request, _: (200, {"etag": f'"{sha256(b"other")}"'}) if request.startswith("HEAD") else None
    with new_client(parallel_from=SIZE + 1) as client, pytest.raises(Damaged):
        client.upload(source, purpose="user_data")
    assert api.get("/files").json()["data"] == []


def test_a_closed_client_sends_nothing(new_client: NewClient, proxy: Meddler, source: Path) -> None:
    client: Client = new_client()
    client.close()
    with pytest.raises(ClientError):
        client.upload(source, purpose="user_data")
    assert proxy.seen == []
