"""The SQL that is run in this process, and how much work each statement was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

Statement = tuple[str, int]


class Statements:
    """Made by :func:`traced_statements`."""

    def __init__(self) -> None:
        self._seen: list[Statement] = []
        self._before: dict[tuple[int, str], int] = {}

    def hook(self, connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._take)

    def _take(self, event: dict[str, Any]) -> None:
        sql, counters = event["sql"], event["stmt_status"]
        prepared = (id(event["connection"]), sql)
        # SQLite adds up what a statement has cost since it was prepared.
        before = self._before.get(prepared, 0) if counters["SQLITE_STMTSTATUS_RUN"] > 1 else 0
        self._before[prepared] = counters["SQLITE_STMTSTATUS_VM_STEP"]
        self._seen.append((sql, counters["SQLITE_STMTSTATUS_VM_STEP"] - before))

    def taken(self) -> list[Statement]:
        """Each statement since the last call with the steps that SQLite's machine made for it: a time that no other load disturbs."""
        seen, self._seen = self._seen, []
        return seen


@contextmanager
def traced_statements() -> Iterator[Statements]:
    """Sees what is run on every connection that is opened within the block."""
    statements = Statements()
    apsw.connection_hooks.append(statements.hook)
    try:
        yield statements
    finally:
        apsw.connection_hooks.remove(statements.hook)
