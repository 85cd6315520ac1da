"""What a call costs with a million files is what it costs with a thousand: counted in pages and rows that PostgreSQL touches, not in time.

Each call runs as the store runs it, statement by statement, prepared, once planned for its values and once for any.
"""

# ruff: noqa: ARG001, ARG005 - every call is given the same

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from fileplane.access import CallerLimits, Limits
from fileplane.catalog import CatalogQuery
from fileplane.metadata.postgres_dialect import translated
from fileplane.metadata.postgres_schema import prepare_postgres
from fileplane.metadata.postgres_session import Session, open_session
from fileplane.metadata.transactions import catalog_files, catalog_upkeep, files, lifecycle, limits, upkeep
from fileplane.model import FileQuery, Idempotency, NewFile, Origin, StoredBlob
from support.many_files import ManyFiles, fill_beside_files, fill_files
from support.postgres import PostgresServer

pytestmark = pytest.mark.full

FEW, MANY = 1_000, 1_000_000
PAGE = 10
"""Few enough for every page to be full with a thousand files."""
KEYS = ("key-0", "key-1", "key-2")
TIMES, SPARE = 1.5, 40
"""How much more may be touched: each index is a level or two deeper."""


@dataclass
class Cost:
    """``pages`` read, from memory or not; ``rows`` that a scan had in its hands; ``slow`` are scans of whole tables."""

    pages: int = 0
    rows: int = 0
    slow: list[str] = field(default_factory=list)


class Explained:
    """A connection of the transactions, which runs each statement twice: to be explained, and for what it answers."""

    def __init__(self, session: Session, mode: str) -> None:
        self._session = session
        self._connection = session._connection
        self._connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        self.cost = Cost()

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Any:
        if statement in {"BEGIN", "COMMIT"}:
            return None
        self._connection.execute("SAVEPOINT explained")
        self._explain(translated(statement), values or {})
        self._connection.execute("ROLLBACK TO explained")
        self._connection.execute("DEALLOCATE explained")
        return self._session.execute(statement, values)

    def executemany(self, statement: str, rows: Any, /) -> None:
        for values in rows:
            self.execute(statement, values)

    def changes(self) -> int:
        return self._session.changes()

    def _explain(self, text: str, values: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
        for number, name in enumerate(names, 1):
            text = text.replace(f"%({name})s", f"${number}")
        types = ", ".join("bigint" if isinstance(values[name], int) else "unknown" for name in names)
        cursor = psycopg.ClientCursor(self._connection)
        cursor.execute(f"PREPARE explained {f'({types})' if names else ''} AS {text.replace('%%', '%')}")
        given = ", ".join(["%s"] * len(names))
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained {f'({given})' if names else ''}", [values[name] for name in names]
        )
        (row,) = cursor.fetchall()
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        self.cost.pages += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
        self._walk(plan[0]["Plan"])

    def _walk(self, node: dict[str, Any]) -> None:
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            touched = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            self.cost.rows += int(touched)
            if node["Node Type"] == "Seq Scan":
                self.cost.slow.append(f"{node['Relation Name']}: {int(touched)} rows")
        for child in node.get("Plans", ()):
            self._walk(child)


@dataclass(frozen=True)
class World:
    """A prepared database whose project ``p`` has many files."""

    url: str
    filled: ManyFiles
    restorable: str
    blob_key: str


Call = Callable[[Any, World, int], object]


def listed(**query: Any) -> Call:
    return lambda connection, world, now: files.page(connection, "p", FileQuery(PAGE, **query), now)


def listed_after_the_middle(**query: Any) -> Call:
    return lambda connection, world, now: files.page(connection, "p", FileQuery(PAGE, after=world.filled.middle_id, **query), now)


def catalogued(keys: int, **query: Any) -> Call:
    return lambda connection, world, now: catalog_files.page(connection, "p", CatalogQuery(KEYS[:keys], PAGE, **query), now)


def catalogued_after_the_middle(keys: int) -> Call:
    return lambda connection, world, now: catalog_files.page(
        connection, "p", CatalogQuery(KEYS[:keys], PAGE, after=f"file-{world.filled.count // 2}"), now
    )


def remains(name: str) -> Call:
    return lambda connection, world, now: upkeep.remains(connection, name, now, None, 100)


def created(idempotency: Idempotency | None = None) -> Call:
    bounds = Limits(files=10_000_000, storage_bytes=1 << 50, upload_bytes_per_day=1 << 50)

    def call(connection: Any, world: World, now: int) -> object:
        blob = StoredBlob(secrets.token_hex(16), 5, "0" * 64)
        new = NewFile(blob, "batch", "new.jsonl", "application/jsonl", "k", 3600, received_bytes=100)
        return files.create(connection, "p", new, 1 << 60, Origin(), idempotency, CallerLimits(bounds, bounds), now * 1000)

    return call


CALLS: dict[str, Call] = {
    "get": lambda connection, world, now: files.get(connection, "p", world.filled.middle_id, now),
    "first page": listed(),
    "first page, oldest first": listed(newest_first=False),
    "first page of a purpose": listed(purpose="batch"),
    "first page of a purpose, oldest first": listed(purpose="batch", newest_first=False),
    "page after the middle": listed_after_the_middle(),
    "page after the middle, oldest first": listed_after_the_middle(newest_first=False),
    "page of a purpose after the middle": listed_after_the_middle(purpose="user_data"),
    "page at an offset": listed(offset=300),
    "page of a purpose at an offset": listed(purpose="batch", offset=30),
    "deleted files": listed(deleted=True),
    "deleted files, oldest first": listed(deleted=True, newest_first=False),
    "deleted files of a purpose": listed(deleted=True, purpose="batch"),
    "deleted files after the middle": listed_after_the_middle(deleted=True),
    "create": created(),
    "create with an idempotency key": created(Idempotency(b"n" * 32, b"f")),
    "look for a repeated upload": lambda connection, world, now: files.repeated_bytes(connection, "p", b"n" * 32, now),
    "usage": lambda connection, world, now: files.usage(connection, "p"),
    "what limits are held against, expired files too": lambda connection, world, now: limits.kept(connection, "p", "k", now),
    "delete": lambda connection, world, now: lifecycle.delete(connection, "p", world.filled.middle_id, 60, Origin(), now * 1000),
    "restore": lambda connection, world, now: lifecycle.restore(connection, "p", world.restorable, Origin(), now * 1000),
    "expired files for the janitor": remains("select_ended"),
    "deleted files for the janitor": remains("select_collectable"),
    "the oldest tombstones": remains("select_tombstones"),
    "mark an expired file": lambda connection, world, now: upkeep.mark_ended(
        connection, upkeep.remains(connection, "select_ended", now, None, 1), now * 1000
    ),
    "collect a deleted file": lambda connection, world, now: upkeep.mark_collected(
        connection, upkeep.claim(connection, upkeep.remains(connection, "select_collectable", now, None, 1), now), now
    ),
    "forget a collected file": lambda connection, world, now: upkeep.forget(
        connection, upkeep.remains(connection, "select_tombstones", now, None, 1)
    ),
    "forget old entries": lambda connection, world, now: upkeep.forget_old(connection, 1, 1, now),
    "whose blob": lambda connection, world, now: upkeep.unowned(connection, [world.blob_key, "no/blob"]),
    "files for the scrub": lambda connection, world, now: upkeep.kept(connection, ("p", world.filled.middle_id), 100, now),
    "everything that is stored": lambda connection, world, now: upkeep.total_usage(connection),
    "catalog, one virtual key": catalogued(1),
    "catalog, one virtual key, oldest first": catalogued(1, newest_first=False),
    "catalog, three virtual keys": catalogued(3),
    "catalog, three virtual keys, of a purpose": catalogued(3, purpose="batch"),
    "catalog, three virtual keys, at an offset": catalogued(3, offset=100),
    "catalog, three virtual keys, after the middle": catalogued_after_the_middle(3),
    "catalog, one file": lambda connection, world, now: catalog_files.find(connection, "p", f"file-{world.filled.count // 2}", now),
    "catalog, what is due": lambda connection, world, now: catalog_upkeep.is_due(connection, now),
    "catalog, what has expired": lambda connection, world, now: catalog_upkeep.has_ended(connection, now),
    "catalog, usage": lambda connection, world, now: catalog_upkeep.usage(connection, "p", None),
}


@pytest.fixture(scope="module")
def worlds(postgres: PostgresServer) -> Iterator[tuple[World, World]]:
    yield made(postgres, FEW), made(postgres, MANY)
    for count in (FEW, MANY):
        postgres.execute(f"DROP DATABASE of_{count}")


def made(postgres: PostgresServer, count: int) -> World:
    """Twenty files are past their end, twenty can be collected: what the janitor has not come to yet does not grow with the rest."""
    name = f"of_{count}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = postgres.url(name)
    prepare_postgres(url)
    project = "INSERT INTO projects (id, slug, name, limits, default_metadata, allow_override, created_at, updated_at)"
    postgres.execute(f"{project} VALUES ('p', 'p', 'p', '{{}}', '{{}}', 1, 1, 1)", database=name)
    filled = fill_files(url, "p", "k", count, deleted=True)
    fill_beside_files(url, "p", KEYS, count)
    some = "UPDATE files SET {} WHERE id IN (SELECT id FROM files WHERE {} ORDER BY id LIMIT 20)"
    postgres.execute(some.format("ends_at = 1", "deleted_at IS NULL AND ends_at IS NOT NULL"), database=name)
    postgres.execute(some.format("collect_after = 1", "collected_at IS NULL AND deleted_at IS NOT NULL"), database=name)
    postgres.execute("VACUUM ANALYZE", database=name)
    restorable = "SELECT id, blob_key FROM files WHERE collected_at IS NULL AND collect_after > 1 ORDER BY id DESC LIMIT 1"
    ((file_id, blob_key),) = postgres.execute(restorable, database=name)
    return World(url, filled, str(file_id), str(blob_key))


def cost_of(call: Call, world: World, mode: str) -> Cost:
    session = open_session(world.url, 60)
    session._connection.execute("BEGIN")
    explained = Explained(session, mode)
    try:
        call(explained, world, int(time.time()))
    finally:
        session._connection.execute("ROLLBACK")
        session.close()
    return explained.cost


def test_a_million_files_are_there_and_counted(worlds: tuple[World, World]) -> None:
    _, many = worlds
    session = open_session(many.url, 60)
    assert session.execute("SELECT count(*) FROM files").fetchone() == (MANY,)
    assert (
        session.execute("SELECT sum(live_files) FROM usage").fetchone()
        == session.execute("SELECT count(*) FROM files WHERE deleted_at IS NULL").fetchone()
    )
    session.close()


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_touches_as_much_with_a_million_files_as_with_a_thousand(worlds: tuple[World, World], name: str, mode: str) -> None:
    few, many = (cost_of(CALLS[name], world, mode) for world in worlds)
    assert many.pages <= TIMES * few.pages + SPARE, (few, many)
    assert many.rows <= TIMES * few.rows + SPARE, (few, many)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_an_offset_walks_an_index_and_not_the_table(worlds: tuple[World, World], mode: str) -> None:
    _, many = worlds
    offset = MANY // 2
    cost = cost_of(listed(offset=offset), many, mode)
    assert offset <= cost.rows <= offset + 1_000
    assert cost.pages <= offset // 50, "an index has more than fifty entries to a page"
    assert not any(scan.startswith("files:") for scan in cost.slow)
