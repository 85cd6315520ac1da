"""SQLite off the event loop: one writer thread that commits in groups, and reader threads on connections of their own.

Writers queue; the thread takes all that wait (up to a bound), runs each in a savepoint and commits once, so that one fsync pays
for many changes and ``synchronous=FULL`` costs no more than less. Readers see the last commit (WAL) and wait for no writer.
Only apsw may open the file: a second SQLite library in one process drops the first one's locks and has corrupted databases.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import apsw

from fileplane.errors import FileplaneError, InternalError, StorageIntegrityError, StorageUnavailable
from fileplane.metadata.base import DatabaseDamaged, DatabaseUnusable
from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.moves import COUNTS_ALONE, WRITES_REFUSED, Refusal, parse_refusal
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_schema import schema_problems

T = TypeVar("T")
Operation = Callable[[apsw.Connection], T]

_APPLICATION_ID: Final = 0x46504C4E  # "FPLN", so that another program's database is recognised as such
CACHE_BYTES: Final = 8 << 20
_BUSY_MILLISECONDS: Final = 5_000
_GROUP: Final = 64
_READERS: Final = 2
_READ_BATCH: Final = 16
_CHECKED_AT_START_BYTES: Final = 64 << 20
_DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError)
_SELECT_REFUSAL: Final = load_statements("upkeep.sql")["select_refusal"]


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: asyncio.Future[Any]
    counts_alone: bool


Outcome = tuple[_Job, Any, BaseException | None]


def connect(path: Path, cache_bytes: int = CACHE_BYTES) -> apsw.Connection:
    """A connection with the pragmas that every use of the database needs, which keeps up to ``cache_bytes`` of it in memory."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{max(1, cache_bytes // 1024)}")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = ON")
    return connection


def prepare_database(path: Path) -> None:
    """Makes the database when there is none and brings it to the newest version, each migration in one transaction.

    Raises :class:`DatabaseUnusable` for a file that is damaged, not Fileplane's, or of a newer version; it is then unchanged.
    """
    try:
        connection = connect(path)
        try:
            _require_ours(connection, path)
            _require_intact(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            for version, statements in sqlite_migrations():
                _migrate(connection, version, statements)
        finally:
            connection.close()
    except apsw.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: apsw.Error) -> DatabaseUnusable:
    if isinstance(error, apsw.FullError):
        return DatabaseUnusable(f"There is no room left on the disk of the database {path}. Give it room and start again.")
    if isinstance(error, apsw.IOError):
        return DatabaseUnusable(
            f"The database {path} cannot be read or written ({error}). Check that its disk is sound and has room, and start again."
        )
    if isinstance(error, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError | apsw.AuthError):
        return DatabaseUnusable(
            f"The database {path} cannot be opened ({error}). Is its file system read-only, or does it belong to another user? Make it "
            "writable, and run this as the user that the server runs as."
        )
    # An SQL error is one of a migration, whose statements fit every database that has come to its version undamaged.
    damaged = isinstance(error, (*_DAMAGED, apsw.SQLError))
    refusal = DatabaseDamaged if damaged else DatabaseUnusable
    return refusal(
        f"The database {path} {'is damaged' if damaged else 'cannot be opened'} ({error}). Nothing was changed. Restore it from a "
        "backup, or start with another --data-dir."
    )


def require_current(path: Path) -> None:
    """For commands that work beside a server, and so must not change the schema under it: the database as it is will do.

    Raises :class:`DatabaseUnusable` as :func:`prepare_database` does, and for a database of an older version.
    """
    try:
        connection = connect(path)
        try:
            _require_ours(connection, path)
            _require_intact(connection, path)
            version = connection.pragma("user_version")
            newest = sqlite_migrations()[-1][0]
            if version < newest and schema_problems(connection, version):
                raise apsw.CorruptError(f"it does not have the schema of its version, {version}")
        finally:
            connection.close()
    except apsw.Error as error:
        raise _unusable(path, error) from error
    if version < newest:
        raise DatabaseUnusable(
            f"{path} was written by an older Fileplane (schema {version}; this one knows {newest}). Start the server once with this "
            "version to bring it up to date."
        )


def snapshot(connection: apsw.Connection, destination: Path) -> None:
    """A compact copy of the database as of one instant, at a path where nothing is yet. Raises apsw.Error."""
    connection.execute("VACUUM INTO ?", (str(destination),))
    with destination.open("rb+") as file:
        os.fsync(file.fileno())


def size(connection: apsw.Connection) -> int:
    """Bytes of the database and of its log. Raises OSError."""
    return sum(path.stat().st_size for path in (Path(connection.filename), Path(connection.filename_wal)) if path.exists())


def _require_ours(connection: apsw.Connection, path: Path) -> None:
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application == 0 and version == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
        return
    if application != _APPLICATION_ID:
        raise DatabaseUnusable(f"{path} is a database of another program. Start with another --data-dir.")
    newest = sqlite_migrations()[-1][0]
    if version > newest:
        raise DatabaseUnusable(
            f"{path} was written by a newer Fileplane (schema {version}; this one knows {newest}). Upgrade Fileplane, or restore a backup."
        )


def _require_intact(connection: apsw.Connection, path: Path) -> None:
    if path.stat().st_size > _CHECKED_AT_START_BYTES:
        return
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != ("ok",):
        raise apsw.CorruptError(str(verdict[0] if verdict else "no answer"))


def _migrate(connection: apsw.Connection, version: int, statements: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("user_version") < version:
            connection.execute(statements)
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class SqliteEngine:
    """Runs operations on the threads, each within the deadline. To be made on the event loop that uses it."""

    def __init__(self, path: Path, deadline_seconds: float, cache_bytes: int = CACHE_BYTES) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_seconds = deadline_seconds
        self._writes: SimpleQueue[_Job | None] = SimpleQueue()
        self._reads: SimpleQueue[_Job | None] = SimpleQueue()
        writer, *readers = [connect(path, cache_bytes) for _ in range(1 + _READERS)]
        self._threads = [
            threading.Thread(target=self._run_writer, args=(writer,), name="fileplane-writer", daemon=True),
            *(
                threading.Thread(target=self._run_reader, args=(reader,), name=f"fileplane-reader-{number}", daemon=True)
                for number, reader in enumerate(readers)
            ),
        ]
        for thread in self._threads:
            thread.start()

    async def write(self, operation: Operation[T]) -> T:
        """Runs ``operation`` in a transaction and returns once it is durable. It may be run twice, if the first time was rolled back."""
        return await self._submit(self._writes, operation)

    async def read(self, operation: Operation[T]) -> T:
        """Runs ``operation`` on a connection that only reads."""
        return await self._submit(self._reads, operation)

    async def close(self) -> None:
        """Lets every queued operation finish, then ends the threads."""
        self._writes.put(None)
        for _ in range(_READERS):
            self._reads.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    async def _submit(self, queue: SimpleQueue[_Job | None], operation: Operation[T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        queue.put(_Job(operation, future, COUNTS_ALONE.get()))
        deadline = self._loop.call_later(self._deadline_seconds, _expire, future)
        try:
            return await future
        finally:
            deadline.cancel()

    def _run_writer(self, connection: apsw.Connection) -> None:
        running = True
        while running:
            jobs, running = _take(self._writes, _GROUP)
            self._deliver(_commit_group(connection, [job for job in jobs if not job.future.done()]))
        connection.close()

    def _run_reader(self, connection: apsw.Connection) -> None:
        running = True
        while running:
            jobs, running = _take(self._reads, _READ_BATCH)
            self._deliver([_run_one(connection, job) for job in jobs])
        connection.close()

    def _deliver(self, outcomes: list[Outcome]) -> None:
        if outcomes and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(StorageUnavailable("The database does not answer. Try again shortly."))


def _resolve(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


def _take(queue: SimpleQueue[_Job | None], most: int) -> tuple[list[_Job], bool]:
    """Waits for one job and takes those queued behind it. False when the queue has ended."""
    jobs = []
    job = queue.get()
    while job is not None:
        jobs.append(job)
        if len(jobs) == most:
            return jobs, True
        try:
            job = queue.get_nowait()
        except Empty:
            return jobs, True
    return jobs, False


def _run_one(connection: apsw.Connection, job: _Job) -> Outcome:
    try:
        return job, job.operation(connection), None
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller, not to this thread
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return job, None, _translated(error)


def _commit_group(connection: apsw.Connection, jobs: list[_Job]) -> list[Outcome]:
    """One transaction for all; when the database fails it, one for each, so that no operation fails for another's sake."""
    if not jobs:
        return []
    committing = False
    try:
        connection.execute("BEGIN IMMEDIATE")
        refusal = _refusal(connection)
        outcomes = [
            _run_in_savepoint(connection, job) if refusal is None or job.counts_alone else (job, None, refusal.told()) for job in jobs
        ]
        committing = True
        connection.execute("COMMIT")
    except apsw.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(jobs) == 1:
            # A commit that failed for lack of room was never begun; after any other failure its frames may be in the log.
            return [(jobs[0], None, _translated(error, nothing_changed=not committing or isinstance(error, apsw.FullError)))]
        return [outcome for job in jobs for outcome in _commit_group(connection, [job])]
    return outcomes


def _refusal(connection: apsw.Connection) -> Refusal | None:
    row = connection.execute(_SELECT_REFUSAL, {"name": WRITES_REFUSED}).fetchone()
    return None if row is None else parse_refusal(str(row[0]))


def _run_in_savepoint(connection: apsw.Connection, job: _Job) -> Outcome:
    connection.execute("SAVEPOINT job")
    try:
        result = job.operation(connection)
    except apsw.Error:
        raise
    except Exception as error:  # noqa: BLE001 - this operation's own refusal; the others go on
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return job, None, error
    connection.execute("RELEASE job")
    return job, result, None


def _translated(error: Exception, *, nothing_changed: bool = False) -> Exception:
    """What the caller is told of a failure of the database itself; the cause is chained to it, for the log."""
    if not isinstance(error, apsw.Error):
        return error
    told: FileplaneError
    if isinstance(error, _DAMAGED):
        told = StorageIntegrityError("The database is damaged. The operator must restore it from a backup.")
    elif isinstance(error, apsw.FullError):
        told = StorageUnavailable(
            "The server has no room for more records. Ask the operator for more disk.", retry_after=60, nothing_changed=nothing_changed
        )
    elif isinstance(error, apsw.BusyError | apsw.LockedError | apsw.IOError | apsw.CantOpenError | apsw.ReadOnlyError):
        told = StorageUnavailable("The database cannot be used at the moment. Try again shortly.", nothing_changed=nothing_changed)
    else:
        told = InternalError("The server failed to use its database. The operator finds the cause in the log, by the request id.")
    told.__cause__ = error
    return told
