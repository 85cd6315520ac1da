"""An SQLite database brought to PostgreSQL whole: every row of every table, in one transaction, compared before it is committed.

The new database says from before the first row until the commit that it is not complete, and no server uses it as long. A commit without
an answer is looked for under the lock that it held: afterwards it is there, or it never will be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg
from psycopg import sql

from fileplane.errors import StorageUnavailable
from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.move_rows import RowSum, adapted
from fileplane.metadata.moves import ARRIVED, ARRIVING, OF_THE_MOVE
from fileplane.metadata.postgres_failures import reason_of
from fileplane.metadata.postgres_schema import prepare_postgres, require_sound_postgres
from fileplane.metadata.sqlite_engine import connect

Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]

_CONNECT_SECONDS: Final = 10
_SILENT_SECONDS: Final = 60
_LOCK_SECONDS: Final = 60
_BATCH: Final = 2_000
_COLUMNS: Final = (
    "SELECT table_name, column_name, is_identity = 'YES' FROM information_schema.columns WHERE table_schema = current_schema() "
    "AND table_name != 'schema_versions' ORDER BY table_name, ordinal_position"
)
_REFERENCES: Final = (
    "SELECT DISTINCT child.relname, parent.relname FROM pg_constraint JOIN pg_class AS child ON child.oid = conrelid JOIN pg_class AS "
    "parent ON parent.oid = confrelid WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid != confrelid"
)
_SELECT_BOOKMARK: Final = "SELECT position FROM bookmarks WHERE name = %s"
_INSERT_BOOKMARK: Final = "INSERT INTO bookmarks (name, position) VALUES (%s, %s)"


class MoveFailed(Exception):
    """The records did not come to the new database as they are in the old one. Nothing is there; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What a new database is like: ``begun`` when a move of the same store was begun there, ``token`` when one was completed."""

    begun: bool
    token: str | None


class PostgresArrival:
    """The move of the SQLite database at ``source``, whose id is ``store_id``, to an empty one. Its methods block.

    They raise :class:`DatabaseUnusable` for a database that cannot serve, and :class:`~fileplane.errors.StorageUnavailable`.
    """

    def __init__(self, source: Path, url: str, store_id: str) -> None:
        self._source = source
        self._url = url
        self._store_id = store_id
        self._stopped = threading.Event()

    def look(self) -> Destination:
        """Changes nothing. Raises :class:`DatabaseUnusable` for a database that has anything else in it."""
        with self._connected() as connection:
            require_sound_postgres(connection)
            tables = _columns_of(connection)
            if not tables:
                return Destination(begun=False, token=None)
            return self._looked_into(connection, tables)

    def begin(self) -> Destination:
        """Makes the tables, and keeps every server from using them until the move is complete. Idempotent."""
        prepare_postgres(self._url)
        with self._connected() as connection, connection.transaction():
            connection.execute("LOCK TABLE bookmarks, projects IN EXCLUSIVE MODE")
            found = self._looked_into(connection, _columns_of(connection))
            if not found.begun and found.token is None:
                connection.execute(_INSERT_BOOKMARK, [ARRIVING, self._store_id])
            return found

    def arrived(self) -> str | None:
        """The token of the move that is complete. Waits for a transaction of which nobody knows how it ended."""
        with self._connected() as connection, connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
            connection.execute(f"{_SELECT_BOOKMARK} FOR UPDATE", [ARRIVING])
            return _bookmark(connection, ARRIVED)

    def bring(self, token: str, tell: Callable[[str], None]) -> dict[str, int]:
        """Brings everything, which must not change meanwhile, and returns the number of rows by table. All of it, or nothing.

        Raises :class:`MoveFailed` as well. Without an answer to the commit, :meth:`arrived` says how it ended.
        """
        old = connect(self._source)
        try:
            old.execute("BEGIN")
            with self._connected() as new, new.transaction():
                new.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
                new.execute("SET LOCAL statement_timeout = 0")
                new.execute("SET LOCAL synchronous_commit = on")
                if new.execute(f"{_SELECT_BOOKMARK} FOR UPDATE", [ARRIVING]).fetchone() != (self._store_id,):
                    raise MoveFailed("The new database is not the one that this move was begun with.")
                new.execute("DELETE FROM bookmarks WHERE name = %s", [ARRIVING])
                counts = self._brought(old, new, tell)
                new.execute(_INSERT_BOOKMARK, [ARRIVED, token])
                self._require_going_on()
        except apsw.Error as error:
            raise StorageUnavailable(f"The database {self._source} cannot be read. Try again shortly.") from error
        finally:
            old.close()
        return counts

    def stop(self) -> None:
        """From another thread: what is being brought is given up soon, unless it is complete."""
        self._stopped.set()

    def _brought(self, old: apsw.Connection, new: Connection, tell: Callable[[str], None]) -> dict[str, int]:
        tables = _columns_of(new)
        _require_same_tables(old, tables)
        counts: dict[str, int] = {}
        for table in _in_order(new, tables):
            columns = [name for name, _ in tables[table]]
            before = self._copied(old, new, table, columns)
            after = RowSum()
            for row in self._rows_there(new, table, columns):
                after.add(row)
            if before != after:
                raise MoveFailed(f"The table {table} has {after.count} rows in the new database, not the same as the {before.count} here.")
            for name, counted in tables[table]:
                if counted:
                    _go_on_counting(old, new, table, name)
            counts[table] = before.count
            tell(f"{table}: {before.count} rows")
        return counts

    def _copied(self, old: apsw.Connection, new: Connection, table: str, columns: Sequence[str]) -> RowSum:
        rows = RowSum()
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns)))
        with new.cursor() as cursor, cursor.copy(statement) as copy:
            for row in _rows_here(old, table, columns):
                rows.add(row)
                copy.write_row(row)
                if rows.count % _BATCH == 0:
                    self._require_going_on()
        return rows

    def _rows_there(self, new: Connection, table: str, columns: Sequence[str]) -> Iterator[Row]:
        statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table))
        with new.cursor(name="compared") as cursor:
            cursor.itersize = _BATCH
            cursor.execute(statement)
            for number, row in enumerate(cursor):
                if number % _BATCH == 0:
                    self._require_going_on()
                yield row

    def _require_going_on(self) -> None:
        if self._stopped.is_set():
            raise MoveFailed("The move was interrupted. Nothing has come to the new database.")

    def _looked_into(self, connection: Connection, tables: Mapping[str, object]) -> Destination:
        begun_for, token = _bookmark(connection, ARRIVING), _bookmark(connection, ARRIVED)
        if token is not None and connection.execute("SELECT id FROM store_identity").fetchone() == (self._store_id,):
            return Destination(begun=False, token=token)
        filled = [table for table in tables if table != "bookmarks" and _has_rows(connection, table)]
        if filled or begun_for not in {None, self._store_id}:
            raise DatabaseUnusable(
                "The new database is not empty: "
                + ("a move of another store to it is not complete." if begun_for else "it has records of a Fileplane already.")
                + " Nothing was changed. Name an empty one."
            )
        return Destination(begun=begun_for is not None, token=None)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=_CONNECT_SECONDS,
                tcp_user_timeout=_SILENT_SECONDS * 1000,
                keepalives_idle=15,
                keepalives_interval=5,
                keepalives_count=3,
                application_name="fileplane migrate-store",
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise StorageUnavailable(f"The new database cannot be used: {reason_of(error)}.") from error


def _columns_of(connection: Connection) -> dict[str, list[tuple[str, bool]]]:
    """By table, its columns, and whether each is counted up by the server."""
    tables: dict[str, list[tuple[str, bool]]] = {}
    for table, column, counted in connection.execute(_COLUMNS):
        tables.setdefault(table, []).append((column, counted))
    return tables


def _in_order(connection: Connection, tables: Mapping[str, object]) -> list[str]:
    """Tables after those that they refer to."""
    order: TopologicalSorter[str] = TopologicalSorter({table: set[str]() for table in tables})
    for child, parent in connection.execute(_REFERENCES):
        order.add(child, parent)
    return list(order.static_order())


def _require_same_tables(old: apsw.Connection, tables: Mapping[str, Sequence[tuple[str, bool]]]) -> None:
    here = {
        str(table): {str(column) for _, column, *_ in old.execute(f'PRAGMA table_info("{table}")')}
        for (table,) in old.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall()
    }
    there = {table: {name for name, _ in columns} for table, columns in tables.items()}
    if here != there:
        raise MoveFailed("The old database and the new one do not have the same tables. Both must be of this version of Fileplane.")


def _rows_here(old: apsw.Connection, table: str, columns: Sequence[str]) -> Iterator[Row]:
    names = ", ".join(f'"{name}"' for name in columns)
    for row in old.execute(f'SELECT {names} FROM "{table}"'):  # noqa: S608 - names of the schema's own
        if table != "bookmarks" or row[columns.index("name")] not in OF_THE_MOVE:
            yield adapted(row)


def _go_on_counting(old: apsw.Connection, new: Connection, table: str, column: str) -> None:
    """The next number is one that was never given, also where the rows with the last ones are gone."""
    row = old.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    if row is not None and row[0]:
        new.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [table, column, row[0]])


def _bookmark(connection: Connection, name: str) -> str | None:
    row = connection.execute(_SELECT_BOOKMARK, [name]).fetchone()
    return None if row is None else str(row[0])


def _has_rows(connection: Connection, table: str) -> bool:
    return connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone() is not None
