"""SQLite keeps the promises of every metadata store, and those of a file that several processes share."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count, product
from pathlib import Path

import apsw
import pytest

from fileplane import metadata
from fileplane.access import ALL_SCOPES, FILE_SCOPES, NewProject
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import SqliteEngine, _migrate, connect, prepare_database, require_current
from fileplane.metadata.transactions import catalog_files, jobs, projects
from fileplane.metadata.transactions.catalog_rows import SQL as CATALOG
from fileplane.metadata.transactions.files import LISTS
from fileplane.metadata.transactions.files import SQL as FILES
from fileplane.metadata.transactions.jobs import SQL as JOBS
from fileplane.metadata.transactions.limits import SQL as LIMITS
from fileplane.metadata.transactions.routed_uploads import SQL as ROUTED
from fileplane.metadata.transactions.upkeep import SQL as UPKEEP
from fileplane.metadata.transactions.upkeep import drifts
from fileplane.metadata.transactions.uploads import LISTS as UPLOAD_LISTS
from fileplane.metadata.transactions.uploads import SQL as UPLOADS
from fileplane.model import FileQuery, Origin, Usage
from fileplane.testing.catalog_repeats_suite import MetadataCatalogRepeatsSuite
from fileplane.testing.catalog_suite import MetadataCatalogSuite
from fileplane.testing.catalog_upkeep_suite import MetadataCatalogUpkeepSuite
from fileplane.testing.clock import ManualClock
from fileplane.testing.control_suite import MetadataControlSuite
from fileplane.testing.jobs_suite import MetadataJobsSuite
from fileplane.testing.lifecycle_suite import MetadataLifecycleSuite
from fileplane.testing.limits_suite import MetadataLimitsSuite
from fileplane.testing.metadata_store_suite import MetadataStoreSuite, make_project, record_file
from fileplane.testing.resumable_suite import MetadataResumableSuite
from fileplane.testing.routed_uploads_suite import MetadataRoutedUploadsSuite
from fileplane.testing.secrets_suite import MetadataSecretsSuite
from fileplane.testing.upkeep_suite import MetadataUpkeepSuite
from fileplane.testing.uploads_suite import MetadataUploadsSuite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fileplane.db"
    prepare_database(path)
    return path


class TestSqliteMetadataStore(
    MetadataStoreSuite,
    MetadataLifecycleSuite,
    MetadataUpkeepSuite,
    MetadataLimitsSuite,
    MetadataSecretsSuite,
    MetadataControlSuite,
    MetadataCatalogSuite,
    MetadataCatalogUpkeepSuite,
    MetadataCatalogRepeatsSuite,
    MetadataJobsSuite,
    MetadataUploadsSuite,
    MetadataRoutedUploadsSuite,
    MetadataResumableSuite,
):
    @pytest.fixture
    async def store(self, path: Path, clock: ManualClock) -> AsyncIterator[SqliteMetadataStore]:
        store = SqliteMetadataStore(path, clock)
        yield store
        await store.close()


async def test_two_processes_worth_of_stores_see_each_others_changes_at_once(path: Path) -> None:
    clock = ManualClock()
    one, two = SqliteMetadataStore(path, clock), SqliteMetadataStore(path, clock)
    project = await make_project(one, "shared")
    for store, reader in [(one, two), (two, one)] * 5:
        file = await record_file(store, project.id)
        assert await reader.get_file(project.id, file.id) == file
    await asyncio.gather(*[record_file(store, project.id) for store in (one, two) for _ in range(50)])
    assert await one.usage(project.id) == Usage(110, 1_100)
    await one.close()
    await two.close()


async def test_an_acknowledged_file_is_in_the_database_that_a_crash_would_leave(path: Path, tmp_path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock())
    project = await make_project(store, "kept")
    file = await record_file(store, project.id)
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    survivor = SqliteMetadataStore(copy, ManualClock())
    assert await survivor.get_file(project.id, file.id) == file
    await survivor.close()
    await store.close()


async def test_reads_do_not_wait_for_a_writer(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock(), deadline_seconds=5)
    project = await make_project(store, "busy")
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
        await make_project(store, "late")
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
        projects.create(connection, NewProject(str(number), str(number)), Origin(), number)

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
    project = await make_project(store, "reading")
    for _ in range(5):
        with pytest.raises(Exception, match="nothing"):
            await store.list_files(project.id, FileQuery(10, after="nothing"))
    assert (await store.list_files(project.id, FileQuery(10))).total == 0
    await store.close()


async def test_a_page_damaged_later_is_an_integrity_error(path: Path) -> None:
    store = SqliteMetadataStore(path, ManualClock())
    project = await make_project(store, "damaged")
    await asyncio.gather(*[record_file(store, project.id) for _ in range(1_000)])
    await store.close()
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(pages // 2, pages):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    store = SqliteMetadataStore(path, ManualClock())
    with pytest.raises(StorageIntegrityError):
        await store.list_files(project.id, FileQuery(100))
    await store.close()


@pytest.mark.parametrize(
    "part", ["keys", "files", "lifecycle", "limits", "upkeep", "schema", "catalog", "jobs", "uploads", "routed_uploads"]
)
def test_every_statement_is_used_and_described(part: str) -> None:
    sources = Path(metadata.__file__).parent.rglob("*.py")
    text = "".join(source.read_text("utf-8") for source in sources)
    for name, statement in load_statements("sqlite_schema.sql" if part == "schema" else f"{part}.sql").items():
        assert statement.startswith("-- "), name
        assert f'"{name}"' in text or name.endswith("_ended"), name


@pytest.mark.parametrize(("deleted", "by_purpose", "newest_first"), sorted(LISTS))
def test_a_list_walks_its_covering_index_and_sorts_no_more_than_a_page(
    path: Path, deleted: bool, by_purpose: bool, newest_first: bool
) -> None:
    plan = plan_of(path, LISTS[deleted, by_purpose, newest_first])
    index = f"{'deleted' if deleted else 'files'}_by_{'purpose' if by_purpose else 'time'}"
    assert any(f"SEARCH files USING COVERING INDEX {index}" in step for step in plan), plan
    assert not any(step.startswith("SCAN files") for step in plan), plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (FILES["count_live_ended"], "COVERING INDEX files_by_end"),
        (FILES["count_deleted_ended"], "COVERING INDEX deleted_by_end"),
        (UPKEEP["sum_reclaimable"], "COVERING INDEX deleted_by_end"),
        (UPKEEP["sum_reclaimable"], "COVERING INDEX files_by_end"),
        (UPKEEP["select_ended"], "INDEX files_ending"),
        (UPKEEP["select_collectable"], "INDEX files_to_collect"),
        (UPKEEP["select_tombstones"], "INDEX files_tombstones"),
        (UPKEEP["select_oldest_deleted"], "INDEX deleted_by_end"),
        (UPKEEP["select_blob_owner"], "COVERING INDEX files_by_blob"),
        (UPKEEP["select_kept"], "PRIMARY KEY"),
    ],
)
def test_upkeep_looks_at_what_it_changes_and_nothing_else(path: Path, statement: str, index: str) -> None:
    plan = plan_of(path, statement)
    assert any(step.startswith("SEARCH files") and index in step for step in plan), plan
    assert not any(step.startswith("SCAN files") or "TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (UPLOAD_LISTS[True], "uploads_by_time"),
        (UPLOAD_LISTS[False], "uploads_by_time"),
        (UPLOADS["select_ended_uploads"], "uploads_ending"),
        (UPLOADS["select_given_up"], "parts_given_up"),
        (UPLOADS["select_unsettled"], "files_unsettled"),
        (UPLOADS["select_manifest"], "parts_by_upload"),
        (UPLOADS["select_kept_parts"], "PRIMARY KEY"),
        (UPLOADS["delete_old_ended"], "uploads_over"),
        (UPLOADS["select_key_pending"], "uploads_of_key"),
        (ROUTED["select_routed_parts"], "routed_parts_by_upload"),
        (ROUTED["select_completion_parts"], "routed_uploads_by_intent"),
        (ROUTED["delete_old_routed"], "uploads_routed_over"),
    ],
)
def test_of_uploads_and_parts_only_those_are_looked_at_that_are_asked_for(path: Path, statement: str, index: str) -> None:
    plan = plan_of(path, statement)
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {"insert_upload"}))
def test_what_limits_are_held_against_is_found_by_an_index(path: Path, name: str) -> None:
    plan = plan_of(path, LIMITS[name])
    assert not any(step.startswith("SCAN") and not step.endswith("VALUES CLAUSE") for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan) or name == "select_purposes_ended", plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("select_kept", "COVERING INDEX files_by_end"),
        ("select_key_ended", "COVERING INDEX files_by_key_end"),
        ("select_keys_ended", "COVERING INDEX files_by_key_end"),
        ("count_uploads", "COVERING INDEX uploads_by_project"),
        ("count_key_uploads", "COVERING INDEX uploads_by_key"),
        ("delete_old_uploads", "uploads_by_end"),
        ("delete_old_windows", "request_windows_by_minute"),
        ("delete_old_days", "daily_usage_by_day"),
    ],
)
def test_limits_look_only_at_what_an_index_covers(path: Path, name: str, index: str) -> None:
    assert any(index in step for step in plan_of(path, LIMITS[name])), plan_of(path, LIMITS[name])


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("by_purpose", [True, False])
@pytest.mark.parametrize("virtual_keys", [1, 3])
def test_a_list_of_several_targets_merges_their_covering_indexes(
    path: Path, virtual_keys: int, by_purpose: bool, newest_first: bool
) -> None:
    plan = plan_of(path, catalog_files.list_statement(virtual_keys, by_purpose=by_purpose, newest_first=newest_first))
    walk = f"SEARCH catalog_files USING COVERING INDEX catalog_files_by_{'purpose' if by_purpose else 'time'} (project_id=?"
    assert sum(step.startswith(walk) and "position" in step for step in plan) == virtual_keys, plan
    plan += plan_of(path, jobs.list_statement(virtual_keys, newest_first=newest_first))
    assert sum("USING COVERING INDEX catalog_jobs_by_time (project_id=?" in step for step in plan) == virtual_keys, plan
    assert any("MERGE (UNION ALL)" in step for step in plan) == (virtual_keys > 1), plan
    assert not any(step.startswith("SCAN catalog") for step in plan), plan
    assert sum("TEMP B-TREE" in step for step in plan) <= 2, plan


def test_no_statement_of_the_catalog_reads_what_it_does_not_need(path: Path) -> None:
    lists = {"list", "list_arm", "list_jobs", "list_jobs_arm"}
    everything = {"select_catalog_counters", "recount_catalog"}
    named = CATALOG | JOBS
    left_out = ("", " AND virtual_key_id NOT IN (:key0, :key1)")
    for name, without in product(named.keys() - lists - everything, left_out):
        plan = plan_of(path, named[name].replace("{without}", without))
        unresolved = "SCAN catalog_files USING COVERING INDEX catalog_files_unresolved"
        scans = {step for step in plan if step.startswith("SCAN ")} - {"SCAN CONSTANT ROW"}
        assert scans <= ({unresolved} if name.startswith("count_users") else set()), (name, plan)
        whole_project = re.compile(r"SEARCH catalog_(files|jobs) USING [A-Z ]+ \(project_id=\?\)")
        assert not any(whole_project.fullmatch(step) or "TEMP B-TREE" in step for step in plan), (name, plan)


@pytest.mark.parametrize("state", ["bound", "deleting"])
def test_the_schema_itself_refuses_two_live_bindings_of_one_file(path: Path, state: str) -> None:
    connection = connect(path)
    connection.execute("INSERT INTO projects (id, slug, created_at) VALUES ('p', 'p', 1), ('q', 'q', 1)")
    columns = "project_id, id, virtual_key_id, account_id, provider, state, provider_file_id, purpose, filename, media_type, reserved_at"
    insert = f"INSERT INTO catalog_files ({columns}) VALUES (?, ?, 'key', 'account', 'openai', ?, 'file-1', 'batch', 'f', 't', 1)"
    for number, over in enumerate(("closed", "failed", "bound")):
        connection.execute(insert, ("p", str(number), over))
    with pytest.raises(apsw.ConstraintError):
        connection.execute(insert, ("q", "another", state))
    connection.close()


def plan_of(path: Path, statement: str) -> list[str]:
    connection = connect(path)
    names = set(re.findall(r":(\w+)", statement))
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", dict.fromkeys(names, 1))]
    connection.close()
    return plan


def test_preparing_again_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    prepare_database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("migration", range(len(sqlite_migrations())))
def test_a_migration_that_is_interrupted_anywhere_is_done_wholly_at_the_next_start(tmp_path: Path, migration: int) -> None:
    fresh = tmp_path / "fresh.db"
    prepare_database(fresh)
    for stop_at in count(1):
        path = tmp_path / f"{stop_at}.db"
        struck = _migrate_until(path, migration, stop_at)
        prepare_database(path)
        assert _schema(path) == _schema(fresh)
        if not struck:
            assert stop_at > 5
            break


def test_nodes_that_migrate_at_once_make_the_schema_of_one(tmp_path: Path) -> None:
    fresh, shared = tmp_path / "fresh.db", tmp_path / "shared.db"
    prepare_database(fresh)
    with ProcessPoolExecutor(6, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert list(processes.map(prepare_database, [shared] * 6)) == [None] * 6
    assert _schema(shared) == _schema(fresh)


def _migrate_until(path: Path, migration: int, stop_at: int) -> bool:
    """Interrupts a migration before its ``stop_at``-th statement; whether it has as many."""
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    versions = sqlite_migrations()
    for version, statements in versions[:migration]:
        _migrate(connection, version, statements)
    steps = 0

    def interrupt(*_: object) -> bool:
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise KeyboardInterrupt
        return True

    connection.exec_trace = interrupt
    try:
        _migrate(connection, *versions[migration])
    except KeyboardInterrupt:
        connection.exec_trace = None
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.close()
    return steps >= stop_at


def test_a_database_of_the_first_version_keeps_its_files_and_counters(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = connect(path)
    _migrate(connection, *sqlite_migrations()[0])
    connection.execute("INSERT INTO projects VALUES ('p', 'default', 1)")
    connection.execute("INSERT INTO api_keys VALUES ('k', 'p', 'bootstrap', x'00', 'abcd', 'files.read', 1, 1, NULL, NULL)")
    for name, expires_at, deleted_at in [("live", None, None), ("ending", 5_000, None), ("deleted", None, 100), ("both", 700, 100)]:
        connection.execute(
            "INSERT INTO files VALUES ('p', :name, 'batch', 'f', 10, 't', 's', :name, 1, :expires_at, 'processed', NULL, 'k', :deleted_at)",
            {"name": name, "expires_at": expires_at, "deleted_at": deleted_at},
        )
    connection.execute("INSERT INTO usage VALUES ('p', 'batch', 2, 40)")
    connection.close()
    prepare_database(path)
    connection = connect(path)
    rows = {row[0]: row[1:] for row in connection.execute("SELECT id, ends_at, deleted_at, collect_after FROM files")}
    assert rows == {
        "live": (None, None, None),
        "ending": (5_000, None, None),
        "deleted": (None, 100, 100 + 604_800),
        "both": (700, 100, 700),
    }
    assert connection.execute("SELECT live_files, deleted_files, stored_bytes, deleted_bytes FROM usage").fetchall() == [(2, 2, 40, 20)]
    assert connection.execute("SELECT * FROM key_usage").fetchall() == [("p", "k", 2, 20)]
    assert connection.execute("SELECT * FROM daily_usage ORDER BY key_id").fetchall() == [("p", "", 0, 4, 40, 40), ("p", "k", 0, 4, 40, 40)]
    assert drifts(connection) == []
    (row,) = connection.execute("SELECT scopes, kind, updated_at FROM api_keys").fetchall()
    later = ALL_SCOPES - FILE_SCOPES | {"files.hold", "files.purge"}
    assert (sorted(row[0].split()), *row[1:]) == (sorted({"files.read", *later}), "organisation-service", 1)
    assert connection.execute("SELECT slug, name, updated_at, version FROM projects").fetchall() == [("default", "default", 1, 1)]
    connection.close()


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


def test_a_database_that_may_not_be_opened_is_not_told_to_be_restored(tmp_path: Path) -> None:
    (tmp_path / "fileplane.db").mkdir()
    for prepare in (prepare_database, require_current):
        with pytest.raises(DatabaseUnusable, match="Is its file system read-only, or does it belong to another user"):
            prepare(tmp_path / "fileplane.db")
