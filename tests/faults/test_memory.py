"""Memory does not depend on the size of what is stored: 512 MiB up and down, and four transfers at once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.expect import assert_file
from support.limits import MIB, Peak, blobs_of
from support.raw_http import LAST_CHUNK, PIECE, Connection, chunk, form_begin, form_end, form_length, head, upload_head, zeros
from support.server import RunningServer, running_server

LARGE = 512 * MIB
PARALLEL = 4
EACH = 100 * MIB
ALLOWED_FOR_ONE = 32 * MIB
ALLOWED_FOR_FOUR = 64 * MIB
REST_SECONDS = 0.7


@pytest.fixture(scope="module")
def fresh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of its own, whose memory no other test has stretched before; its files are removed as soon as it has ended."""
    data_dir: Path = tmp_path_factory.mktemp("memory") / "data"
    with running_server(data_dir) as server:
        with server.client() as client:
            assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("warm.bin", b"warm")}))
        yield server
    for blob in blobs_of(data_dir):
        blob.unlink()


def upload(server: RunningServer, size: int, *, chunked: bool = False) -> str:
    """Sends that many zeros, made as they are sent; the file's id."""
    with Connection(server, timeout=60) as connection:
        connection.send(upload_head(server.api_key, None if chunked else form_length(size)))
        for data in (form_begin(), *zeros(size), form_end()):
            connection.send(chunk(data) if chunked else data)
        connection.send(LAST_CHUNK if chunked else b"")
        return str(assert_file(connection.answer(), bytes=size)["id"])


def download(server: RunningServer, file_id: str, size: int, *, rest_seconds: float = 0, **headers: str) -> None:
    """Takes the whole content through a small window and checks it; rests after the first of it, for the server to fill its memory."""
    with Connection(server, timeout=60, receive_buffer=PIECE) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", server.api_key, **headers))
        while connection.receive_line() != b"\r\n":
            continue
        received, buffer = 0, bytearray(PIECE)
        resting = threading.Event()
        while received < size:
            count = connection.socket.recv_into(buffer, min(PIECE, size - received))
            assert count, f"the download ended after {received} of {size} bytes"
            assert buffer.count(0, 0, count) == count
            received += count
            if rest_seconds and received >= MIB and not resting.is_set():
                resting.wait(rest_seconds)
                resting.set()


@pytest.fixture(scope="module")
def large_file(fresh_server: RunningServer) -> str:
    return upload(fresh_server, LARGE, chunked=True)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_of_512_mib_costs_no_memory(fresh_server: RunningServer, *, chunked: bool):
    with Peak(fresh_server) as peak:
        file_id = upload(fresh_server, LARGE, chunked=chunked)
    assert peak.growth < ALLOWED_FOR_ONE
    with fresh_server.client() as client:
        assert client.head(f"/files/{file_id}/content").headers["etag"] == f'"{_hash_of_zeros(LARGE)}"'


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-"}], ids=["whole", "ranged"])
def test_a_download_of_512_mib_by_a_slow_client_costs_no_memory(fresh_server: RunningServer, large_file: str, asked: dict[str, str]):
    with Peak(fresh_server) as peak:
        download(fresh_server, large_file, LARGE, rest_seconds=REST_SECONDS, **asked)
    assert peak.growth < ALLOWED_FOR_ONE


def test_four_transfers_at_once_cost_little_memory(fresh_server: RunningServer):
    with ThreadPoolExecutor(PARALLEL) as clients, Peak(fresh_server) as peak:
        files = list(clients.map(lambda _: upload(fresh_server, EACH), range(PARALLEL)))
        list(clients.map(lambda file_id: download(fresh_server, file_id, EACH), files))
        list(clients.map(lambda file_id: download(fresh_server, file_id, EACH, Range="bytes=0-"), files))
    assert peak.growth < ALLOWED_FOR_FOUR


def _hash_of_zeros(size: int) -> str:
    hashed = hashlib.sha256()
    for piece in zeros(size):
        hashed.update(piece)
    return hashed.hexdigest()
