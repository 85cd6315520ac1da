"""Bringing a PostgreSQL database to the schema of this version, and looking whether it has it.

Schemas expand and contract: a migration that older programs can live with leaves them running, so that nodes are replaced one by one.
Each version says the oldest program that it serves; a program refuses a database that no longer serves it, and one older than itself
until a server of its own version has migrated it.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

from fileplane.metadata.base import DatabaseUnusable
from fileplane.metadata.migrations import postgres_migrations
from fileplane.metadata.postgres_failures import reason_of
from fileplane.metadata.postgres_locks import lock_key
from fileplane.metadata.postgres_probe import require_locks
from fileplane.metadata.sql import load_statements

SQL: Final = load_statements("postgres_schema.sql")
_CONNECT_SECONDS: Final = 10
_LOCK_SECONDS: Final = 600
_OLDEST_SERVER: Final = 140_000


def prepare_postgres(url: str) -> None:
    """Brings the database to the newest version, each migration in one transaction; nodes that start at once wait for each other.

    Raises :class:`DatabaseUnusable` for one that cannot be reached, is not empty and not Fileplane's, would lose what it
    acknowledged, locks nothing, or no longer serves this version; it is then unchanged.
    """
    try:
        with _connected(url) as connection:
            _require_sound(connection)
            require_locks(url, connection)
            for version, statements, serves in postgres_migrations():
                _migrate(connection, version, statements, serves)
    except psycopg.Error as error:
        raise _unusable(error) from error


def require_current_postgres(url: str) -> None:
    """For commands that work beside a server, and so must not change the schema under it. Raises :class:`DatabaseUnusable`."""
    try:
        with _connected(url) as connection:
            _require_sound(connection)
            version = _version(connection)
    except psycopg.Error as error:
        raise _unusable(error) from error
    newest = postgres_migrations()[-1][0]
    if version < newest:
        raise DatabaseUnusable(
            f"The database was written by an older Fileplane (schema {version}; this one knows {newest}), or by none. Start the server "
            "once with this version to bring it up to date."
        )


def require_sound_postgres(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Raises :class:`DatabaseUnusable` for a server or a database that :func:`prepare_postgres` would refuse. Changes nothing."""
    _require_sound(connection)


def schema_problems(connection: Any) -> list[str]:
    """What of the schema the server itself does not vouch for: indexes and references that were never finished."""
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_unfinished"]).fetchall()
    return [f"{kind} {name} is not valid" for kind, name in rows] + [
        f"{count} pages of the database have failed their checksums" for (count,) in connection.execute(SQL["count_damaged_pages"]) if count
    ]


def database_size(connection: Any) -> int:
    """Bytes of the database, indexes included; the server's log is of all its databases, and not counted."""
    return int(connection.execute(SQL["select_size"]).fetchone()[0])


def _connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS, prepare_threshold=None)


def _require_sound(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    settings = dict(connection.execute(SQL["select_settings"]).fetchall())
    if int(settings["server_version_num"]) < _OLDEST_SERVER:
        raise DatabaseUnusable("The database server is older than PostgreSQL 14, which Fileplane needs. Upgrade it.")
    if settings["server_encoding"] != "UTF8":
        raise DatabaseUnusable("The database does not keep its texts as UTF-8. Make one with ENCODING 'UTF8' for Fileplane.")
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if settings[name] == "off":
            raise DatabaseUnusable(f"The database server runs with {name} = off and would lose files that it acknowledged. Set it to on.")
    tables = {str(name) for (name,) in connection.execute(SQL["select_tables"])}
    if tables and "schema_versions" not in tables:
        raise DatabaseUnusable("The database has tables of another program. Make one of its own for Fileplane.")
    newest = postgres_migrations()[-1][0]
    if tables:
        ahead = connection.execute(SQL["select_newest"]).fetchone()
        if ahead is not None and ahead[1] > newest:
            raise DatabaseUnusable(
                f"The database was written by a newer Fileplane (schema {ahead[0]}, which serves those that know {ahead[1]}; this one "
                f"knows {newest}). Upgrade Fileplane, or restore a backup."
            )


def _version(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    if connection.execute(SQL["select_versions_table"]).fetchone() is None:
        return 0
    row = connection.execute(SQL["select_newest"]).fetchone()
    return 0 if row is None else int(row[0])


def _migrate(connection: psycopg.Connection[tuple[Any, ...]], version: int, statements: str, serves: int) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        connection.execute(f"SELECT pg_advisory_xact_lock({lock_key('migrations')})")
        if _version(connection) >= version:
            return
        connection.execute(SQL["make_versions_table"])
        connection.execute(statements)
        connection.execute(SQL["insert_version"], {"version": version, "serves": serves})


def _unusable(error: psycopg.Error) -> DatabaseUnusable:
    return DatabaseUnusable(f"The database cannot be used: {reason_of(error)}. Check the setting database_url and the database server.")
