"""The transactions of a file's later life: deletion, restoring, holds, idempotency keys, and the audit log of them all.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from fileplane.errors import FileInUse, FileNotFound, HoldNotFound, IdempotencyConflict, TooManyHolds
from fileplane.ids import uuid7
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions.limits import SQL as LIMITS
from fileplane.model import AuditEntry, AuditPage, AuditQuery, Hold, Idempotency, Origin, Remains

SQL: Final = load_statements("lifecycle.sql")
IDEMPOTENCY_SECONDS: Final = 86_400
MOST_HOLDS: Final = 1_000
_FILTERS: Final = ("project_id", "action", "resource_type", "resource_id", "key_id", "client", "request_id", "method", "path")


def delete(connection: Connection, project_id: str, file_id: str, retention: int, origin: Origin, now_ms: int) -> None:
    """See :meth:`MetadataStore.delete_file`."""
    _mark_deleted(connection, project_id, file_id, now_ms // 1000, retention)
    record(connection, project_id, "files.delete", file_id, origin, now_ms)


def purge(connection: Connection, project_id: str, file_id: str, origin: Origin, now_ms: int) -> Remains:
    """See :meth:`MetadataStore.purge_file`."""
    values = {"project_id": project_id, "id": file_id, "now": now_ms // 1000}
    if connection.execute(SQL["purge_deleted_file"], values).fetchone() is None:
        _mark_deleted(connection, project_id, file_id, now_ms // 1000, 0)
        connection.execute(SQL["end_restorability"], values)
    record(connection, project_id, "files.purge", file_id, origin, now_ms)
    row = connection.execute(SQL["select_remains"], values).fetchone()
    assert row is not None
    return Remains(*row)


def _mark_deleted(connection: Connection, project_id: str, file_id: str, now: int, retention: int) -> None:
    values = {"project_id": project_id, "id": file_id, "now": now, "collect_after": now + retention}
    row = connection.execute(SQL["delete_file"], values).fetchone()
    if row is None:
        raise FileNotFound(file_id)
    active = holds(connection, project_id, file_id, now)
    if active:
        raise FileInUse((entry.id, entry.reason) for entry in active)
    count_deletion(connection, project_id, *row)


def count_deletion(connection: Connection, project_id: str, purpose: str, size: int, created_by: str) -> None:
    """Moves the counters of a file that is no longer live: of its project and purpose, and of the key that uploaded it."""
    values = {"project_id": project_id, "purpose": purpose, "bytes": size, "created_by": created_by}
    connection.execute(SQL["count_deletion"], values)
    connection.execute(LIMITS["count_key_deletion"], values)


def restore(connection: Connection, project_id: str, file_id: str, origin: Origin, now_ms: int) -> str:
    """See :meth:`MetadataStore.restore_file`. What bounds it is looked at afterwards; returns the key that uploaded the file."""
    values = {"project_id": project_id, "id": file_id, "now": now_ms // 1000}
    row = connection.execute(SQL["restore_file"], values).fetchone()
    if row is None:
        raise FileNotFound(file_id)
    counted = {"project_id": project_id, "purpose": row[0], "bytes": row[1], "created_by": row[2]}
    connection.execute(SQL["count_restoration"], counted)
    connection.execute(LIMITS["count_key_restoration"], counted)
    record(connection, project_id, "files.restore", file_id, origin, now_ms)
    return str(row[2])


def hold(connection: Connection, project_id: str, file_id: str, reason: str, expires_in: int | None, origin: Origin, now_ms: int) -> Hold:
    """See :meth:`MetadataStore.hold_file`."""
    now = now_ms // 1000
    connection.execute(SQL["delete_ended_holds"], {"project_id": project_id, "file_id": file_id, "now": now})
    held = connection.execute(SQL["count_holds"], {"project_id": project_id, "file_id": file_id}).fetchone()
    if held is not None and held[0] >= MOST_HOLDS:
        raise TooManyHolds(MOST_HOLDS)
    made = Hold(uuid7(now_ms), file_id, reason, now, None if expires_in is None else now + expires_in)
    values = asdict(made) | {"project_id": project_id, "created_by": origin.key_id}
    if connection.execute(SQL["insert_hold"], values).fetchone() is None:
        raise FileNotFound(file_id)
    connection.execute(SQL["put_off_end"], {"project_id": project_id, "file_id": file_id})
    record(connection, project_id, "files.hold", file_id, origin, now_ms)
    return made


def holds(connection: Connection, project_id: str, file_id: str, now: int) -> list[Hold]:
    """The active holds of a file, live or not."""
    values = {"project_id": project_id, "file_id": file_id, "now": now}
    return [Hold(*row) for row in connection.execute(SQL["select_holds"], values)]


def release(connection: Connection, project_id: str, file_id: str, hold_id: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`MetadataStore.release_hold`, for a live file."""
    values = {"project_id": project_id, "file_id": file_id, "id": hold_id, "now": now_ms // 1000}
    if connection.execute(SQL["delete_hold"], values).fetchone() is None:
        raise HoldNotFound(hold_id)
    connection.execute(SQL["put_off_end"], {"project_id": project_id, "file_id": file_id})
    record(connection, project_id, "files.release", file_id, origin, now_ms)


def repeated_file_id(connection: Connection, project_id: str, key: Idempotency, now: int) -> str | None:
    """The file that this key recorded before, if any. Raises IdempotencyConflict when it stood for something else."""
    row = key_entry(connection, project_id, key.key_hash, now)
    if row is None:
        return None
    fingerprint, file_id = row
    if fingerprint != key.fingerprint:
        raise IdempotencyConflict
    return str(file_id)


def key_entry(connection: Connection, project_id: str, key_hash: bytes, now: int) -> tuple[Any, ...] | None:
    """The fingerprint and file id that a key stands for, if it was used recently."""
    values = {"project_id": project_id, "key_hash": key_hash, "oldest": now - IDEMPOTENCY_SECONDS}
    return connection.execute(SQL["select_idempotency_key"], values).fetchone()


def remember_key(connection: Connection, project_id: str, key: Idempotency, file_id: str, now: int) -> None:
    """From now on the key stands for this file."""
    connection.execute(SQL["insert_idempotency_key"], asdict(key) | {"project_id": project_id, "file_id": file_id, "now": now})


def record(connection: Connection, project_id: str, action: str, resource_id: str, origin: Origin, now_ms: int) -> None:
    """One line of the audit log, in the transaction of the change that it tells of. ``action`` is ``<resource type>.<verb>``."""
    resource_type, _, verb = action.partition(".")
    values = {
        "project_id": project_id,
        "created_at": now_ms // 1000,
        "action": verb,
        "resource_type": resource_type,
        "resource_id": resource_id,
    }
    connection.execute(SQL["insert_audit"], values | asdict(origin))


def audit_page(connection: Connection, query: AuditQuery) -> AuditPage:
    """See :meth:`MetadataStore.list_audit`."""
    values = {name: value for name, value in asdict(query).items() if value is not None}
    conditions = [f"{name} = :{name}" for name in _FILTERS if name in values]
    conditions += ["created_at >= :since"] * ("since" in values) + ["created_at <= :until"] * ("until" in values)
    where = " AND ".join(conditions) or "true"
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_audit"].format(filter=where), values).fetchall()
    entries = tuple(
        AuditEntry(position, project, time, action, kind, resource, Origin(*origin))
        for position, project, time, action, kind, resource, *origin in rows
    )
    (total,) = connection.execute(SQL["count_audit"].format(filter=where), values).fetchone() or (0,)
    return AuditPage(entries, total)
