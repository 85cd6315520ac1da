"""Loaded by every Python process whose path this folder is on: writes a byte for each SQLite statement that is run.

``t`` for one that ends a transaction, ``s`` for any other, into the file that ``STATEMENTS_FILE`` names.
"""

from __future__ import annotations

import os

import apsw

_FILE = os.open(os.environ["STATEMENTS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _watch(connection: apsw.Connection) -> None:
    def ran(event: dict[str, str]) -> None:
        os.write(_FILE, b"t" if event["sql"].startswith("COMMIT") else b"s")

    connection.trace_v2(apsw.SQLITE_TRACE_STMT, ran)


apsw.connection_hooks.append(_watch)
