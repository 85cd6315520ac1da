"""The transactions of projects and API keys on SQLite.

Each function is one operation for :class:`~fileplane.metadata.sqlite_engine.SqliteEngine`, which runs it inside a transaction.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import apsw

from fileplane.ids import uuid7
from fileplane.metadata.base import NameTaken
from fileplane.metadata.sql import load_statements
from fileplane.model import DEFAULT_PROJECT_NAME, ApiKey, NewApiKey, Project

SQL: Final = load_statements("sqlite_keys.sql")


def insert_project(connection: apsw.Connection, name: str, now_ms: int) -> Project:
    """See :meth:`MetadataStore.create_project`."""
    project = Project(uuid7(now_ms), name, now_ms // 1000)
    try:
        connection.execute(SQL["insert_project"], asdict(project))
    except apsw.ConstraintError as error:
        raise NameTaken(name) from error
    return project


def projects(connection: apsw.Connection) -> list[Project]:
    """See :meth:`MetadataStore.list_projects`."""
    return [Project(*row) for row in connection.execute(SQL["select_projects"])]


def insert_api_key(connection: apsw.Connection, new: NewApiKey, now_ms: int) -> ApiKey:
    """See :meth:`MetadataStore.create_api_key`."""
    values = asdict(new) | {"id": uuid7(now_ms), "created_at": now_ms // 1000, "scopes": " ".join(sorted(new.scopes))}
    connection.execute(SQL["insert_api_key"], values)
    made = find(connection, new.key_hash)
    assert made is not None
    return made


def api_keys(connection: apsw.Connection, project_id: str | None) -> list[ApiKey]:
    """See :meth:`MetadataStore.list_api_keys`."""
    return [_api_key(row) for row in connection.execute(SQL["select_api_keys"], {"project_id": project_id})]


def revoke(connection: apsw.Connection, key_id: str, now: int) -> bool:
    """See :meth:`MetadataStore.revoke_api_key`."""
    return connection.execute(SQL["revoke_api_key"], {"id": key_id, "now": now}).fetchone() is not None


def find(connection: apsw.Connection, key_hash: bytes) -> ApiKey | None:
    """See :meth:`MetadataStore.find_api_key`."""
    row = connection.execute(SQL["select_api_key_by_hash"], {"key_hash": key_hash}).fetchone()
    return None if row is None else _api_key(row)


def bootstrap(connection: apsw.Connection, key_hash: bytes, hint: str, scopes: frozenset[str], now_ms: int) -> bool:
    """See :meth:`MetadataStore.bootstrap`."""
    if connection.execute(SQL["select_any_api_key"]).fetchone() is not None:
        return False
    named = {project.name: project for project in projects(connection)}
    project = named.get(DEFAULT_PROJECT_NAME) or insert_project(connection, DEFAULT_PROJECT_NAME, now_ms)
    insert_api_key(connection, NewApiKey(project.id, "bootstrap", key_hash, hint, scopes, organisation=True), now_ms)
    return True


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    key_id, project_id, project_name, name, hint, scopes, organisation, created_at, expires_at, revoked_at = row
    return ApiKey(
        key_id, project_id, project_name, name, hint, frozenset(scopes.split()), bool(organisation), created_at, expires_at, revoked_at
    )
