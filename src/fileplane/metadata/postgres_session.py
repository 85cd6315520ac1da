"""A connection to PostgreSQL as the transactions of ``metadata/`` use one: statements of ``sql/`` go in, rows come out."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import Connection, Cursor, Pipeline, pq
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from fileplane.metadata.postgres_dialect import translated
from fileplane.metadata.postgres_locks import Locks

Rows = Cursor[tuple[Any, ...]]

_PREPARED_AFTER: Final = 2
_MOST_PREPARED: Final = 300
_CONNECT_SECONDS: Final = 5
_SILENT_SECONDS: Final = 30.0
_MILLISECOND: Final = 0.001
# The other limits come first where they hold: they do not cost the connection.
_AFTERWARDS_SECONDS: Final = 1.0
_TRANSACTIONS_BOUNDED_SINCE: Final = 17_00_00
# So that the server notices within half a minute that this machine is gone: by itself it waits for two hours.
_NOTICE: Final = (
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    f"SET tcp_user_timeout = {int(_SILENT_SECONDS * 1000)}"
)
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class _WholeNumber(Loader):
    """PostgreSQL adds up whole numbers as decimals."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


class _Flag(Dumper):
    """Flags are kept as 0 and 1, as on SQLite."""

    oid = Int8Dumper.oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _Text(StrDumperUnknown):
    """PostgreSQL's texts have no null characters; those of callers and providers may. They are kept, and looked for, as U+FFFD."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


class Session:
    """One connection, of one thread. What it raises is psycopg's, but for what is said otherwise."""

    def __init__(self, connection: Connection[tuple[Any, ...]], *, pooled: bool) -> None:
        self._connection = connection
        self.pooled = pooled
        """Whether a pooler such as PgBouncer is in between, so that the next transaction may be another server process's."""
        self._last: Rows | None = None
        self._pipeline: Pipeline | None = None
        self._reading = ExitStack()
        self._begun_at = 0.0

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Rows:
        """Runs a statement of ``sql/``, or ``BEGIN`` and ``COMMIT`` around several that read, of one instant then and in a pipeline."""
        if statement == "BEGIN":
            self._reading.enter_context(self.pipelined())
        self._last = self._connection.execute(translated(statement), values or {})
        if statement == "COMMIT":
            self._reading.close()
        return self._last

    def executemany(self, statement: str, rows: Iterable[Mapping[str, Any]], /) -> None:
        """Runs it once for each."""
        for values in rows:
            self.execute(statement, values)

    def changes(self) -> int:
        """How many rows the last statement changed."""
        if self._pipeline is not None:
            self._pipeline.sync()
        return 0 if self._last is None else self._last.rowcount

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """Within the block only what is asked for is waited for: statements whose rows nobody reads go out with the next ones.

        One that fails is told of with a later one, or at the end of the block, which waits for all of them.
        """
        with self._connection.pipeline() as pipeline:
            self._pipeline = pipeline
            try:
                yield
            finally:
                self._pipeline = None

    def begin(self, locks: Locks, deadline_seconds: float) -> int:
        """Begins a transaction that changes something, in one round trip. Returns the database's time once the locks are held.

        A server that hears nothing more from this process gives the locks up soon, or after the deadline. Before PostgreSQL 17 only a
        server between two statements does so; one that has been sent a part of a pipeline waits for TCP to notice.
        """
        limits = {
            "lock_timeout": deadline_seconds,
            "statement_timeout": deadline_seconds,
            "idle_in_transaction_session_timeout": min(deadline_seconds, _SILENT_SECONDS),
        }
        if self._connection.info.server_version >= _TRANSACTIONS_BOUNDED_SINCE:
            limits["transaction_timeout"] = deadline_seconds + _AFTERWARDS_SECONDS
        set_limits = [f"SET LOCAL {name} = {max(1, int(seconds * 1000))}" for name, seconds in limits.items()]
        statements = ["BEGIN", *set_limits, *locks.statements(), _CLOCK]
        now_ms = _last_number(self._connection.execute("; ".join(statements)))
        self._begun_at = time.monotonic()
        return now_ms

    def commit(self) -> None:
        """Ends it; :meth:`require_committed` is to follow, after the pipeline if this is in one."""
        self._last = self._connection.execute("COMMIT")

    def require_committed(self) -> None:
        """When this returns the change is durable."""
        answer = None if self._last is None else self._last.statusmessage
        if answer != "COMMIT":
            raise psycopg.errors.TransactionRollback(f"COMMIT was answered with {answer}")

    def wait_for_next_millisecond(self) -> None:
        """Until the database's clock, in milliseconds, is past what :meth:`begin` has returned."""
        time.sleep(max(0.0, _MILLISECOND - (time.monotonic() - self._begun_at)))

    def mark(self) -> None:
        """The place that :meth:`return_to_mark` goes back to, within a transaction."""
        self._connection.execute("SAVEPOINT job")

    def leave_mark(self) -> None:
        """What was changed since stays."""
        self._connection.execute("RELEASE job")

    def return_to_mark(self) -> None:
        """What was changed since is undone."""
        self._connection.execute("ROLLBACK TO job")
        self.leave_mark()

    def roll_back(self) -> None:
        """Ends whatever transaction there is, without a change."""
        self._reading.close()
        if self._connection.info.transaction_status != pq.TransactionStatus.IDLE:
            self._connection.execute("ROLLBACK")

    def now_ms(self) -> int:
        """The database's time."""
        return _last_number(self._connection.execute(_CLOCK))

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be done with it any more."""
        return self._connection.closed or self._connection.info.transaction_status == pq.TransactionStatus.UNKNOWN

    def close(self) -> None:
        """Ends the connection."""
        with suppress(psycopg.Error):
            self._connection.close()

    def break_off(self) -> None:
        """From another thread: whatever waits for an answer fails at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._connection.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)


def open_session(url: str, deadline_seconds: float) -> Session:
    """Connects. Raises psycopg.OperationalError."""
    connection = psycopg.connect(_with_deadlines(url, deadline_seconds), autocommit=True)
    try:
        adapters = connection.adapters
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(bool, _Flag)
        adapters.register_dumper(str, _Text)
        adapters.register_loader("numeric", _WholeNumber)
        # A pooler tells a process id of its own. Behind it a prepared statement may be looked for where it is not.
        pooled = _last_number(connection.execute("SELECT pg_backend_pid()")) != connection.info.backend_pid
        connection.prepare_threshold = None if pooled else _PREPARED_AFTER
        connection.prepared_max = _MOST_PREPARED
        if not pooled:
            connection.execute(_NOTICE)
    except BaseException:
        connection.close()
        raise
    return Session(connection, pooled=pooled)


def _with_deadlines(url: str, deadline_seconds: float) -> str:
    """The URL's own parameters win."""
    defaults = {
        "connect_timeout": str(_CONNECT_SECONDS),
        "tcp_user_timeout": str(int(min(deadline_seconds, _SILENT_SECONDS) * 1000)),
        "keepalives_idle": "15",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "application_name": "fileplane",
    }
    return make_conninfo(**{**defaults, **{name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}})


def _last_number(cursor: Rows) -> int:
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
