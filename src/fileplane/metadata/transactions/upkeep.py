"""The transactions of upkeep: ending and collecting files, leases and bookmarks, and counting everything anew.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fileplane.ids import new_store_id
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import uploads
from fileplane.metadata.transactions.lifecycle import IDEMPOTENCY_SECONDS, count_deletion, record
from fileplane.metadata.transactions.limits import SQL as LIMITS
from fileplane.metadata.transactions.routed_uploads import SQL as ROUTED
from fileplane.model import CounterDrift, KeptFile, Origin, Remains, StoreUsage

SQL: Final = load_statements("upkeep.sql")
_COUNTERS: Final = ("live_files", "deleted_files", "stored_bytes", "deleted_bytes")
_KEY_COUNTERS: Final = ("live_files", "live_bytes")
_BEFORE_ALL: Final = Remains("", "", "", 0, -1)
_GIVEN_UP_AT_ONCE: Final = 1_000
_FORGOTTEN_AT_ONCE: Final = 2_000
_CONDEMNED_SECONDS: Final = 7 * 86_400
_UNUSED_SECONDS: Final = 86_400
_CLOSED_SECONDS: Final = 7 * 86_400
_ENDED_SECONDS: Final = 86_400


def remains(connection: Connection, name: str, now: int, after: Remains | None, limit: int) -> list[Remains]:
    """A page of ``select_ended``, ``select_collectable`` or ``select_tombstones``."""
    return remains_by(connection, SQL[name], now, after, limit)


def remains_by(connection: Connection, statement: str, now: int, after: Remains | None, limit: int) -> list[Remains]:
    """A page of what a statement finds in order of time."""
    last = after or _BEFORE_ALL
    values = {"now": now, "since": last.since, "project_id": last.project_id, "id": last.file_id, "limit": limit}
    return [Remains(*row) for row in connection.execute(statement, values)]


def mark_ended(connection: Connection, ended: Sequence[Remains], now_ms: int) -> None:
    """See :meth:`MetadataStore.mark_ended`."""
    for entry in ended:
        values = {"project_id": entry.project_id, "id": entry.file_id, "now": now_ms // 1000}
        row = connection.execute(SQL["mark_ended"], values).fetchone()
        if row is not None:
            count_deletion(connection, entry.project_id, *row)
            record(connection, entry.project_id, "files.expire", entry.file_id, Origin(), now_ms)


def mark_collected(connection: Connection, collected: Sequence[Remains], now: int) -> list[Remains]:
    """See :meth:`MetadataStore.mark_collected`."""
    changed = []
    for entry in collected:
        row = connection.execute(SQL["mark_collected"], {"project_id": entry.project_id, "id": entry.file_id, "now": now}).fetchone()
        if row is not None:
            connection.execute(SQL["count_collected"], {"project_id": entry.project_id, "purpose": row[0], "bytes": row[1]})
            changed.append(entry)
    return changed


def claim(connection: Connection, due: Sequence[Remains], now: int) -> list[Remains]:
    """See :meth:`MetadataStore.claim_collectable`."""
    values = [{"project_id": entry.project_id, "id": entry.file_id, "now": now} for entry in due]
    return [entry for entry, row in zip(due, values, strict=True) if connection.execute(SQL["claim"], row).fetchone() is not None]


def reclaimable(connection: Connection, project_id: str, now: int) -> int:
    """See :meth:`MetadataStore.reclaimable_bytes`."""
    row = connection.execute(SQL["sum_reclaimable"], {"project_id": project_id, "now": now}).fetchone()
    assert row is not None
    return int(row[0])


def give_up_oldest(connection: Connection, project_id: str, needed: int, now_ms: int) -> list[Remains]:
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


def forget(connection: Connection, gone: Sequence[Remains]) -> None:
    """See :meth:`MetadataStore.forget_files`."""
    for entry in gone:
        uploads.forget_manifest(connection, entry)
        for name in ("forget_holds", "forget_validation", "forget_file"):
            connection.execute(SQL[name], {"project_id": entry.project_id, "id": entry.file_id})


def forget_old(connection: Connection, audit_before: int | None, usage_before: int | None, now: int) -> bool:
    """See :meth:`MetadataStore.forget_old_entries`."""
    oldest = {
        SQL["delete_old_idempotency_keys"]: now - IDEMPOTENCY_SECONDS,
        SQL["delete_old_condemned"]: now - _CONDEMNED_SECONDS,
        SQL["delete_old_catalogued"]: now - _CLOSED_SECONDS,
        uploads.SQL["delete_old_ended"]: now - _ENDED_SECONDS,
        ROUTED["delete_old_routed"]: now - _ENDED_SECONDS,
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


def unowned(connection: Connection, blob_keys: Sequence[str]) -> list[str]:
    """See :meth:`MetadataStore.unowned_blobs`."""
    return [key for key in blob_keys if connection.execute(SQL["select_blob_owner"], {"blob_key": key}).fetchone() is None]


def condemn(connection: Connection, blob_keys: Sequence[str], now: int) -> list[str]:
    """See :meth:`MetadataStore.condemn_blobs`."""
    condemned = unowned(connection, blob_keys)
    for key in condemned:
        connection.execute(SQL["condemn"], {"blob_key": key, "now": now})
    return condemned


def identity(connection: Connection) -> str | None:
    """The store's id, or None before it has one."""
    row = connection.execute(SQL["select_identity"]).fetchone()
    return None if row is None else str(row[0])


def make_identity(connection: Connection) -> str:
    """See :meth:`MetadataStore.store_identity`."""
    connection.execute(SQL["make_identity"], {"id": new_store_id()})
    made = identity(connection)
    assert made is not None
    return made


def take_lease(connection: Connection, name: str, holder: str, now: int, seconds: int) -> bool:
    """See :meth:`MetadataStore.take_lease`."""
    values = {"name": name, "holder": holder, "now": now, "expires_at": now + seconds, "latest": now + 2 * seconds}
    return connection.execute(SQL["take_lease"], values).fetchone() is not None


def kept(connection: Connection, after: tuple[str, str], limit: int, now: int) -> list[KeptFile]:
    """See :meth:`MetadataStore.kept_files`."""
    values = {"project_id": after[0], "id": after[1], "limit": limit, "now": now}
    connection.execute("BEGIN")
    whole = [_kept(row) for row in connection.execute(SQL["select_kept"], values)]
    parts = [_kept(row) for row in connection.execute(uploads.SQL["select_kept_parts"], values)]
    connection.execute("COMMIT")
    return sorted([*whole, *parts], key=lambda file: file.place)[:limit] if parts else whole


def _kept(row: tuple[Any, ...]) -> KeptFile:
    project_id, file_id, blob_key, size, sha256, due, *part = row
    return KeptFile(project_id, file_id, blob_key, size, sha256, bool(due), *part)


def given_up(connection: Connection, files: Sequence[KeptFile]) -> list[KeptFile]:
    """See :meth:`MetadataStore.given_up_files`."""
    return [file for file in files if (uploads.is_given_up(connection, file) if file.part_id else _is_given_up(connection, file))]


def _is_given_up(connection: Connection, file: KeptFile) -> bool:
    return connection.execute(SQL["select_not_given_up"], {"project_id": file.project_id, "id": file.file_id}).fetchone() is None


def drop(connection: Connection, files: Sequence[KeptFile], now: int) -> None:
    """See :meth:`MetadataStore.drop_files`."""
    gone = []
    for file in files:
        if file.part_id and file.number < 0:
            uploads.drop_part(connection, file, now)
            continue
        values = {"project_id": file.project_id, "id": file.file_id, "now": now}
        row = connection.execute(SQL["end_at_once"], values).fetchone()
        if row is not None:
            count_deletion(connection, file.project_id, *row)
        connection.execute(SQL["give_up"], values)
        blob_key = uploads.blob_key_of(connection, file) if file.part_id else file.blob_key
        gone.append(Remains(file.project_id, file.file_id, blob_key, file.bytes, now))
    mark_collected(connection, gone, now)
    forget(connection, gone)


def total_usage(connection: Connection) -> StoreUsage:
    """See :meth:`MetadataStore.total_usage`."""
    row = connection.execute(SQL["sum_counters"]).fetchone()
    assert row is not None
    return StoreUsage(*row)


def drifts(connection: Connection) -> list[CounterDrift]:
    """See :meth:`MetadataStore.counter_drifts`."""
    connection.execute("BEGIN")
    of_purposes = _differences(connection, "select_counters", "recount", _COUNTERS)
    of_keys = _differences(connection, "select_key_counters", "recount_keys", _KEY_COUNTERS)
    connection.execute("COMMIT")
    return [
        *of_purposes,
        *(replace(drift, purpose="", key_id=drift.purpose) for drift in of_keys),
    ]


def _differences(connection: Connection, kept_by: str, counted_by: str, names: Sequence[str]) -> list[CounterDrift]:
    kept_counters, counted = (_counters(connection, name) for name in (kept_by, counted_by))
    zeros = (0,) * len(names)
    return [
        CounterDrift(*place, name, is_kept, is_counted)
        for place in sorted(kept_counters.keys() | counted.keys())
        for name, is_kept, is_counted in zip(names, kept_counters.get(place, zeros), counted.get(place, zeros), strict=True)
        if is_kept != is_counted
    ]


def _counters(connection: Connection, name: str) -> dict[tuple[str, str], tuple[int, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(SQL[name]).fetchall()
    return {(project_id, part): tuple(numbers) for project_id, part, *numbers in rows}
