"""A data directory belongs to one server, which its administration and all of its workers share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.limits import temporaries_of, worker_of
from support.polling import eventually
from support.raw_http import Connection, form_begin, form_end, form_length, head, upload_head, whole_form
from support.server import RunningServer, running_server, start_server, wait_until_dead
from support.starts import refused_start

WORKERS = 2
LONGEST_STOP_SECONDS = 20


def test_a_second_server_is_refused_and_the_first_goes_on(tmp_path: Path):
    with running_server(tmp_path / "data") as server, Connection(server) as upload:
        content = bytes(2 << 20)
        upload.send(upload_head(server.api_key, form_length(len(content))) + form_begin() + content)
        eventually(lambda: temporaries_of(server), "the upload is under way", seconds=30)
        message = refused_start(server.data_dir)
        assert f"process {server.process.pid}" in message
        assert str(server.data_dir) in message
        assert "--data-dir" in message
        upload.send(form_end())
        assert_file(upload.answer(), bytes=len(content))


def test_a_worker_whose_parent_was_killed_finishes_its_transfers_and_lets_nobody_in_before(tmp_path: Path):
    server = start_server(tmp_path / "data")
    workers = server.workers()
    content = bytes(2 << 20)
    try:
        with Connection(server) as upload:
            upload.send(upload_head(server.api_key, form_length(len(content))) + form_begin() + content)
            eventually(lambda: temporaries_of(server), "the upload is under way", seconds=30)
            server.process.kill()
            server.process.wait()
            assert str(server.data_dir) in refused_start(server.data_dir)
            upload.send(form_end())
            file = assert_file(upload.answer(), bytes=len(content))
        wait_until_dead(workers, LONGEST_STOP_SECONDS)
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
    with running_server(server.data_dir, key=server.api_key) as again, again.client() as client:
        assert client.get(f"/files/{file['id']}/content").content == content


def test_the_administration_works_while_the_server_runs(fault_server: RunningServer):
    made = fault_server.run("project", "create", "while-it-runs")
    assert made.returncode == 0, made.stderr
    assert "while-it-runs" in fault_server.run("project", "list").stdout
    key = fault_server.create_key(project="while-it-runs")
    with fault_server.client(key) as client:
        assert client.get("/files").json()["data"] == []
    keys = json.loads(fault_server.run("key", "list", "--project", "while-it-runs", "--json").stdout)
    assert [entry["state"] for entry in keys] == ["active"]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("workers") / "data", arguments=("--workers", str(WORKERS))) as server:
        yield server


@pytest.fixture
def connections(two_workers: RunningServer) -> Iterator[list[Connection]]:
    """One open connection to each worker."""
    found: dict[int, Connection] = {}
    unneeded: list[Connection] = []
    eventually(lambda: len(two_workers.workers()) == WORKERS, "every worker runs", seconds=10)
    for _ in range(200):
        connection = Connection(two_workers)
        connection.send(head("GET", "/healthz", None))
        connection.answer()
        worker = worker_of(two_workers, connection.port)
        assert worker is not None
        unneeded.append(connection) if worker in found else found.update({worker: connection})
        if len(found) == WORKERS:
            break
    assert len(found) == WORKERS
    yield list(found.values())
    for connection in (*found.values(), *unneeded):
        connection.socket.close()


def test_a_file_is_at_once_the_same_on_every_worker(two_workers: RunningServer, connections: list[Connection]):
    first, second = connections
    key = two_workers.api_key
    for content in (b"on the first worker", b"again", b"and again"):
        first.send(upload_head(key, form_length(len(content))) + whole_form(content))
        file_id = str(assert_file(first.answer())["id"])
        second.send(head("GET", f"/v1/files/{file_id}", key))
        assert_file(second.answer(), bytes=len(content))
        second.send(head("GET", f"/v1/files/{file_id}/content", key))
        assert second.answer().content == content
        second.send(head("GET", "/v1/files", key))
        assert file_id == second.answer().json()["first_id"]
        second.send(head("DELETE", f"/v1/files/{file_id}", key))
        assert_deleted(second.answer(), file_id)
        first.send(head("GET", f"/v1/files/{file_id}", key))
        assert_openai_error(first.answer(), 404, None, param="id")


def test_a_revoked_key_stops_working_on_every_worker(two_workers: RunningServer, connections: list[Connection]):
    key = two_workers.create_key(project="revoked")

    def statuses() -> set[int]:
        for connection in connections:
            connection.send(head("GET", "/v1/files", key))
        return {connection.answer().status_code for connection in connections}

    assert statuses() == {200}
    (entry,) = json.loads(two_workers.run("key", "list", "--project", "revoked", "--json").stdout)
    assert two_workers.run("key", "revoke", entry["id"]).returncode == 0
    eventually(lambda: statuses() == {401}, "both workers refuse the key", seconds=5)


def test_the_death_of_a_worker_is_survived(two_workers: RunningServer):
    before = _worker_ids(two_workers)
    psutil.Process(min(before)).kill()
    eventually(lambda: len(_worker_ids(two_workers) - before) == 1, "a new worker runs", seconds=15)
    with two_workers.client() as client:
        assert client.get("/files").status_code == 200


def _worker_ids(server: RunningServer) -> set[int]:
    """None while a worker that has ended has not been noticed by its parent."""
    try:
        return {worker.pid for worker in server.workers()}
    except psutil.NoSuchProcess:
        return set()
