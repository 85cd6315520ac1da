"""The transactions of files: creating, finding and listing them.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction, except
for :func:`page`, which reads and makes its own.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from fileplane.access import CallerLimits
from fileplane.errors import FileNotFound, IdempotencyConflict, InvalidApiKey, StorageQuotaExceeded, StorageUnavailable, ValidationNotFound
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound
from fileplane.metadata.control import UnknownProject
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import bounds, limits
from fileplane.metadata.transactions.lifecycle import key_entry, record, remember_key, repeated_file_id
from fileplane.model import COPY_PURPOSE, CreatedFile, File, FilePage, FileQuery, Idempotency, NewFile, Origin, Usage

SQL: Final = load_statements("files.sql")
_FIRST: Final = (-1, "")
_LAST: Final = (2**62, "~")
_LIVE: Final = "deleted_at IS NULL AND (ends_at IS NULL OR ends_at > :now)"
_ANY_PURPOSE: Final = f"purpose <> '{COPY_PURPOSE}' AND "
"""A list by purpose does without: PostgreSQL would take it for a reason to walk the other index."""
_RESTORABLE: Final = "deleted_at IS NOT NULL AND collected_at IS NULL AND collect_after > :now"


def _list_statement(*, deleted: bool, by_purpose: bool, newest_first: bool) -> str:
    return SQL["list"].format(
        index=("deleted" if deleted else "files") + ("_by_purpose" if by_purpose else "_by_time"),
        filter=("purpose = :purpose AND " if by_purpose else "" if deleted else _ANY_PURPOSE) + (_RESTORABLE if deleted else _LIVE),
        beyond="<" if newest_first else ">",
        direction="DESC" if newest_first else "ASC",
    )


LISTS: Final = {
    (deleted, by_purpose, newest_first): _list_statement(deleted=deleted, by_purpose=by_purpose, newest_first=newest_first)
    for deleted in (False, True)
    for by_purpose in (False, True)
    for newest_first in (False, True)
}
"""The statement of a list by: of deleted files, of one purpose, newest first."""


def create(
    connection: Connection,
    project_id: str,
    new: NewFile,
    quota_bytes: int,
    origin: Origin,
    key: Idempotency | None,
    caller: CallerLimits,
    now_ms: int,
) -> CreatedFile:
    """See :meth:`MetadataStore.create_file`."""
    now = now_ms // 1000
    if key is not None:
        repeated = repeated_file_id(connection, project_id, key, now)
        if repeated is not None:
            file = _repeated(connection, project_id, repeated, now)
            limits.end_upload(connection, project_id, new.created_by, new.received_bytes, None, now)
            return CreatedFile(file, repeated=True)
    limits.require_allowed(connection, project_id, new, caller, now)
    if usage(connection, project_id).stored_bytes + new.blob.size > quota_bytes:
        raise StorageQuotaExceeded(quota_bytes)
    refuse_condemned(connection, new.blob.key)
    file = insert(connection, project_id, new, origin, now_ms)
    if key is not None:
        remember_key(connection, project_id, key, file.id, now)
    return CreatedFile(file, repeated=False)


def insert(connection: Connection, project_id: str, new: NewFile, origin: Origin, now_ms: int) -> File:
    """Records and counts a file that nothing speaks against any more."""
    require_project(connection, project_id)
    file = _file_from(project_id, new, now_ms)
    values = asdict(file) | {"created_by": new.created_by}
    connection.execute(SQL["insert_file"], values)
    connection.execute(SQL["count_created"], values)
    connection.execute(limits.SQL["count_key_created"], values)
    limits.count_day(connection, project_id, new.created_by, now_ms // 1000, new.received_bytes, new.blob.size)
    if new.verdict is not None:
        connection.execute(SQL["insert_validation"], {"project_id": project_id, "id": file.id, "verdict": new.verdict})
    record(connection, project_id, "files.create", file.id, origin, now_ms)
    return file


def repeated_bytes(connection: Connection, project_id: str, key_hash: bytes, now: int) -> int | None:
    """See :meth:`MetadataStore.repeated_upload_bytes`."""
    entry = key_entry(connection, project_id, key_hash, now)
    if entry is None:
        return None
    try:
        return get(connection, project_id, str(entry[1]), now).bytes
    except FileNotFound:
        return 0


def require_project(connection: Connection, project_id: str) -> None:
    """Raises :class:`~fileplane.errors.InvalidApiKey` when the project was removed."""
    try:
        bounds.require_project(connection, project_id)
    except UnknownProject as error:
        raise InvalidApiKey("The project of this API key was removed. Use a key of another project.") from error


def refuse_condemned(connection: Connection, blob_key: str) -> None:
    """Raises :class:`~fileplane.errors.StorageUnavailable` for a blob that was taken for an orphan."""
    if connection.execute(SQL["select_condemned"], {"blob_key": blob_key}).fetchone() is not None:
        raise StorageUnavailable("The server was suspended for too long while it took this file. Upload it again.", nothing_changed=True)


def _repeated(connection: Connection, project_id: str, file_id: str, now: int) -> File:
    try:
        return get(connection, project_id, file_id, now)
    except FileNotFound as error:
        raise IdempotencyConflict from error


def get(connection: Connection, project_id: str, file_id: str, now: int) -> File:
    """See :meth:`MetadataStore.get_file`."""
    row = connection.execute(SQL["select_file"], {"project_id": project_id, "id": file_id, "now": now}).fetchone()
    if row is None:
        raise FileNotFound(file_id)
    return File(*row)


def copy(connection: Connection, project_id: str, file_id: str) -> File:
    """See :meth:`MetadataStore.get_copy`."""
    row = connection.execute(SQL["select_copy"], {"project_id": project_id, "id": file_id}).fetchone()
    if row is None:
        raise FileNotFound(file_id)
    return File(*row)


def validation(connection: Connection, project_id: str, file_id: str, now: int) -> str:
    """See :meth:`MetadataStore.get_validation`."""
    values = {"project_id": project_id, "id": file_id, "now": now}
    row = connection.execute(SQL["select_validation"], values).fetchone()
    if row is None:
        get(connection, project_id, file_id, now)
        raise ValidationNotFound(file_id)
    return str(row[0])


def page(connection: Connection, project_id: str, query: FileQuery, now: int) -> FilePage:
    """See :meth:`MetadataStore.list_files`."""
    values: dict[str, Any] = {
        "project_id": project_id,
        "purpose": "" if query.purpose == COPY_PURPOSE else query.purpose,
        "now": now,
        "limit": query.limit + 1,
        "offset": query.offset,
    }
    counter = "count_deleted" if query.deleted else "count_live"
    connection.execute("BEGIN")
    values["cursor_time"], values["cursor_id"] = _cursor(connection, project_id, query)
    files = tuple(File(*row) for row in connection.execute(LISTS[query.deleted, query.purpose is not None, query.newest_first], values))
    total = _number(connection, counter, values) - _number(connection, f"{counter}_ended", values)
    connection.execute("COMMIT")
    return FilePage(files[: query.limit], len(files) > query.limit, total)


def usage(connection: Connection, project_id: str) -> Usage:
    """See :meth:`MetadataStore.usage`."""
    return Usage(*(connection.execute(SQL["select_usage"], {"project_id": project_id}).fetchone() or (0, 0)))


def _number(connection: Connection, name: str, values: dict[str, Any]) -> int:
    row = connection.execute(SQL[name], values).fetchone()
    assert row is not None, name
    return int(row[0])


def _cursor(connection: Connection, project_id: str, query: FileQuery) -> tuple[Any, ...]:
    if query.after is None:
        return _LAST if query.newest_first else _FIRST
    row = connection.execute(SQL["select_cursor"], {"project_id": project_id, "id": query.after}).fetchone()
    if row is None:
        raise CursorNotFound(query.after)
    return tuple(row)


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
