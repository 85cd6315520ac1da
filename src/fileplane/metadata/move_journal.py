"""Which blobs have been moved: a small database of its own beside the one that is moved, which only ever saves work.

Losing it, or its last entries, costs reading the blobs again that are at the new place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS target (place TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS moved (blob_key TEXT PRIMARY KEY, listed INTEGER NOT NULL) WITHOUT ROWID;
"""
_LEFT_BESIDE: Final = ("", "-journal", "-wal", "-shm")


class MoveJournal:
    """Not for two threads at once. Raises OSError where the disk fails."""

    def __init__(self, path: Path, place: str) -> None:
        """Goes on from what is at ``path``, if that is of a move to the same ``place``."""
        self._path = path
        self._connection = apsw.Connection(str(path))
        try:
            path.chmod(0o600)
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_TABLES)
            if self._connection.execute("SELECT place FROM target").fetchone() != (place,):
                with self._connection:
                    self._connection.execute("DELETE FROM target")
                    self._connection.execute("DELETE FROM moved")
                    self._connection.execute("INSERT INTO target VALUES (?)", (place,))
        except apsw.Error as error:
            self._connection.close()
            raise OSError(f"{path} cannot be used ({error}). Remove it, and what has been moved is looked at again.") from error

    def count(self) -> int:
        """How many blobs have been moved."""
        row = self._connection.execute("SELECT count(*) FROM moved").fetchone()
        assert row is not None
        return int(row[0])

    def missing(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that have not been moved."""
        return {key for key in keys if self._connection.execute("SELECT 1 FROM moved WHERE blob_key = ?", (key,)).fetchone() is None}

    def add(self, keys: Sequence[str]) -> None:
        """These have been moved: they were read back from the new place."""
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO moved VALUES (?, 1)", [(key,) for key in keys])

    def begin_listing(self) -> None:
        """What :meth:`listed` does not tell of from now on is not at the new place."""
        self._connection.execute("UPDATE moved SET listed = 0")

    def listed(self, keys: Sequence[str]) -> None:
        """These are at the new place."""
        with self._connection:
            self._connection.executemany("UPDATE moved SET listed = 1 WHERE blob_key = ?", [(key,) for key in keys])

    def end_listing(self) -> None:
        """What is not at the new place any more has to be moved again."""
        self._connection.execute("DELETE FROM moved WHERE listed = 0")

    def close(self) -> None:
        """Lets go of it; it stays."""
        self._connection.close()

    def remove(self) -> None:
        """Closes and removes it."""
        self._connection.close()
        for suffix in _LEFT_BESIDE:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
