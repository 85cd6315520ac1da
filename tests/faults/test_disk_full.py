"""A full disk refuses what has no room, says so, loses nothing, and is forgotten as soon as there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from support.database import integrity_of
from support.expect import assert_deleted, assert_file, assert_openai_error
from support.limits import MIB, blobs_of, fill, remount, small_disk, temporaries_of
from support.polling import eventually_equal
from support.raw_http import LAST_CHUNK, Connection, chunk, form_begin, form_end, form_length, upload_head, zeros
from support.server import RunningServer, running_server

pytestmark = pytest.mark.needs_root

BLOB_DISK_BYTES = 16 * MIB
DATABASE_DISK_BYTES = 4 * MIB
LARGER_THAN_THE_DISK = 30 * MIB


@dataclass
class Disks:
    """A server whose database and whose blobs each have a small disk to themselves."""

    server: RunningServer
    database: Path
    blobs: Path


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    data_dir = tmp_path_factory.mktemp("disks") / "data"
    with (
        small_disk(data_dir, DATABASE_DISK_BYTES),
        small_disk(data_dir / "blobs", BLOB_DISK_BYTES),
        running_server(data_dir) as server,
    ):
        yield Disks(server, data_dir, data_dir / "blobs")


@pytest.fixture
def files(disks: Disks) -> Iterator[httpx2.Client]:
    with disks.server.client() as client:
        yield client


def upload(client: httpx2.Client, content: bytes) -> httpx2.Response:
    return client.post("/files", data={"purpose": "user_data"}, files={"file": ("data.bin", content)})


def assert_no_room(response: httpx2.Response) -> None:
    assert_openai_error(response, 503, "storage_unavailable", type="server_error")
    assert int(response.headers["retry-after"]) > 0


def test_a_file_larger_than_the_room_left_is_refused_and_leaves_nothing(disks: Disks, files: httpx2.Client):
    before = blobs_of(disks.server.data_dir)
    content = bytes(5 * MIB)
    kept = assert_file(upload(files, content))
    assert_no_room(upload(files, bytes(14 * MIB)))
    eventually_equal(lambda: temporaries_of(disks.server), [])
    assert len(blobs_of(disks.server.data_dir)) == len(before) + 1
    assert files.get(f"/files/{kept['id']}/content").content == content
    assert assert_file(upload(files, content), bytes=len(content))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_sends_everything_first_still_learns_that_the_disk_is_full(disks: Disks, *, chunked: bool):
    with Connection(disks.server) as connection:
        connection.send(upload_head(disks.server.api_key, None if chunked else form_length(LARGER_THAN_THE_DISK)))
        for data in (form_begin(), *zeros(LARGER_THAN_THE_DISK), form_end()):
            connection.send(chunk(data) if chunked else data)
        connection.send(LAST_CHUNK if chunked else b"")
        assert_no_room(connection.answer())
    eventually_equal(lambda: temporaries_of(disks.server), [])


def test_on_a_disk_without_a_byte_left_everything_but_uploads_goes_on(disks: Disks, files: httpx2.Client):
    kept = assert_file(upload(files, b"kept"))
    doomed = assert_file(upload(files, b"doomed"))
    ballast = fill(disks.blobs)
    try:
        assert_no_room(upload(files, b"a"))
        ready = httpx2.get(f"{disks.server.url}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()) == (200, {"status": "degraded"})
        assert httpx2.get(f"{disks.server.url}/healthz", trust_env=False).status_code == 200
        assert files.get(f"/files/{kept['id']}/content").content == b"kept"
        assert kept["id"] in {file["id"] for file in files.get("/files").json()["data"]}
        assert_deleted(files.delete(f"/files/{doomed['id']}"), str(doomed["id"]))
        assert temporaries_of(disks.server) == []
    finally:
        ballast.unlink()
    assert_file(upload(files, b"there is room again"))
    assert httpx2.get(f"{disks.server.url}/readyz", trust_env=False).json() == {"status": "ok"}


def test_a_full_database_refuses_changes_and_goes_on_reading(disks: Disks, files: httpx2.Client):
    kept = assert_file(upload(files, b"kept"))
    total = files.get("/files").json()["total"]
    fill_database(disks, files)
    try:
        assert_no_room(upload(files, b"refused"))
        assert_no_room(files.delete(f"/files/{kept['id']}"))
        assert files.get(f"/files/{kept['id']}/content").content == b"kept"
        assert files.get("/files").json()["total"] >= total
        assert temporaries_of(disks.server) == []
    finally:
        (disks.database / "ballast").unlink()
    assert_deleted(files.delete(f"/files/{kept['id']}"), str(kept["id"]))
    assert_file(upload(files, b"there is room again"))
    assert integrity_of(disks.server.data_dir) == "ok"


def test_an_upload_that_a_full_database_refused_leaves_no_blob(disks: Disks, files: httpx2.Client):
    fill_database(disks, files)
    try:
        before = blobs_of(disks.server.data_dir)
        assert_no_room(upload(files, b"refused"))
        assert blobs_of(disks.server.data_dir) == before
    finally:
        (disks.database / "ballast").unlink()


def fill_database(disks: Disks, client: httpx2.Client) -> None:
    """Takes the room on the database's disk, then uploads until the log has used up what it had already."""
    fill(disks.database)
    while upload(client, b"a").status_code == 200:
        continue


def test_a_disk_that_is_made_larger_is_used_at_once(disks: Disks, files: httpx2.Client):
    assert_no_room(upload(files, bytes(BLOB_DISK_BYTES)))
    remount(disks.blobs, f"size={3 * BLOB_DISK_BYTES}")
    try:
        assert_file(upload(files, bytes(BLOB_DISK_BYTES)))
    finally:
        remount(disks.blobs, f"size={2 * BLOB_DISK_BYTES}")
