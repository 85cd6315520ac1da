"""The transactions of master key and data keys.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fileplane.access import ORGANISATION_ID
from fileplane.credentials import DataKey, NewDataKey, Sealed, SealedRecord
from fileplane.metadata.control import DataKeyRetired, DataKeysChanged, MasterKeyChanged
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions.lifecycle import record
from fileplane.model import Origin

SQL: Final = load_statements("secrets.sql")


def master_key_id(connection: Connection) -> str | None:
    """See :meth:`MetadataStore.master_key_id`."""
    row = connection.execute(SQL["select_master_key"]).fetchone()
    return None if row is None else str(row[0])


def adopt_master_key(connection: Connection, key_id: str, now: int) -> str:
    """See :meth:`MetadataStore.adopt_master_key`."""
    in_force = master_key_id(connection)
    if in_force is not None and (in_force == key_id or data_keys(connection)):
        return in_force
    connection.execute(SQL["set_master_key"], {"id": key_id, "now": now})
    return key_id


def data_keys(connection: Connection) -> list[DataKey]:
    """See :meth:`MetadataStore.list_data_keys`."""
    return [DataKey(*row) for row in connection.execute(SQL["select_data_keys"])]


def replace_data_key(connection: Connection, new: NewDataKey, replaced_id: str | None, origin: Origin, now_ms: int) -> bool:
    """See :meth:`MetadataStore.replace_data_key`."""
    _require_master_key(connection, new.master_key_id)
    row = connection.execute(SQL["select_active_data_key"]).fetchone()
    if (None if row is None else row[0]) != replaced_id:
        return False
    values = {"id": new.id, "wrapped": new.wrapped, "now": now_ms // 1000}
    connection.execute(SQL["retire_data_keys"], values)
    connection.execute(SQL["insert_data_key"], values)
    record(connection, ORGANISATION_ID, "secrets.create_data_key", new.id, origin, now_ms)
    return True


def rewrap_data_keys(
    connection: Connection, old_master_key_id: str, new_master_key_id: str, wrapped: Mapping[str, bytes], origin: Origin, now_ms: int
) -> None:
    """See :meth:`MetadataStore.rewrap_data_keys`."""
    _require_master_key(connection, old_master_key_id)
    if {key.id for key in data_keys(connection)} != set(wrapped):
        raise DataKeysChanged
    for key_id, key in wrapped.items():
        connection.execute(SQL["rewrap_data_key"], {"id": key_id, "wrapped": key})
    connection.execute(SQL["set_master_key"], {"id": new_master_key_id, "now": now_ms // 1000})
    record(connection, ORGANISATION_ID, "secrets.rotate_master_key", new_master_key_id, origin, now_ms)


def _require_master_key(connection: Connection, key_id: str) -> None:
    if master_key_id(connection) != key_id:
        raise MasterKeyChanged


def drop_unused_data_keys(connection: Connection, origin: Origin, now_ms: int) -> list[str]:
    """See :meth:`MetadataStore.drop_unused_data_keys`."""
    dropped = sorted(str(row[0]) for row in connection.execute(SQL["delete_unused_data_keys"]).fetchall())
    for key_id in dropped:
        record(connection, ORGANISATION_ID, "secrets.delete_data_key", key_id, origin, now_ms)
    return dropped


def forget(connection: Connection, lost_master_key_id: str, new_master_key_id: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`ControlStore.forget_ciphertexts`."""
    _require_master_key(connection, lost_master_key_id)
    values = {"id": new_master_key_id, "now": now_ms // 1000}
    for statement in ("forget_virtual_keys", "forget_documents", "forget_needs", "forget_data_keys", "set_master_key"):
        connection.execute(SQL[statement], values)
    record(connection, ORGANISATION_ID, "secrets.forget", lost_master_key_id, origin, now_ms)


def stale(connection: Connection, after: str, limit: int) -> list[SealedRecord]:
    """See :meth:`ControlStore.stale_records`."""
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_stale"], {"after": after, "limit": limit}).fetchall()
    return [
        SealedRecord(kind, record_id, label, Sealed(json.loads(fields), frozenset(json.loads(needed))), version)
        for kind, record_id, label, fields, version, needed in rows
    ]


def reseal(connection: Connection, before: SealedRecord, sealed: Sealed, origin: Origin, now_ms: int) -> bool:
    """See :meth:`ControlStore.reseal_record`."""
    values = {"id": before.id, "version": before.version, "fields": json.dumps(dict(sealed.fields), sort_keys=True)}
    if connection.execute(SQL[f"reseal_{before.kind}"], values).fetchone() is None:
        return False
    need_data_keys(connection, before.id, frozenset(), {}, sealed)
    record(connection, ORGANISATION_ID, f"{before.kind}s.rotate", before.id, origin, now_ms)
    return True


def need_data_keys(connection: Connection, owner_id: str, kept_ids: frozenset[str], kept: Mapping[str, str], sealed: Sealed) -> None:
    """Notes which data keys the ciphertexts of something need, in place of those noted before. Raises :class:`DataKeyRetired`.

    Ciphertexts that were there before may stay under retired data keys; new ones may not begin there, lest the key be dropped.
    """
    fresh = sum(kept.get(name) != ciphertext for name, ciphertext in sealed.fields.items())
    connection.execute(SQL["delete_needs"], {"owner_id": owner_id})
    for key_id in sealed.data_key_ids:
        uses = {"id": key_id, "uses": fresh}
        if connection.execute(SQL["count_uses"], uses).fetchone() is None and key_id not in kept_ids:
            raise DataKeyRetired(key_id)
        connection.execute(SQL["insert_need"], {"owner_id": owner_id, "data_key_id": key_id})
