"""A disk that fails at any call: the request is refused, nothing is recorded that is not there, and the server goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.injection import EIO, ENOSPC, RENAME, Fault, Trace, kill_at_once, traced
from support.limits import MIB, blobs_of, held_when_idle, temporaries_of
from support.oracle import assert_consistent
from support.points import POINTS, points
from support.polling import eventually, eventually_equal
from support.raw_http import Connection, form_begin, form_end, form_length, head, upload_head
from support.server import RunningServer, running_server, start_server

SLICE = MIB
SLICES = 4
SYNCS = ("fsync", "fdatasync")
OK, NOT_FOUND = 200, 404
MOST_OTHERS = 3
DATABASE_CALLS = ("pwrite64", "fdatasync")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("io") / "data") as running:
        yield running


def listed(server: RunningServer) -> list[str]:
    with server.client() as client:
        return [file["id"] for file in client.get("/files", params={"limit": 10_000}).json()["data"]]


def upload(server: RunningServer, content: bytes) -> httpx2.Response:
    with server.client() as client:
        return client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)})


def content_of(server: RunningServer, file_id: object, **headers: str) -> httpx2.Response:
    with server.client() as client:
        return client.get(f"/files/{file_id}/content", headers=headers)


def assert_refused(response: httpx2.Response) -> None:
    assert_openai_error(response, 503, "storage_unavailable", type="server_error")


def upload_in_halves(
    server: RunningServer, log_path: Path, call: str, nth: int, action: str, *, on_temporary: bool
) -> tuple[Trace, httpx2.Response]:
    """The first slice is sent before the fault is set, so that the temporary is there and has a name."""
    content = os.urandom(SLICES * SLICE)
    with Connection(server) as connection:
        connection.send(upload_head(server.api_key, form_length(len(content))) + form_begin() + content[: SLICE + 1])
        eventually(lambda: temporaries_of(server), "the upload is under way", seconds=20)
        (temporary,) = (server.data_dir / "blobs" / "tmp").iterdir()
        with traced(server, log_path, Fault(call, nth, action, temporary if on_temporary else None), calls=SYNCS) as trace:
            connection.send(content[SLICE + 1 :] + form_end())
            answer = connection.answer()
    return trace, answer


class Others:
    """Faults that struck what a server records of itself, such as when a key was last used, and not the request. They are rare."""

    def __init__(self) -> None:
        self._seen = 0

    def met(self, trace: Trace) -> None:
        self._seen += 1
        injected = [call for call in trace.calls if call.injected]
        assert injected
        assert all(call.name in DATABASE_CALLS and "/fileplane.db" in call.path for call in injected), trace.log
        assert self._seen <= MOST_OTHERS, trace.log


UPLOAD_FAULTS = {
    "no room for a slice": ("write", ENOSPC, True),
    "a slice that cannot be written": ("write", EIO, True),
    "a file that cannot be synced": ("fsync", EIO, True),
    "any sync of a file or its directory": ("fsync", EIO, False),
    "a name that cannot be given": (RENAME, EIO, False),
    "no room for the record": ("pwrite64", ENOSPC, False),
    "a record that cannot be written": ("pwrite64", EIO, False),
    "a record that cannot be synced": ("fdatasync", EIO, False),
}


@pytest.mark.parametrize(("call", "action", "on_temporary"), UPLOAD_FAULTS.values(), ids=UPLOAD_FAULTS)
def test_an_upload_whose_disk_fails_at_any_call_is_refused_and_leaves_no_file(
    server: RunningServer, tmp_path: Path, call: str, action: str, *, on_temporary: bool
):
    before = listed(server)
    idle = held_when_idle(server)
    others = Others()
    nth = 1
    while True:
        trace, answer = upload_in_halves(server, tmp_path / "trace.log", call, nth, action, on_temporary=on_temporary)
        if not trace.struck:
            break
        if answer.status_code == OK:
            others.met(trace)
            before.insert(0, str(assert_file(answer)["id"]))
            continue
        assert not trace.killed
        assert_refused(answer)
        assert listed(server) == before
        eventually_equal(lambda: temporaries_of(server), [], seconds=20)
        assert_never_synced_again(trace)
        nth += 1
    assert nth > 1
    assert [assert_file(answer)["id"], *before] == listed(server)
    eventually_equal(lambda: held_when_idle(server), idle, seconds=20)
    assert_consistent(server.data_dir, orphans_allowed=True)


def assert_never_synced_again(trace: Trace) -> None:
    """What a failed fsync reports is forgotten by the system, so that a second one of the same file would pass in silence."""
    calls = [call for call in trace.calls if call.name in SYNCS and "/blobs/" in call.path]
    for number, failed in enumerate(calls):
        if failed.injected:
            assert [call.text for call in calls[number + 1 :] if call.path == failed.path] == []


def test_a_refused_upload_leaves_no_blob_unless_its_record_may_have_been_written(server: RunningServer, tmp_path: Path):
    before = set(blobs_of(server.data_dir))
    for call, action, on_temporary in UPLOAD_FAULTS.values():
        trace, answer = upload_in_halves(server, tmp_path / "trace.log", call, 1, action, on_temporary=on_temporary)
        assert trace.struck
        assert_refused(answer)
        if call not in {"pwrite64", "fdatasync"}:
            assert set(blobs_of(server.data_dir)) == before, call


@pytest.mark.parametrize(("call", "action"), [("pwrite64", ENOSPC), ("pwrite64", EIO), ("fdatasync", EIO)])
def test_a_delete_whose_disk_fails_at_any_call_is_refused_and_leaves_the_file(
    server: RunningServer, tmp_path: Path, call: str, action: str
):
    file_id = str(assert_file(upload(server, b"stays"))["id"])
    others = Others()
    nth = 1
    while True:
        with server.client() as client, traced(server, tmp_path / "trace.log", Fault(call, nth, action)) as trace:
            answer = client.delete(f"/files/{file_id}")
        if not trace.struck:
            break
        if answer.status_code == OK:
            others.met(trace)
            assert content_of(server, file_id).status_code == NOT_FOUND
            file_id = str(assert_file(upload(server, b"stays"))["id"])
            continue
        assert_refused(answer)
        assert content_of(server, file_id).content == b"stays"
        nth += 1
    assert nth > 1
    assert_deleted(answer, file_id)
    assert_consistent(server.data_dir, orphans_allowed=True)


@pytest.mark.parametrize("every", POINTS)
@pytest.mark.parametrize(("call", "action"), [("pwrite64", ENOSPC), ("fdatasync", EIO)])
def test_whatever_a_failed_commit_has_left_in_the_log_is_sound_after_a_restart(tmp_path: Path, call: str, action: str, every: int):
    data_dir = tmp_path / "data"
    running = start_server(data_dir)
    others = Others()
    try:
        for nth in points(every):
            content = os.urandom(1000)
            before = listed(running)
            with traced(running, tmp_path / "trace.log", Fault(call, nth, action, data_dir / "fileplane.db-wal")) as trace:
                answer = upload(running, content)
            if not trace.struck:
                break
            if answer.status_code == OK:
                others.met(trace)
            else:
                assert_refused(answer)
            kill_at_once(running)
            assert_consistent(data_dir, orphans_allowed=True)
            running = start_server(data_dir, key=running.api_key)
            after = listed(running)
            new = after[: len(after) - len(before)]
            assert after == new + before
            assert [content_of(running, file_id).content for file_id in new] == [content] * len(new)
        assert nth > 1
    finally:
        kill_at_once(running)


def test_a_download_whose_disk_fails_at_any_read_is_broken_off_and_never_ends_short(server: RunningServer, tmp_path: Path):
    content = os.urandom(3 * MIB)
    before = set(blobs_of(server.data_dir))
    file_id = assert_file(upload(server, content))["id"]
    (blob,) = set(blobs_of(server.data_dir)) - before
    for nth in count(1):
        answer = None
        with traced(server, tmp_path / "trace.log", Fault("pread64", nth, EIO, blob)) as trace, suppress(httpx2.RemoteProtocolError):
            answer = content_of(server, file_id, range="bytes=0-")
        if not trace.struck:
            break
        if answer is not None:
            assert_refused(answer)
    assert nth > 1
    assert answer is not None
    assert answer.content == content
    assert_consistent(server.data_dir, orphans_allowed=True)


def test_a_whole_download_whose_disk_fails_while_the_http_server_sends_it_is_broken_off(server: RunningServer, tmp_path: Path):
    """The client takes nothing until the fault is set: only then is there a name that it can be set for."""
    content, served = os.urandom(16 * MIB), server.data_dir / "blobs" / "served"
    request = head("GET", f"/v1/files/{assert_file(upload(server, content))['id']}/content", server.api_key, Connection="close")
    for nth in count(1):
        earlier = set(served.iterdir())
        with Connection(server, receive_buffer=4096) as connection:
            connection.send(request)
            begun = connection.receive(1)
            (name,) = set(served.iterdir()) - earlier
            with traced(server, tmp_path / "trace.log", Fault("read", nth, EIO, name)) as trace:
                length = len(begun) + connection.receive_to_end()
        if not trace.struck:
            break
        assert length < len(content)
    assert nth > 1
    assert length > len(content)  # with the head
    assert_consistent(server.data_dir, orphans_allowed=True)
