"""The MetadataStore protocol on PostgreSQL: the transactions are those on SQLite, over another engine and under locks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Final

from fileplane.clock import Clock
from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres_clock import DatabaseClock
from fileplane.metadata.postgres_engine import PostgresEngine
from fileplane.metadata.postgres_locks import RULES, TAKEN, Rule
from fileplane.metadata.postgres_schema import database_size, schema_problems
from fileplane.metadata.relational import RelationalMetadataStore

CONNECTIONS: Final = 8
_SIZE_SECONDS: Final = 300


class PostgresMetadataStore(RelationalMetadataStore):
    """See :class:`fileplane.metadata.base.MetadataStore`. Any number of nodes may use one database at once."""

    def __init__(self, url: str, clock: Clock | None = None, *, deadline_seconds: float = 10.0, connections: int = CONNECTIONS) -> None:
        """For a database that :func:`~fileplane.metadata.postgres_schema.prepare_postgres` has prepared. Needs a running event loop.

        Without ``clock`` it goes by the database's own.
        """
        time = DatabaseClock()
        self._size: tuple[float, int] | None = None
        super().__init__(PostgresEngine(url, time, deadline_seconds, connections), time if clock is None else clock)

    async def read_clock(self) -> None:
        """Lets reads go by the database's clock from the first one on, if the database answers."""
        with suppress(StorageUnavailable):
            await self.check()

    async def database_bytes(self) -> int:
        """See :meth:`MetadataStore.database_bytes`. The server looks at each of its files for that, so it is asked rarely."""
        now = self._clock.monotonic()
        if self._size is None or now - self._size[0] >= _SIZE_SECONDS:
            self._size = now, await self._engine.read(database_size)
        return self._size[1]

    async def structural_problems(self) -> list[str]:
        """See :meth:`MetadataStore.structural_problems`. Whether its pages are whole is for the server's own tools to say."""
        return await self._engine.read(schema_problems)

    async def snapshot(self, destination: Path) -> None:
        """See :meth:`MetadataStore.snapshot`. Not here: pg_dump, or the server's continuous archive, makes copies of it."""
        del destination
        raise StorageUnavailable("Metadata in PostgreSQL are backed up with PostgreSQL's own tools, such as pg_dump.", nothing_changed=True)


def _under(rule: Rule, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def locked(store: PostgresMetadataStore, *arguments: Any, **named: Any) -> Any:
        token = TAKEN.set(rule(*arguments, **named))
        try:
            return await method(store, *arguments, **named)
        finally:
            TAKEN.reset(token)

    return locked


for _name, _rule in RULES.items():
    setattr(PostgresMetadataStore, _name, _under(_rule, getattr(RelationalMetadataStore, _name)))
