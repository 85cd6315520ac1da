"""The transactions of API keys.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

from typing import Any, Final

from fileplane.access import ApiKey, KeyKind, NewApiKey
from fileplane.ids import uuid7
from fileplane.metadata.control import ApiKeyNotFound, RecordChanged
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import bounds
from fileplane.metadata.transactions.lifecycle import record
from fileplane.model import Origin

SQL: Final = load_statements("keys.sql")


def create(connection: Connection, new: NewApiKey, origin: Origin, now_ms: int) -> ApiKey:
    """See :meth:`ControlStore.create_api_key`."""
    bounds.require_project(connection, new.project_id)
    bounds.require_config(connection, new.project_id, new.defaults)
    key_id = uuid7(now_ms)
    values = {
        "id": key_id,
        "project_id": new.project_id,
        "name": new.name,
        "description": new.description,
        "key_hash": new.key_hash,
        "hint": new.hint,
        "kind": new.kind.value,
        "organisation": new.kind is KeyKind.ORGANISATION_SERVICE,
        "user_id": new.user_id,
        "now": now_ms // 1000,
        "expires_at": new.expires_at,
    }
    connection.execute(SQL["insert_api_key"], values | _scopes(new) | bounds.columns(new.limits, new.defaults))
    record(connection, new.project_id, "api_keys.create", key_id, origin, now_ms)
    return get(connection, key_id)


def every(connection: Connection, project_id: str | None, *, with_revoked: bool) -> list[ApiKey]:
    """See :meth:`ControlStore.list_api_keys`."""
    wanted = {"project_id": project_id, "with_revoked": int(with_revoked)}
    return [_api_key(row) for row in connection.execute(SQL["select_api_keys"], wanted)]


def get(connection: Connection, key_id: str) -> ApiKey:
    """The key of that id, whatever its state. Raises :class:`ApiKeyNotFound`."""
    row = connection.execute(SQL["select_api_key"], {"id": key_id}).fetchone()
    if row is None:
        raise ApiKeyNotFound(key_id)
    return _api_key(row)


def get_working(connection: Connection, key_id: str, project_id: str | None = None) -> ApiKey:
    """See :meth:`ControlStore.get_api_key`."""
    values = {"id": key_id, "project_id": project_id}
    if project_id is not None and connection.execute(SQL["select_key_of_project"], values).fetchone() is None:
        raise ApiKeyNotFound(key_id)
    found = get(connection, key_id)
    if found.revoked_at is not None:
        raise ApiKeyNotFound(key_id)
    return found


def update(connection: Connection, after: ApiKey, origin: Origin, now_ms: int) -> ApiKey:
    """See :meth:`ControlStore.update_api_key`."""
    found = get_working(connection, after.id)
    bounds.require_config(connection, found.project_id, after.defaults)
    values = {
        "id": after.id,
        "version": after.version,
        "name": after.name,
        "description": after.description,
        "expires_at": after.expires_at,
        "now": now_ms // 1000,
    }
    changes = values | _scopes(after) | bounds.columns(after.limits, after.defaults)
    if connection.execute(SQL["update_api_key"], changes).fetchone() is None:
        raise RecordChanged(after.id)
    record(connection, found.project_id, "api_keys.update", after.id, origin, now_ms)
    return get(connection, after.id)


def rotate(connection: Connection, before: ApiKey, key_hash: bytes, hint: str, overlap_seconds: int, origin: Origin, now_ms: int) -> ApiKey:
    """See :meth:`ControlStore.rotate_api_key`."""
    now = now_ms // 1000
    found = get_working(connection, before.id)
    values = {"id": before.id, "version": before.version, "key_hash": key_hash, "hint": hint, "now": now, "ends_at": now + overlap_seconds}
    connection.execute(SQL["delete_ended_hashes"], values)
    if overlap_seconds > 0:
        connection.execute(SQL["insert_former_hash"], values)
    if connection.execute(SQL["replace_hash"], values).fetchone() is None:
        raise RecordChanged(before.id)
    record(connection, found.project_id, "api_keys.rotate", before.id, origin, now_ms)
    return get(connection, before.id)


def revoke(connection: Connection, key_id: str, origin: Origin, now_ms: int) -> bool:
    """See :meth:`ControlStore.revoke_api_key`."""
    row = connection.execute(SQL["revoke_api_key"], {"id": key_id, "now": now_ms // 1000}).fetchone()
    if row is None:
        return connection.execute(SQL["select_api_key"], {"id": key_id}).fetchone() is not None
    connection.execute(SQL["delete_former_hashes"], {"id": key_id})
    record(connection, str(row[0]), "api_keys.delete", key_id, origin, now_ms)
    return True


def find(connection: Connection, key_hash: bytes) -> tuple[ApiKey, int | None] | None:
    """The key with this hash, or that had it, and then until when it counts."""
    row: tuple[Any, ...] | None = connection.execute(SQL["select_key_id"], {"key_hash": key_hash}).fetchone()
    if row is not None:
        return get(connection, str(row[0])), None
    row = connection.execute(SQL["select_former_key_id"], {"key_hash": key_hash}).fetchone()
    return None if row is None else (get(connection, str(row[0])), int(row[1]))


def note_use(connection: Connection, key_id: str, used_at: int) -> None:
    """See :meth:`ControlStore.note_key_use`."""
    connection.execute(SQL["note_key_use"], {"id": key_id, "used_at": used_at})


def there_is_one(connection: Connection) -> bool:
    """Whether there ever was a key."""
    return connection.execute(SQL["select_any_api_key"]).fetchone() is not None


def _scopes(key: NewApiKey | ApiKey) -> dict[str, str]:
    return {"scopes": " ".join(sorted(key.scopes)), "other_scopes": " ".join(sorted(key.other_scopes))}


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    key_id, project_id, slug, name, description, hint, kind, user_id, scopes, others, limits, config, override, metadata, *rest = row
    return ApiKey(
        key_id,
        project_id,
        slug,
        name,
        description,
        hint,
        KeyKind(kind),
        user_id,
        frozenset(scopes.split()),
        frozenset(others.split()),
        *bounds.read(limits, config, override, metadata),
        *rest,
    )
