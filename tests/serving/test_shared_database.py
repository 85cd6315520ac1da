"""Servers over one PostgreSQL are one service: what one does, the others know, and each starts without the others' help."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_openai_error
from support.forms import upload, uploaded
from support.metrics import samples_of, value_of
from support.polling import eventually
from support.postgres import PostgresServer
from support.server import RunningServer, run_fileplane, start_server

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
KEY = "fpk_QmT4vZ7xK1sRw9LpD3hYc8NfJ6bG2uAe"


@pytest.fixture
def nodes(tmp_path: Path, url: str) -> Iterator[list[RunningServer]]:
    """Two servers; their blobs are their own as long as they are on local disks."""
    with ExitStack() as stack:
        started = []
        for name in ("one", "two"):
            server = start_server(tmp_path / name, key=KEY, database_url=url, master_key=MASTER_KEY, metadata_deadline_seconds=5)
            stack.callback(server.kill)
            started.append(server)
        yield started


@pytest.fixture
def clients(nodes: list[RunningServer]) -> Iterator[list[httpx2.Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(node.client(KEY)) for node in nodes]


def test_what_one_server_does_the_other_knows(nodes: list[RunningServer], clients: list[httpx2.Client]):
    one, two = clients
    file = uploaded(one, b"content")
    assert two.get(f"/files/{file['id']}").json() == file
    assert [entry["id"] for entry in two.get("/files").json()["data"]] == [file["id"]]
    assert_deleted(two.delete(f"/files/{file['id']}"), file["id"])
    assert_openai_error(one.get(f"/files/{file['id']}"), 404, None, param="id")
    assert one.get("/files").json()["total"] == 0
    assert not (nodes[0].data_dir / "fileplane.db").exists()
    assert "postgresql://" not in nodes[0].log + nodes[1].log


@pytest.mark.full
def test_the_metrics_tell_the_size_of_the_database_and_no_room_that_nobody_here_can_see(
    nodes: list[RunningServer], clients: list[httpx2.Client], postgres: PostgresServer
):
    uploaded(clients[0], b"content")
    eventually(lambda: value_of(samples_of(nodes[0]), "fileplane_database_bytes") > 0, "it has been looked at", seconds=20)
    samples = samples_of(nodes[0])
    ((size,),) = postgres.execute("SELECT pg_database_size('shared')")
    assert size / 2 < value_of(samples, "fileplane_database_bytes") < size * 2
    assert value_of(samples, "fileplane_disk_free_bytes", disk="blobs") > 0
    assert "database" not in {dict(labels).get("disk") for _, labels in samples}


@pytest.mark.full
def test_a_database_that_is_away_for_a_while_is_told_of_and_nothing_else(
    nodes: list[RunningServer], clients: list[httpx2.Client], postgres: PostgresServer
):
    client = clients[0]
    file = uploaded(client, b"content")
    postgres.stop(signal.SIGQUIT)
    try:
        assert_openai_error(client.get(f"/files/{file['id']}"), 503, "storage_unavailable", type="server_error")
        assert_openai_error(upload(client, b"more"), 503, "storage_unavailable", type="server_error")
        assert client.get(f"{nodes[0].url}/readyz").status_code == 503
    finally:
        postgres.start()
    eventually(lambda: client.get(f"{nodes[0].url}/readyz").status_code == 200, "the server is ready again", seconds=10)
    assert client.get(f"/files/{file['id']}").json() == file
    assert client.get("/files").json()["total"] == 1


@pytest.mark.full
def test_commands_work_beside_the_servers_and_say_what_they_cannot_do(nodes: list[RunningServer], tmp_path: Path, url: str):
    listed = nodes[0].run("key", "list", FILEPLANE_DATABASE_URL=url, FILEPLANE_MASTER_KEY=MASTER_KEY)
    assert listed.returncode == 0, listed.stderr
    assert "bootstrap" in listed.stdout
    backup = nodes[0].run("backup", str(tmp_path / "backup"), FILEPLANE_DATABASE_URL=url)
    assert backup.returncode != 0
    assert "pg_dump" in backup.stderr


def test_a_server_that_would_make_a_master_key_of_its_own_for_a_database_of_several_is_refused(tmp_path: Path, url: str):
    refused = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), FILEPLANE_DATABASE_URL=url)
    assert refused.returncode != 0
    assert "No master key is set, and database_url is" in refused.stderr
    assert "FILEPLANE_MASTER_KEY_FILE" in refused.stderr
    assert list((tmp_path / "data").glob("master.key*")) == []


@pytest.mark.full
def test_a_server_that_cannot_use_its_database_says_why_and_no_password(tmp_path: Path, postgres: PostgresServer):
    wrong = f"postgresql://someone:hunter2@127.0.0.1:{postgres.port}/nowhere"
    refused = run_fileplane("serve", "--data-dir", str(tmp_path / "data"), FILEPLANE_DATABASE_URL=wrong)
    assert refused.returncode != 0
    assert "database_url" in refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout
