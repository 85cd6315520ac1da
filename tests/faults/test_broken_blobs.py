"""Stored bytes that are missing or damaged: a definitive 500 that touches nothing, and never another file's bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from fileplane.errors import AnswerBrokenOff
from fileplane.testing.faults import Pauses, Plan
from support.database import run_sql
from support.expect import assert_file, assert_openai_error
from support.in_process import in_process, pieces
from support.limits import MIB, blobs_of, open_blobs_of
from support.polling import eventually_equal
from support.raw_http import FORM_TYPE, Connection, form_begin, form_end, head
from support.server import RunningServer, running_server

CONTENT = b"the bytes that were stored " * 10
FORBIDDEN = b"what no caller may ever read"


def _remove(blob: Path, _: Path) -> None:
    blob.unlink()


def _empty(blob: Path, _: Path) -> None:
    blob.write_bytes(b"")


def _truncate(blob: Path, _: Path) -> None:
    blob.write_bytes(CONTENT[:-1])


def _lengthen(blob: Path, _: Path) -> None:
    blob.write_bytes(CONTENT + b"!")


def _link_to(blob: Path, target: Path) -> None:
    blob.unlink()
    blob.symlink_to(target)


def _dangling_link(blob: Path, target: Path) -> None:
    _link_to(blob, target.with_name("nothing"))


def _directory(blob: Path, _: Path) -> None:
    blob.unlink()
    blob.mkdir()


DAMAGES: dict[str, Callable[[Path, Path], None]] = {
    "missing": _remove,
    "empty": _empty,
    "truncated": _truncate,
    "oversized": _lengthen,
    "a link to another file of the same size": _link_to,
    "a link to nothing": _dangling_link,
    "a directory": _directory,
}
POISONED_KEYS = [
    "../../outside",
    "aa/../../../outside",
    "{outside}",
    "../../etc/passwd",
    "/etc/passwd",
    "../fileplane.db",
    "tmp/00000000000000000000000000000000",
    "aa/../../secret",
    "aa/" + "0" * 31,
    "AA/" + "0" * 30,
    "aa/" + "0" * 29 + "\n",
    "",
]


@dataclass(frozen=True)
class Broken:
    """A server that was stopped, had its store damaged, and was started again; ``files`` are the damaged files' ids."""

    server: RunningServer
    files: dict[str, str]
    sound: str


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broken]:
    root = tmp_path_factory.mktemp("broken")
    outside = root / "outside"
    outside.write_bytes(FORBIDDEN + CONTENT[len(FORBIDDEN) :])
    with running_server(root / "data") as before, before.client() as client:
        known: set[Path] = set()
        files, blobs = {}, {}
        for case in ("sound", *DAMAGES, *POISONED_KEYS):
            files[case] = str(assert_file(upload(client))["id"])
            (blobs[case],) = set(blobs_of(before.data_dir)) - known
            known.add(blobs[case])
    for case, damage in DAMAGES.items():
        damage(blobs[case], outside)
    keys = {key: key.format(outside=outside) for key in POISONED_KEYS}
    run_sql(root / "data" / "fileplane.db", *(f"UPDATE files SET blob_key = '{keys[key]}' WHERE id = '{files[key]}'" for key in keys))
    with running_server(root / "data", key=before.api_key) as after:
        yield Broken(after, files, files.pop("sound"))


def upload(client: httpx2.Client) -> httpx2.Response:
    return client.post("/files", data={"purpose": "user_data"}, files={"file": ("data.bin", CONTENT)})


@pytest.fixture
def client(broken: Broken) -> Iterator[httpx2.Client]:
    with broken.server.client() as client:
        yield client


EACH_CASE = pytest.mark.parametrize("case", [*DAMAGES, *POISONED_KEYS])


@EACH_CASE
@pytest.mark.parametrize("asked", [{}, {"range": "bytes=0-9"}], ids=["whole", "ranged"])
def test_content_that_is_damaged_is_a_definitive_500(broken: Broken, client: httpx2.Client, case: str, asked: dict[str, str]):
    answer = client.get(f"/files/{broken.files[case]}/content", headers=asked)
    message = assert_openai_error(answer, 500, "storage_integrity_error", type="server_error", definitive=True)
    assert "backup" in message
    assert str(broken.server.data_dir) not in answer.text
    eventually_equal(lambda: open_blobs_of(broken.server), [])


@EACH_CASE
def test_headers_of_content_that_is_damaged_are_a_500_without_a_body(broken: Broken, client: httpx2.Client, case: str):
    answer = client.head(f"/files/{broken.files[case]}/content")
    assert (answer.status_code, answer.content) == (500, b"")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"]


@EACH_CASE
def test_the_record_of_a_damaged_file_is_kept(broken: Broken, client: httpx2.Client, case: str):
    assert_file(client.get(f"/files/{broken.files[case]}"), bytes=len(CONTENT))
    assert broken.files[case] in {file["id"] for file in client.get("/files").json()["data"]}


def test_the_files_beside_damaged_ones_are_served(broken: Broken, client: httpx2.Client):
    assert client.get(f"/files/{broken.sound}/content").content == CONTENT


def test_a_download_that_is_cut_short_under_way_is_broken_off(broken: Broken, client: httpx2.Client):
    size = 32 * MIB
    known = set(blobs_of(broken.server.data_dir))
    file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("large.bin", bytes(size))}))
    (blob,) = set(blobs_of(broken.server.data_dir)) - known
    with Connection(broken.server, receive_buffer=4096) as whole, Connection(broken.server, receive_buffer=4096) as ranged:
        whole.send(head("GET", f"/v1/files/{file['id']}/content", broken.server.api_key))
        ranged.send(head("GET", f"/v1/files/{file['id']}/content", broken.server.api_key, Range="bytes=0-"))
        for connection in (whole, ranged):
            connection.receive(MIB)
        os.truncate(blob, size // 2)
        for connection in (whole, ranged):
            assert connection.receive_to_end() < size - MIB


async def test_a_blob_that_ends_early_is_never_a_short_success(tmp_path: Path):
    pause = Pauses()
    async with in_process(tmp_path / "data") as store:
        assert_file(await store.upload(pieces(form_begin(), bytes(3 * MIB), form_end()), FORM_TYPE))
        (file,) = await store.recorded()
        plan = Plan({})
        await store.with_faults(plan).download(file.id)
        reading = asyncio.create_task(store.with_faults(Plan({plan.calls.index("read") + 1: pause})).download(file.id))
        await pause.reached.wait()
        os.truncate(tmp_path / "data" / "blobs" / file.blob_key, 2 * MIB)
        pause.resume.set()
        with pytest.raises(AnswerBrokenOff):
            await reading


async def test_a_pipe_in_place_of_a_blob_keeps_nobody_waiting(tmp_path: Path):
    async with in_process(tmp_path / "data", storage_deadline_seconds=1) as store:
        assert_file(await store.upload(pieces(form_begin() + CONTENT + form_end()), FORM_TYPE))
        (file,) = await store.recorded()
        blob = tmp_path / "data" / "blobs" / file.blob_key
        blob.unlink()
        os.mkfifo(blob)
        try:
            answer = await store.download(file.id)
        finally:
            # Lets go of a thread that would otherwise wait for a writer for ever.
            os.close(os.open(blob, os.O_RDWR))
        assert_openai_error(answer, 500, "storage_integrity_error", type="server_error", definitive=True)
