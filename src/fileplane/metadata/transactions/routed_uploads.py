"""The transactions of uploads in parts to providers. See :class:`fileplane.metadata.routed_uploads.RoutedUploadStore`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from fileplane.catalog import CatalogFile, FileState
from fileplane.errors import TooManyParts, UploadNotFound, UploadNotPending, UploadUnresolved
from fileplane.ids import uuid7
from fileplane.metadata.catalog import IntentNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import catalog_rows, uploads
from fileplane.model import Remains
from fileplane.uploads import MOST_PARTS, BegunCompletion, NewUpload, Part, RoutedPart, RoutedUpload, UploadStatus

SQL: Final = load_statements("routed_uploads.sql")
_OPEN: Final = frozenset({FileState.RESERVED, FileState.UNKNOWN})
_MADE: Final = frozenset({FileState.BOUND, FileState.DELETING, FileState.CLOSED})


def create(
    connection: Connection, project_id: str, new: NewUpload, provider_upload_id: str | None, lifetime: int, now_ms: int
) -> RoutedUpload:
    """See :meth:`RoutedUploadStore.create_routed_upload`."""
    assert new.target, "what goes to the native store is no routed upload"
    upload = uploads.create(connection, project_id, new, lifetime, now_ms)
    values = {"project_id": project_id, "upload_id": upload.id, "provider_upload_id": provider_upload_id}
    connection.execute(SQL["insert_routed"], values)
    return RoutedUpload(upload, provider_upload_id, unresolved=False, digest=None, intent=None, provider_file_id=None)


def get(connection: Connection, project_id: str, upload_id: str, now: int) -> RoutedUpload:
    """See :meth:`RoutedUploadStore.get_routed_upload`."""
    upload = uploads.get(connection, project_id, upload_id, now)
    row = connection.execute(SQL["select_routed"], {"project_id": project_id, "upload_id": upload_id}).fetchone()
    if row is None:
        raise UploadNotFound(upload_id)
    provider_upload_id, begun, digest, intent_id, provider_file_id = row
    intent = None if intent_id is None else _intent(connection, project_id, intent_id)
    if intent is not None and intent.state in _MADE and upload.status != UploadStatus.COMPLETED:
        upload = replace(upload, status=UploadStatus.COMPLETED.value)
    going_on = intent.state in _OPEN if intent is not None else bool(begun) and intent_id is None
    unresolved = going_on and upload.status != UploadStatus.COMPLETED
    return RoutedUpload(upload, provider_upload_id, unresolved, None if digest is None else bytes(digest), intent, provider_file_id)


def _intent(connection: Connection, project_id: str, intent_id: str) -> CatalogFile | None:
    try:
        return catalog_rows.intent(connection, project_id, intent_id)
    except IntentNotFound:
        return None


def pending(connection: Connection, project_id: str, upload_id: str, now: int) -> RoutedUpload:
    """An upload that can be gone on with. Raises UploadNotFound, UploadNotPending or UploadUnresolved."""
    found = get(connection, project_id, upload_id, now)
    if found.unresolved:
        raise UploadUnresolved
    if found.upload.status != UploadStatus.PENDING:
        raise UploadNotPending(found.upload.status)
    return found


def parts(connection: Connection, project_id: str, upload_id: str) -> list[RoutedPart]:
    """See :meth:`RoutedUploadStore.routed_parts`."""
    values = {"project_id": project_id, "upload_id": upload_id}
    return [RoutedPart(Part(*row[:6]), row[6]) for row in connection.execute(SQL["select_routed_parts"], values)]


def listed(connection: Connection, project_id: str, upload_id: str, part_ids: Sequence[str], now: int) -> list[RoutedPart]:
    """See :meth:`RoutedUploadStore.listed_routed_parts`."""
    found = pending(connection, project_id, upload_id, now)
    known = {one.part.id: one for one in parts(connection, project_id, upload_id)}
    return [known[part.id] for part in uploads.in_order([one.part for one in known.values()], found.upload, part_ids)]


def add_part(connection: Connection, project_id: str, upload_id: str, provider_part_id: str, size: int, sha256: str, now_ms: int) -> Part:
    """See :meth:`RoutedUploadStore.add_routed_part`."""
    now = now_ms // 1000
    require_room(connection, project_id, upload_id, now)
    part = Part(upload_id, uuid7(now_ms), "", size, sha256, now)
    connection.execute(SQL["insert_routed_part"], asdict(part) | {"project_id": project_id, "provider_part_id": provider_part_id})
    return part


def require_room(connection: Connection, project_id: str, upload_id: str, now: int) -> None:
    """See :meth:`RoutedUploadStore.require_room_for_part`."""
    pending(connection, project_id, upload_id, now)
    count = connection.execute(SQL["count_routed_parts"], {"project_id": project_id, "upload_id": upload_id}).fetchone()
    if count is not None and count[0] >= MOST_PARTS:
        raise TooManyParts(MOST_PARTS)


def begin(connection: Connection, project_id: str, upload_id: str, begun: BegunCompletion, now: int) -> None:
    """See :meth:`RoutedUploadStore.begin_completion`."""
    found = get(connection, project_id, upload_id, now)
    same = begun.replacing is not None and found.intent is not None and found.intent.id == begun.replacing
    if not (same and found.unresolved):
        pending(connection, project_id, upload_id, now)
    values = {"project_id": project_id, "upload_id": upload_id}
    connection.execute(SQL["begin_completion"], values | {"digest": begun.digest, "intent_id": begun.intent_id, "number": begun.number})
    if begun.part_ids:
        connection.execute(SQL["unnumber_parts"], values)
        numbered = [{"project_id": project_id, "id": part_id, "number": number} for number, part_id in enumerate(begun.part_ids)]
        connection.executemany(SQL["number_routed_part"], numbered)
    if begun.lifetime_seconds:
        until = {"project_id": project_id, "id": upload_id, "now": now, "until": now + begun.lifetime_seconds}
        connection.execute(uploads.SQL["put_off_upload"], until).fetchone()


def finish(connection: Connection, project_id: str, upload_id: str, provider_file_id: str, now: int) -> list[Remains]:
    """See :meth:`RoutedUploadStore.finish_completion`."""
    values = {"project_id": project_id, "upload_id": upload_id, "provider_file_id": provider_file_id}
    connection.execute(SQL["finish_completion"], values)
    return uploads.end(connection, project_id, upload_id, UploadStatus.COMPLETED, now)


def abandon(connection: Connection, project_id: str, upload_id: str, number: int) -> None:
    """See :meth:`RoutedUploadStore.abandon_completion`."""
    connection.execute(SQL["abandon_completion"], {"project_id": project_id, "upload_id": upload_id, "number": number})


def cancel(connection: Connection, project_id: str, upload_id: str, now: int) -> list[Remains]:
    """See :meth:`RoutedUploadStore.cancel_routed_upload`."""
    found = get(connection, project_id, upload_id, now)
    if found.upload.status != UploadStatus.CANCELLED:
        pending(connection, project_id, upload_id, now)
    return uploads.cancel(connection, project_id, upload_id, now)


def completion_parts(connection: Connection, project_id: str, intent_id: str) -> list[tuple[int, str]]:
    """See :meth:`RoutedUploadStore.completion_parts`."""
    values = {"project_id": project_id, "intent_id": intent_id}
    return [(int(size), str(sha256)) for _, size, sha256 in sorted(connection.execute(SQL["select_completion_parts"], values))]
