"""Many connections at once: those that do nothing, or next to nothing, cost the others nothing."""

from __future__ import annotations

import itertools
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from support.expect import assert_deleted, assert_file
from support.limits import MIB, Peak, descriptors, held_by, held_when_idle, temporaries_of
from support.polling import eventually
from support.raw_http import Connection, form_begin, head, upload_head
from support.server import RunningServer, running_server
from support.server_log import assert_no_trouble

TRICKLING = 200
TRICKLE_SECONDS = 0.2
HEAD_SECONDS = 4
BODY_IDLE_SECONDS = 4
GRACE_SECONDS = 4
SLACK_SECONDS = 10  # for two hundred connections to be served by two cores that others use as well

IDLE = 2_000
ACTIVE = 50
ACTIVE_SECONDS = 40
IDLE_SECONDS = 300  # longer than it all takes, so that none of the idle ones is given up on
DESCRIPTORS_NEEDED = 4 * IDLE
# A connection has a descriptor and a few hundred bytes of state here, and buffers only while something is in them.
BYTES_PER_CONNECTION = 64 << 10
RSS_CEILING = IDLE * BYTES_PER_CONNECTION + 64 * MIB
DESCRIPTORS_CEILING = IDLE + 4 * ACTIVE + 100


@pytest.fixture
def patient_server(tmp_path: Path) -> Iterator[RunningServer]:
    settings = {
        "head_seconds": HEAD_SECONDS,
        "body_idle_seconds": BODY_IDLE_SECONDS,
        "upload_grace_seconds": GRACE_SECONDS,
        "min_upload_rate": 1_000,
    }
    with running_server(tmp_path / "data", **settings) as running:
        yield running


class Tricklers:
    """Sockets that each send a byte now and then, and wait for their answer. ``ended`` has when each was closed, and what it was told."""

    def __init__(self, server: RunningServer, stack: ExitStack) -> None:
        beginnings = [
            b"GET /healthz HTTP/1.1\r\nX-Slow: ",
            upload_head(server.api_key, 1_000_000) + form_begin(),
            upload_head(server.api_key, None),
            upload_head(server.api_key, 1_000_000) + form_begin()[:30],
        ]
        self._selector = stack.enter_context(closing(selectors.DefaultSelector()))
        self.began = time.monotonic()
        self.ended: dict[int, tuple[float, bytes]] = {}
        for number, beginning in zip(range(TRICKLING), itertools.cycle(beginnings), strict=False):
            connection = stack.enter_context(Connection(server))
            connection.send(beginning)
            connection.socket.setblocking(False)
            self._selector.register(connection.socket, selectors.EVENT_READ, number)

    def trickle(self, seconds: float) -> None:
        """Until every socket has been closed or answered, or the time is over."""
        next_round = time.monotonic()
        while len(self.ended) < TRICKLING and time.monotonic() - self.began < seconds:
            for key, _ in self._selector.select(max(0.0, next_round - time.monotonic())):
                self._take(key.fileobj, key.data)
            if time.monotonic() >= next_round:
                next_round += TRICKLE_SECONDS
                for key in list(self._selector.get_map().values()):
                    self._send(key.fileobj, key.data)

    def _send(self, connection: socket.socket, number: int) -> None:
        try:
            # Within a chunked body it is the first digit of an endless chunk's size, which is as slow as any other byte.
            connection.send(b"1" if number % 4 == 2 else b"a")
        except BlockingIOError:
            return
        except ConnectionError:
            self._end(connection, number, b"")

    def _take(self, connection: socket.socket, number: int) -> None:
        try:
            self._end(connection, number, connection.recv(100))
        except ConnectionError:
            self._end(connection, number, b"")

    def _end(self, connection: socket.socket, number: int, said: bytes) -> None:
        self._selector.unregister(connection)
        self.ended[number] = (time.monotonic() - self.began, said)


def use(server: RunningServer, content: bytes, until: threading.Event) -> int:
    """What a normal client does, over and over on one connection; how often it did, at least once."""
    times = 0
    with server.client() as client:
        while not times or not until.is_set():
            file_id = str(assert_file(client.post("/files", data={"purpose": "evals"}, files={"file": ("a.bin", content)}))["id"])
            assert_file(client.get(f"/files/{file_id}"), bytes=len(content))
            assert client.get("/files", params={"limit": 10}).status_code == 200
            assert client.get(f"/files/{file_id}/content").content == content
            assert_deleted(client.delete(f"/files/{file_id}"), file_id)
            times += 1
    return times


@pytest.mark.full
def test_two_hundred_clients_that_trickle_are_closed_on_schedule_while_another_is_served(patient_server: RunningServer):
    before = held_when_idle(patient_server)
    over = threading.Event()
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        tricklers = Tricklers(patient_server, stack)
        normal = pool.submit(use, patient_server, bytes(100_000), over)
        try:
            tricklers.trickle(max(HEAD_SECONDS, BODY_IDLE_SECONDS, GRACE_SECONDS) + SLACK_SECONDS)
        finally:
            over.set()
        assert normal.result() > 3
        assert len(tricklers.ended) == TRICKLING
        for number, (seconds, said) in tricklers.ended.items():
            assert seconds > min(HEAD_SECONDS, GRACE_SECONDS) / 2, number
            assert (said == b"") if number % 4 == 0 else said.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")), (number, said)
    eventually(lambda: held_by(patient_server).connections == 0, "every connection is gone", seconds=20)
    eventually(lambda: temporaries_of(patient_server) == [], "every temporary is gone", seconds=20)
    assert held_when_idle(patient_server).descriptors <= before.descriptors + 2
    assert_no_trouble(patient_server)


@pytest.mark.full
def test_two_thousand_idle_connections_cost_fifty_active_clients_nothing(tmp_path: Path):
    over = threading.Event()
    with descriptors(DESCRIPTORS_NEEDED), running_server(tmp_path / "data", head_seconds=IDLE_SECONDS) as server, ExitStack() as stack:
        with server.client() as client:
            assert_file(client.post("/files", data={"purpose": "evals"}, files={"file": ("warm.bin", b"warm")}))
        peak = stack.enter_context(Peak(server))
        connections = [stack.enter_context(Connection(server)) for _ in range(IDLE)]
        for connection in connections:
            connection.send(head("GET", "/healthz", None))
        for connection in connections:
            assert connection.answer().status_code == 200
        timer = threading.Timer(ACTIVE_SECONDS, over.set)
        timer.start()
        stack.callback(timer.cancel)
        with ThreadPoolExecutor(ACTIVE) as pool:
            active = [pool.submit(use, server, bytes(20_000), over) for _ in range(ACTIVE)]
            eventually(lambda: sum(worker.num_fds() for worker in server.workers()) > IDLE // 2, "they are connected", seconds=20)
            most = max(_descriptors_until(server, over))
            assert all(future.result() >= 1 for future in active)
        assert most <= DESCRIPTORS_CEILING
        assert peak.growth <= RSS_CEILING
        assert_no_trouble(server)


def _descriptors_until(server: RunningServer, over: threading.Event) -> Iterator[int]:
    workers = server.workers()
    while not over.wait(0.5):
        yield sum(worker.num_fds() for worker in workers)
