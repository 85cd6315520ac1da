"""The MetadataStore protocol on SQLite."""

from __future__ import annotations

from pathlib import Path

import apsw

from fileplane.clock import Clock
from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.moves import counting_alone
from fileplane.metadata.relational import RelationalMetadataStore
from fileplane.metadata.sqlite_engine import CACHE_BYTES, SqliteEngine, size, snapshot
from fileplane.metadata.sqlite_schema import schema_problems
from fileplane.model import RequestLease


class SqliteMetadataStore(RelationalMetadataStore):
    """See :class:`fileplane.metadata.base.MetadataStore`. Several processes on one machine may use one database at once."""

    def __init__(self, path: Path, clock: Clock, *, deadline_seconds: float = 10.0, cache_bytes: int = CACHE_BYTES) -> None:
        """For a database that :func:`~fileplane.metadata.sqlite_engine.prepare_database` has prepared. Needs a running event loop."""
        super().__init__(SqliteEngine(path, deadline_seconds, cache_bytes), clock)

    async def take_requests(self, subject: str, limit: int, most: int) -> RequestLease:
        """See :meth:`MetadataStore.take_requests`. Also while the database is moved, since reading goes on then."""
        with counting_alone():
            return await super().take_requests(subject, limit, most)

    async def structural_problems(self) -> list[str]:
        """See :meth:`MetadataStore.structural_problems`."""
        return await self._engine.read(_problems)

    async def snapshot(self, destination: Path) -> None:
        """See :meth:`MetadataStore.snapshot`."""
        await self._engine.read(lambda connection: snapshot(connection, destination))

    async def database_bytes(self) -> int:
        """See :meth:`MetadataStore.database_bytes`."""
        return await self._engine.read(size)


def _problems(connection: apsw.Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)") if row[0] != "ok"]
    for table, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        found.append(f"row {row_id} of {table} refers to a row of {parent} that does not exist")
    return found + schema_problems(connection, sqlite_migrations()[-1][0])
