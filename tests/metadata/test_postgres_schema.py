"""The schema on PostgreSQL: made once however many nodes start, the same as SQLite's, and fit for every statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import apsw
import psycopg
import pytest

from fileplane.metadata import postgres_dialect, postgres_schema, sql
from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.migrations import postgres_migrations, sqlite_migrations
from fileplane.metadata.postgres_dialect import translated
from fileplane.metadata.postgres_schema import prepare_postgres, require_current_postgres
from fileplane.metadata.postgres_session import open_session
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions.files import LISTS
from support.many_files import fill_files
from support.postgres import PostgresServer

FILES = sorted(entry.name for entry in resources.files(sql).iterdir())
SHARED = [name for name in FILES if name.endswith(".sql") and not name.startswith(("sqlite", "postgres"))]
FILES_OF_A_PROJECT = 5_000
COLUMNS = """
SELECT table_name, column_name, is_nullable FROM information_schema.columns
WHERE table_schema = 'public' AND table_name != 'schema_versions'
"""


@pytest.fixture
def fresh(postgres: PostgresServer) -> str:
    """The name of a database without a table."""
    return postgres.new_database()


def test_preparing_again_changes_nothing(postgres, fresh):
    prepare_postgres(postgres.url(fresh))
    before = _schema(postgres, fresh)
    prepare_postgres(postgres.url(fresh))
    require_current_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == before


def test_nodes_that_start_at_once_make_the_schema_of_one(postgres, fresh):
    with ThreadPoolExecutor(6) as nodes:
        assert list(nodes.map(prepare_postgres, [postgres.url(fresh)] * 6)) == [None] * 6
    assert _schema(postgres, fresh) == _schema(postgres, "shared")


def test_a_migration_that_fails_anywhere_leaves_nothing_of_itself(postgres, fresh, monkeypatch):
    version, statements, serves = postgres_migrations()[-1]
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "postgres_migrations", lambda: [(version, f"{statements}\nSELECT 1 / 0;", serves)])
        with pytest.raises(DatabaseUnusable):
            prepare_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == []
    prepare_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == _schema(postgres, "shared")


def test_every_migration_says_the_oldest_version_that_goes_on_working():
    served = [serves for _, _, serves in postgres_migrations()]
    assert served == sorted(served)
    assert all(1 <= serves <= version for version, _, serves in postgres_migrations())


def test_a_newer_schema_is_used_as_long_as_it_serves_this_version(postgres, fresh):
    prepare_postgres(postgres.url(fresh))
    newest = postgres_migrations()[-1][0]
    postgres.execute("INSERT INTO schema_versions VALUES (%s, %s)", newest + 1, newest, database=fresh)
    prepare_postgres(postgres.url(fresh))
    require_current_postgres(postgres.url(fresh))
    postgres.execute("INSERT INTO schema_versions VALUES (%s, %s)", newest + 2, newest + 1, database=fresh)
    for use in (prepare_postgres, require_current_postgres):
        with pytest.raises(DatabaseUnusable, match="newer Fileplane"):
            use(postgres.url(fresh))


def test_a_command_beside_servers_changes_no_schema(postgres, fresh):
    with pytest.raises(DatabaseUnusable, match="Start the server"):
        require_current_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == []


def test_a_database_of_another_program_is_refused_unchanged(postgres, fresh):
    postgres.execute("CREATE TABLE theirs (x text)", database=fresh)
    with pytest.raises(DatabaseUnusable, match="another program"):
        prepare_postgres(postgres.url(fresh))
    assert [row[0] for row in _schema(postgres, fresh)] == ["theirs"]


def test_a_database_that_would_lose_what_it_acknowledged_is_refused(postgres, fresh):
    postgres.execute(f"ALTER DATABASE {fresh} SET synchronous_commit = off")
    with pytest.raises(DatabaseUnusable, match="synchronous_commit"):
        prepare_postgres(postgres.url(fresh))


@pytest.mark.parametrize("taken_by_all", ["pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"])
def test_a_database_whose_advisory_locks_lock_nothing_is_refused_by_name_and_unchanged(postgres, fresh, taken_by_all):
    # As those databases have it that know the functions for the sake of compatibility alone.
    postgres.execute(f"CREATE FUNCTION public.{taken_by_all}(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'", database=fresh)
    postgres.execute(f"ALTER DATABASE {fresh} SET search_path = public, pg_catalog")
    with pytest.raises(DatabaseUnusable, match=rf"{fresh} at 127\.0\.0\.1 \(PostgreSQL .*advisory locks"):
        prepare_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == []


def test_a_database_that_never_gives_advisory_locks_back_is_refused(postgres, fresh):
    taking = "LANGUAGE sql AS 'SELECT pg_catalog.pg_advisory_lock($1)'"
    postgres.execute(f"CREATE FUNCTION public.pg_advisory_xact_lock(bigint) RETURNS void {taking}", database=fresh)
    postgres.execute(f"ALTER DATABASE {fresh} SET search_path = public, pg_catalog")
    with pytest.raises(DatabaseUnusable, match="not given back"):
        prepare_postgres(postgres.url(fresh))
    assert _schema(postgres, fresh) == []


def test_a_database_of_another_encoding_is_refused(postgres):
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(DatabaseUnusable, match="UTF-8"):
        prepare_postgres(postgres.url("latin"))


def test_a_database_that_cannot_be_reached_is_told_without_the_password(postgres):
    with pytest.raises(DatabaseUnusable, match="database_url") as raised:
        prepare_postgres(f"postgresql://someone:hunter2@127.0.0.1:{postgres.port}/nowhere")
    assert "hunter2" not in str(raised.value)


def test_the_tables_are_those_of_sqlite(postgres):
    connection = apsw.Connection(":memory:")
    for _, statements in sqlite_migrations():
        connection.execute(statements)
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    of_sqlite = {
        (table, column, not required and not key)
        for (table,) in connection.execute(tables).fetchall()
        for _, column, _, required, _, key in connection.execute(f"PRAGMA table_info({table})")
    }
    connection.close()
    assert {(table, column, nullable == "YES") for table, column, nullable in postgres.execute(COLUMNS, database="shared")} == of_sqlite


def test_every_text_collates_as_bytes(postgres):
    others = f"{COLUMNS} AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
    assert postgres.execute(others, database="shared") == []


@pytest.mark.parametrize("file", SHARED)
def test_every_statement_is_one_on_postgresql_too(postgres, file):
    """Each is analysed as it stands, whatever the values are; those in parts are run by the suites."""
    with psycopg.connect(postgres.url("shared"), autocommit=True) as connection:
        for name, statement in load_statements(file).items():
            if "{" not in statement:
                text = translated(statement)
                connection.execute(f"EXPLAIN {text}", dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
            for index in re.findall(r"INDEXED BY (\w+)", statement):
                assert connection.execute("SELECT to_regclass(%s)", [index]).fetchone() != (None,), (name, index)


def test_what_differs_between_the_engines_is_a_statement_of_both():
    shared = {name for file in SHARED for name in load_statements(file)}
    assert set(postgres_dialect.OWN) <= shared


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("by_purpose", [False, True])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_list_walks_its_covering_index_and_sorts_no_more_than_a_page(explained, deleted, by_purpose, newest_first):
    plan = explained(LISTS[deleted, by_purpose, newest_first])
    index = f"{'deleted' if deleted else 'files'}_by_{'purpose' if by_purpose else 'time'}"
    assert re.search(rf"Index Only Scan (Backward )?using {index} on files", plan), plan


@pytest.fixture(scope="module")
def explained(postgres: PostgresServer) -> Iterator[object]:
    """The plan of a statement in a database that has files; of one that has none, whatever comes to its planner's mind is cheap."""
    url = postgres.url(postgres.new_database())
    prepare_postgres(url)
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(
            "INSERT INTO projects (id, slug, name, limits, default_metadata, allow_override, created_at, updated_at) "
            "VALUES ('p', 'p', 'p', '{}', '{}', 1, 0, 0)"
        )
        fill_files(url, "p", "k", FILES_OF_A_PROJECT, deleted=True)
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")

        def plan(statement: str) -> str:
            text = translated(statement)
            values = dict.fromkeys(re.findall(r"%\((\w+)\)s", text), 1)
            texts = {"project_id": "p", "purpose": "batch", "cursor_id": "x"}
            return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {text}", values | texts))

        yield plan


def test_structural_problems_are_told(postgres, fresh):
    prepare_postgres(postgres.url(fresh))
    session = open_session(postgres.url(fresh), 10)
    assert postgres_schema.schema_problems(session) == []
    postgres.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'files_by_time'::regclass", database=fresh)
    assert postgres_schema.schema_problems(session) == ["index files_by_time is not valid"]
    session.close()


def _schema(postgres: PostgresServer, database: str) -> list[tuple[object, ...]]:
    query = """
        SELECT relname::text, relkind::text, pg_get_indexdef(oid), relnatts::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
        UNION ALL SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '' FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3
    """
    return postgres.execute(query, database=database)


@pytest.mark.parametrize("url", ["postgresql://u:p%zzhunter2@h/db", "postgresql://u:hunter2@[::1/db"])
def test_a_url_that_cannot_be_read_is_not_repeated(url: str):
    for prepare in (prepare_postgres, require_current_postgres):
        with pytest.raises(DatabaseUnusable, match="its URL cannot be read") as caught:
            prepare(url)
        assert "hunter2" not in str(caught.value)
