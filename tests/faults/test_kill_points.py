"""A server that is killed at any system call of an upload or a delete has kept every promise that it made before."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.injection import KILL, RENAME, Fault, kill_at_once, traced
from support.limits import MIB, temporaries_of
from support.oracle import assert_consistent
from support.points import POINTS, points
from support.polling import eventually
from support.raw_http import Connection, form_begin, form_end, form_length, upload_head
from support.server import RunningServer, start_server

HALF = MIB + 50_000
MOST_DELETES = 40
CALLS_ON_TEMPORARY = ("write",)
UPLOAD_CALLS = (*CALLS_ON_TEMPORARY, "fsync", "openat", RENAME, "pwrite64", "fdatasync", "writev")
DELETE_CALLS = ("openat", "pwrite64", "fdatasync", "writev")


@dataclass
class Life:
    """A data directory over the lives of the servers that use it, and what its clients were told."""

    data_dir: Path
    server: RunningServer
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unanswered: list[bytes] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)

    @property
    def trace_path(self) -> Path:
        return self.data_dir.with_name("trace.log")

    def next_life(self) -> None:
        """Kills what is left, looks at the directory as it lies there, and starts the server again."""
        kill_at_once(self.server)
        assert_consistent(self.data_dir, orphans_allowed=True)
        self.server = start_server(self.data_dir, key=self.server.api_key)

    def check(self) -> None:
        """Everything acknowledged is there to the byte and nothing deleted is; of what was never answered, only whole files."""
        assert temporaries_of(self.server) == []
        with self.server.client() as client:
            listed = {file["id"] for file in client.get("/files", params={"limit": 10_000}).json()["data"]}
            shown = {file_id: client.get(f"/files/{file_id}/content").content for file_id in listed}
            for file_id in self.deleted:
                assert_openai_error(client.get(f"/files/{file_id}"), 404, None, param="id")
        assert {file_id: shown.get(file_id) for file_id in self.acknowledged} == self.acknowledged
        assert [content for file_id, content in shown.items() if file_id not in self.acknowledged and content not in self.unanswered] == []
        assert not self.deleted & listed


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    data_dir = tmp_path / "data"
    life = Life(data_dir, start_server(data_dir))
    yield life
    kill_at_once(life.server)


def sweep(life: Life, calls: tuple[str, ...], attempt: Callable[[Life, str, int], bool], every: int) -> None:
    """Makes the attempt with a kill at the points, until one is no longer reached."""
    for call in calls:
        for nth in points(every):
            if not attempt(life, call, nth):
                break
            life.points[call] += 1
    print(f"{life.points.total()} kill points: {dict(life.points)}")  # noqa: T201 - how far a sweep came belongs to its report
    assert all(life.points[call] for call in calls), life.points


@pytest.mark.parametrize("every", POINTS)
def test_an_upload_that_is_killed_at_any_system_call_leaves_a_whole_file_or_none(life: Life, every: int):
    sweep(life, UPLOAD_CALLS, upload_and_kill, every)
    assert life.points["fsync"] >= 2, "the file, and its directory"


def upload_and_kill(life: Life, call: str, nth: int) -> bool:
    """The first half is sent before, so that the temporary is there and has a name. Returns whether the server was killed."""
    content = os.urandom(2 * HALF)
    answer = None
    with Connection(life.server) as connection:
        connection.send(upload_head(life.server.api_key, form_length(len(content))) + form_begin() + content[:HALF])
        eventually(lambda: temporaries_of(life.server), "the upload is under way", seconds=20)
        (temporary,) = (life.data_dir / "blobs" / "tmp").iterdir()
        fault = Fault(call, nth, KILL, temporary if call in CALLS_ON_TEMPORARY else None)
        with traced(life.server, life.trace_path, fault) as trace, suppress(ConnectionError):
            connection.send(content[HALF:] + form_end())
            answer = connection.answer()
    if trace.struck:
        assert answer is None, fault
        life.unanswered.append(content)
        life.next_life()
    else:
        assert answer is not None
        life.acknowledged[str(assert_file(answer, bytes=len(content))["id"])] = content
    life.check()
    return trace.struck


@pytest.mark.parametrize("every", POINTS)
def test_a_delete_that_is_killed_at_any_system_call_is_final_once_answered_and_never_in_between(life: Life, every: int):
    with life.server.client() as client:
        for number in range(MOST_DELETES):
            content = f"content {number}".encode()
            file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}))
            life.acknowledged[str(file["id"])] = content
    # Like every later one, the first delete finds a database without a log.
    life.next_life()
    sweep(life, DELETE_CALLS, delete_and_kill, every)
    assert life.deleted


def delete_and_kill(life: Life, call: str, nth: int) -> bool:
    """Returns whether the server was killed."""
    file_id, content = next(iter(life.acknowledged.items()))
    answer = None
    fault = Fault(call, nth, KILL)
    with life.server.client() as client, traced(life.server, life.trace_path, fault) as trace, suppress(httpx2.TransportError):
        answer = client.delete(f"/files/{file_id}")
    if trace.struck:
        assert answer is None
        life.next_life()
    else:
        assert_deleted(answer, file_id)
    del life.acknowledged[file_id]
    with life.server.client() as client:
        shown = client.get(f"/files/{file_id}/content")
    if answer is None and shown.status_code == 200:
        assert shown.content == content
        life.acknowledged[file_id] = content
    else:
        life.deleted.add(file_id)
    life.check()
    return trace.struck
