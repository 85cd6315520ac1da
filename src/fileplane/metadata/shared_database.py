"""The way to a database that several nodes share, for programs that may be installed without its library."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fileplane.metadata.base import DatabaseUnusable, MetadataStore

if TYPE_CHECKING:
    from fileplane.metadata.postgres_arrival import PostgresArrival


def prepare_shared_database(url: str) -> None:
    """See :func:`fileplane.metadata.postgres_schema.prepare_postgres`."""
    _require_library()
    from fileplane.metadata.postgres_schema import prepare_postgres  # noqa: PLC0415 - only where it is installed

    prepare_postgres(url)


def require_current_shared_database(url: str) -> None:
    """See :func:`fileplane.metadata.postgres_schema.require_current_postgres`."""
    _require_library()
    from fileplane.metadata.postgres_schema import require_current_postgres  # noqa: PLC0415 - the same

    require_current_postgres(url)


def arrival_of_database(source: Path, url: str, store_id: str) -> PostgresArrival:
    """See :class:`fileplane.metadata.postgres_arrival.PostgresArrival`."""
    _require_library()
    from fileplane.metadata.postgres_arrival import PostgresArrival  # noqa: PLC0415 - the same

    return PostgresArrival(source, url, store_id)


async def open_shared_database(url: str, deadline_seconds: float, connections: int) -> MetadataStore:
    """The store of a prepared database, which goes by its clock. Also while it is away: calls then fail until it is back."""
    from fileplane.metadata.postgres import PostgresMetadataStore  # noqa: PLC0415 - the same

    store = PostgresMetadataStore(url, deadline_seconds=deadline_seconds, connections=connections)
    await store.read_clock()
    return store


def _require_library() -> None:
    if find_spec("psycopg") is None:
        raise DatabaseUnusable(
            "The setting database_url needs the extra `postgres`: install fileplane[postgres], or leave the setting out for SQLite."
        )
