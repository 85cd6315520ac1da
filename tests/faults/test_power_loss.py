"""A disk that loses its power has kept what was answered, and whatever it kept is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.injection import kill_at_once
from support.limits import temporaries_of
from support.oracle import assert_consistent
from support.power_loss import KINDS, Disk, disk_with_power
from support.raw_http import Connection, head, upload_head, whole_form
from support.server import RunningServer, start_server

pytestmark = pytest.mark.needs_root

EACH_FILE_SYSTEM = pytest.mark.parametrize("kind", KINDS)
SIZES = (70_000, 3_000_000)


@dataclass
class Machine:
    """A server whose data directory is on a disk of its own, or only its blobs are."""

    disk: Disk
    server: RunningServer

    def restart(self) -> None:
        """What follows a cut, which the tests make themselves, since the moment is what counts."""
        kill_at_once(self.server)
        self.disk.power_up()
        assert_consistent(self.server.data_dir, orphans_allowed=True)
        self.server = start_server(self.server.data_dir, key=self.server.api_key)
        assert temporaries_of(self.server) == []


@contextmanager
def machine_with(directory: Path, kind: str, *, blobs_alone: bool = False) -> Iterator[Machine]:
    data_dir = directory / kind / "data"
    with disk_with_power(directory, kind, at=data_dir / "blobs" if blobs_alone else None) as disk:
        machine = Machine(disk, start_server(data_dir))
        try:
            yield machine
        finally:
            kill_at_once(machine.server)


@pytest.mark.parametrize(
    "blobs_alone", [False, pytest.param(True, marks=pytest.mark.full)], ids=["one disk", "the blobs on a disk of their own"]
)
@EACH_FILE_SYSTEM
def test_a_file_is_there_although_the_power_went_the_instant_it_was_answered(tmp_path: Path, kind: str, *, blobs_alone: bool):
    acknowledged: dict[str, bytes] = {}
    with machine_with(tmp_path, kind, blobs_alone=blobs_alone) as machine:
        for size in SIZES:
            content = os.urandom(size)
            form = whole_form(content)
            with Connection(machine.server) as connection:
                connection.send(upload_head(machine.server.api_key, len(form)) + form)
                status_line = connection.receive_line()
                machine.disk.cut()
                assert status_line == b"HTTP/1.1 200 OK\r\n"
            machine.restart()
            with machine.server.client() as client:
                listed = client.get("/files").json()["data"]
                contents = {file["id"]: client.get(f"/files/{file['id']}/content").content for file in listed}
            assert {file_id: contents.get(file_id) for file_id in acknowledged} == acknowledged
            (new,) = contents.keys() - acknowledged.keys()
            assert contents[new] == content
            acknowledged = contents


@EACH_FILE_SYSTEM
def test_a_deleted_file_stays_deleted_although_the_power_went_the_instant_it_was_answered(tmp_path: Path, kind: str):
    with machine_with(tmp_path, kind) as machine:
        with machine.server.client() as client:
            kept, gone = (
                str(assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}))["id"])
                for content in (b"kept", b"gone")
            )
        with Connection(machine.server) as connection:
            connection.send(head("DELETE", f"/v1/files/{gone}", machine.server.api_key))
            status_line = connection.receive_line()
            machine.disk.cut()
            assert status_line == b"HTTP/1.1 200 OK\r\n"
        machine.restart()
        with machine.server.client() as client:
            assert_openai_error(client.get(f"/files/{gone}"), 404, None, param="id")
            assert [file["id"] for file in client.get("/files").json()["data"]] == [kept]
            assert client.get(f"/files/{kept}/content").content == b"kept"
            assert_deleted(client.delete(f"/files/{kept}"), kept)


@EACH_FILE_SYSTEM
def test_the_disk_loses_what_was_not_synced(tmp_path: Path, kind: str):
    """Otherwise the tests above would show nothing."""
    with disk_with_power(tmp_path, kind) as disk:
        (disk.path / "synced").write_bytes(b"synced")
        for path in (disk.path / "synced", disk.path):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        (disk.path / "unsynced").write_bytes(b"unsynced")
        disk.cut()
        disk.power_up()
        assert (disk.path / "synced").read_bytes() == b"synced"
        assert not (disk.path / "unsynced").exists()
