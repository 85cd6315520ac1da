"""A client that leaves, however and whenever it does, leaves nothing behind: no task, no descriptor, no temporary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.expect import assert_file
from support.limits import MIB, Held, held_by, held_when_idle, open_blobs_of, temporaries_of
from support.polling import eventually, eventually_equal
from support.raw_http import LAST_CHUNK, Connection, chunk, form_begin, form_end, form_length, head, upload_head
from support.server import RunningServer
from support.server_log import access_line, assert_no_trouble

CONTENT = bytes(3 * MIB)
WAYS = pytest.mark.parametrize("way", ["fin", "reset", "half-close"])
FRAMINGS = pytest.mark.parametrize("framing", ["length", "chunked"])
STAGES = {
    "after the head": b"",
    "in the form's fields": form_begin()[:60],
    "after one byte of the file": form_begin() + CONTENT[:1],
    "in the first MiB": form_begin() + CONTENT[: MIB // 2],
    "in the third MiB": form_begin() + CONTENT[: 5 * MIB // 2],
    "before the last boundary": form_begin() + CONTENT,
    "within the last boundary": form_begin() + CONTENT + form_end()[:-3],
}
LENGTH = form_length(len(CONTENT))
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLIENT_LEFT = 499
MANY = 30


@pytest.fixture(scope="module")
def large_file(fault_server: RunningServer) -> str:
    with fault_server.client() as client:
        return str(assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", bytes(32 * MIB))}))["id"])


@pytest.fixture
def request_id(request: pytest.FixtureRequest) -> str:
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()


@pytest.fixture(scope="module")
def baseline(fault_server: RunningServer, large_file: str) -> Held:
    """Taken once: a client that has left before its connection was accepted could be served, and counted, in the next test."""
    assert large_file
    return held_when_idle(fault_server)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(fault_server: RunningServer, baseline: Held) -> Iterator[None]:
    yield
    eventually_equal(lambda: held_by(fault_server), baseline)
    assert_no_trouble(fault_server)


@WAYS
def test_a_client_that_leaves_within_the_head_is_forgotten(fault_server: RunningServer, way: str):
    with Connection(fault_server) as connection:
        connection.send(upload_head(fault_server.api_key, 1_000)[:-10])
        connection.leave(way)
        if way == "half-close":
            assert connection.receive_to_end() == 0


@WAYS
@FRAMINGS
@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves_mid_body_leaves_nothing_behind(
    fault_server: RunningServer, request_id: str, way: str, framing: str, stage: str
):
    body = STAGES[stage]
    with Connection(fault_server) as connection:
        _begin(connection, fault_server, framing, request_id)
        connection.send(chunk(body) if framing == "chunked" and body else body)
        connection.leave(way)
        if way == "half-close":
            connection.receive_to_end()
    assert access_line(fault_server, request_id)["status"] == CLIENT_LEFT


@WAYS
@FRAMINGS
def test_a_client_that_leaves_before_it_is_answered_leaves_a_whole_file_or_none(
    fault_server: RunningServer, request_id: str, way: str, framing: str
):
    body = form_begin(filename=f"{request_id}.bin") + CONTENT + form_end()
    with Connection(fault_server) as connection:
        _begin(connection, fault_server, framing, request_id, len(body))
        connection.send(chunk(body) + LAST_CHUNK if framing == "chunked" else body)
        connection.leave(way)
        if way == "half-close":
            connection.receive_to_end()
    # The upload is complete: the server may take the time that its disk takes to make it durable.
    status = access_line(fault_server, request_id, seconds=30)["status"]
    with fault_server.client() as client:
        created = [file for file in client.get("/files").json()["data"] if file["filename"] == f"{request_id}.bin"]
        assert [file["bytes"] for file in created] == ([len(CONTENT)] if status == 200 else [])
        assert [client.get(f"/files/{file['id']}/content").content == CONTENT for file in created] == [True] * len(created)


@WAYS
@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=1-"}], ids=["whole", "ranged"])
@pytest.mark.parametrize("taken", [0, 1, MIB])
def test_a_client_that_leaves_a_download_lets_go_of_the_file(
    fault_server: RunningServer, large_file: str, request_id: str, way: str, asked: dict[str, str], taken: int
):
    with Connection(fault_server, receive_buffer=4096) as connection:
        connection.send(head("GET", f"/v1/files/{large_file}/content", fault_server.api_key, X_Request_Id=request_id, **asked))
        if taken:
            connection.receive(taken)
            eventually(lambda: open_blobs_of(fault_server), "the download is under way")
        connection.leave(way)
        if way == "half-close":
            assert connection.receive_to_end() < 32 * MIB
    if taken:
        access_line(fault_server, request_id)
    eventually_equal(lambda: open_blobs_of(fault_server), [])


def test_many_clients_that_leave_at_once_leave_nothing_behind(fault_server: RunningServer):
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(fault_server)) for _ in range(MANY)]
        for connection in connections:
            _begin(connection, fault_server, "length", "many")
            connection.send(form_begin() + CONTENT[: 2 * MIB])
        eventually(lambda: len(temporaries_of(fault_server)) == MANY, "the uploads are under way", seconds=30)
        for connection in connections:
            connection.leave("reset")


def _begin(connection: Connection, server: RunningServer, framing: str, request_id: str, length: int = LENGTH) -> None:
    """Sends the head of an upload and waits until the server reads its body: a reset before that would take the request back."""
    declared = None if framing == "chunked" else length
    connection.send(upload_head(server.api_key, declared, X_Request_Id=request_id, Expect="100-continue"))
    assert connection.receive(len(CONTINUE)) == CONTINUE
