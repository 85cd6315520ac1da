"""Whether a database has the schema of its version."""

from __future__ import annotations

from typing import Any, Final

import apsw

from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sql import load_statements

SQL: Final = load_statements("sqlite_schema.sql")


def schema_problems(connection: apsw.Connection, version: int) -> list[str]:
    """What differs from what the migrations up to ``version`` make, such as where only a part of one has reached the disk."""
    expected = apsw.Connection(":memory:")
    for number, statements in sqlite_migrations():
        if number <= version:
            expected.execute(statements)
    wanted, there = _schema(expected), _schema(connection)
    expected.close()
    return [
        f"{name} is not as the migrations make it" for name in sorted(wanted.keys() | there.keys()) if wanted.get(name) != there.get(name)
    ]


def _schema(connection: apsw.Connection) -> dict[str, str]:
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_schema"]).fetchall()
    return {f"{kind} {name}": str(statement) for kind, name, statement in rows}
