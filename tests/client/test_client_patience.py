"""What a server or a proxy sends cannot keep the client for ever, and what it sends before its answer is passed over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest

from cli.odd_server import OddServer, error_answer, http_answer, json_answer, running_odd_server
from fileplane.client import Client, ClientError, NotFound, Unavailable, exchange
from fileplane.client.crew import Crew, Meter
from fileplane.client.service import Service
from fileplane.client.stopping import Stopping

MANY = 60
"""Pieces of an answer that trickles, each well within a step: without a deadline for all of them, it would be taken."""
PAUSE = 0.1
SHORT = 1.0
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
DOCUMENT = json_answer("200 OK", {"data": []})


@pytest.fixture
def odd_server() -> Iterator[OddServer]:
    with running_odd_server() as server:
        yield server


@pytest.fixture
def service(odd_server: OddServer) -> Service:
    return Service(odd_server.base_url, "key")


def trickling(*pieces: bytes) -> Callable[[bytes, socket.socket], None]:
    """Sends these one after another, with pauses, as long as anybody listens."""
    pausing = threading.Event()

    def answer(_: bytes, connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            pausing.wait(PAUSE)

    return answer


def slowly(answer: bytes, after: bytes) -> list[bytes]:
    """``answer`` in one piece up to ``after``, and in many small ones from there on."""
    at = answer.index(after) + len(after)
    return [answer[:at], *(answer[index : index + 1] for index in range(at, len(answer)))]


@pytest.mark.parametrize(
    "pieces",
    [
        slowly(json_answer("200 OK", {"data": []}, x_long="a" * MANY), b"x-long: "),
        [*repeat(b"HTTP/1.1 100 Continue\r\n\r\n", MANY), DOCUMENT],
        [*repeat(EARLY, MANY), DOCUMENT],
    ],
    ids=["a head", "100 after 100", "103 after 103"],
)
def test_a_head_that_trickles_in_is_given_up(odd_server: OddServer, service: Service, pieces: list[bytes]) -> None:
    odd_server.answer = trickling(*pieces)
    with service.exchange(Stopping()) as connection, pytest.raises(Unavailable, match="in time"):
        service.document(connection, "GET", "/files", answer_seconds=SHORT)


def test_a_document_that_trickles_in_is_given_up(odd_server: OddServer, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DOCUMENT_SECONDS", SHORT)
    odd_server.answer = trickling(*slowly(json_answer("200 OK", {"data": ["a" * MANY]}), b'["'))
    with service.exchange(Stopping()) as connection, pytest.raises(Unavailable, match="in time"):
        service.document(connection, "GET", "/files")


def test_a_refusal_that_trickles_in_is_told_without_its_message(
    odd_server: OddServer, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STEP_SECONDS", SHORT)
    odd_server.answer = trickling(*slowly(error_answer("404 Not Found", "a" * MANY), b'"message": "'))
    with service.exchange(Stopping()) as connection, pytest.raises(NotFound, match="answered 404"):
        service.document(connection, "GET", "/files", answer_seconds=60.0)


def test_content_may_take_as_long_as_it_likes(odd_server: OddServer, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DOCUMENT_SECONDS", PAUSE)
    content = b"c" * 20
    odd_server.answer = trickling(*slowly(http_answer("200 OK", content), b"\r\n\r\n"))
    with service.exchange(Stopping()) as connection:
        answer = service.send(connection, "GET", "/files/x/content", answer_seconds=SHORT)
        assert b"".join(map(bytes, answer.pieces())) == content


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_interim_answers_are_passed_over(odd_server: OddServer, service: Service, status: str) -> None:
    odd_server.says(f"HTTP/1.1 {status}\r\n\r\n".encode() * 3 + DOCUMENT)
    with service.exchange(Stopping()) as connection:
        assert service.document(connection, "GET", "/files") == {"data": []}


def test_a_protocol_that_nobody_asked_for_is_a_failure(odd_server: OddServer, service: Service) -> None:
    odd_server.says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    with service.exchange(Stopping()) as connection, pytest.raises(ClientError, match="answered 101"):
        service.document(connection, "GET", "/files")


def test_an_upload_goes_on_after_an_interim_answer(odd_server: OddServer, tmp_path: Path) -> None:
    size, source = 8 << 20, tmp_path / "x"
    source.write_bytes(bytes(size))
    received = []

    def answer(head: bytes, connection: socket.socket) -> None:
        if not head.startswith(b"POST"):
            connection.sendall(http_answer("200 OK", b""))
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        left = length - len(head.partition(b"\r\n\r\n")[2])
        connection.sendall(EARLY)
        while left and (piece := connection.recv(1 << 20)):
            left -= len(piece)
        received.append(left)
        connection.sendall(json_answer("200 OK", {"id": "file-1", "object": "file", "bytes": size, "filename": "x", "created_at": 1}))

    odd_server.answer = answer
    with Client(odd_server.base_url, "key") as client:
        file = client.upload(source, purpose="user_data")
    assert (file.id, received) == ("file-1", [0])


def test_an_interruption_between_two_threads_ends_those_that_have_begun() -> None:
    stopping = Stopping()

    def work() -> None:
        stopping.wait(60)

    def works() -> Iterator[tuple[str, Callable[[], None]]]:
        yield "first", work
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Crew(stopping).work_off(works(), Meter("x", None, None))
    assert not [thread for thread in threading.enumerate() if thread.name == "fileplane-first"]
    assert stopping.stopped
