"""Backups of a store that is in use, and backups and restores that are interrupted: what is there is whole, and the next run goes on."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Self
from unittest.mock import patch

import pytest

from fileplane.cli.runtime import CommandRefused
from fileplane.files import durable
from fileplane.files.backup_directory import BackupFailed, Manifest, opened_for_restore
from fileplane.files.restore import restore_left_unfinished
from fileplane.metadata import older_snapshots
from fileplane.metadata.base import DatabaseUnusable, MetadataStore
from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sqlite_engine import _migrate, connect, prepare_database
from fileplane.model import File
from fileplane.testing.faults import Fails, NaughtyMetadataStore, Plan
from support.backups import (
    NOBODY,
    back_up,
    collect,
    digest_of,
    keep,
    one_directory_of_blobs,
    pool_of,
    purge,
    put_back,
    rows_of,
    sha256,
    snapshots_of,
)
from support.in_process import InProcess, in_process
from support.limits import own_open_files
from support.polling import eventually_equal_async
from support.server import RunningServer, fileplane_environment, run_fileplane, running_server

FEWEST_POINTS = 30
STEPS = ("sync", "make_directory", "write", "copy", "rename", "remove")


class Killed(BaseException):
    """Nothing may catch it, as nothing catches a kill."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    with one_directory_of_blobs():
        async with in_process(tmp_path / "data") as opened:
            yield opened


@contextmanager
def durable_steps(plan: Plan) -> Iterator[None]:
    """Numbers the changes of directories along with the calls of the stores, and lets the planned ones go wrong."""

    def numbered(name: str) -> Callable[..., object]:
        step = getattr(durable, name)

        def run(*arguments: object) -> object:
            plan.calls.append(name)
            fault = plan._faults.get(len(plan.calls))
            if fault is not None:
                raise fault.error
            return step(*arguments)

        return run

    with patch.multiple(durable, **{name: numbered(name) for name in STEPS}):
        yield


FAILED, KILLED = OSError(errno.EIO, "Input/output error"), Killed()
ERRORS = pytest.mark.parametrize(
    "errors",
    [
        pytest.param([FAILED, KILLED], id="failed or killed"),
        pytest.param([FAILED], marks=pytest.mark.full, id="failed"),
        pytest.param([KILLED], marks=pytest.mark.full, id="killed"),
    ],
)


@ERRORS
async def test_a_backup_that_is_interrupted_at_any_step_leaves_the_last_one_whole_and_the_next_one_goes_on(
    store: InProcess, tmp_path: Path, errors: Sequence[BaseException]
):
    first, dropped, kept = [await keep(store, content) for content in (b"first", b"dropped", b"kept")]
    await back_up(store, tmp_path / "base")
    await collect(store, dropped)
    second, empty = await keep(store, b"second"), await keep(store, b"")
    earlier, later = ({file.sha256 for file in files} for files in ((first, dropped, kept), (first, kept, second, empty)))
    await store.assert_everything_is_closed()
    opened = own_open_files(tmp_path)

    for point in count(1):
        directory = shutil.copytree(tmp_path / "base", tmp_path / "copy")
        plan = Plan({point: Fails(errors[point % len(errors)])})
        problems = 0
        try:
            with durable_steps(plan):
                problems = (await back_up(store, directory, plan)).tally.problem_count
        except (BackupFailed, OSError, Killed):
            assert plan.struck
            assert all(found in (earlier, later) for found in await snapshots_of(directory)), plan.calls[-1]
        else:
            [found] = await snapshots_of(directory)
            assert len(later - found) == problems == int(plan.struck)
        assert await snapshots_of(directory), plan.calls[-1]
        await eventually_equal_async(lambda: own_open_files(tmp_path), opened)

        report = await back_up(store, directory)
        assert report.tally.problem_count == 0
        assert await snapshots_of(directory) == [later]
        assert pool_of(directory) == later
        assert {path.name for path in directory.iterdir()} == {"backup.json", "backup.lock", "blobs", "snapshots"}
        shutil.rmtree(directory)
        if not plan.struck:
            break
    assert point > FEWEST_POINTS


@ERRORS
async def test_a_restore_that_is_interrupted_at_any_step_stays_marked_as_unfinished_and_can_be_run_again(
    store: InProcess, tmp_path: Path, errors: Sequence[BaseException]
):
    contents = {sha256(content) for content in (b"one", b"two", b"")}
    for content in (b"one", b"two", b""):
        await keep(store, content)
    await back_up(store, tmp_path / "backup")

    for point in count(1):
        plan, target = Plan({point: Fails(errors[point % len(errors)])}), tmp_path / "restored"
        problems = 0
        try:
            with durable_steps(plan):
                problems = (await put_back(tmp_path / "backup", target, plan)).problem_count
        except (BackupFailed, OSError, Killed):
            assert plan.struck
            if not restore_left_unfinished(target):
                assert not (target / "fileplane.db").exists() or plan.calls[-1] == "sync", "all that is not sure is the marker's removal"
        else:
            assert problems == int(plan.struck)
        if (target / "fileplane.db").exists() and not restore_left_unfinished(target):
            shutil.rmtree(target)
        assert (await put_back(tmp_path / "backup", target)).problem_count == 0
        rows = await rows_of(target / "fileplane.db")
        assert {row.sha256 for row in rows} == contents
        assert {digest_of(target / "blobs" / row.blob_key) for row in rows} == contents
        assert {path.name for path in target.iterdir()} == {"blobs", "fileplane.db", "server.lock"}
        shutil.rmtree(target)
        if not plan.struck:
            break
    assert point > FEWEST_POINTS // 2


class Meanwhile(NaughtyMetadataStore):
    """A metadata store that does something right after the snapshot."""

    def __init__(self, inner: MetadataStore, work: Callable[[], Awaitable[None]]) -> None:
        super().__init__(inner, Plan({}))
        self._work = work

    async def snapshot(self, destination: Path) -> None:
        await self._inner.snapshot(destination)
        await self._work()


async def test_files_that_are_deleted_for_good_while_it_is_made_are_not_in_a_backup_and_those_that_are_lost_are_named(
    store: InProcess, tmp_path: Path
):
    names = ("stays", "held", "claimed", "collected", "forgotten", "trashed", "lost", "purged only")
    files = {name: await keep(store, name.encode()) for name in names}
    hold = await store.metadata.hold_file(files["held"].project_id, files["held"].id, "a batch", None, NOBODY)
    await store.metadata.delete_file(files["trashed"].project_id, files["trashed"].id, 3600, NOBODY)
    tombstone = await keep(store, b"collected before")
    await collect(store, tombstone)

    async def meanwhile() -> None:
        await store.metadata.release_hold(files["held"].project_id, files["held"].id, hold.id, NOBODY)
        for name in ("held", "collected"):
            await collect(store, files[name])
        await purge(store, files["purged only"])
        claimed = await purge(store, files["claimed"])
        assert claimed.since == 0
        await store.blobs.delete(files["claimed"].blob_key)
        await collect(store, files["forgotten"])
        await store.metadata.forget_files(await store.metadata.tombstones(2**62, None, 100))
        await store.blobs.delete(files["lost"].blob_key)

    report = await back_up(store, tmp_path / "backup", metadata=Meanwhile(store.metadata, meanwhile))
    assert report.tally.gone == 4
    assert [problem["file_id"] for problem in report.tally.problems] == [files["lost"].id]
    [snapshot] = await snapshots_of(tmp_path / "backup")
    assert snapshot == {files[name].sha256 for name in ("stays", "trashed", "purged only")}

    tally = await put_back(tmp_path / "backup", tmp_path / "restored")
    assert [problem["file_id"] for problem in tally.problems] == [files["lost"].id]
    async with in_process(tmp_path / "restored") as restored:
        assert {file.id for file in await restored.recorded()} == {files[name].id for name in ("stays", "lost", "purged only")}
        assert await restored.content(files["stays"]) == b"stays"
        await restored.metadata.restore_file(files["trashed"].project_id, files["trashed"].id, 10**15, NOBODY)
        assert await restored.content(files["trashed"]) == b"trashed"


def _damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


async def test_bytes_that_are_not_what_their_row_says_never_come_into_a_backup(store: InProcess, tmp_path: Path):
    good, flipped, cut = [await keep(store, content) for content in (b"good", b"flipped", b"cut off")]
    blobs = store.settings.data_dir / "blobs"
    _damage(blobs / flipped.blob_key)
    os.truncate(blobs / cut.blob_key, 3)
    report = await back_up(store, tmp_path / "backup")
    assert {(problem["file_id"], problem["problem"]) for problem in report.tally.problems} == {(flipped.id, "damaged"), (cut.id, "damaged")}
    assert pool_of(tmp_path / "backup") == {good.sha256}
    assert await snapshots_of(tmp_path / "backup") == [{good.sha256}]


async def test_a_copy_of_the_wrong_size_is_made_anew_and_with_verify_one_with_a_wrong_byte_too(store: InProcess, tmp_path: Path):
    cut, flipped = await keep(store, b"cut off"), await keep(store, b"flipped")
    await back_up(store, tmp_path / "backup")
    pool = tmp_path / "backup" / "blobs"
    os.truncate(pool / cut.blob_key, 3)
    _damage(pool / flipped.blob_key)
    assert (await back_up(store, tmp_path / "backup")).tally.files == {"copied": 1, "reused": 1}
    assert digest_of(pool / flipped.blob_key) != flipped.sha256
    assert (await back_up(store, tmp_path / "backup", verify=True)).tally.files == {"copied": 1, "reused": 1}
    assert await snapshots_of(tmp_path / "backup") == [{cut.sha256, flipped.sha256}]


async def test_damage_in_a_backup_is_found_when_it_is_restored_and_is_not_passed_on(store: InProcess, tmp_path: Path):
    file, other = await keep(store, b"flipped"), await keep(store, b"other")
    report = await back_up(store, tmp_path / "backup")
    _damage(tmp_path / "backup" / "blobs" / file.blob_key)
    tally = await put_back(tmp_path / "backup", tmp_path / "one")
    assert [(problem["file_id"], problem["problem"]) for problem in tally.problems] == [(file.id, "damaged")]
    assert pool_of(tmp_path / "one") == {other.sha256}

    _damage(tmp_path / "backup" / "snapshots" / report.manifest.name / "fileplane.db")
    with pytest.raises(BackupFailed, match="damaged"):
        await put_back(tmp_path / "backup", tmp_path / "two")
    assert not (tmp_path / "two" / "fileplane.db").exists()
    assert restore_left_unfinished(tmp_path / "two")


@pytest.mark.parametrize("verify", [False, True])
async def test_with_link_a_blob_is_the_same_file_in_both_places_and_damage_is_found_with_verify(
    store: InProcess, tmp_path: Path, *, verify: bool
):
    good, flipped = await keep(store, b"good"), await keep(store, b"flipped")
    blobs, pool = store.settings.data_dir / "blobs", tmp_path / "backup" / "blobs"
    _damage(blobs / flipped.blob_key)
    report = await back_up(store, tmp_path / "backup", link=True, verify=verify)
    assert report.tally.files == ({"linked": 1, "damaged": 1} if verify else {"linked": 2})
    assert (pool / good.blob_key).samefile(blobs / good.blob_key)
    await collect(store, good)
    assert (pool / good.blob_key).read_bytes() == b"good"


async def test_snapshots_keep_what_they_name_and_nothing_else_is_kept(store: InProcess, tmp_path: Path):
    files: list[File] = []
    for number in range(4):
        files.append(await keep(store, bytes([number])))
        report = await back_up(store, tmp_path / "backup", keep=2)
        await collect(store, files[-1])
    assert await snapshots_of(tmp_path / "backup") == [{files[2].sha256}, {files[3].sha256}]
    assert pool_of(tmp_path / "backup") == {files[2].sha256, files[3].sha256}
    assert (len(report.removed_snapshots), report.removed_blobs, report.removed_bytes) == (1, 1, 1)


SEED = 30
ROUNDS = [3, pytest.param(12, marks=pytest.mark.full)]
"""The store grows with each, and with it what each one takes: the last of twelve take minutes."""
CLIENTS = 3
FEWEST_COLLECTED = 20


class Traffic:
    """Clients that upload, delete and purge without end, and remember what they were answered."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(random.Random(number),)) for number in range(CLIENTS)]
        self.uploaded: dict[str, str] = {}
        self.untouched: set[str] = set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _client(self, choice: random.Random) -> None:
        mine: list[str] = []
        with self._server.client() as client:
            while not self._over.is_set():
                content = choice.randbytes(choice.choice((0, 100, 50_000, 3_000_000)))
                answer = client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)})
                file_id = answer.raise_for_status().json()["id"]
                self.uploaded[file_id] = sha256(content)
                mine.append(file_id)
                if choice.random() < 0.3:
                    self.untouched.add(mine.pop())
                if len(mine) > 20:
                    gone = mine.pop(choice.randrange(len(mine)))
                    parameters = {"purge": "true"} if choice.random() < 0.7 else {}
                    client.delete(f"/files/{gone}", params=parameters).raise_for_status()


@pytest.mark.full
@pytest.mark.parametrize("version", [version for version, _ in sqlite_migrations()[:-1]])
async def test_a_snapshot_of_every_earlier_version_is_restored_and_kept_beside_newer_ones(store: InProcess, tmp_path: Path, version: int):
    file = await keep(store, b"of long ago")
    report = await back_up(store, tmp_path / "backup", keep=2)
    made_older(tmp_path / "backup", report.manifest, file, version)
    before = pool_of(tmp_path / "backup")
    newer = await back_up(store, tmp_path / "backup", keep=2)
    assert (newer.removed_snapshots, newer.removed_blobs) == ((), 0)
    assert pool_of(tmp_path / "backup") == before
    tally = await put_back(tmp_path / "backup", tmp_path / "restored", name=report.manifest.name)
    assert (tally.whole, tally.problem_count) == ((1, file.bytes), 0)
    database = tmp_path / "restored" / "fileplane.db"
    assert sha256(database.read_bytes()) == sha256(database_of(tmp_path / "backup", report.manifest).read_bytes())
    prepare_database(database)
    [row] = await rows_of(database)
    assert (tmp_path / "restored" / "blobs" / row.blob_key).read_bytes() == b"of long ago"


async def test_a_temporary_directory_without_room_for_an_older_database_is_told_as_that(store: InProcess, tmp_path: Path):
    file = await keep(store, b"of long ago")
    report = await back_up(store, tmp_path / "backup")
    made_older(tmp_path / "backup", report.manifest, file, 1)
    full = DatabaseUnusable("There is no room left on the disk.")
    with (
        patch.object(older_snapshots, "prepare_database", side_effect=full),
        pytest.raises(CommandRefused, match=r"temporary directory \(TMPDIR\).*no room left") as refused,
    ):
        await put_back(tmp_path / "backup", tmp_path / "restored")
    assert "Remove the snapshot" not in str(refused.value)
    assert (await put_back(tmp_path / "backup", tmp_path / "restored")).problem_count == 0


def database_of(directory: Path, manifest: Manifest) -> Path:
    return directory / "snapshots" / manifest.name / "fileplane.db"


def made_older(directory: Path, manifest: Manifest, file: File, version: int) -> None:
    """Puts a database with this file in the place of a snapshot's, as the Fileplane of that schema would have written it."""
    path = database_of(directory, manifest)
    path.unlink()
    connection = connect(path)
    first, *others = [migration for migration in sqlite_migrations() if migration[0] <= version]
    _migrate(connection, *first)
    connection.execute("INSERT INTO projects VALUES (?, 'default', 1)", (file.project_id,))
    connection.execute(
        "INSERT INTO api_keys VALUES ('k', ?, 'bootstrap', x'00', 'abcd', 'files.read', 1, 1, NULL, NULL)", (file.project_id,)
    )
    connection.execute(
        "INSERT INTO files VALUES (?, ?, 'user_data', 'f', ?, 't', ?, ?, 1, NULL, 'processed', NULL, 'k', NULL)",
        (file.project_id, file.id, file.bytes, file.sha256, file.blob_key),
    )
    connection.execute("INSERT INTO usage VALUES (?, 'user_data', 1, ?)", (file.project_id, file.bytes))
    for migration in others:
        _migrate(connection, *migration)
    connection.close()
    content = path.read_bytes()
    changed = asdict(manifest) | {"schema_version": version, "database_bytes": len(content), "database_sha256": sha256(content)}
    (path.parent / "manifest.json").write_text(json.dumps(changed))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_backups_of_a_server_under_load_some_of_them_killed_are_each_restored_whole(tmp_path: Path, rounds: int):
    choice = random.Random(SEED)
    settings = {"deleted_retention_seconds": 1, "janitor_interval_seconds": 1}
    known: list[set[str]] = []
    killed = 0
    with running_server(tmp_path / "data", **settings) as server:
        with Traffic(server) as traffic:
            while len(known) < rounds:
                if choice.random() < 0.4:
                    _killed_backup(server, tmp_path / "backup", choice.uniform(0.3, 2.0))
                    killed += 1
                    continue
                before = set(traffic.untouched)
                done = server.run("backup", str(tmp_path / "backup"), "--keep", str(rounds), "--json")
                assert (done.returncode, done.stderr) == (0, ""), done
                known.append(before)
                shutil.rmtree(tmp_path / "again", ignore_errors=True)
                _assert_restored(tmp_path, traffic.uploaded, before, json.loads(done.stdout)["snapshot"]["name"])
        collected = json.loads(server.run("audit", "--action", "purge", "--json").stdout)["total"]
        assert collected > FEWEST_COLLECTED, "files were deleted for good while backups were made"
    names = [manifest.name for manifest in _manifests(tmp_path / "backup")]
    assert len(names) == rounds
    assert killed >= 3, f"seed {SEED} kills too few"
    for name in (names[0], names[rounds // 2]):
        shutil.rmtree(tmp_path / "again")
        _assert_restored(tmp_path, traffic.uploaded, known[names.index(name)], name)
    shutil.rmtree(tmp_path / "again")
    with opened_for_restore(tmp_path / "backup"):
        assert run_fileplane("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "again")).returncode == 0
    _assert_served(tmp_path / "again", server.api_key, traffic.uploaded, known[-1])


def _killed_backup(server: RunningServer, directory: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "fileplane", "backup", str(directory), "--data-dir", str(server.data_dir)]
    with subprocess.Popen(command, env=fileplane_environment(), stdout=subprocess.DEVNULL) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()


def _manifests(directory: Path) -> list[Manifest]:
    with opened_for_restore(directory) as opened:
        return opened.snapshots()


def _assert_restored(tmp_path: Path, uploaded: dict[str, str], least: set[str], name: str) -> None:
    """A restored store has the bytes of every row, and every file that was answered before the backup and never deleted."""
    again = tmp_path / "again"
    done = run_fileplane("restore", str(tmp_path / "backup"), "--snapshot", name, "--data-dir", str(again))
    assert (done.returncode, done.stderr) == (0, ""), done
    rows = asyncio.run(rows_of(again / "fileplane.db"))
    assert {row.blob_key: digest_of(again / "blobs" / row.blob_key) for row in rows} == {row.blob_key: row.sha256 for row in rows}
    assert {f"{path.parent.name}/{path.name}" for path in (again / "blobs").glob("*/*")} == {row.blob_key for row in rows}
    assert least <= {row.file_id for row in rows}
    assert all(uploaded.get(row.file_id, row.sha256) == row.sha256 for row in rows)


def _assert_served(data_dir: Path, key: str, uploaded: dict[str, str], least: set[str]) -> None:
    with running_server(data_dir, key=key) as server, server.client() as client:
        listed = client.get("/files", params={"limit": 10_000}).json()
        assert listed["total"] == len(listed["data"])
        contents = {file["id"]: sha256(client.get(f"/files/{file['id']}/content").raise_for_status().content) for file in listed["data"]}
        assert contents == {file_id: uploaded[file_id] for file_id in contents}
        assert least <= contents.keys()
