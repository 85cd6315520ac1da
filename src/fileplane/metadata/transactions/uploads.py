"""The transactions of uploads in parts, and of the files that consist of parts.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, or a part of one, which runs it inside a
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from fileplane.access import CallerLimits, Whose
from fileplane.errors import InvalidValue, StorageQuotaExceeded, TooManyParts, UploadNotFound, UploadNotPending, UploadResumable
from fileplane.ids import part_style, uuid7
from fileplane.metadata.base import CursorNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import files, limits
from fileplane.model import File, FileStatus, KeptFile, NewFile, Origin, Remains, StoredBlob
from fileplane.uploads import (
    MOST_PARTS,
    Completion,
    NewPart,
    NewUpload,
    Part,
    Settlement,
    Upload,
    UploadPage,
    UploadQuery,
    UploadStatus,
    manifest_key,
    manifest_of,
    upload_of_row,
)

SQL: Final = load_statements("uploads.sql")
_FIRST: Final = (-1, "")
_LAST: Final = (2**62, "~")
_COLLECTED_AT_ONCE: Final = 500
_GIVEN_UP_AT_ONCE: Final = 1_000


def list_statement(*, newest_first: bool, targets: int = 1) -> str:
    """The statement of a list of uploads to so many targets."""
    names = ", ".join(f":target{number}" for number in range(targets))
    return SQL["list_uploads"].format(beyond="<" if newest_first else ">", direction="DESC" if newest_first else "ASC", targets=names)


LISTS: Final = {newest_first: list_statement(newest_first=newest_first) for newest_first in (False, True)}
"""The statement of a list of one target by whether the newest come first."""


def create(connection: Connection, project_id: str, new: NewUpload, lifetime: int, now_ms: int) -> Upload:
    """See :meth:`UploadStore.create_upload`."""
    files.require_project(connection, project_id)
    upload_id, now = uuid7(now_ms), now_ms // 1000
    values = asdict(new) | {"project_id": project_id, "id": upload_id, "created_at": now, "expires_at": now + lifetime}
    connection.execute(SQL["insert_upload"], values)
    return get(connection, project_id, upload_id, now)


def get(connection: Connection, project_id: str, upload_id: str, now: int) -> Upload:
    """See :meth:`UploadStore.get_upload`."""
    row = connection.execute(SQL["select_upload"], {"project_id": project_id, "id": upload_id, "now": now}).fetchone()
    if row is None:
        raise UploadNotFound(upload_id)
    return upload_of_row(row, now)


def pending(connection: Connection, project_id: str, upload_id: str, now: int) -> Upload:
    """An upload that takes parts. Raises UploadNotFound or UploadNotPending."""
    upload = get(connection, project_id, upload_id, now)
    if upload.status != UploadStatus.PENDING:
        raise UploadNotPending(upload.status)
    return upload


def page(connection: Connection, project_id: str, query: UploadQuery, now: int) -> UploadPage:
    """See :meth:`UploadStore.list_uploads`."""
    cursor: tuple[Any, ...] | None = _LAST if query.newest_first else _FIRST
    connection.execute("BEGIN")
    if query.after is not None:
        cursor = connection.execute(SQL["select_upload_cursor"], {"project_id": project_id, "id": query.after}).fetchone()
        if cursor is None:
            raise CursorNotFound(query.after)
    assert cursor is not None
    values = {"project_id": project_id, "now": now, "limit": query.limit + 1, "cursor_time": cursor[0], "cursor_id": cursor[1]}
    statement = (
        LISTS[query.newest_first]
        if len(query.targets) == 1
        else list_statement(newest_first=query.newest_first, targets=len(query.targets))
    )
    targets = {f"target{number}": target for number, target in enumerate(query.targets)}
    found = tuple(upload_of_row(row, now) for row in connection.execute(statement, values | targets))
    connection.execute("COMMIT")
    return UploadPage(found[: query.limit], len(found) > query.limit)


def put_off(connection: Connection, project_id: str, upload_id: str, seconds: int, now: int) -> None:
    """See :meth:`UploadStore.put_off_upload`."""
    values = {"project_id": project_id, "id": upload_id, "now": now, "until": now + seconds}
    if connection.execute(SQL["put_off_upload"], values).fetchone() is None:
        pending(connection, project_id, upload_id, now)


def add_part(
    connection: Connection,
    project_id: str,
    upload_id: str,
    new: NewPart,
    quota_bytes: int,
    caller: CallerLimits,
    now_ms: int,
    *,
    resumed: bool = False,
) -> Part:
    """See :meth:`UploadStore.add_part`. ``resumed`` for the one that is appended to a resumable upload."""
    now = now_ms // 1000
    upload = pending(connection, project_id, upload_id, now)
    count = connection.execute(SQL["count_parts"], {"project_id": project_id, "upload_id": upload_id}).fetchone()
    if count is not None and count[0] >= MOST_PARTS:
        raise TooManyParts(MOST_PARTS)
    if count is not None and count[1] and not resumed:
        raise UploadResumable
    limits.require_received(connection, project_id, new.created_by, new.received_bytes, caller, now)
    if files.usage(connection, project_id).stored_bytes + new.blob.size > quota_bytes:
        raise StorageQuotaExceeded(quota_bytes)
    require_of_key(connection, project_id, new, caller, now)
    files.refuse_condemned(connection, new.blob.key)
    part = Part(upload_id, uuid7(now_ms), new.blob.key, new.blob.size, new.blob.sha256, now)
    insert_part(connection, project_id, upload.purpose, part)
    if now + new.lifetime_seconds > upload.expires_at:
        put_off(connection, project_id, upload_id, new.lifetime_seconds, now)
    limits.count_day(connection, project_id, new.created_by, now, new.received_bytes)
    return part


def insert_part(connection: Connection, project_id: str, purpose: str, part: Part) -> None:
    """Records a part, and counts what it keeps."""
    connection.execute(SQL["insert_part"], asdict(part) | {"project_id": project_id})
    connection.execute(SQL["count_bytes"], {"project_id": project_id, "purpose": purpose, "bytes": part.bytes})


def require_of_key(connection: Connection, project_id: str, new: NewPart, caller: CallerLimits, now: int) -> None:
    """A key's files and what is to become its files, together: otherwise parts alone could fill the project past a key's limit."""
    most = caller.key.storage_bytes
    if most is None:
        return
    values = {"project_id": project_id, "key_id": new.created_by, "now": now}
    pending_bytes = (connection.execute(SQL["select_key_pending"], values).fetchone() or (0,))[0]
    live_bytes = limits.kept(connection, project_id, new.created_by, now).key_live_bytes
    if live_bytes + int(pending_bytes) + new.blob.size > most:
        raise StorageQuotaExceeded(most, Whose.KEY)


def parts(connection: Connection, project_id: str, upload_id: str) -> list[Part]:
    """See :meth:`UploadStore.upload_parts`."""
    values = {"project_id": project_id, "upload_id": upload_id}
    return [Part(*row) for row in connection.execute(SQL["select_parts"], values)]


def manifest(connection: Connection, project_id: str, upload_id: str) -> list[Part]:
    """See :meth:`UploadStore.manifest_parts`."""
    values = {"project_id": project_id, "upload_id": upload_id}
    return [Part(*row) for row in connection.execute(SQL["select_manifest"], values)]


def listed(connection: Connection, project_id: str, upload: Upload, part_ids: Sequence[str]) -> list[Part]:
    """The parts of a pending upload in the order of the list, which must be parts of its own, each once, of the announced size."""
    return in_order(parts(connection, project_id, upload.id), upload, part_ids)


def in_order(found: Sequence[Part], upload: Upload, part_ids: Sequence[str]) -> list[Part]:
    """See :func:`listed`, of which ``found`` are all parts."""
    known = {part.id: part for part in found}
    unknown = next((part_id for part_id in part_ids if part_id not in known), None)
    if unknown is not None:
        raise InvalidValue(f"Invalid 'part_ids': this upload has no part {part_style(unknown)}.", param="part_ids")
    if len(set(part_ids)) != len(part_ids):
        raise InvalidValue("Invalid 'part_ids': a part is named twice. Name each once, in the order of the file.", param="part_ids")
    chosen = [known[part_id] for part_id in part_ids]
    size = sum(part.bytes for part in chosen)
    if size != upload.bytes:
        raise InvalidValue(
            f"The parts have {size} bytes together, but the upload was created for {upload.bytes}. Name every part of the file, or upload "
            "what is missing.",
            param="part_ids",
        )
    return chosen


def complete(
    connection: Connection,
    project_id: str,
    upload_id: str,
    wanted: Completion,
    origin: Origin,
    caller: CallerLimits,
    now_ms: int,
    *,
    resumed: bool = False,
) -> Upload:
    """See :meth:`UploadStore.complete_upload`. ``resumed`` for a resumable upload whose last byte has come."""
    now = now_ms // 1000
    upload = get(connection, project_id, upload_id, now)
    if upload.status == UploadStatus.COMPLETED and upload.file is not None:
        if tuple(part.id for part in manifest(connection, project_id, upload_id)) == wanted.part_ids:
            return upload
        raise UploadNotPending(upload.status)
    upload = pending(connection, project_id, upload_id, now)
    if not resumed and connection.execute(SQL["is_resumable"], {"project_id": project_id, "upload_id": upload_id}).fetchone():
        raise UploadResumable
    chosen = listed(connection, project_id, upload, wanted.part_ids)
    new = _file_of(upload, wanted)
    limits.require_allowed(connection, project_id, new, caller, now)
    file = files.insert(connection, project_id, new, origin, now_ms)
    # The parts counted by themselves; now the file does, in their place.
    connection.execute(SQL["count_bytes"], {"project_id": project_id, "purpose": upload.purpose, "bytes": -upload.bytes})
    numbered = [{"project_id": project_id, "id": part.id, "number": number} for number, part in enumerate(chosen)]
    connection.executemany(SQL["number_part"], numbered)
    _end(connection, project_id, upload_id, UploadStatus.COMPLETED, now, file.id)
    return get(connection, project_id, upload_id, now)


def _file_of(upload: Upload, wanted: Completion) -> NewFile:
    settled = wanted.settlement or Settlement("", FileStatus.UPLOADED.value)
    return NewFile(
        StoredBlob(manifest_key(upload.id), upload.bytes, settled.sha256),
        upload.purpose,
        upload.filename,
        upload.media_type,
        wanted.created_by,
        upload.expires_after,
        FileStatus(settled.status),
        settled.status_details,
        settled.verdict,
    )


def cancel(connection: Connection, project_id: str, upload_id: str, now: int) -> list[Remains]:
    """See :meth:`UploadStore.cancel_upload`."""
    upload = get(connection, project_id, upload_id, now)
    if upload.status != UploadStatus.CANCELLED:
        pending(connection, project_id, upload_id, now)
        _end(connection, project_id, upload_id, UploadStatus.CANCELLED, now)
    return _given_up(connection, project_id, upload_id)


def end(connection: Connection, project_id: str, upload_id: str, status: UploadStatus, now: int) -> list[Remains]:
    """Ends an upload whose parts are of no use any more; a bounded number of them, which are given up."""
    _end(connection, project_id, upload_id, status, now)
    return _given_up(connection, project_id, upload_id)


def _given_up(connection: Connection, project_id: str, upload_id: str) -> list[Remains]:
    values = {"project_id": project_id, "upload_id": upload_id, "limit": _COLLECTED_AT_ONCE}
    return [Remains(*row) for row in connection.execute(SQL["select_upload_given_up"], values)]


def _end(connection: Connection, project_id: str, upload_id: str, status: UploadStatus, now: int, file_id: str | None = None) -> None:
    values = {"project_id": project_id, "id": upload_id, "status": status.value, "now": now, "file_id": file_id}
    connection.execute(SQL["end_upload"], values)
    connection.execute(SQL["give_up_parts"], {"project_id": project_id, "upload_id": upload_id, "now": now})


def expire(connection: Connection, ended: Sequence[Remains], now: int) -> int:
    """See :meth:`UploadStore.expire_uploads`."""
    seen_to = given_up = 0
    while seen_to < len(ended) and given_up < _GIVEN_UP_AT_ONCE:
        entry = ended[seen_to]
        values = {"project_id": entry.project_id, "id": entry.file_id, "upload_id": entry.file_id, "now": now}
        if connection.execute(SQL["expire_upload"], values).fetchone() is not None:
            count = connection.execute(SQL["count_parts"], values).fetchone()
            given_up += 1 if count is None else 1 + int(count[0])
            connection.execute(SQL["give_up_parts"], values)
        seen_to += 1
    return seen_to


def forget_parts(connection: Connection, removed: Sequence[Remains], now: int) -> list[Remains]:
    """See :meth:`UploadStore.forget_parts`."""
    forgotten = []
    for entry in removed:
        row = connection.execute(SQL["forget_part"], {"project_id": entry.project_id, "id": entry.file_id}).fetchone()
        if row is not None:
            purpose = get(connection, entry.project_id, row[0], now).purpose
            connection.execute(SQL["count_bytes"], {"project_id": entry.project_id, "purpose": purpose, "bytes": -row[1]})
            forgotten.append(entry)
    return forgotten


def forget_manifest(connection: Connection, gone: Remains) -> None:
    """To be called before a file that has been collected is forgotten."""
    upload_id = manifest_of(gone.blob_key)
    if upload_id is not None:
        values = {"project_id": gone.project_id, "id": gone.file_id, "upload_id": upload_id}
        connection.execute(SQL["forget_manifest"], values)
        connection.execute(SQL["forget_completion"], values)


def unsettled(connection: Connection, after: File | None, limit: int, now: int) -> list[File]:
    """See :meth:`UploadStore.unsettled_files`."""
    place = (-1, "", "") if after is None else (after.created_at, after.project_id, after.id)
    values = {"since": place[0], "project_id": place[1], "id": place[2], "limit": limit, "now": now}
    return [File(*row) for row in connection.execute(SQL["select_unsettled"], values)]


def settle(connection: Connection, project_id: str, file_id: str, settlement: Settlement) -> bool:
    """See :meth:`UploadStore.settle_file`."""
    values = asdict(settlement) | {"project_id": project_id, "id": file_id}
    if connection.execute(SQL["settle_file"], values).fetchone() is None:
        return False
    if settlement.verdict is not None:
        connection.execute(files.SQL["insert_validation"], {"project_id": project_id, "id": file_id, "verdict": settlement.verdict})
    return True


def damaged(connection: Connection, after: tuple[str, str], limit: int, now: int) -> list[File]:
    """See :meth:`UploadStore.damaged_files`."""
    values = {"project_id": after[0], "id": after[1], "limit": limit, "now": now}
    return [File(*row) for row in connection.execute(SQL["select_damaged"], values)]


def settle_again(connection: Connection, project_id: str, file_id: str) -> bool:
    """See :meth:`UploadStore.settle_again`."""
    return connection.execute(SQL["settle_again"], {"project_id": project_id, "id": file_id}).fetchone() is not None


def is_given_up(connection: Connection, part: KeptFile) -> bool:
    """Whether the bytes of a part may have been removed by now."""
    values = {"project_id": part.project_id, "id": part.part_id}
    return connection.execute(SQL["select_part_not_given_up"], values).fetchone() is None


def drop_part(connection: Connection, part: KeptFile, now: int) -> None:
    """Removes the record of a part that is none of a file's, and counts it no longer."""
    connection.execute(SQL["give_up_part"], {"project_id": part.project_id, "id": part.part_id, "now": now})
    forget_parts(connection, [Remains(part.project_id, part.part_id, part.blob_key, part.bytes, now)], now)


def blob_key_of(connection: Connection, file: KeptFile) -> str:
    """What a file consists of, which one of its parts is of."""
    row = connection.execute(SQL["select_blob_key"], {"project_id": file.project_id, "id": file.file_id}).fetchone()
    return file.blob_key if row is None else str(row[0])


def incomplete(connection: Connection, limit: int) -> list[tuple[KeptFile, int]]:
    """See :meth:`UploadStore.incomplete_files`."""
    rows: list[tuple[Any, ...]] = connection.execute(SQL["select_incomplete"], {"limit": limit}).fetchall()
    return [(KeptFile(project, file, key, size, "", due=False), int(found)) for project, file, key, size, found in rows]
