"""A peer that stalls slows the other one down, and memory does not depend on how large what passes through is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fileplane.testing.provider_world import pattern
from gateway.conftest import Fake, Project
from support.limits import MIB, Peak
from support.polling import eventually
from support.projects import new_tenant_key
from support.raw_http import PIECE, Connection, form_begin, form_end, form_length, head, upload_head
from support.server import running_server

LARGE = 300 * MIB
ALLOWED_FOR_ONE = 32 * MIB
ALLOWED_FOR_FOUR = 64 * MIB
IN_BUFFERS = 24 * MIB
BLOCK = pattern(MIB)
SLOW = 100_000_000
IDLE_SECONDS = 5


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, fake_process: Fake) -> Iterator[Project]:
    """A server whose memory no other test has stretched, warm."""
    data_dir: Path = tmp_path_factory.mktemp("stalled") / "data"
    with running_server(data_dir, egress_allow="127.0.0.1", egress_idle_seconds=IDLE_SECONDS) as server:
        made = Project(server, fake_process, new_tenant_key(data_dir).plain, "sk-stalled-caller")
        with made.client:
            file_id = made.upload(made.own, BLOCK, "warm.bin", purpose="user_data").json()["id"]
            assert made.client.get(f"/files/{file_id}/content", headers=made.own).content == BLOCK
            yield made


@pytest.fixture(autouse=True)
def _no_faults(fake: Fake) -> None:
    """Whatever another test planned is over."""


def _headers(project: Project) -> dict[str, str]:
    return {"X_Portkey_Api_Key": project.key} | {name.replace("-", "_"): value for name, value in project.own.items()}


def _upload(project: Project, size: int) -> str:
    with Connection(project.server, timeout=120) as connection:
        connection.send(upload_head(None, form_length(size), **_headers(project)))
        connection.send(form_begin())
        for _ in range(size // MIB):
            connection.send(BLOCK)
        connection.send(form_end())
        answer = connection.answer()
    assert (answer.status_code, answer.json()["bytes"]) == (200, size), answer.text
    return str(answer.json()["id"])


def _download(project: Project, file_id: str, size: int) -> None:
    digest, received = hashlib.sha256(), 0
    with Connection(project.server, timeout=120, receive_buffer=PIECE) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", None, **_headers(project)))
        while connection.receive_line() != b"\r\n":
            continue
        while received < size:
            piece = connection.socket.recv(min(MIB, size - received))
            assert piece, f"ended after {received} bytes"
            received += len(piece)
            digest.update(piece)
    expected = hashlib.sha256()
    for _ in range(size // MIB):
        expected.update(BLOCK)
    assert digest.digest() == expected.digest()


def _sent_until_blocked(connection: Connection, most: int) -> int:
    """Bytes that are taken before nothing is taken for a second."""
    connection.socket.settimeout(1.0)
    sent = 0
    while sent < most:
        try:
            sent += connection.socket.send(BLOCK[:PIECE])
        except TimeoutError:
            break
    return sent


def _connections_to(project: Project, fake: Fake) -> int:
    """Those of the server, which knows sooner than a provider that reads nothing."""
    port = int(fake.base_url.split(":")[2].removesuffix("/v1"))
    connections = [entry for worker in project.server.workers() for entry in worker.net_connections("tcp")]
    return sum(1 for entry in connections if entry.status == "ESTABLISHED" and entry.raddr and entry.raddr.port == port)


def _until_nothing_changes(project: Project) -> None:
    """Returns when the server has had nothing to do for a while."""
    readings: list[float] = []

    def at_rest() -> bool:
        readings.append(sum(sum(worker.cpu_times()[:2]) for worker in project.server.workers()))
        return len(readings) > 20 and readings[-1] - readings[-20] < 0.02

    eventually(at_rest, "the server is at rest", seconds=20)


def test_a_provider_that_takes_nothing_stops_the_client_and_costs_no_memory(fresh: Project, fake: Fake) -> None:
    fake.plan("never_read", "upload")
    with Peak(fresh.server) as peak, Connection(fresh.server) as connection:
        connection.send(upload_head(None, form_length(LARGE), **_headers(fresh)))
        connection.send(form_begin())
        assert _sent_until_blocked(connection, LARGE) < IN_BUFFERS
        during = _connections_to(fresh, fake)
        connection.leave("reset")
    assert peak.growth < ALLOWED_FOR_ONE
    # While nothing is read from the client its leaving cannot be seen: the provider's own deadline ends the call at the latest.
    eventually(lambda: _connections_to(fresh, fake) < during, "the call to the provider has ended", seconds=2 * IDLE_SECONDS)
    assert fake.files(fresh.credential)[-1]["filename"] == "warm.bin"


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=1-"}], ids=["whole", "part"])
def test_a_client_that_takes_nothing_stops_the_provider_and_costs_no_memory(fresh: Project, fake: Fake, asked: dict[str, str]) -> None:
    file_id = fake.put(fresh.credential, BLOCK * 64, "application/octet-stream")
    with Peak(fresh.server) as peak, Connection(fresh.server, receive_buffer=PIECE) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", None, **_headers(fresh), **asked))
        connection.receive(MIB)
        _until_nothing_changes(fresh)
        during = fake.state()["open_connections"]
        connection.leave("reset")
        # Had the provider been able to send it all, its connection would be kept for other calls.
        eventually(lambda: fake.state()["open_connections"] < during, "the call to the provider has ended", seconds=10)
    assert peak.growth < ALLOWED_FOR_ONE


@pytest.mark.full
def test_300_mib_past_a_slow_provider_cost_no_memory(fresh: Project, fake: Fake) -> None:
    fake.plan("slow_read", "upload", bytes_per_second=SLOW)
    with Peak(fresh.server) as peak:
        file_id = _upload(fresh, LARGE)
        _download(fresh, file_id, LARGE)
    assert peak.growth < ALLOWED_FOR_ONE


@pytest.mark.full
def test_four_transfers_of_300_mib_at_once_cost_little_memory(fresh: Project) -> None:
    with Peak(fresh.server) as peak, ThreadPoolExecutor(4) as threads:
        file_ids = list(threads.map(lambda _: _upload(fresh, LARGE), range(4)))
        list(threads.map(lambda file_id: _download(fresh, file_id, LARGE), file_ids))
    assert peak.growth < ALLOWED_FOR_FOUR
