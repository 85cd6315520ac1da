"""Files by the million, written straight into the database of a server that is not running. Their blobs do not exist."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from fileplane.ids import new_blob_key, uuid7
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_engine import connect
from fileplane.model import INPUT_PURPOSES
from fileplane.opening import DATABASE_NAME

_SQL = load_statements("projects.sql") | load_statements("keys.sql") | load_statements("files.sql")
_TRANSACTION = 100_000
_MILLISECONDS_APART = 100
_EXPIRY_SECONDS = 2_592_000


@dataclass(frozen=True)
class Filled:
    """``middle_id`` is the file that half of the others are newer than."""

    count: int
    middle_id: str
    newest_id: str


def fill(data_dir: Path, count: int) -> Filled:
    """Adds ``count`` files, oldest first and 0.1 s apart, to the only project of a database that a server has made.

    The statements and the order of the columns are the project's own. One file in six, of purpose batch, has an expiry in the future.
    """
    connection = connect(data_dir / DATABASE_NAME)
    try:
        ((project_id, *_),) = connection.execute(_SQL["select_projects"]).fetchall()
        ((key_id, *_),) = connection.execute(_SQL["select_api_keys"], {"project_id": project_id, "with_revoked": 0}).fetchall()
        made = _Files(str(project_id), str(key_id), count)
        rows = iter(made)
        for _ in range(0, count, _TRANSACTION):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_SQL["insert_file"], (row for _, row in zip(range(_TRANSACTION), rows, strict=False)))
            connection.execute("COMMIT")
        _count(connection, str(project_id))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return Filled(count, made.ids[count // 2], made.ids[-1])


class _Files:
    """The rows, made as they are asked for."""

    def __init__(self, project_id: str, key_id: str, count: int) -> None:
        self._fixed = {"project_id": project_id, "created_by": key_id, "media_type": "application/jsonl", "status": "processed"}
        self._count = count
        self.ids: list[str] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        random_source = random.Random(1)
        first_ms = int(time.time() * 1000) - self._count * _MILLISECONDS_APART - 1_000
        for number in range(self._count):
            now_ms = first_ms + number * _MILLISECONDS_APART
            purpose = INPUT_PURPOSES[number % len(INPUT_PURPOSES)]
            self.ids.append(uuid7(now_ms))
            yield self._fixed | {
                "id": self.ids[-1],
                "purpose": purpose,
                "filename": f"part-{number:07}.jsonl",
                "bytes": random_source.randrange(1, 1_000_000),
                "sha256": random_source.randbytes(32).hex(),
                "blob_key": new_blob_key(),
                "created_at": now_ms // 1000,
                "expires_at": now_ms // 1000 + _EXPIRY_SECONDS if purpose == "batch" else None,
                "status_details": None,
            }


def _count(connection: apsw.Connection, project_id: str) -> None:
    """Sets the counters to what the table holds."""
    connection.execute("DELETE FROM usage WHERE project_id = ?", (project_id,))
    connection.execute(
        "INSERT INTO usage (project_id, purpose, live_files, stored_bytes) "
        "SELECT project_id, purpose, count(*), sum(bytes) FROM files WHERE project_id = ? GROUP BY purpose",
        (project_id,),
    )
