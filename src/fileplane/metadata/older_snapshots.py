"""A database that an older version wrote and no server uses, as this version reads it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sqlite_engine import connect, prepare_database


@asynccontextmanager
async def in_newest_schema(path: Path) -> AsyncIterator[Path]:
    """``path`` itself, where its schema is the newest; else a copy of it, brought up to date, for as long as this lasts.

    The database at ``path`` stays as it is: whoever restores it compares its hash. The copy is in the temporary directory, which only the
    caller's user can read. Raises :class:`~fileplane.metadata.base.DatabaseUnusable`, apsw's errors and OSError.
    """
    if await asyncio.to_thread(_version_of, path) >= sqlite_migrations()[-1][0]:
        yield path
        return
    with TemporaryDirectory(prefix="fileplane-snapshot-") as directory:
        copy = Path(directory) / path.name
        await asyncio.to_thread(_copy_up_to_date, path, copy)
        yield copy


def _version_of(path: Path) -> int:
    connection = connect(path)
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def _copy_up_to_date(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    prepare_database(copy)
