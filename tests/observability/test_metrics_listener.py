"""`metrics_address`: the metrics of the whole server without a key, and nothing else."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import psutil
import pytest

from support.expect import assert_file
from support.metrics import samples_at, samples_of, value_of
from support.polling import eventually
from support.ports import free_port
from support.server import RunningServer, run_fileplane, running_server

CONNECTIONS = 8


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("told")
    options = {"metrics_address": f"127.0.0.1:{free_port()}", "metrics_interval_seconds": 0.2, "janitor_interval_seconds": 0.2}
    with running_server(root / "data", workers=request.param, deleted_retention_seconds=0, **options) as running:
        yield running


def address_of(server: RunningServer) -> str:
    return f"http://{server.settings['FILEPLANE_METRICS_ADDRESS']}/metrics"


def told_by(server: RunningServer, name: str, **labels: str) -> float:
    return value_of(samples_at(address_of(server)), name, **labels)


def raw_answer(server: RunningServer, sent: bytes) -> bytes:
    host, _, port = server.settings["FILEPLANE_METRICS_ADDRESS"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def ask(server: RunningServer, times: int) -> None:
    for _ in range(times):  # each on a connection of its own, so that every worker gets some
        httpx2.get(f"{server.base_url}/files", headers=server.headers, trust_env=False).raise_for_status()


def lists(server: RunningServer) -> float:
    """How many were counted, once that stands still: a request is counted after its answer has been sent."""
    readings: list[float] = []

    def stands_still() -> bool:
        readings.append(told_by(server, "fileplane_requests_total", operation="list_files", status_class="2xx"))
        return len(readings) > 5 and len(set(readings[-5:])) == 1

    eventually(stands_still, "every request is counted")
    return readings[-1]


def test_it_tells_without_a_key_what_the_api_tells_with_one(told: RunningServer):
    before = lists(told)
    ask(told, 20)
    assert lists(told) == before + 20
    assert value_of(samples_of(told), "fileplane_requests_total", operation="list_files", status_class="2xx") == before + 20
    assert httpx2.get(f"{told.url}/metrics", trust_env=False).status_code == 401


def test_it_answers_get_and_head_of_one_path_alone(told: RunningServer):
    head = httpx2.head(address_of(told), trust_env=False)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 1_000
    assert httpx2.get(f"{address_of(told)}?name[]=up", trust_env=False).status_code == 200
    for path in ("/", "/v1/files", "/metrics/", "/readyz"):
        assert httpx2.get(address_of(told).removesuffix("/metrics") + path, trust_env=False).status_code == 404
    posted = httpx2.post(address_of(told), content=b"x", trust_env=False)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert raw_answer(told, b"HELLO\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw_answer(told, b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000).startswith(b"HTTP/1.1 431 ")


def test_silent_connections_are_closed_and_no_more_than_a_few_are_held(told: RunningServer):
    host, _, port = told.settings["FILEPLANE_METRICS_ADDRESS"].rpartition(":")
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(3 * CONNECTIONS)]
        # Closed well before the deadline of the connections that are held.
        eventually(lambda: len(select.select(silent, [], [], 0)[0]) >= 2 * CONNECTIONS, "the others are closed at once", seconds=3)
        ask(told, 1)
        assert [connection.recv(1) for connection in silent] == [b""] * len(silent)
    assert lists(told) > 0


def test_files_bytes_and_disks_are_told_as_they_change(told: RunningServer):
    def stored() -> tuple[float, float, float]:
        samples = samples_at(address_of(told))
        live, deleted = value_of(samples, "fileplane_live_files"), value_of(samples, "fileplane_deleted_files")
        return live, deleted, value_of(samples, "fileplane_stored_bytes")

    live, _, size = stored()
    with told.client() as client:
        sent = {"file": ("a.bin", b"x" * 10_000)}
        ids = [assert_file(client.post("/files", data={"purpose": "user_data"}, files=sent))["id"] for _ in range(2)]
        eventually(lambda: stored()[0] == live + 2, "they are counted", seconds=10)
        assert stored()[2] == size + 20_000
        client.delete(f"/files/{ids[0]}").raise_for_status()
    eventually(lambda: stored() == (live + 1, 0, size + 10_000), "the deleted one is collected", seconds=10)
    eventually(lambda: told_by(told, "fileplane_janitor_last_success_timestamp_seconds") > 0, "the janitor has been round", seconds=10)
    samples = samples_at(address_of(told))
    for disk in ("blobs", "database"):
        free, total = value_of(samples, "fileplane_disk_free_bytes", disk=disk), value_of(samples, "fileplane_disk_size_bytes", disk=disk)
        assert 0 < free < total
    assert value_of(samples, "fileplane_database_bytes") >= (told.data_dir / "fileplane.db").stat().st_size
    assert time.time() - value_of(samples, "fileplane_storage_last_observed_timestamp_seconds") < 60
    assert value_of(samples, "fileplane_start_timestamp_seconds") < value_of(samples, "fileplane_storage_last_observed_timestamp_seconds")


def test_a_worker_that_is_replaced_takes_nothing_that_was_counted_with_it(told: RunningServer):
    # The last test of this server: the worker that is killed may hold the janitor's lease, which nobody has for some minutes then.
    ask(told, 10)
    before, starts = lists(told), told_by(told, "fileplane_worker_starts_total")
    workers = told.workers()
    workers[0].kill()
    psutil.wait_procs(workers[:1], 10)
    eventually(lambda: told_by(told, "fileplane_worker_starts_total") == starts + 1, "it is replaced", seconds=20)
    eventually(lambda: told_by(told, "fileplane_workers") == len(workers), "the new one is counted", seconds=20)
    eventually(lambda: _serves(told), "it serves", seconds=20)
    ask(told, 10)
    assert lists(told) == before + 10
    assert told_by(told, "fileplane_process_resident_memory_bytes") > 1_000_000


def _serves(server: RunningServer) -> bool:
    try:
        return all(httpx2.get(f"{server.url}/healthz", trust_env=False).is_success for _ in range(10))
    except httpx2.TransportError:
        return False


def test_deleted_files_are_told_as_long_as_their_bytes_are_kept(tmp_path: Path):
    with running_server(tmp_path / "data", metrics_interval_seconds=0.2) as server, server.client() as client:
        sent = {"file": ("a.bin", b"bytes")}
        file_id = assert_file(client.post("/files", data={"purpose": "user_data"}, files=sent))["id"]
        client.delete(f"/files/{file_id}").raise_for_status()
        eventually(lambda: value_of(samples_of(server), "fileplane_deleted_files") == 1, "it is counted", seconds=10)
        assert value_of(samples_of(server), "fileplane_live_files") == 0
        assert value_of(samples_of(server), "fileplane_stored_bytes") == 5


def test_damage_that_was_never_found_is_told_as_none_so_that_the_first_is_seen_as_growth(told: RunningServer):
    samples = samples_at(address_of(told))
    found = {labels: value for (name, labels), value in samples.items() if name == "fileplane_integrity_failures_total"}
    assert len(found) == 15
    assert set(found.values()) == {0.0}


def test_a_port_that_is_taken_refuses_the_start_before_anything_is_made(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = run_fileplane(
            "serve", "--data-dir", str(tmp_path / "data"), FILEPLANE_PORT=str(free_port()), FILEPLANE_METRICS_ADDRESS=address
        )
    assert refused.returncode != 0
    assert address in refused.stderr
    assert "Choose another metrics_address" in " ".join(refused.stderr.split())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["a..b", "no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_this_machine_does_not_have_refuses_the_start(tmp_path: Path, host: str):
    environment = {"FILEPLANE_PORT": str(free_port()), "FILEPLANE_METRICS_ADDRESS": f"{host}:{free_port()}"}
    refused = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), **environment)
    assert refused.returncode != 0
    assert f"Cannot tell the metrics on {host}:" in " ".join(refused.stderr.split())


def test_the_port_of_the_api_itself_is_refused(tmp_path: Path):
    port = free_port()
    environment = {"FILEPLANE_PORT": str(port), "FILEPLANE_METRICS_ADDRESS": f"127.0.0.1:{port}"}
    refused = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), **environment)
    assert refused.returncode != 0
    assert f"both have port {port}" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:9464", "[::1]", ":9464", "a b:9464"])
def test_what_is_no_address_is_refused(address: str):
    refused = run_fileplane("settings", FILEPLANE_METRICS_ADDRESS=address)
    assert refused.returncode != 0
    assert "metrics_address" in refused.stderr


def test_it_is_closed_with_the_server_and_can_be_had_again_at_once(tmp_path: Path):
    address = f"127.0.0.1:{free_port()}"
    for _ in range(2):
        with running_server(tmp_path / "data", metrics_address=address) as server:
            assert told_by(server, "fileplane_workers") == 1
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"http://{address}/metrics", trust_env=False)


def test_the_last_round_of_the_scrub_is_known_after_a_restart(tmp_path: Path):
    def completed(server: RunningServer) -> float:
        return value_of(samples_of(server), "fileplane_scrub_last_completed_timestamp_seconds")

    with running_server(tmp_path / "data", scrub_interval_seconds=0.2) as server:
        eventually(lambda: completed(server), "a round is over", seconds=10)
    with running_server(tmp_path / "data", key=server.api_key) as again:
        eventually(lambda: completed(again), "it is told", seconds=10)
        assert value_of(samples_of(again), "fileplane_start_timestamp_seconds") > completed(again)
