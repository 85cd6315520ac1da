"""The end of changes in an SQLite database that is moved. Each function is one transaction, which excludes every other change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from fileplane.errors import StorageUnavailable
from fileplane.metadata.moves import BLOBS_ELSEWHERE, WRITES_REFUSED, Refusal, Stage, parse_refusal
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_engine import connect

_SQL: Final = load_statements("upkeep.sql")


class SourceGate:
    """Lets changes into the database at ``path``, or refuses them. Its methods block, and raise StorageUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refusal(self) -> Refusal | None:
        """Whether changes are refused."""
        with self._changing() as connection:
            return _read(connection)

    def refuse(self, token: str) -> Refusal:
        """Once this returns, nothing changes any more but counts of requests. Where changes are refused already, that stays as it is."""
        with self._changing() as connection:
            before = _read(connection)
            if before is None:
                _write(connection, WRITES_REFUSED, str(Refusal(Stage.MOVING, token)))
            return before or Refusal(Stage.MOVING, token)

    def admit(self) -> None:
        """Changes are admitted again. Idempotent."""
        with self._changing() as connection:
            _forget(connection)

    def finish(self, stage: Stage) -> None:
        """The move is complete: changes stay refused for good."""
        with self._changing() as connection:
            before = _read(connection)
            assert before is not None
            _write(connection, WRITES_REFUSED, str(Refusal(stage, before.token)))

    def use_with_blobs_at(self, place: str) -> None:
        """For a database whose blobs alone were moved: it is used with them from now on, and never again with those that were before."""
        with self._changing() as connection:
            _write(connection, BLOBS_ELSEWHERE, place)
            _forget(connection)

    @contextmanager
    def _changing(self) -> Iterator[apsw.Connection]:
        try:
            connection = connect(self._path)
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                connection.close()
        except apsw.Error as error:
            raise StorageUnavailable(f"The database {self._path} cannot be changed at the moment. Try again shortly.") from error


def _read(connection: apsw.Connection) -> Refusal | None:
    row = connection.execute(_SQL["select_bookmark"], {"name": WRITES_REFUSED}).fetchone()
    return None if row is None else parse_refusal(str(row[0]))


def _write(connection: apsw.Connection, name: str, position: str) -> None:
    connection.execute(_SQL["set_bookmark"], {"name": name, "position": position})


def _forget(connection: apsw.Connection) -> None:
    connection.execute(_SQL["forget_bookmark"], {"name": WRITES_REFUSED})
