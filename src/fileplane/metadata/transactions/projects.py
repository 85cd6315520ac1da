"""The transactions of projects.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction.
"""

from __future__ import annotations

from typing import Any, Final

from fileplane.access import NewProject, Project
from fileplane.ids import uuid7
from fileplane.metadata.control import RecordChanged, ReferenceMissing, SlugTaken, StillInUse, UnknownProject
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import bounds, configs, keys
from fileplane.metadata.transactions import catalog_upkeep as catalog
from fileplane.metadata.transactions.lifecycle import record
from fileplane.model import Origin

SQL: Final = load_statements("projects.sql")
_USERS: Final = (
    ("file", "files"),
    ("API key of the organisation", "API keys of the organisation"),
    ("API key", "API keys"),
    ("config", "configs"),
    ("virtual key", "virtual keys"),
)
_NEVER_BY_FORCE: Final = 2


def create(connection: Connection, new: NewProject, origin: Origin, now_ms: int) -> Project:
    """See :meth:`ControlStore.create_project`."""
    project_id = uuid7(now_ms)
    values = {"id": project_id, "slug": new.slug, "name": new.name, "description": new.description, "now": now_ms // 1000}
    if new.defaults.config is not None:
        raise ReferenceMissing("config", new.defaults.config)  # a project that is not there yet has no configs
    if connection.execute(SQL["insert_project"], values | bounds.columns(new.limits, new.defaults)).fetchone() is None:
        raise SlugTaken(new.slug)
    record(connection, project_id, "workspaces.create", project_id, origin, now_ms)
    return get(connection, project_id)


def every(connection: Connection) -> list[Project]:
    """See :meth:`ControlStore.list_projects`."""
    return [_project(row) for row in connection.execute(SQL["select_projects"])]


def get(connection: Connection, project_id: str) -> Project:
    """The project of that id. Raises :class:`UnknownProject`."""
    row = connection.execute(SQL["select_project"], {"id": project_id}).fetchone()
    if row is None:
        raise UnknownProject(project_id)
    return _project(row)


def find(connection: Connection, id_or_slug: str) -> Project:
    """See :meth:`ControlStore.find_project`."""
    row = connection.execute(SQL["select_project_by_slug"], {"slug": id_or_slug}).fetchone()
    return get(connection, id_or_slug) if row is None else _project(row)


def update(connection: Connection, after: Project, origin: Origin, now_ms: int) -> Project:
    """See :meth:`ControlStore.update_project`."""
    get(connection, after.id)
    bounds.require_config(connection, after.id, after.defaults)
    values = {"id": after.id, "name": after.name, "description": after.description, "version": after.version, "now": now_ms // 1000}
    if connection.execute(SQL["update_project"], values | bounds.columns(after.limits, after.defaults)).fetchone() is None:
        raise RecordChanged(after.id)
    record(connection, after.id, "workspaces.update", after.id, origin, now_ms)
    return get(connection, after.id)


def delete(connection: Connection, project_id: str, origin: Origin, now_ms: int, *, force: bool) -> None:
    """See :meth:`ControlStore.delete_project`."""
    get(connection, project_id)
    values = {"id": project_id, "now": now_ms // 1000}
    row = connection.execute(SQL["count_users_of_project"], values).fetchone()
    assert row is not None
    at_providers = catalog.users_of_project(connection, project_id)
    # By force, only what no force takes is in the way.
    in_the_way = row[:_NEVER_BY_FORCE] if force else row
    users = [*(f"{count} {_USERS[index][count > 1]}" for index, count in enumerate(in_the_way) if count), *at_providers]
    if users:
        raise StillInUse(users)
    for (key_id,) in connection.execute(SQL["select_keys_to_revoke"], values).fetchall():
        keys.revoke(connection, str(key_id), origin, now_ms)
    removed = [str(config_id) for (config_id,) in connection.execute(SQL["select_configs_to_remove"], values).fetchall()]
    configs.remove(connection, project_id, removed, origin, now_ms)
    connection.execute(SQL["delete_project_of_virtual_keys"], values)
    connection.execute(SQL["remove_project"], values)
    record(connection, project_id, "workspaces.delete", project_id, origin, now_ms)


def _project(row: tuple[Any, ...]) -> Project:
    project_id, slug, name, description, limits, config, allow_override, metadata, *rest = row
    return Project(project_id, slug, name, description, *bounds.read(limits, config, allow_override, metadata), *rest)
