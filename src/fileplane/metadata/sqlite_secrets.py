"""The transactions of master key, data keys and virtual keys on SQLite.

Each function is one operation for :class:`~fileplane.metadata.sqlite_engine.SqliteEngine`, which runs it inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import apsw

from fileplane.credentials import DataKey, NewDataKey, NewVirtualKey, Sealed, Sharing, VirtualKey
from fileplane.metadata.base import (
    DataKeyRetired,
    DataKeysChanged,
    MasterKeyChanged,
    SlugTaken,
    UnknownProject,
    VirtualKeyChanged,
    VirtualKeyNotFound,
)
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_lifecycle import record
from fileplane.model import ORGANISATION_ID, Origin

SQL: Final = load_statements("sqlite_secrets.sql")


def master_key_id(connection: apsw.Connection) -> str | None:
    """See :meth:`MetadataStore.master_key_id`."""
    row = connection.execute(SQL["select_master_key"]).fetchone()
    return None if row is None else str(row[0])


def adopt_master_key(connection: apsw.Connection, key_id: str, now: int) -> str:
    """See :meth:`MetadataStore.adopt_master_key`."""
    in_force = master_key_id(connection)
    if in_force is not None and (in_force == key_id or data_keys(connection)):
        return in_force
    connection.execute(SQL["set_master_key"], {"id": key_id, "now": now})
    return key_id


def data_keys(connection: apsw.Connection) -> list[DataKey]:
    """See :meth:`MetadataStore.list_data_keys`."""
    return [DataKey(*row) for row in connection.execute(SQL["select_data_keys"])]


def replace_data_key(connection: apsw.Connection, new: NewDataKey, replaced_id: str | None, origin: Origin, now_ms: int) -> bool:
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
    connection: apsw.Connection, old_master_key_id: str, new_master_key_id: str, wrapped: Mapping[str, bytes], origin: Origin, now_ms: int
) -> None:
    """See :meth:`MetadataStore.rewrap_data_keys`."""
    _require_master_key(connection, old_master_key_id)
    if {key.id for key in data_keys(connection)} != set(wrapped):
        raise DataKeysChanged
    for key_id, key in wrapped.items():
        connection.execute(SQL["rewrap_data_key"], {"id": key_id, "wrapped": key})
    connection.execute(SQL["set_master_key"], {"id": new_master_key_id, "now": now_ms // 1000})
    record(connection, ORGANISATION_ID, "secrets.rotate_master_key", new_master_key_id, origin, now_ms)


def _require_master_key(connection: apsw.Connection, key_id: str) -> None:
    if master_key_id(connection) != key_id:
        raise MasterKeyChanged


def drop_unused_data_keys(connection: apsw.Connection, origin: Origin, now_ms: int) -> list[str]:
    """See :meth:`MetadataStore.drop_unused_data_keys`."""
    dropped = sorted(str(row[0]) for row in connection.execute(SQL["delete_unused_data_keys"]).fetchall())
    for key_id in dropped:
        record(connection, ORGANISATION_ID, "secrets.delete_data_key", key_id, origin, now_ms)
    return dropped


def create(connection: apsw.Connection, new: NewVirtualKey, origin: Origin, now_ms: int) -> VirtualKey:
    """See :meth:`MetadataStore.create_virtual_key`."""
    if connection.execute(SQL["select_virtual_key"], {"slug": new.slug}).fetchone() is not None:
        raise SlugTaken(new.slug)
    values = _columns(new) | {"slug": new.slug, "provider": new.provider, "now": now_ms // 1000}
    connection.execute(SQL["insert_virtual_key"], values)
    _set_projects(connection, new)
    _set_data_keys(connection, new.id, frozenset(), {}, new.sealed)
    _record(connection, "create", new, origin, now_ms)
    return get(connection, new.slug)


def update(connection: apsw.Connection, before: VirtualKey, new: NewVirtualKey, origin: Origin, now_ms: int) -> VirtualKey:
    """See :meth:`MetadataStore.update_virtual_key`."""
    found = get(connection, before.slug)
    values = _columns(new) | {"version": before.version, "now": now_ms // 1000}
    if found.id != before.id or connection.execute(SQL["update_virtual_key"], values).fetchone() is None:
        raise VirtualKeyChanged(before.slug)
    _set_projects(connection, new)
    _set_data_keys(connection, new.id, found.sealed.data_key_ids, found.sealed.fields, new.sealed)
    _record(connection, "update", found, origin, now_ms)
    return get(connection, before.slug)


def reseal(connection: apsw.Connection, before: VirtualKey, sealed: Sealed, origin: Origin, now_ms: int) -> bool:
    """See :meth:`MetadataStore.reseal_virtual_key`."""
    values = {"id": before.id, "version": before.version, "encrypted_fields": _json(sealed.fields)}
    if connection.execute(SQL["reseal_virtual_key"], values).fetchone() is None:
        return False
    _set_data_keys(connection, before.id, frozenset(), {}, sealed)
    _record(connection, "rotate", before, origin, now_ms)
    return True


def delete(connection: apsw.Connection, slug: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`MetadataStore.delete_virtual_key`."""
    found = get(connection, slug)
    connection.execute(SQL["delete_virtual_key"], {"id": found.id}).fetchone()
    _record(connection, "delete", found, origin, now_ms)


def get(connection: apsw.Connection, slug: str) -> VirtualKey:
    """See :meth:`MetadataStore.get_virtual_key`."""
    row = connection.execute(SQL["select_virtual_key"], {"slug": slug}).fetchone()
    if row is None:
        raise VirtualKeyNotFound(slug)
    return _virtual_key(row)


def virtual_keys(connection: apsw.Connection, project_id: str | None) -> list[VirtualKey]:
    """See :meth:`MetadataStore.list_virtual_keys`."""
    rows = connection.execute(SQL["select_virtual_keys"], {"project_id": project_id}).fetchall()
    return [_virtual_key(row) for row in rows]


def stale_virtual_keys(connection: apsw.Connection, after: str, limit: int) -> list[VirtualKey]:
    """See :meth:`MetadataStore.stale_virtual_keys`."""
    rows = connection.execute(SQL["select_stale_virtual_keys"], {"after": after, "limit": limit}).fetchall()
    return [_virtual_key(row) for row in rows]


def _columns(new: NewVirtualKey) -> dict[str, Any]:
    return {
        "id": new.id,
        "name": new.name,
        "note": new.note,
        "custom_host": new.custom_host,
        "sharing": new.sharing.value,
        "clear_fields": _json(new.clear),
        "encrypted_fields": _json(new.sealed.fields),
        "reference_fields": _json(new.references),
    }


def _json(fields: Mapping[str, str]) -> str:
    return json.dumps(dict(fields), sort_keys=True)


def _set_projects(connection: apsw.Connection, new: NewVirtualKey) -> None:
    connection.execute(SQL["delete_projects_of_virtual_key"], {"id": new.id})
    for project_id in new.project_ids:
        try:
            connection.execute(SQL["insert_project_of_virtual_key"], {"id": new.id, "project_id": project_id})
        except apsw.ConstraintError as error:
            raise UnknownProject(project_id) from error


def _set_data_keys(
    connection: apsw.Connection, virtual_key_id: str, kept_ids: frozenset[str], kept: Mapping[str, str], sealed: Sealed
) -> None:
    """Ciphertexts that were there before may stay under retired data keys; new ones may not begin there, lest the key be dropped."""
    fresh = sum(kept.get(name) != ciphertext for name, ciphertext in sealed.fields.items())
    connection.execute(SQL["delete_data_keys_of_virtual_key"], {"id": virtual_key_id})
    for key_id in sealed.data_key_ids:
        uses = {"id": key_id, "uses": fresh}
        if connection.execute(SQL["count_uses"], uses).fetchone() is None and key_id not in kept_ids:
            raise DataKeyRetired(key_id)
        connection.execute(SQL["insert_data_key_of_virtual_key"], {"id": virtual_key_id, "data_key_id": key_id})


def _record(connection: apsw.Connection, verb: str, key: VirtualKey | NewVirtualKey, origin: Origin, now_ms: int) -> None:
    """A virtual key of one project is that project's; of several, or of none, it is the organisation's."""
    project_id = next(iter(key.project_ids)) if len(key.project_ids) == 1 else ORGANISATION_ID
    record(connection, project_id, f"virtual_keys.{verb}", key.id, origin, now_ms)


def _virtual_key(row: tuple[Any, ...]) -> VirtualKey:
    key_id, slug, name, provider, note, custom_host, sharing, projects, clear, references, encrypted, needed, *times = row
    sealed = Sealed(json.loads(encrypted), frozenset(json.loads(needed)))
    return VirtualKey(
        key_id,
        slug,
        name,
        provider,
        note,
        custom_host,
        Sharing(sharing),
        frozenset(json.loads(projects)),
        json.loads(clear),
        json.loads(references),
        sealed,
        *times,
    )
