"""The MetadataStore protocol on SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import apsw

from fileplane.clock import Clock
from fileplane.errors import FileNotFound, StorageQuotaExceeded
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound, NameTaken
from fileplane.metadata.sql import load_statements
from fileplane.metadata.sqlite_engine import SqliteEngine
from fileplane.model import (
    DEFAULT_PROJECT_NAME,
    ApiKey,
    File,
    FilePage,
    FileQuery,
    NewApiKey,
    NewFile,
    Project,
    Usage,
)

SQL: Final = load_statements("sqlite.sql")
_FIRST: Final = (-1, "")
_LAST: Final = (2**62, "~")

Values = Mapping[str, Any]


class SqliteMetadataStore:
    """See :class:`fileplane.metadata.base.MetadataStore`. Several processes on one machine may use one database at once."""

    def __init__(self, path: Path, clock: Clock, *, deadline_seconds: float = 10.0) -> None:
        """For a database that :func:`~fileplane.metadata.sqlite_engine.prepare_database` has prepared. Needs a running event loop."""
        self._clock = clock
        self._engine = SqliteEngine(path, deadline_seconds)

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    async def create_file(self, project_id: str, new: NewFile, quota_bytes: int) -> File:
        """See :meth:`MetadataStore.create_file`."""

        def operation(connection: apsw.Connection) -> File:
            _, stored_bytes = _one(connection, "select_usage", {"project_id": project_id})
            if stored_bytes + new.blob.size > quota_bytes:
                raise StorageQuotaExceeded(quota_bytes)
            file = _file_from(project_id, new, self._clock.now_ms())
            values = asdict(file) | {"created_by": new.created_by}
            connection.execute(SQL["insert_file"], values)
            connection.execute(SQL["count_created"], values)
            return file

        return await self._engine.write(operation)

    async def get_file(self, project_id: str, file_id: str) -> File:
        """See :meth:`MetadataStore.get_file`."""
        values = {"project_id": project_id, "id": file_id, "now": self._now()}

        def operation(connection: apsw.Connection) -> File:
            row = connection.execute(SQL["select_file"], values).fetchone()
            if row is None:
                raise FileNotFound(file_id)
            return File(*row)

        return await self._engine.read(operation)

    async def list_files(self, project_id: str, query: FileQuery) -> FilePage:
        """See :meth:`MetadataStore.list_files`."""
        values: dict[str, Any] = {
            "project_id": project_id,
            "purpose": query.purpose,
            "now": self._now(),
            "limit": query.limit + 1,
            "offset": query.offset,
        }
        statement = SQL[f"list_{'purpose_' if query.purpose is not None else ''}{'newest' if query.newest_first else 'oldest'}_first"]

        def operation(connection: apsw.Connection) -> FilePage:
            connection.execute("BEGIN")
            values["cursor_time"], values["cursor_id"] = _cursor(connection, project_id, query)
            files = tuple(File(*row) for row in connection.execute(statement, values))
            (live,) = _one(connection, "count_live", values)
            (expired,) = _one(connection, "count_expired", values)
            connection.execute("COMMIT")
            return FilePage(files[: query.limit], len(files) > query.limit, live - expired)

        return await self._engine.read(operation)

    async def delete_file(self, project_id: str, file_id: str) -> None:
        """See :meth:`MetadataStore.delete_file`."""

        def operation(connection: apsw.Connection) -> None:
            row = connection.execute(SQL["delete_file"], {"project_id": project_id, "id": file_id, "now": self._now()}).fetchone()
            if row is None:
                raise FileNotFound(file_id)
            connection.execute(SQL["count_deleted"], {"project_id": project_id, "purpose": row[0]})

        await self._engine.write(operation)

    async def usage(self, project_id: str) -> Usage:
        """See :meth:`MetadataStore.usage`."""
        return await self._engine.read(lambda connection: Usage(*_one(connection, "select_usage", {"project_id": project_id})))

    async def create_project(self, name: str) -> Project:
        """See :meth:`MetadataStore.create_project`."""
        return await self._engine.write(lambda connection: self._insert_project(connection, name))

    def _insert_project(self, connection: apsw.Connection, name: str) -> Project:
        now_ms = self._clock.now_ms()
        project = Project(uuid7(now_ms), name, now_ms // 1000)
        try:
            connection.execute(SQL["insert_project"], asdict(project))
        except apsw.ConstraintError as error:
            raise NameTaken(name) from error
        return project

    async def list_projects(self) -> list[Project]:
        """See :meth:`MetadataStore.list_projects`."""
        return await self._engine.read(lambda connection: [Project(*row) for row in connection.execute(SQL["select_projects"])])

    async def create_api_key(self, new: NewApiKey) -> ApiKey:
        """See :meth:`MetadataStore.create_api_key`."""
        return await self._engine.write(lambda connection: self._insert_api_key(connection, new))

    def _insert_api_key(self, connection: apsw.Connection, new: NewApiKey) -> ApiKey:
        now_ms = self._clock.now_ms()
        connection.execute(
            SQL["insert_api_key"],
            asdict(new) | {"id": uuid7(now_ms), "created_at": now_ms // 1000, "scopes": " ".join(sorted(new.scopes))},
        )
        return _api_key(_one(connection, "select_api_key_by_hash", {"key_hash": new.key_hash}))

    async def list_api_keys(self, project_id: str | None = None) -> list[ApiKey]:
        """See :meth:`MetadataStore.list_api_keys`."""
        values = {"project_id": project_id}
        return await self._engine.read(lambda connection: [_api_key(row) for row in connection.execute(SQL["select_api_keys"], values)])

    async def revoke_api_key(self, key_id: str) -> bool:
        """See :meth:`MetadataStore.revoke_api_key`."""
        values = {"id": key_id, "now": self._now()}
        return await self._engine.write(lambda connection: connection.execute(SQL["revoke_api_key"], values).fetchone() is not None)

    async def find_api_key(self, key_hash: bytes) -> ApiKey | None:
        """See :meth:`MetadataStore.find_api_key`."""

        def operation(connection: apsw.Connection) -> ApiKey | None:
            row = connection.execute(SQL["select_api_key_by_hash"], {"key_hash": key_hash}).fetchone()
            return None if row is None else _api_key(row)

        return await self._engine.read(operation)

    async def bootstrap(self, key_hash: bytes, hint: str, scopes: frozenset[str]) -> bool:
        """See :meth:`MetadataStore.bootstrap`."""

        def operation(connection: apsw.Connection) -> bool:
            if connection.execute(SQL["select_any_api_key"]).fetchone() is not None:
                return False
            names = {project.name: project for project in (Project(*row) for row in connection.execute(SQL["select_projects"]))}
            project = names.get(DEFAULT_PROJECT_NAME) or self._insert_project(connection, DEFAULT_PROJECT_NAME)
            self._insert_api_key(connection, NewApiKey(project.id, "bootstrap", key_hash, hint, scopes, organisation=True))
            return True

        return await self._engine.write(operation)

    async def check(self) -> None:
        """See :meth:`MetadataStore.check`."""
        await self._engine.read(lambda connection: connection.execute("SELECT count(*) FROM projects").fetchone())

    async def close(self) -> None:
        """See :meth:`MetadataStore.close`."""
        await self._engine.close()


def _cursor(connection: apsw.Connection, project_id: str, query: FileQuery) -> tuple[Any, ...]:
    if query.after is None:
        return _LAST if query.newest_first else _FIRST
    row = connection.execute(SQL["select_cursor"], {"project_id": project_id, "id": query.after}).fetchone()
    if row is None:
        raise CursorNotFound(query.after)
    return tuple(row)


def _one(connection: apsw.Connection, name: str, values: Values) -> tuple[Any, ...]:
    row = connection.execute(SQL[name], values).fetchone()
    assert row is not None, name
    return tuple(row)


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    key_id, project_id, project_name, name, hint, scopes, organisation, created_at, expires_at, revoked_at = row
    return ApiKey(
        key_id, project_id, project_name, name, hint, frozenset(scopes.split()), bool(organisation), created_at, expires_at, revoked_at
    )


def _file_from(project_id: str, new: NewFile, now_ms: int) -> File:
    created_at = now_ms // 1000
    return File(
        project_id=project_id,
        id=uuid7(now_ms),
        purpose=new.purpose,
        filename=new.filename,
        bytes=new.blob.size,
        media_type=new.media_type,
        sha256=new.blob.sha256,
        blob_key=new.blob.key,
        created_at=created_at,
        expires_at=None if new.expires_after is None else created_at + new.expires_after,
        status=new.status.value,
        status_details=new.status_details,
    )
