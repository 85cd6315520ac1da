"""The transactions of upkeep on SQLite: ending and collecting files, leases and bookmarks, and counting everything anew.

Each function is one operation for :class:`~fileplane.metadata.sqlite_engine.SqliteEngine`, which runs it inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import apsw

from fileplane.metadata.migrations import sqlite_migrations
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_lifecycle import IDEMPOTENCY_SECONDS, count_deletion, record
from fileplane.metadata.sqlite_limits import SQL as LIMITS
from fileplane.metadata.sqlite_schema import schema_problems
from fileplane.model import CounterDrift, KeptFile, Origin, Remains, StoreUsage

SQL: Final = load_statements("sqlite_upkeep.sql")
_COUNTERS: Final = ("live_files", "deleted_files", "stored_bytes", "deleted_bytes")
_KEY_COUNTERS: Final = ("live_files", "live_bytes")
_BEFORE_ALL: Final = Remains("", "", "", 0, -1)
_GIVEN_UP_AT_ONCE: Final = 1_000
_FORGOTTEN_AT_ONCE: Final = 2_000
_CONDEMNED_SECONDS: Final = 7 * 86_400
_UNUSED_SECONDS: Final = 86_400
_CLOSED_SECONDS: Final = 7 * 86_400


def remains(connection: apsw.Connection, name: str, now: int, after: Remains | None, limit: int) -> list[Remains]:
    """A page of ``select_ended``, ``select_collectable`` or ``select_tombstones``."""
    last = after or _BEFORE_ALL
    values = {"now": now, "since": last.since, "project_id": last.project_id, "id": last.file_id, "limit": limit}
    return [Remains(*row) for row in connection.execute(SQL[name], values)]


def mark_ended(connection: apsw.Connection, ended: Sequence[Remains], now_ms: int) -> None:
    """See :meth:`MetadataStore.mark_ended`."""
    for entry in ended:
        values = {"project_id": entry.project_id, "id": entry.file_id, "now": now_ms // 1000}
        row = connection.execute(SQL["mark_ended"], values).fetchone()
        if row is not None:
            count_deletion(connection, entry.project_id, *row)
            record(connection, entry.project_id, "files.expire", entry.file_id, Origin(), now_ms)


def mark_collected(connection: apsw.Connection, collected: Sequence[Remains], now: int) -> list[Remains]:
    """See :meth:`MetadataStore.mark_collected`."""
    changed = []
    for entry in collected:
        row = connection.execute(SQL["mark_collected"], {"project_id": entry.project_id, "id": entry.file_id, "now": now}).fetchone()
        if row is not None:
            connection.execute(SQL["count_collected"], {"project_id": entry.project_id, "purpose": row[0], "bytes": row[1]})
            changed.append(entry)
    return changed


def claim(connection: apsw.Connection, due: Sequence[Remains], now: int) -> list[Remains]:
    """See :meth:`MetadataStore.claim_collectable`."""
    values = [{"project_id": entry.project_id, "id": entry.file_id, "now": now} for entry in due]
    return [entry for entry, row in zip(due, values, strict=True) if connection.execute(SQL["claim"], row).fetchone() is not None]


def reclaimable(connection: apsw.Connection, project_id: str, now: int) -> int:
    """See :meth:`MetadataStore.reclaimable_bytes`."""
    row = connection.execute(SQL["sum_reclaimable"], {"project_id": project_id, "now": now}).fetchone()
    assert row is not None
    return int(row[0])


def give_up_oldest(connection: apsw.Connection, project_id: str, needed: int, now_ms: int) -> list[Remains]:
    """See :meth:`MetadataStore.give_up_oldest_deleted`."""
    given_up: list[Remains] = []
    now = now_ms // 1000
    if reclaimable(connection, project_id, now) < needed:
        return given_up
    ended: list[tuple[Any, ...]] = connection.execute(
        SQL["select_project_ended"], {"project_id": project_id, "now": now, "limit": _GIVEN_UP_AT_ONCE}
    ).fetchall()
    mark_ended(connection, [Remains(project_id, *row) for row in ended], now_ms)
    values: dict[str, Any] = {"project_id": project_id, "limit": _GIVEN_UP_AT_ONCE, "now": now}
    oldest: list[tuple[Any, ...]] = connection.execute(SQL["select_oldest_deleted"], values).fetchall()
    for file_id, blob_key, size in oldest:
        if needed <= 0:
            break
        connection.execute(SQL["give_up"], values | {"id": file_id})
        given_up.append(Remains(project_id, file_id, blob_key, size, now))
        needed -= size
    return given_up


def forget(connection: apsw.Connection, gone: Sequence[Remains]) -> None:
    """See :meth:`MetadataStore.forget_files`."""
    for entry in gone:
        for name in ("forget_holds", "forget_validation", "forget_file"):
            connection.execute(SQL[name], {"project_id": entry.project_id, "id": entry.file_id})


def forget_old(connection: apsw.Connection, audit_before: int | None, usage_before: int | None, now: int) -> bool:
    """See :meth:`MetadataStore.forget_old_entries`."""
    oldest = {
        SQL["delete_old_idempotency_keys"]: now - IDEMPOTENCY_SECONDS,
        SQL["delete_old_condemned"]: now - _CONDEMNED_SECONDS,
        SQL["delete_old_catalogued"]: now - _CLOSED_SECONDS,
        LIMITS["delete_old_uploads"]: now - _UNUSED_SECONDS,
        LIMITS["delete_old_windows"]: (now - _UNUSED_SECONDS) // 60,
    }
    if audit_before is not None:
        oldest[SQL["delete_old_audit"]] = audit_before
    if usage_before is not None:
        oldest[LIMITS["delete_old_days"]] = usage_before
    most = 0
    for statement, before in oldest.items():
        connection.execute(statement, {"oldest": before, "limit": _FORGOTTEN_AT_ONCE})
        most = max(most, connection.changes())
    return most == _FORGOTTEN_AT_ONCE


def unowned(connection: apsw.Connection, blob_keys: Sequence[str]) -> list[str]:
    """See :meth:`MetadataStore.unowned_blobs`."""
    return [key for key in blob_keys if connection.execute(SQL["select_blob_owner"], {"blob_key": key}).fetchone() is None]


def condemn(connection: apsw.Connection, blob_keys: Sequence[str], now: int) -> list[str]:
    """See :meth:`MetadataStore.condemn_blobs`."""
    condemned = unowned(connection, blob_keys)
    for key in condemned:
        connection.execute(SQL["condemn"], {"blob_key": key, "now": now})
    return condemned


def take_lease(connection: apsw.Connection, name: str, holder: str, now: int, seconds: int) -> bool:
    """See :meth:`MetadataStore.take_lease`."""
    values = {"name": name, "holder": holder, "now": now, "expires_at": now + seconds, "latest": now + 2 * seconds}
    return connection.execute(SQL["take_lease"], values).fetchone() is not None


def kept(connection: apsw.Connection, after: tuple[str, str], limit: int, now: int) -> list[KeptFile]:
    """See :meth:`MetadataStore.kept_files`."""
    values = {"project_id": after[0], "id": after[1], "limit": limit, "now": now}
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_kept"], values).fetchall()
    return [KeptFile(project, file, key, size, sha256, bool(due)) for project, file, key, size, sha256, due in rows]


def given_up(connection: apsw.Connection, files: Sequence[KeptFile]) -> list[KeptFile]:
    """See :meth:`MetadataStore.given_up_files`."""
    return [
        file
        for file in files
        if connection.execute(SQL["select_not_given_up"], {"project_id": file.project_id, "id": file.file_id}).fetchone() is None
    ]


def drop(connection: apsw.Connection, files: Sequence[KeptFile], now: int) -> None:
    """See :meth:`MetadataStore.drop_files`."""
    for file in files:
        values = {"project_id": file.project_id, "id": file.file_id, "now": now}
        row = connection.execute(SQL["end_at_once"], values).fetchone()
        if row is not None:
            count_deletion(connection, file.project_id, *row)
        connection.execute(SQL["give_up"], values)
    gone = [Remains(file.project_id, file.file_id, file.blob_key, file.bytes, now) for file in files]
    mark_collected(connection, gone, now)
    forget(connection, gone)


def total_usage(connection: apsw.Connection) -> StoreUsage:
    """See :meth:`MetadataStore.total_usage`."""
    row = connection.execute(SQL["sum_counters"]).fetchone()
    assert row is not None
    return StoreUsage(*row)


def drifts(connection: apsw.Connection) -> list[CounterDrift]:
    """See :meth:`MetadataStore.counter_drifts`."""
    connection.execute("BEGIN")
    of_purposes = _differences(connection, "select_counters", "recount", _COUNTERS)
    of_keys = _differences(connection, "select_key_counters", "recount_keys", _KEY_COUNTERS)
    connection.execute("COMMIT")
    return [
        *of_purposes,
        *(replace(drift, purpose="", key_id=drift.purpose) for drift in of_keys),
    ]


def _differences(connection: apsw.Connection, kept_by: str, counted_by: str, names: Sequence[str]) -> list[CounterDrift]:
    kept_counters, counted = (_counters(connection, name) for name in (kept_by, counted_by))
    zeros = (0,) * len(names)
    return [
        CounterDrift(*place, name, is_kept, is_counted)
        for place in sorted(kept_counters.keys() | counted.keys())
        for name, is_kept, is_counted in zip(names, kept_counters.get(place, zeros), counted.get(place, zeros), strict=True)
        if is_kept != is_counted
    ]


def _counters(connection: apsw.Connection, name: str) -> dict[tuple[str, str], tuple[int, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(SQL[name]).fetchall()
    return {(project_id, part): tuple(numbers) for project_id, part, *numbers in rows}


def problems(connection: apsw.Connection) -> list[str]:
    """See :meth:`MetadataStore.structural_problems`."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)") if row[0] != "ok"]
    for table, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        found.append(f"row {row_id} of {table} refers to a row of {parent} that does not exist")
    return found + schema_problems(connection, sqlite_migrations()[-1][0])
