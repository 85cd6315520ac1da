"""Whether a database locks what it says it locks: some that speak PostgreSQL's protocol accept its advisory locks and do nothing.

The limits of projects, the order of their files and the migrations rest on these locks, so that without them nodes would harm each other
unseen. Two connections find out in a moment: what one holds the other must not get, and must get once it is given back.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from fileplane.metadata.base import DatabaseUnusable

Connection = psycopg.Connection[tuple[Any, ...]]

_WAIT_SECONDS: Final = 5.0
_TRIES: Final = ("pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared")


def require_locks(url: str, holding: Connection) -> None:
    """``holding`` is a connection outside of a transaction; another is made for the time of this.

    Raises :class:`DatabaseUnusable` for a database that locks nothing, and psycopg.Error. Where a pooler has a single connection for all,
    which the second would wait for in vain, nothing can be found out and nothing is refused.
    """
    key = int.from_bytes(os.urandom(8), "big", signed=True)  # of no other node that starts at the same time
    with closing(psycopg.connect(url, autocommit=True, connect_timeout=int(_WAIT_SECONDS), prepare_threshold=None)) as trying:
        with holding.transaction():
            holding.execute(f"SELECT pg_advisory_xact_lock({key})")
            got = _got_while_held(trying, key)
        if got is None:
            return
        if got or not all(_gets(trying, name, key) for name in _TRIES):
            raise DatabaseUnusable(_refusal(url, holding, held=not got))


def _got_while_held(connection: Connection, key: int) -> bool | None:
    """None when it was not answered in time."""
    with _broken_off_after(connection, _WAIT_SECONDS) as passed:
        try:
            return any(_gets(connection, name, key) for name in _TRIES)
        except psycopg.OperationalError:
            if passed.is_set():
                return None
            raise


def _gets(connection: Connection, name: str, key: int) -> bool:
    """Tries for a lock, which ends with the statement."""
    row = connection.execute(f"SELECT {name}({key})").fetchone()
    return row is not None and bool(row[0])


@contextmanager
def _broken_off_after(connection: Connection, seconds: float) -> Iterator[threading.Event]:
    passed = threading.Event()

    def break_off() -> None:
        passed.set()
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, break_off)
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
        timer.join()


def _refusal(url: str, connection: Connection, *, held: bool) -> str:
    parts = conninfo_to_dict(url)
    place = f"{parts.get('dbname') or 'of the role'} at {parts.get('host') or 'its socket'}"
    version = str((connection.execute("SELECT version()").fetchone() or ("an unknown version",))[0]).split(",", 1)[0]
    seen = (
        "a lock that a transaction took was not given back at its end"
        if held
        else "pg_advisory_xact_lock was accepted, and another connection got the same lock at the same time"
    )
    return (
        f"The database {place} ({version}) does not keep advisory locks as PostgreSQL does: {seen}. Nodes would exceed limits and lose "
        "changes of each other. Give Fileplane one primary of PostgreSQL itself, with a pooler by transaction at most in between. Nothing "
        "was changed."
    )
