"""A server that is killed with SIGKILL has lost nothing that it acknowledged, and starts again by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from support.database import integrity_of
from support.expect import assert_file
from support.limits import MIB, blobs_of, temporaries_of
from support.polling import eventually
from support.raw_http import Connection, form_begin, form_length, upload_head
from support.server import RunningServer
from support.starts import SHOWN_KEY, start_unattended

UPLOADERS = 4
ENOUGH_ACKNOWLEDGED = 40
HALF_SENT = 5


@pytest.fixture
def servers() -> Iterator[list[RunningServer]]:
    """Every server that a test has started; what still runs at its end is killed."""
    started: list[RunningServer] = []
    yield started
    for server in started:
        if server.process.poll() is None:
            server.kill()


def test_after_a_kill_amid_uploads_every_acknowledged_file_is_there(tmp_path: Path, servers: list[RunningServer]):
    first = start_unattended(tmp_path / "data")
    servers.append(first)
    assert SHOWN_KEY.findall(first.output) == [first.api_key] * 2, "the key, and the line to try it with"

    acknowledged = _kill_amid_uploads(first)
    assert len(temporaries_of(first)) >= HALF_SENT

    second = start_unattended(tmp_path / "data")
    servers.append(second)
    assert second.api_key == ""
    assert "fpk_" not in second.output + second.log
    assert temporaries_of(second) == []
    second.api_key = first.api_key
    with second.client() as client:
        listed = client.get("/files", params={"limit": 10_000}).json()
        assert listed["total"] == len(listed["data"])
        contents = {file["id"]: client.get(f"/files/{file['id']}/content").content for file in listed["data"]}
        assert {file_id: contents.get(file_id) for file_id in acknowledged} == acknowledged
        assert [len(contents[file["id"]]) for file in listed["data"]] == [file["bytes"] for file in listed["data"]]
        assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", b"and goes on")}))
    assert len(blobs_of(second.data_dir)) >= len(acknowledged)
    assert integrity_of(second.data_dir) == "ok"


def _kill_amid_uploads(server: RunningServer) -> dict[str, bytes]:
    """What had been acknowledged when the server was killed while several clients went on uploading."""
    acknowledged: dict[str, bytes] = {}
    half_sent = [Connection(server) for _ in range(HALF_SENT)]
    for connection in half_sent:
        connection.send(upload_head(server.api_key, form_length(10 * MIB)) + form_begin() + bytes(2 * MIB))
    eventually(lambda: len(temporaries_of(server)) >= HALF_SENT, "the uploads are under way", seconds=30)

    uploaders = [threading.Thread(target=_upload_until_it_fails, args=(server, acknowledged)) for _ in range(UPLOADERS)]
    for uploader in uploaders:
        uploader.start()
    eventually(lambda: len(acknowledged) >= ENOUGH_ACKNOWLEDGED, "enough uploads are acknowledged", seconds=30)
    server.kill()
    for uploader in uploaders:
        uploader.join()
    for connection in half_sent:
        connection.leave("fin")
    return acknowledged


def _upload_until_it_fails(server: RunningServer, acknowledged: dict[str, bytes]) -> None:
    with server.client() as client, suppress(httpx2.TransportError):
        while True:
            content = os.urandom(20_000)
            file = client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}).json()
            acknowledged[file["id"]] = content
