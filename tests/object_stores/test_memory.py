"""Memory does not depend on the size of what is stored in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.limits import MIB, Peak
from support.object_servers import ObjectServer
from support.object_stores import located
from support.raw_http import PIECE, Connection, form_begin, form_end, form_length, head, upload_head, zeros
from support.server import RunningServer, running_server

LARGE = 300 * MIB
ALLOWED = 64 * MIB


@pytest.fixture(params=["seaweed", "azure", "gcs"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    store: ObjectServer = request.getfixturevalue(request.param)
    with running_server(tmp_path / "data", variables=store.environment, blob_store=located(store)) as server:
        upload(server, MIB)
        yield server


def upload(server: RunningServer, size: int) -> str:
    with Connection(server, timeout=120) as connection:
        connection.send(upload_head(server.api_key, form_length(size)))
        for data in (form_begin(), *zeros(size), form_end()):
            connection.send(data)
        answer = connection.answer()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


def download(server: RunningServer, file_id: str) -> int:
    with Connection(server, timeout=120) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", server.api_key))
        while connection.receive_line() != b"\r\n":
            continue
        received, buffer = 0, bytearray(PIECE)
        while received < LARGE and (taken := connection.socket.recv_into(buffer, min(PIECE, LARGE - received))):
            assert buffer.count(0, 0, taken) == taken
            received += taken
        return received


@pytest.mark.full
def test_300_mib_up_and_down_cost_little_memory(served: RunningServer):
    with Peak(served) as uploading:
        file_id = upload(served, LARGE)
    with Peak(served) as downloading:
        assert download(served, file_id) == LARGE
    with served.client() as client:
        assert client.delete(f"/files/{file_id}", params={"purge": "true"}).status_code == 200
    assert max(uploading.growth, downloading.growth) < ALLOWED, f"{uploading.growth / MIB:.0f} up, {downloading.growth / MIB:.0f} down"
