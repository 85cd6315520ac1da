"""What PostgreSQL's failures mean: what may be tried again, and what the caller is told."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from fileplane.errors import FileplaneError, InternalError, StorageIntegrityError, StorageUnavailable

_DISK_FULL_RETRY_SECONDS: Final = 60
_DAMAGED: Final = (errors.DataCorrupted, errors.IndexCorrupted)
# What another change, which is over by now, has kept from happening. A unique key is another's only then: every change looks first.
_OVERTAKEN: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
_UNAVAILABLE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.InvalidSqlStatementName,
    errors.TransactionRollback,
)


def was_overtaken(error: psycopg.Error) -> bool:
    """Whether the same transaction, wholly rolled back as it was, may well succeed now."""
    return isinstance(error, _OVERTAKEN)


def belongs_to_the_connection(error: psycopg.Error) -> bool:
    """Whether another connection may do what this one did not: it was lost, or leads to a server that no longer takes changes."""
    return isinstance(error, errors.ReadOnlySqlTransaction | errors.InvalidSqlStatementName | errors.DuplicatePreparedStatement)


def reason_of(error: psycopg.Error) -> str:
    """What the server or the network says, in one line and never with a password.

    A URL that cannot be read at all is repeated by libpq, its password included, so that nothing is told of it but that.
    """
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return (
            "its URL cannot be read; write what is special in a name or password as percent signs and hexadecimal digits, % itself as %25"
        )
    return str(error).strip().partition("\n")[0]


def told(error: psycopg.Error, *, nothing_changed: bool, lost: bool) -> FileplaneError:
    """What the caller is told of it, and of the connection if that was ``lost`` with it; the cause is chained to it, for the log."""
    said: FileplaneError
    if isinstance(error, _DAMAGED):
        said = StorageIntegrityError("The database is damaged. The operator must restore it from a backup.")
    elif isinstance(error, errors.DiskFull):
        said = StorageUnavailable(
            "The database has no room for more records. Ask the operator for more disk.",
            retry_after=_DISK_FULL_RETRY_SECONDS,
            nothing_changed=nothing_changed,
        )
    elif lost or isinstance(error, _UNAVAILABLE):
        said = StorageUnavailable("The database cannot be used at the moment. Try again shortly.", nothing_changed=nothing_changed)
    else:
        said = InternalError("The server failed to use its database. The operator finds the cause in the log, by the request id.")
    said.__cause__ = error
    return said
