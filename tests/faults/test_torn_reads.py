"""A download is the whole file or visibly broken off, whatever becomes of the file and of the connection meanwhile."""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.injection import Fault, kill_at_once, traced
from support.limits import MIB, blobs_of, descriptors, open_blobs_of
from support.polling import eventually, eventually_equal
from support.raw_http import Connection, head
from support.server import RunningServer, running_server
from support.tcp_proxy import TcpProxy, Way, tcp_proxy

CONTENT = os.urandom(8 * MIB)
MIDDLING = MIB + 50_000
AT_ONCE = 1_500
BEGINNING = 1_000
PACED = Way(bytes_per_second=100 * MIB)
EACH_WAY_TO_READ = pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}], ids=["whole", "range"])


@dataclass
class Stored:
    """One file, and where its bytes lie."""

    id: str
    blob: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("torn") / "data") as running:
        yield running


def stored(server: RunningServer) -> Stored:
    before = set(blobs_of(server.data_dir))
    with server.client() as client:
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", CONTENT)}))
    (blob,) = set(blobs_of(server.data_dir)) - before
    return Stored(str(file["id"]), blob)


def download(server: RunningServer, proxy: TcpProxy, file: Stored, headers: dict[str, str]) -> Connection:
    """A download through the proxy that has been asked for. The client takes little of it until it reads the answer."""
    connection = Connection(replace(server, port=proxy.port), receive_buffer=4096)
    connection.send(head("GET", f"/v1/files/{file.id}/content", server.api_key, **headers))
    return connection


@EACH_WAY_TO_READ
def test_a_download_under_way_stays_whole_although_the_file_is_deleted_and_its_bytes_removed(
    server: RunningServer, headers: dict[str, str]
):
    file = stored(server)
    with tcp_proxy(server.port, to_client=PACED) as proxy, download(server, proxy, file, headers) as connection:
        eventually(lambda: proxy.passed > 0, "the download is under way", seconds=20)
        with server.client() as client:
            assert_deleted(client.delete(f"/files/{file.id}"), file.id)
            file.blob.unlink()
            assert_openai_error(client.get(f"/files/{file.id}/content"), 404, None, param="id")
        assert proxy.passed < len(CONTENT) // 2, "it was over before"
        answer = connection.answer()
    assert answer.status_code == (206 if headers else 200)
    assert answer.content == CONTENT
    eventually_equal(lambda: open_blobs_of(server), [])


@pytest.mark.parametrize("nth", [1, 2], ids=["of the directory", "of the file"])
def test_a_file_whose_bytes_vanish_as_they_are_opened_is_an_error_and_never_an_empty_success(
    server: RunningServer, tmp_path: Path, nth: int
):
    file = stored(server)
    vanished = Fault("openat", nth, "error=ENOENT")
    with server.client() as client, traced(server, tmp_path / "trace.log", vanished) as trace:
        answer = client.get(f"/files/{file.id}/content")
    assert trace.struck
    assert_openai_error(answer, 500, "storage_integrity_error", type="server_error", definitive=True)


def test_a_file_that_is_purged_as_it_is_handed_to_the_http_server_is_sent_whole(server: RunningServer, tmp_path: Path):
    file, served = stored(server), server.data_dir / "blobs" / "served"
    # Each thread counts its own calls: the one that opens nothing else in a download is the HTTP server's.
    late = Fault("openat", 1, "delay_enter=300000")
    earlier = set(served.iterdir())
    with traced(server, tmp_path / "trace.log", late) as trace, Connection(server) as connection, server.client() as client:
        connection.send(head("GET", f"/v1/files/{file.id}/content", server.api_key, Connection="close"))
        eventually(lambda: set(served.iterdir()) - earlier, "it is handed over", seconds=10)
        assert_deleted(client.delete(f"/files/{file.id}", params={"purge": "true"}), file.id)
        assert not file.blob.exists()
        answer = connection.answer()
    assert "(DELAYED)" in trace.log
    assert (answer.status_code, answer.content == CONTENT) == (200, True)


def test_however_many_downloads_begin_at_once_each_is_of_its_own_file(server: RunningServer):
    """Many more than the server opens files for at once, of two projects whose files have the same size."""
    keys = [server.api_key, server.create_key(project="the-other")]
    contents = [bytes([65 + number]) * MIDDLING for number in range(len(keys))]
    with descriptors(2 * AT_ONCE):
        requests = []
        for key, content in zip(keys, contents, strict=True):
            with server.client(key) as client:
                file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)}))
            requests.append(head("GET", f"/v1/files/{file['id']}/content", key, Connection="close"))
        asked = [number % len(requests) for number in range(AT_ONCE)]
        answers = asyncio.run(_beginnings(server, [requests[number] for number in asked]))
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    assert [answer.partition(b"\r\n\r\n")[2][:1] for answer in answers] == [contents[number][:1] for number in asked]


async def _beginnings(server: RunningServer, requests: list[bytes]) -> list[bytes]:
    """The first kilobyte of each answer, all of them asked for before any is read."""
    streams = [await asyncio.open_connection("127.0.0.1", server.port, limit=BEGINNING) for _ in requests]

    async def beginning(number: int) -> bytes:
        reader, writer = streams[number]
        async with asyncio.timeout(60):
            try:
                return await reader.readexactly(BEGINNING)
            except asyncio.IncompleteReadError as error:
                return error.partial
            finally:
                writer.transport.abort()

    for (_, writer), request in zip(streams, requests, strict=True):
        writer.write(request)
    return await asyncio.gather(*[beginning(number) for number in range(len(streams))])


@EACH_WAY_TO_READ
@pytest.mark.parametrize("cut", ["fin", "reset"])
def test_a_connection_that_is_cut_before_the_last_byte_is_no_success_for_the_client_and_lets_go_of_the_file(
    server: RunningServer, cut: str, headers: dict[str, str]
):
    file = stored(server)
    with tcp_proxy(server.port, to_client=Way(cut_after=len(CONTENT), cut=cut)) as proxy:
        with replace(server, port=proxy.port).client() as client, pytest.raises(httpx2.TransportError):
            client.get(f"/files/{file.id}/content", headers=headers)
        assert proxy.cut.is_set()
        eventually_equal(lambda: open_blobs_of(server), [], seconds=10)


@EACH_WAY_TO_READ
def test_a_download_whose_server_is_killed_is_broken_off(tmp_path: Path, headers: dict[str, str]):
    with running_server(tmp_path / "data") as server:
        file = stored(server)
        with tcp_proxy(server.port, to_client=PACED) as proxy, download(server, proxy, file, headers) as connection:
            eventually(lambda: proxy.passed > 0, "the download is under way", seconds=20)
            kill_at_once(server)
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                connection.answer()
