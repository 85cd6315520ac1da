"""A server that cannot start says why and what to do, exits with 1, and changes nothing."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.database import run_sql
from support.in_process import in_process, pieces
from support.limits import MIB, fill, may_mount, remount, skip_or_fail, small_disk
from support.raw_http import FORM_TYPE, form_begin, form_end
from support.server import running_server
from support.starts import refused_start

DATABASE = "fileplane.db"
FILES = 200
PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that a server has used and left, with enough files for its database to have many pages."""
    directory = tmp_path_factory.mktemp("sound") / "data"

    async def use() -> None:
        async with in_process(directory) as store:
            form = form_begin(filename="n" * 200) + b"content" + form_end()
            await asyncio.gather(*(store.upload(pieces(form), FORM_TYPE) for _ in range(FILES)))
            assert len(await store.recorded()) == FILES

    asyncio.run(use())
    assert (directory / DATABASE).stat().st_size > 20 * PAGE
    return directory


@pytest.fixture
def data_dir(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound directory, for a test to damage."""
    return shutil.copytree(sound, tmp_path / "data")


def _overwrite(path: Path, offset: int, count: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(offset).randbytes(count))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut to half its pages": lambda path: os.truncate(path, path.stat().st_size // PAGE // 2 * PAGE),
    "cut within a page": lambda path: os.truncate(path, path.stat().st_size - 1000),
    "cut within its head": lambda path: os.truncate(path, 50),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "garbage at its head": lambda path: _overwrite(path, 0, 200),
    "garbage over its first pages": lambda path: _overwrite(path, 100, 3 * PAGE),
    "garbage in its middle": lambda path: _overwrite(path, path.stat().st_size // PAGE // 2 * PAGE, 2 * PAGE),
    "garbage at its end": lambda path: _overwrite(path, path.stat().st_size - PAGE, PAGE),
    "garbage as a whole": lambda path: path.write_bytes(random.Random(1).randbytes(50_000)),
    "a text": lambda path: path.write_text("this is no database\n" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_database_is_refused_and_not_touched(data_dir: Path, damage: Callable[[Path], None]):
    damage(data_dir / DATABASE)
    before = _all_bytes(data_dir)
    message = refused_start(data_dir)
    assert str(data_dir / DATABASE) in message
    assert "damaged" in message
    assert "backup" in message
    assert _all_bytes(data_dir) == before


def test_a_first_start_takes_a_disk_that_was_mounted_for_the_blobs(tmp_path: Path):
    (tmp_path / "data" / "blobs" / "lost+found").mkdir(parents=True)
    with running_server(tmp_path / "data") as server, server.client() as client:
        assert client.get("/files").json()["data"] == []


def test_a_database_of_another_program_is_refused_and_not_touched(tmp_path: Path):
    (tmp_path / "data").mkdir()
    run_sql(tmp_path / "data" / DATABASE, "CREATE TABLE bookmarks (url TEXT)", "INSERT INTO bookmarks VALUES ('https://example.com')")
    before = _all_bytes(tmp_path / "data")
    message = refused_start(tmp_path / "data")
    assert "another program" in message
    assert "--data-dir" in message
    assert _all_bytes(tmp_path / "data") == before


def test_a_database_of_another_program_with_an_application_id_is_refused_and_not_touched(tmp_path: Path):
    (tmp_path / "data").mkdir()
    run_sql(tmp_path / "data" / DATABASE, "PRAGMA application_id = 12345", "PRAGMA user_version = 1", "CREATE TABLE files (id TEXT)")
    before = _all_bytes(tmp_path / "data")
    assert "another program" in refused_start(tmp_path / "data")
    assert _all_bytes(tmp_path / "data") == before


def test_a_database_of_a_newer_version_is_refused_and_not_touched(data_dir: Path):
    run_sql(data_dir / DATABASE, "PRAGMA user_version = 9999")
    before = _all_bytes(data_dir)
    message = refused_start(data_dir)
    assert "newer Fileplane" in message
    assert "Upgrade" in message
    assert _all_bytes(data_dir) == before


def test_a_directory_in_place_of_the_database_is_refused(tmp_path: Path):
    (tmp_path / "data" / DATABASE).mkdir(parents=True)
    assert str(tmp_path / "data" / DATABASE) in refused_start(tmp_path / "data")


def test_a_port_in_use_is_named(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused_start(tmp_path / "data", port=port)
    assert str(port) in message
    assert "--port" in message


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "data").write_text("a file")
    message = refused_start(tmp_path / "data")
    assert str(tmp_path / "data") in message
    assert "--data-dir" in message


def test_a_data_directory_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("a file")
    message = refused_start(tmp_path / "file" / "data")
    assert str(tmp_path / "file" / "data") in message
    assert "--data-dir" in message


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that this user may not write. No permission stops root, so that root gets a disk that cannot be written."""
    directory = tmp_path / "read-only"
    with ExitStack() as stack:
        if may_mount():
            stack.enter_context(small_disk(directory, MIB))
            remount(directory, "ro")
        elif os.geteuid() == 0:
            skip_or_fail("a root that may not mount can write everywhere")
        else:
            directory.mkdir(mode=0o500)
        yield directory


def test_a_data_directory_that_cannot_be_made_is_refused(read_only: Path):
    message = refused_start(read_only / "data")
    assert str(read_only / "data") in message
    assert "writable" in message


def test_a_data_directory_that_cannot_be_written_is_refused(read_only: Path):
    message = refused_start(read_only)
    assert str(read_only) in message
    assert "writable" in message


@pytest.mark.needs_root
@pytest.mark.parametrize("room", [4096, 8 * 4096, 16 * 4096, 24 * 4096])
def test_a_first_start_without_enough_room_says_so(tmp_path: Path, room: int):
    with small_disk(tmp_path / "disk", room) as disk:
        _assert_no_room(refused_start(disk / "data"), disk / "data")


@pytest.mark.needs_root
def test_a_first_start_on_a_disk_that_others_have_filled_says_so(tmp_path: Path):
    with small_disk(tmp_path / "disk", MIB) as disk:
        fill(disk)
        _assert_no_room(refused_start(disk / "data"), disk / "data")


@pytest.mark.needs_root
def test_a_later_start_on_a_full_disk_says_so_and_touches_nothing(tmp_path: Path, sound: Path):
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        shutil.copytree(sound, disk / "data")
        before = _all_bytes(disk / "data")
        ballast = fill(disk)
        _assert_no_room(refused_start(disk / "data"), disk / "data")
        ballast.unlink()
        assert _all_bytes(disk / "data") == before


def _assert_no_room(message: str, data_dir: Path) -> None:
    assert str(data_dir) in message
    assert any(word in message for word in ("room", "space", "full"))
    assert "backup" not in message, "nothing is wrong with the data"


WEAK_KEYS = {
    "well-known": "sk-1234567890abcdefghijklmnopqrstuvwxyz",
    "a placeholder": "your-api-key-goes-here-0123456789-abcdef",
    "the SDKs' placeholder": "OPENAI_API_KEY_0123456789_zyxwvut",
    "of repeated characters": "abababababababababababababababababababab",
    "of one character": "x" * 64,
    "short": "Zk3vQ9wLr8",
    "one character too short": "Zk3vQ9wLr8TnB5yXc7MhJ2gFd4SpA6e",
    "with a space": "Zk3vQ9wLr8TnB5yX c7MhJ2gFd4SpA6eUq1Wo0Iv",
    "not of ASCII": "Zk3vQ9wLr8TnB5yXc7MhJ2gFd4SpA6eÜq1Wo0Iv",
}


@pytest.mark.parametrize("key", WEAK_KEYS.values(), ids=WEAK_KEYS)
def test_a_first_key_that_could_be_guessed_is_refused_and_not_repeated(tmp_path: Path, key: str):
    message = refused_start(tmp_path / "data", FILEPLANE_BOOTSTRAP_API_KEY=key)
    assert "FILEPLANE_BOOTSTRAP_API_KEY" in message
    said = message.replace("FILEPLANE_BOOTSTRAP_API_KEY", "")
    assert not any(key[start : start + 8] in said for start in range(len(key) - 7))


def test_after_a_refused_first_key_a_good_one_is_taken(tmp_path: Path):
    refused_start(tmp_path / "data", FILEPLANE_BOOTSTRAP_API_KEY="short")
    with running_server(tmp_path / "data") as server, server.client() as client:
        assert client.get("/files").status_code == 200
        assert server.api_key not in server.output + server.log


def test_the_data_directory_and_all_in_it_is_closed_to_others(tmp_path: Path):
    os.umask(os.umask(0o022))
    with running_server(tmp_path / "data") as server, server.client() as client:
        client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.txt", b"content")}).raise_for_status()
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        blobs = [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]
        assert {path.stat().st_mode & 0o077 for path in blobs} == {0}


def _all_bytes(directory: Path) -> dict[str, bytes]:
    """Every file but the lock, which says no more than who came last."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "server.lock"
    }


def test_nothing_is_made_where_a_port_is_taken(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused_start(tmp_path / "data", port=taken.getsockname()[1])
    assert not (tmp_path / "data").exists()
