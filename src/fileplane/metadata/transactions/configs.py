"""The transactions of saved configs.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from fileplane.credentials import Sealed
from fileplane.ids import uuid7
from fileplane.metadata.control import ConfigNotFound, RecordChanged, ReferenceMissing, SlugTaken, StillInUse
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import bounds
from fileplane.metadata.transactions.lifecycle import record
from fileplane.metadata.transactions.secrets import need_data_keys
from fileplane.model import Origin
from fileplane.saved_configs import ConfigVersion, NewConfig, NewConfigVersion, SavedConfig

SQL: Final = load_statements("configs.sql")
DOCUMENT: Final = "document"
"""The name of the one field that is encrypted."""


def create(connection: Connection, new: NewConfig, origin: Origin, now_ms: int) -> SavedConfig:
    """See :meth:`ControlStore.create_config`."""
    bounds.require_project(connection, new.project_id)
    config_id = uuid7(now_ms)
    values = {
        "id": config_id,
        "project_id": new.project_id,
        "slug": new.slug,
        "name": new.name,
        "now": now_ms // 1000,
        "by": origin.key_id,
    }
    if connection.execute(SQL["insert_config"], values).fetchone() is None:
        raise SlugTaken(new.slug)
    _add_version(connection, config_id, new.project_id, new.version, origin, now_ms)
    record(connection, new.project_id, "configs.create", config_id, origin, now_ms)
    return get(connection, new.slug)


def update(
    connection: Connection, before: SavedConfig, name: str | None, version: NewConfigVersion | None, origin: Origin, now_ms: int
) -> SavedConfig:
    """See :meth:`ControlStore.update_config`."""
    get(connection, before.slug)
    values = {
        "id": before.id,
        "number": before.number,
        "name": name,
        "step": 0 if version is None else 1,
        "now": now_ms // 1000,
        "by": origin.key_id,
    }
    if connection.execute(SQL["update_config"], values).fetchone() is None:
        raise RecordChanged(before.slug)
    if version is not None:
        _add_version(connection, before.id, before.project_id, version, origin, now_ms)
    record(connection, before.project_id, "configs.update", before.id, origin, now_ms)
    return get(connection, before.slug)


def delete(connection: Connection, slug: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`ControlStore.delete_config`."""
    found = get(connection, slug)
    users = [str(row[0]) for row in connection.execute(SQL["select_users"], {"id": found.id, "slug": slug})]
    if users:
        raise StillInUse(sorted(users))
    remove(connection, found.project_id, [found.id], origin, now_ms)


def remove(connection: Connection, project_id: str, config_ids: Iterable[str], origin: Origin, now_ms: int) -> None:
    """Removes configs of a project that nothing but one another names."""
    every_id = [{"id": config_id} for config_id in config_ids]
    connection.executemany(SQL["delete_used_configs"], every_id)
    for values in every_id:
        connection.execute(SQL["delete_needs"], values)
        connection.execute(SQL["delete_config"], values)
        record(connection, project_id, "configs.delete", values["id"], origin, now_ms)


def get(connection: Connection, slug: str) -> SavedConfig:
    """See :meth:`ControlStore.get_config`."""
    row = connection.execute(SQL["select_config"], {"slug": slug}).fetchone()
    if row is None:
        raise ConfigNotFound(slug)
    return _config(row)


def every(connection: Connection, project_id: str | None) -> list[SavedConfig]:
    """See :meth:`ControlStore.list_configs`."""
    return [_config(row) for row in connection.execute(SQL["select_configs"], {"project_id": project_id})]


def versions(connection: Connection, slug: str) -> list[ConfigVersion]:
    """See :meth:`ControlStore.list_config_versions`."""
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_versions"], {"id": get(connection, slug).id}).fetchall()
    return [
        ConfigVersion(version_id, number, _sealed(encrypted, needed), created_at, created_by)
        for version_id, number, encrypted, needed, created_at, created_by in rows
    ]


def _add_version(connection: Connection, config_id: str, project_id: str, version: NewConfigVersion, origin: Origin, now_ms: int) -> None:
    values = {"id": config_id, "project_id": project_id, "now": now_ms // 1000, "by": origin.key_id}
    document = {"version_id": version.id, "encrypted": version.sealed.fields[DOCUMENT]}
    connection.execute(SQL["insert_version"], values | document)
    need_data_keys(connection, version.id, frozenset(), {}, version.sealed)
    connection.execute(SQL["delete_used_virtual_keys"], values)
    connection.execute(SQL["delete_used_configs"], values)
    for statement, kind, slugs in (
        ("insert_used_virtual_key", "virtual key", version.virtual_keys),
        ("insert_used_config", "config", version.configs),
    ):
        for slug in sorted(slugs):
            if connection.execute(SQL[statement], values | {"slug": slug}).fetchone() is None:
                raise ReferenceMissing(kind, slug)
    if version.configs and connection.execute(SQL["select_circle"], {"id": config_id}).fetchone() is not None:
        # Whoever asks has looked before: one of those that it leads to was changed since.
        raise RecordChanged(config_id)


def _sealed(encrypted: str, needed: str) -> Sealed:
    return Sealed({DOCUMENT: encrypted}, frozenset(json.loads(needed)))


def _config(row: tuple[Any, ...]) -> SavedConfig:
    config_id, project_id, slug, name, number, version_id, encrypted, needed, is_default, *rest = row
    return SavedConfig(config_id, project_id, slug, name, number, version_id, _sealed(encrypted, needed), bool(is_default), *rest)
