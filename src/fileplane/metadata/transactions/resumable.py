"""The transactions of resumable uploads.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, or a part of one, which runs it inside a
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fileplane.errors import FileTooLarge, InvalidValue, UploadGone, UploadLocked, UploadNotFound, UploadOffsetMismatch
from fileplane.ids import uuid7
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import files, uploads
from fileplane.model import Remains
from fileplane.resumable import Append, NewResumable, Resumable
from fileplane.uploads import Completion, NewPart, Part, UploadStatus

SQL: Final = load_statements("resumable.sql")


def create(connection: Connection, project_id: str, new: NewResumable, lifetime: int, now_ms: int) -> Resumable:
    """See :meth:`ResumableStore.create_resumable`."""
    upload = uploads.create(connection, project_id, new.upload, lifetime, now_ms)
    values = {"upload_id": upload.id, "project_id": project_id, "metadata": new.metadata, "length_deferred": int(new.deferred)}
    connection.execute(SQL["insert_resumable"], values)
    return get(connection, project_id, upload.id, now_ms // 1000)


def get(connection: Connection, project_id: str, upload_id: str, now: int) -> Resumable:
    """See :meth:`ResumableStore.get_resumable`."""
    upload = uploads.get(connection, project_id, upload_id, now)
    values = {"project_id": project_id, "upload_id": upload_id, "now": now}
    row = connection.execute(SQL["select_resumable"], values).fetchone()
    if row is None:
        raise UploadNotFound(upload_id)
    metadata, deferred, received, turn, held, asked, parts = row
    return Resumable(upload, metadata, bool(deferred), received, parts, turn, bool(held), bool(asked))


def pending(connection: Connection, project_id: str, upload_id: str, now: int) -> Resumable:
    """One that is not over. Raises UploadNotFound, UploadGone, or UploadOffsetMismatch for one that is complete."""
    found = get(connection, project_id, upload_id, now)
    if found.upload.status == UploadStatus.COMPLETED and found.upload.file is not None:
        raise UploadOffsetMismatch(found.received)
    if found.upload.status != UploadStatus.PENDING:
        raise UploadGone(found.upload.status)
    return found


def take_turn(
    connection: Connection, project_id: str, upload_id: str, offset: int, length: int | None, seconds: int, now: int
) -> Resumable:
    """See :meth:`ResumableStore.take_turn`."""
    found = pending(connection, project_id, upload_id, now)
    if found.held:
        raise UploadLocked
    if offset != found.received:
        raise UploadOffsetMismatch(found.received)
    values = {"project_id": project_id, "upload_id": upload_id}
    if length is not None and length != found.length:
        _require_length(found, length)
        if length != found.received:
            _set_length(connection, found, length)
    connection.execute(SQL["take_turn"], values | {"until": now + seconds})
    taken = get(connection, project_id, upload_id, now)
    if length is None or not taken.deferred:
        return taken
    # Recorded with the file alone: an offset that is the length says to clients that the upload is complete.
    return replace(taken, deferred=False, upload=replace(taken.upload, bytes=length))


def _require_length(found: Resumable, length: int) -> None:
    if not found.deferred:
        raise InvalidValue(f"Invalid 'Upload-Length': this upload was created for {found.length} bytes.", param="upload-length")
    if length < found.received:
        raise InvalidValue(f"Invalid 'Upload-Length': {found.received} bytes have been received, which is more.", param="upload-length")


def _set_length(connection: Connection, found: Resumable, length: int) -> None:
    values = {"project_id": found.upload.project_id, "upload_id": found.upload.id}
    connection.execute(SQL["set_length"], values)
    connection.execute(SQL["set_bytes"], values | {"bytes": length})


def ask_turn(connection: Connection, project_id: str, upload_id: str, turn: int) -> None:
    """See :meth:`ResumableStore.ask_turn`."""
    connection.execute(SQL["ask_turn"], {"project_id": project_id, "upload_id": upload_id, "turn": turn})


def keep_turn(connection: Connection, project_id: str, upload_id: str, turn: int, until: int) -> bool:
    """See :meth:`ResumableStore.keep_turn`."""
    values = {"project_id": project_id, "upload_id": upload_id, "turn": turn, "until": until}
    return connection.execute(SQL["keep_turn"], values).fetchone() is not None


def end_turn(connection: Connection, project_id: str, upload_id: str, turn: int) -> None:
    """See :meth:`ResumableStore.end_turn`."""
    connection.execute(SQL["end_turn"], {"project_id": project_id, "upload_id": upload_id, "turn": turn})


def of_turn(connection: Connection, project_id: str, upload_id: str, turn: int, now: int) -> Resumable:
    """What whoever has this turn appends to. Raises UploadNotFound, UploadGone, or UploadLocked when it is another's by now."""
    found = get(connection, project_id, upload_id, now)
    if found.upload.status not in (UploadStatus.PENDING, UploadStatus.COMPLETED):
        raise UploadGone(found.upload.status)
    if found.turn != turn or found.upload.status != UploadStatus.PENDING:
        raise UploadLocked
    return found


def append(connection: Connection, project_id: str, upload_id: str, turn: int, wanted: Append, now_ms: int) -> Resumable:
    """See :meth:`ResumableStore.append_part`."""
    now, new = now_ms // 1000, wanted.part
    found = of_turn(connection, project_id, upload_id, turn, now)
    if found.deferred and wanted.length is not None:
        _require_length(found, wanted.length)
        _set_length(connection, found, wanted.length)
        found = get(connection, project_id, upload_id, now)
    received = found.received
    if new is not None:
        received += new.blob.size
        if found.length is not None and received > found.length:
            raise FileTooLarge(f"The body goes beyond the upload's length of {found.length} bytes.", param="upload-length")
        part = uploads.add_part(connection, project_id, upload_id, new, wanted.quota_bytes, wanted.limits, now_ms, resumed=True)
        connection.execute(SQL["place_part"], {"project_id": project_id, "id": part.id, "begins": found.received})
        connection.execute(SQL["advance"], {"project_id": project_id, "upload_id": upload_id, "bytes": new.blob.size})
    uploads.put_off(connection, project_id, upload_id, wanted.lifetime_seconds, now)
    if wanted.ends_turn:
        end_turn(connection, project_id, upload_id, turn)
    if received == found.length:
        part_ids = tuple(part.id for part in parts(connection, project_id, upload_id))
        done = Completion(part_ids, wanted.created_by)
        uploads.complete(connection, project_id, upload_id, done, wanted.origin, wanted.limits, now_ms, resumed=True)
        end_turn(connection, project_id, upload_id, turn)
    return get(connection, project_id, upload_id, now)


def parts(connection: Connection, project_id: str, upload_id: str) -> list[Part]:
    """See :meth:`ResumableStore.resumable_parts`."""
    values = {"project_id": project_id, "upload_id": upload_id}
    return [Part(*row) for row in connection.execute(SQL["select_placed"], values)]


def merge(
    connection: Connection, project_id: str, upload_id: str, turn: int, merged: Sequence[Part], new: NewPart, now_ms: int
) -> list[Remains]:
    """See :meth:`ResumableStore.merge_parts`."""
    now = now_ms // 1000
    found = of_turn(connection, project_id, upload_id, turn, now)
    values: dict[str, Any] = {"project_id": project_id, "upload_id": upload_id}
    begins = _place(connection, values, merged)
    if begins is None or sum(part.bytes for part in merged) != new.blob.size:
        raise UploadLocked
    files.refuse_condemned(connection, new.blob.key)
    whole = Part(upload_id, uuid7(now_ms), new.blob.key, new.blob.size, new.blob.sha256, now)
    uploads.insert_part(connection, project_id, found.upload.purpose, whole)
    connection.execute(SQL["place_part"], {"project_id": project_id, "id": whole.id, "begins": begins})
    for part in merged:
        connection.execute(uploads.SQL["give_up_part"], {"project_id": project_id, "id": part.id, "now": now})
    return [Remains(project_id, part.id, part.blob_key, part.bytes, now) for part in merged]


def _place(connection: Connection, values: dict[str, Any], merged: Sequence[Part]) -> int | None:
    """Where parts begin that lie side by side, in this order; None when one of them is not there, or they do not."""
    begins = end = None
    for part in merged:
        row = connection.execute(SQL["select_place"], values | {"id": part.id}).fetchone()
        if row is None or (end is not None and row[0] != end):
            return None
        begins = row[0] if begins is None else begins
        end = row[0] + part.bytes
    return begins
