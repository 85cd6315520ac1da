"""Clients that are slow, on purpose or not: which are given up on, what they are told, and which are served."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from support.expect import assert_file, assert_openai_error
from support.limits import BODY_IDLE_SECONDS, MIN_UPLOAD_RATE, UPLOAD_GRACE_SECONDS, held_by, held_when_idle, open_blobs_of, temporaries_of
from support.polling import eventually_equal
from support.raw_http import LAST_CHUNK, Connection, chunk, form_begin, form_end, form_length, head, upload_head
from support.server import RunningServer
from support.server_log import assert_no_trouble

TRICKLE_SECONDS = 0.05
MOST_TRICKLES = 200


def _as_it_is(data: bytes) -> bytes:
    return data


FRAMINGS = pytest.mark.parametrize(("length", "framed"), [(1_000_000, _as_it_is), (None, chunk)], ids=["length", "chunked"])


@pytest.mark.parametrize(
    "sent",
    [b"", b"P", b"POST /v1/files HTTP/1.1\r\n", head("GET", "/healthz", None)[:-2]],
    ids=["nothing", "one byte", "request line", "all but the last line"],
)
def test_a_half_sent_head_is_given_up_on(impatient_server: RunningServer, sent: bytes):
    with Connection(impatient_server, timeout=10) as connection:
        connection.send(sent)
        assert connection.receive_to_end() == 0


def test_a_head_that_trickles_is_given_up_on(impatient_server: RunningServer):
    letters = itertools.cycle(b"a")
    with Connection(impatient_server, timeout=TRICKLE_SECONDS) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert _trickle(connection, lambda: bytes([next(letters)])) == b""


@FRAMINGS
def test_a_stalled_body_is_answered_408_and_leaves_nothing(
    impatient_server: RunningServer, length: int | None, framed: Callable[[bytes], bytes]
):
    before = held_when_idle(impatient_server)
    with Connection(impatient_server) as connection:
        connection.send(upload_head(impatient_server.api_key, length) + framed(form_begin() + bytes(100_000)))
        message = assert_openai_error(connection.answer(to_the_end=False), 408, "request_timeout")
        assert "stalled" in message
    eventually_equal(lambda: held_by(impatient_server), before)


def test_a_body_that_never_begins_is_answered_408(impatient_server: RunningServer):
    with Connection(impatient_server) as connection:
        connection.send(upload_head(impatient_server.api_key, 1_000))
        assert_openai_error(connection.answer(), 408, "request_timeout")


@FRAMINGS
def test_a_body_that_trickles_below_the_minimum_rate_is_answered_408(
    impatient_server: RunningServer, length: int | None, framed: Callable[[bytes], bytes]
):
    with Connection(impatient_server, timeout=TRICKLE_SECONDS) as connection:
        connection.send(upload_head(impatient_server.api_key, length) + framed(form_begin()))
        status_line = _trickle(connection, lambda: framed(b"x"))
        assert status_line.startswith(b"HTTP/1.1 408 ")
    eventually_equal(lambda: temporaries_of(impatient_server), [], seconds=10)


def test_a_slow_client_above_the_minimum_rate_is_served(impatient_server: RunningServer):
    pause = BODY_IDLE_SECONDS / 3
    piece = bytes(int(MIN_UPLOAD_RATE * pause * 3))
    pieces = int(2 * UPLOAD_GRACE_SECONDS / pause) + 1
    with Connection(impatient_server) as connection:
        connection.send(upload_head(impatient_server.api_key, form_length(pieces * len(piece))) + form_begin())
        for _ in range(pieces):
            time.sleep(pause)
            connection.send(piece)
        connection.send(form_end())
        assert_file(connection.answer(), bytes=pieces * len(piece))


def test_a_client_that_pauses_within_the_idle_time_is_served(impatient_server: RunningServer):
    with Connection(impatient_server) as connection:
        connection.send(upload_head(impatient_server.api_key, None) + chunk(form_begin() + bytes(100_000)))
        time.sleep(BODY_IDLE_SECONDS / 2)
        connection.send(chunk(bytes(100_000) + form_end()) + LAST_CHUNK)
        assert_file(connection.answer(), bytes=200_000)


def test_a_ranged_download_that_nobody_takes_is_broken_off_and_lets_go_of_the_file(impatient_server: RunningServer):
    size = 32 << 20
    with impatient_server.client() as client:
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", bytes(size))}))
    with Connection(impatient_server, receive_buffer=4096) as connection:
        connection.send(head("GET", f"/v1/files/{file['id']}/content", impatient_server.api_key, Range="bytes=1-"))
        connection.receive(1)
        eventually_equal(lambda: len(open_blobs_of(impatient_server)), 1)
        eventually_equal(lambda: open_blobs_of(impatient_server), [], seconds=10)
        assert connection.receive_to_end() < size
    assert_no_trouble(impatient_server)


def _trickle(connection: Connection, piece: Callable[[], bytes]) -> bytes:
    """Sends a piece after every short wait for an answer; returns the first bytes of the answer, or none when there is none."""
    for _ in range(MOST_TRICKLES):
        try:
            return connection.socket.recv(100)
        except TimeoutError:
            connection.send(piece())
        except ConnectionError:
            return b""
    raise AssertionError("the server goes on waiting for a client that only trickles")
