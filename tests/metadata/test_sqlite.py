"""SQLite keeps the promises of every metadata store, and those of a file that several processes share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import apsw
import pytest

from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite import SQL, SqliteMetadataStore
from fileplane.metadata.sqlite_engine import SqliteEngine, _migrate, connect, prepare_database
from fileplane.model import FileQuery, Usage
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import PLENTY, MetadataStoreSuite, new_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fileplane.db"
    prepare_database(path)
    return path


class TestSqliteMetadataStore(MetadataStoreSuite):
    @pytest.fixture
    async def store(self, path: Path, clock: ManualClock) -> AsyncIterator[SqliteMetadataStore]:
        store = SqliteMetadataStore(path, clock)
        yield store
        await store.close()


async def test_two_processes_worth_of_stores_see_each_others_changes_at_once(path: Path) -> None:
    clock = ManualClock()
    one, two = SqliteMetadataStore(path, clock), SqliteMetadataStore(path, clock)
    project = await one.create_project("shared")
    for store, reader in [(one, two), (two, one)] * 5:
        file = await store.create_file(project.id, new_file(), PLENTY)
        assert await reader.get_file(project.id, file.id) == file
    await asyncio.gather(*[store.create_file(project.id, new_file(), PLENTY) for store in (one, two) for _ in range(50)])
    assert await one.usage(project.id) == Usage(110, 1_100)
    await one.close()
    await two.close()


async def test_an_acknowledged_file_is_in_the_database_that_a_crash_would_leave(path: Path, tmp_path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock())
    project = await store.create_project("kept")
    file = await store.create_file(project.id, new_file(), PLENTY)
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    survivor = SqliteMetadataStore(copy, ManualClock())
    assert await survivor.get_file(project.id, file.id) == file
    await survivor.close()
    await store.close()


async def test_reads_do_not_wait_for_a_writer(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock(), deadline_seconds=5)
    project = await store.create_project("busy")
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    assert (await store.list_files(project.id, FileQuery(10))).total == 0
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_a_writer_that_never_gets_its_turn_is_told_so_in_time(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock(), deadline_seconds=0.2)
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await store.create_project("late")
    other.execute("ROLLBACK")
    other.close()
    await store.close()


async def test_changes_that_wait_are_committed_together(path: Path) -> None:
    engine = SqliteEngine(path, 10)
    commits: list[int] = []
    busy, go_on = threading.Event(), threading.Event()

    def count_commits(connection: apsw.Connection) -> None:
        connection.set_commit_hook(lambda: bool(commits.append(1)))

    def hold(_: apsw.Connection) -> None:
        busy.set()
        go_on.wait(10)

    await engine.write(count_commits)
    commits.clear()
    held = asyncio.ensure_future(engine.write(hold))
    await asyncio.to_thread(busy.wait, 10)
    waiting = [asyncio.ensure_future(engine.write(_insert(number))) for number in range(40)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(held, *waiting)
    assert len(commits) == 2
    await engine.close()


def _insert(number: int) -> Callable[[apsw.Connection], None]:
    def operation(connection: apsw.Connection) -> None:
        connection.execute(SQL["insert_project"], {"id": str(number), "name": str(number), "created_at": 0})

    return operation


async def test_a_failing_change_does_not_fail_those_committed_with_it(path: Path) -> None:
    engine = SqliteEngine(path, 10)

    def broken(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO nowhere VALUES (1)")

    outcomes = await asyncio.gather(*[engine.write(_insert(n) if n % 4 else broken) for n in range(40)], return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [bool(n % 4) for n in range(40)]
    count = await engine.read(lambda connection: connection.execute("SELECT count(*) FROM projects").fetchone())
    assert count == (30,)
    await engine.close()


async def test_a_read_that_fails_half_way_leaves_the_reader_usable(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock())
    project = await store.create_project("reading")
    for _ in range(5):
        with pytest.raises(Exception, match="nothing"):
            await store.list_files(project.id, FileQuery(10, after="nothing"))
    assert (await store.list_files(project.id, FileQuery(10))).total == 0
    await store.close()


async def test_a_page_damaged_later_is_an_integrity_error(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock())
    project = await store.create_project("damaged")
    for _ in range(200):
        await store.create_file(project.id, new_file(), PLENTY)
    await store.close()
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(2, pages):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    store = SqliteMetadataStore(path, ManualClock())
    with pytest.raises(StorageIntegrityError):
        await store.list_files(project.id, FileQuery(100))
    await store.close()


def test_every_statement_is_used_and_described() -> None:
    source = Path(SqliteMetadataStore.__module__.replace(".", "/"))
    text = (Path(__file__).parents[2] / "src" / f"{source}.py").read_text("utf-8")
    for name, statement in load_statements("sqlite.sql").items():
        assert statement.startswith("-- "), name
        assert f'"{name}"' in text or name.startswith("list_"), name


@pytest.mark.parametrize("name", ["list_newest_first", "list_oldest_first", "list_purpose_newest_first", "list_purpose_oldest_first"])
def test_a_list_walks_its_covering_index_and_sorts_no_more_than_a_page(path: Path, name: str) -> None:
    connection = connect(path)
    values = {"project_id": "p", "purpose": "x", "now": 0, "limit": 1, "offset": 0, "cursor_time": 0, "cursor_id": ""}
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values)]
    index = "files_by_purpose" if "purpose" in name else "files_by_time"
    assert any(f"SEARCH files USING COVERING INDEX {index}" in step for step in plan), plan
    assert not any(step.startswith("SCAN files") for step in plan), plan
    connection.close()


def test_preparing_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    prepare_database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("stop_at", range(1, 40))
def test_a_migration_that_is_interrupted_is_done_wholly_at_the_next_start(tmp_path: Path, stop_at: int) -> None:
    path = tmp_path / "fileplane.db"
    connection = connect(path)
    steps = 0

    def interrupt(*_: object) -> bool:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise KeyboardInterrupt
        return True

    connection.exec_trace = interrupt
    version, statements = sqlite_migrations()[0]
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        _migrate(connection, version, statements)
    except KeyboardInterrupt:
        connection.exec_trace = None
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.close()
    prepare_database(path)
    fresh = tmp_path / "fresh.db"
    prepare_database(fresh)
    assert _schema(path) == _schema(fresh)


def _schema(path: Path) -> list[tuple[object, ...]]:
    connection = connect(path)
    rows = list(connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"))
    rows.append((connection.pragma("user_version"), connection.pragma("application_id")))
    connection.close()
    return rows


def test_a_database_of_another_program_is_refused_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "fileplane.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="another program"):
        prepare_database(path)
    assert path.read_bytes() == before


def test_a_database_of_a_newer_version_is_refused_unchanged(path: Path) -> None:
    connection = connect(path)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="newer Fileplane"):
        prepare_database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", [b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_database_is_refused_unchanged(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(DatabaseUnusable, match="Restore it from a backup"):
        prepare_database(path)
    assert path.read_bytes() == damage


def test_what_has_expired_is_counted_from_an_index_alone(path: Path) -> None:
    connection = connect(path)
    plan = [
        row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL['count_expired']}", {"project_id": "p", "purpose": None, "now": 0})
    ]
    assert plan == ["SEARCH files USING COVERING INDEX files_by_expiry (project_id=? AND expires_at>? AND expires_at<?)"]
    connection.close()
