"""The transactions of virtual keys.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fileplane.access import ORGANISATION_ID
from fileplane.credentials import NewVirtualKey, Sealed, Sharing, VirtualKey
from fileplane.metadata.control import RecordChanged, ReferenceMissing, SlugTaken, StillInUse, VirtualKeyNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import bounds
from fileplane.metadata.transactions import catalog_upkeep as catalog
from fileplane.metadata.transactions.lifecycle import record
from fileplane.metadata.transactions.secrets import need_data_keys
from fileplane.model import Origin

SQL: Final = load_statements("virtual_keys.sql")


def create(connection: Connection, new: NewVirtualKey, origin: Origin, now_ms: int) -> VirtualKey:
    """See :meth:`ControlStore.create_virtual_key`."""
    if connection.execute(SQL["select_virtual_key"], {"slug": new.slug}).fetchone() is not None:
        raise SlugTaken(new.slug)
    values = _columns(new) | {
        "slug": new.slug,
        "provider": new.provider,
        "now": now_ms // 1000,
        "integration_id": _integration_id(connection, new),
    }
    connection.execute(SQL["insert_virtual_key"], values)
    _set_projects(connection, new)
    need_data_keys(connection, new.id, frozenset(), {}, new.sealed)
    _record(connection, "create", new, origin, now_ms)
    return get(connection, new.slug)


def update(connection: Connection, before: VirtualKey, new: NewVirtualKey, origin: Origin, now_ms: int) -> VirtualKey:
    """See :meth:`ControlStore.update_virtual_key`."""
    found = get(connection, before.slug)
    values = _columns(new) | {"version": before.version, "now": now_ms // 1000}
    if found.id != before.id or connection.execute(SQL["update_virtual_key"], values).fetchone() is None:
        raise RecordChanged(before.slug)
    _set_projects(connection, new)
    # Where the account says whose files there are, nobody would look after those that the catalog gives to projects.
    given_up = found.sharing is Sharing.PROJECT and new.sharing is Sharing.ACCOUNT
    held = catalog.users_of_virtual_key(connection, new.id) if given_up else ()
    _refuse_users(connection, "select_users_without_right", new.id, held)
    need_data_keys(connection, new.id, found.sealed.data_key_ids, found.sealed.fields, new.sealed)
    _record(connection, "update", found, origin, now_ms)
    return get(connection, before.slug)


def delete(connection: Connection, slug: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`ControlStore.delete_virtual_key`."""
    found = get(connection, slug)
    _refuse_users(connection, "select_users", found.id, catalog.users_of_virtual_key(connection, found.id))
    need_data_keys(connection, found.id, frozenset(), {}, Sealed())
    connection.execute(SQL["delete_virtual_key"], {"id": found.id}).fetchone()
    _record(connection, "delete", found, origin, now_ms)


def get(connection: Connection, slug: str) -> VirtualKey:
    """See :meth:`ControlStore.get_virtual_key`."""
    row = connection.execute(SQL["select_virtual_key"], {"slug": slug}).fetchone()
    if row is None:
        raise VirtualKeyNotFound(slug)
    return _virtual_key(row)


def virtual_keys(connection: Connection, project_id: str | None) -> list[VirtualKey]:
    """See :meth:`ControlStore.list_virtual_keys`."""
    rows = connection.execute(SQL["select_virtual_keys"], {"project_id": project_id}).fetchall()
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
        "expires_at": new.expires_at,
        "keep_copy": new.keep_copy,
    }


def _integration_id(connection: Connection, new: NewVirtualKey) -> str | None:
    if new.integration is None:
        return None
    row = connection.execute(SQL["select_integration"], {"slug": new.integration, "provider": new.provider}).fetchone()
    if row is None:
        raise ReferenceMissing("integration", new.integration)
    return str(row[0])


def _refuse_users(connection: Connection, statement: str, virtual_key_id: str, more: Iterable[str] = ()) -> None:
    users = [*sorted(str(row[0]) for row in connection.execute(SQL[statement], {"id": virtual_key_id})), *more]
    if users:
        raise StillInUse(users)


def _json(fields: Mapping[str, str]) -> str:
    return json.dumps(dict(fields), sort_keys=True)


def _set_projects(connection: Connection, new: NewVirtualKey) -> None:
    connection.execute(SQL["delete_projects_of_virtual_key"], {"id": new.id})
    for project_id in new.project_ids:
        bounds.require_project(connection, project_id)
        connection.execute(SQL["insert_project_of_virtual_key"], {"id": new.id, "project_id": project_id})


def _record(connection: Connection, verb: str, key: VirtualKey | NewVirtualKey, origin: Origin, now_ms: int) -> None:
    """A virtual key of one project is that project's; of several, or of none, it is the organisation's."""
    project_id = next(iter(key.project_ids)) if len(key.project_ids) == 1 else ORGANISATION_ID
    record(connection, project_id, f"virtual_keys.{verb}", key.id, origin, now_ms)


def _virtual_key(row: tuple[Any, ...]) -> VirtualKey:
    key_id, slug, name, provider, note, custom_host, sharing, projects, clear, references, encrypted, needed, *rest = row
    integration, expires_at, version, created_at, updated_at, keep_copy = rest
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
        integration,
        expires_at,
        version,
        created_at,
        updated_at,
        bool(keep_copy),
    )
