"""With `verify_reads`, a download of damaged bytes never comes to its end."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import patch

import httpx2
import pytest

from fileplane import metrics
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.files.reading import VerifyingReader, count_unreadable
from fileplane.model import File
from support.broken_stores import flip_a_bit
from support.expect import assert_file, assert_openai_error
from support.limits import MIB, Peak, blobs_of
from support.polling import eventually
from support.raw_http import Connection, head
from support.server import RunningServer, running_server

LARGE = 3 * MIB + 7


@pytest.fixture(scope="module")
def verifying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("verifying") / "data", verify_reads="true", metrics_public="true") as running:
        yield running


def upload(server: RunningServer, content: bytes) -> tuple[str, Path]:
    known = set(blobs_of(server.data_dir))
    with server.client() as client:
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("data.bin", content)}))
    (blob,) = set(blobs_of(server.data_dir)) - known
    return str(file["id"]), blob


def failures(server: RunningServer) -> float:
    lines = httpx2.get(f"{server.url}/metrics", trust_env=False).text.splitlines()
    wanted = 'fileplane_integrity_failures_total{kind="wrong_content",source="verify"}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, LARGE])
def test_sound_files_are_sent_whole(verifying: RunningServer, size: int):
    content = os.urandom(size)
    file_id, _ = upload(verifying, content)
    with verifying.client() as client:
        answer = client.get(f"/files/{file_id}/content")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-length"] == str(size)


@pytest.mark.parametrize("position", [0, LARGE // 2, LARGE - 1])
def test_a_large_damaged_file_is_broken_off_before_its_last_piece(verifying: RunningServer, position: int):
    content = os.urandom(LARGE)
    file_id, blob = upload(verifying, content)
    flip_a_bit(blob, position)
    before = failures(verifying)
    with Connection(verifying) as connection:
        connection.send(head("GET", f"/v1/files/{file_id}/content", verifying.api_key))
        lines = []
        while (line := connection.receive_line()) != b"\r\n":
            lines.append(line.strip().lower())
        received = connection.receive_to_end()
    assert f"content-length: {LARGE}".encode() in lines
    assert received <= LARGE - 7
    assert failures(verifying) == before + 1
    eventually(lambda: file_id in verifying.log, "the damage is in the log")


def test_a_small_damaged_file_is_a_definitive_500(verifying: RunningServer):
    file_id, blob = upload(verifying, b"small")
    flip_a_bit(blob)
    with verifying.client() as client:
        answer = client.get(f"/files/{file_id}/content")
        assert_openai_error(answer, 500, "storage_integrity_error", type="server_error", definitive=True)
        assert client.get(f"/files/{file_id}/content", headers={"range": "bytes=0-"}).status_code == 206
        assert_file(client.get(f"/files/{file_id}"), bytes=5)


def test_verifying_a_large_download_takes_no_more_memory(verifying: RunningServer):
    size = 96 * MIB
    file_id, blob = upload(verifying, bytes(size))
    with Peak(verifying) as peak, verifying.client() as client, client.stream("GET", f"/files/{file_id}/content") as answer:
        assert sum(map(len, answer.iter_raw())) == size
    assert peak.growth < 16 * MIB
    blob.unlink()


def test_a_blob_that_the_disk_cannot_read_is_counted():
    counted: list[tuple[object, ...]] = []
    error = StorageUnavailable("the disk failed")
    with patch.object(metrics.INTEGRITY_FAILURES, "add", lambda *values: counted.append(values)):
        count_unreadable(error)
        error.__cause__ = TimeoutError()
        count_unreadable(error)
        assert counted == []
        error.__cause__ = OSError(errno.EIO, "the disk failed")
        count_unreadable(error)
    assert counted == [(1, "unreadable_blob", "read")]


class _Pieces:
    """A reader that counts what has been taken from it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.size = sum(map(len, pieces))
        self.taken = 0

    async def hand_over(self) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece


def record_of(content: bytes) -> File:
    return File("p", "f", "user_data", "n", len(content), "t", hashlib.sha256(content).hexdigest(), "k", 0, None, "processed", None)


async def test_only_one_piece_is_held_back():
    pieces = [bytes([number]) * 3 for number in range(10)]
    inner = _Pieces(pieces)
    yielded = []
    async for piece in VerifyingReader(inner, record_of(b"".join(pieces))):
        yielded.append(piece)
        assert inner.taken - len(yielded) <= 1
    assert yielded == pieces


async def test_the_last_piece_of_damaged_bytes_is_never_yielded():
    inner = _Pieces([b"one", b"two", b"three"])
    reading = aiter(VerifyingReader(inner, record_of(b"onetwoTHREE")))
    assert [await anext(reading), await anext(reading)] == [b"one", b"two"]
    with pytest.raises(StorageIntegrityError):
        await anext(reading)
