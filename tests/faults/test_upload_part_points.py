"""A part, and a completion, whose server is killed at any system call or whose disk loses its power is there once it was answered."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from support.forms import FORM_TYPE, form, part
from support.injection import KILL, RENAME, Fault, kill_at_once, traced
from support.oracle import assert_consistent
from support.part_uploads import complete, created, send_part, sent, settled
from support.points import POINTS, points
from support.polling import eventually
from support.power_loss import KINDS, disk_with_power
from support.raw_http import Connection, head
from support.server import RunningServer, start_server

PART = 150_000
PART_CALLS = ("fsync", "openat", RENAME, "pwrite64", "fdatasync", "writev")
COMPLETION_CALLS = ("openat", "pwrite64", "fdatasync", "writev")
OPTIONS = {"upload_lease_seconds": 1}


@dataclass
class Life:
    """One upload over the lives of the servers of a directory: its acknowledged parts, and the bytes of those never answered."""

    data_dir: Path
    server: RunningServer
    upload_id: str = ""
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    unanswered: list[bytes] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)

    def next_life(self) -> None:
        kill_at_once(self.server)
        assert_consistent(self.data_dir, orphans_allowed=True)
        self.server = start_server(self.data_dir, key=self.server.api_key, **OPTIONS)

    def shown(self) -> dict[str, object]:
        with self.server.client() as client:
            return dict(client.get(f"/uploads/{self.upload_id}").raise_for_status().json())


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    data_dir = tmp_path / "data"
    life = Life(data_dir, start_server(data_dir, **OPTIONS))
    yield life
    kill_at_once(life.server)


def struck_at(life: Life, call: str, nth: int, request: Callable[[httpx2.Client], httpx2.Response]) -> tuple[httpx2.Response | None, bool]:
    """The answer to a request, if there was one before its server was killed at a point, and whether it was; then the next is running.

    What a completion leaves to the background belongs to it: the block ends when the file is settled, or the server dead.
    """
    answer = None
    with (
        life.server.client() as client,
        traced(life.server, life.data_dir.with_name("trace.log"), Fault(call, nth, KILL)) as trace,
        suppress(httpx2.TransportError),
    ):
        answer = request(client)
        assert answer.status_code == 200, answer.text
        if answer.json()["object"] == "upload":
            settled(client, answer.json()["file"]["id"], seconds=60)
    if trace.struck:
        life.struck[call] += 1
        life.next_life()
    assert trace.struck or answer is not None, (call, nth)
    return answer, trace.struck


@pytest.mark.full
@pytest.mark.parametrize("every", POINTS)
def test_a_part_that_is_killed_at_any_system_call_is_there_whole_or_not_at_all(life: Life, every: int) -> None:
    for call in PART_CALLS:
        for nth in points(every):
            with life.server.client() as client:
                life.upload_id = created(client, 2 * PART)
                first = sent(client, life.upload_id, b"f" * PART)
            data = os.urandom(PART)
            answer, struck = struck_at(life, call, nth, lambda client, data=data: send_part(client, life.upload_id, data))
            listed = [str(entry["id"]) for entry in life.shown()["parts"]]
            assert first in listed
            if answer is not None:
                assert answer.json()["id"] in listed
            with life.server.client() as client:
                second = next((entry for entry in listed if entry != first), None) or sent(client, life.upload_id, data)
                file = complete(client, life.upload_id, [first, second]).raise_for_status().json()["file"]
                assert client.get(f"/files/{file['id']}/content").content == b"f" * PART + data
            if not struck:
                break
    print(f"{life.struck.total()} kill points: {dict(life.struck)}")  # noqa: T201 - how far a sweep came belongs to its report
    assert all(life.struck[call] for call in PART_CALLS), life.struck


@pytest.mark.full
@pytest.mark.parametrize("every", POINTS)
def test_a_completion_that_is_killed_at_any_system_call_has_made_the_file_or_can_be_repeated(life: Life, every: int) -> None:
    files: dict[str, bytes] = {}
    for call in COMPLETION_CALLS:
        for nth in points(every):
            data = [os.urandom(PART) for _ in range(2)]
            with life.server.client() as client:
                life.upload_id = created(client, 2 * PART)
                part_ids = [sent(client, life.upload_id, piece) for piece in data]
            answer, struck = struck_at(life, call, nth, lambda client, ids=part_ids: complete(client, life.upload_id, ids))
            with life.server.client() as client:
                before = life.shown()["file"]
                again = complete(client, life.upload_id, part_ids).raise_for_status().json()["file"]
                assert before is None or before["id"] == again["id"]
                assert answer is None or answer.json()["file"]["id"] == again["id"]
                files[str(again["id"])] = b"".join(data)
                assert settled(client, str(again["id"]), seconds=60)["status"] == "processed"
            if not struck:
                break
    with life.server.client() as client:
        assert {file_id: client.get(f"/files/{file_id}/content").content for file_id in files} == files
        assert client.get("/files").json()["total"] == len(files)
    print(f"{life.struck.total()} kill points: {dict(life.struck)}")  # noqa: T201 - how far a sweep came belongs to its report
    assert all(life.struck[call] for call in COMPLETION_CALLS), life.struck


def posted(server: RunningServer, path: str, body: bytes, media_type: str, cut: Callable[[], None]) -> None:
    """Sends a request, and cuts the power the instant its answer begins, which must be of success."""
    with Connection(server) as connection:
        connection.send(head("POST", path, server.api_key, Content_Type=media_type, Content_Length=str(len(body))) + body)
        status_line = connection.receive_line()
        cut()
        assert status_line == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.full
@pytest.mark.needs_root
@pytest.mark.parametrize("kind", KINDS)
def test_a_part_and_a_completion_are_there_although_the_power_went_the_instant_they_were_answered(tmp_path: Path, kind: str) -> None:
    data_dir, data = tmp_path / kind / "data", [os.urandom(size) for size in (70_000, 3_000_000)]
    with disk_with_power(tmp_path, kind) as disk:
        life = Life(data_dir, start_server(data_dir, **OPTIONS))

        def post(path: str, body: bytes, media_type: str) -> None:
            posted(life.server, f"/v1/uploads/{life.upload_id}/{path}", body, media_type, disk.cut)
            kill_at_once(life.server)
            disk.power_up()
            life.next_life()

        try:
            with life.server.client() as client:
                life.upload_id = created(client, sum(map(len, data)))
            part_ids: list[str] = []
            for piece in data:
                post("parts", form(part(b'name="data"; filename="upload"', piece)), FORM_TYPE)
                listed = [str(entry["id"]) for entry in life.shown()["parts"]]
                assert listed[:-1] == part_ids
                part_ids = listed
            assert len(part_ids) == len(data)
            post("complete", json.dumps({"part_ids": part_ids}).encode(), "application/json")
            shown = life.shown()
            assert shown["status"] == "completed"
            with life.server.client() as client:
                eventually(lambda: client.get(f"/files/{shown['file']['id']}").json()["status"] == "processed", "it is settled", seconds=60)
                assert client.get(f"/files/{shown['file']['id']}/content").content == b"".join(data)
        finally:
            kill_at_once(life.server)
