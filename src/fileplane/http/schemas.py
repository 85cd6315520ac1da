"""What answers look like, as types: the JSON is encoded from them and the OpenAPI document is generated from them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import msgspec

from fileplane.access import ORGANISATION_ID
from fileplane.files.remote_shapes import RemoteList
from fileplane.model import AuditEntry, File, FilePage, Hold

T = TypeVar("T")

Bytes = Annotated[int, msgspec.Meta(ge=0, description="Bytes.")]
UnixTime = Annotated[int, msgspec.Meta(description="Seconds since the Unix epoch.")]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as OpenAI's File object. One that is deleted also tells since when, and until when it can be restored."""

    id: str
    object: Literal["file"] = "file"
    bytes: Bytes
    created_at: UnixTime
    expires_at: UnixTime | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    deleted_at: UnixTime | msgspec.UnsetType = msgspec.UNSET
    restorable_until: UnixTime | msgspec.UnsetType = msgspec.UNSET


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files. The next page begins after ``last_id``.

    ``total`` counts every file that the filter admits; a list that a provider keeps has none.
    """

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
    total: int | msgspec.UnsetType = msgspec.UNSET


class FileDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class HoldObject(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a file from being deleted or purged, and from expiring, until ``expires_at`` or until it is released."""

    id: str
    object: Literal["file.hold"] = "file.hold"
    file_id: str
    reason: str
    created_at: UnixTime
    expires_at: UnixTime | None


class HoldList(msgspec.Struct, frozen=True, kw_only=True):
    """The active holds of a file, oldest first, all of them."""

    object: Literal["list"] = "list"
    data: list[HoldObject]
    first_id: str | None
    last_id: str | None
    has_more: Literal[False] = False
    total: int


class HoldDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the release of a hold."""

    id: str
    object: Literal["file.hold"] = "file.hold"
    deleted: Literal[True] = True


class LineProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a line, or with a warning only unwise. Lines count from 1; ``code`` is a name that does not change."""

    line: int
    code: str
    message: str


class FileValidation(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a ``.jsonl`` file, found when it was uploaded.

    ``problems`` are the first thousand, ``problem_count`` says how many there were. Unless ``complete``, validation ended early.
    """

    object: Literal["file.validation"] = "file.validation"
    file_id: str
    valid: bool
    kind: str | None
    lines: int
    problem_count: int
    problems: list[LineProblem]
    warnings: list[LineProblem]
    complete: bool


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change, as Portkey's audit log has it. What Fileplane did of its own accord has no method, uri, request or user."""

    timestamp: str
    action: str
    resource_type: str
    resource_id: str
    organisation_id: str
    workspace_id: str
    response_status_code: int
    method: str | msgspec.UnsetType = msgspec.UNSET
    uri: str | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    user_type: Literal["api_key"] | msgspec.UnsetType = msgspec.UNSET
    client_ip: str | msgspec.UnsetType = msgspec.UNSET


class AuditLogs(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes, newest first; ``total`` counts all that the filters admit. The object's name is Portkey's."""

    object: Literal["analytics-graph"] = "analytics-graph"
    records: list[AuditRecord]
    total: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the health checks. ``degraded``: there is no room for new files; everything else goes on."""

    status: Literal["ok", "degraded"] = "ok"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong and what to do; ``param`` names the field, parameter or header at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """Every failure is answered in this form."""

    error: ErrorBody


def file_object(file: File, shown_id: str) -> FileObject:
    """A file as callers see it."""
    return FileObject(
        id=shown_id,
        bytes=file.bytes,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename,
        purpose=file.purpose,
        status=file.status,  # type: ignore[arg-type]  # the database holds only these
        status_details=file.status_details,
        deleted_at=_if_known(file.deleted_at),
        restorable_until=_if_known(file.restorable_until),
    )


def hold_object(hold: Hold, shown_file_id: str) -> HoldObject:
    """A hold as callers see it."""
    return HoldObject(id=hold.id, file_id=shown_file_id, reason=hold.reason, created_at=hold.created_at, expires_at=hold.expires_at)


def audit_record(entry: AuditEntry) -> AuditRecord:
    """A change as callers see it."""
    origin = entry.origin
    return AuditRecord(
        timestamp=datetime.fromtimestamp(entry.created_at, UTC).isoformat().replace("+00:00", "Z"),
        action=entry.action,
        resource_type=entry.resource_type,
        resource_id=entry.resource_id,
        organisation_id=ORGANISATION_ID,
        workspace_id=entry.project_id,
        response_status_code=200,
        method=_if_known(origin.method),
        uri=_if_known(origin.path),
        request_id=_if_known(origin.request_id),
        user_id=_if_known(origin.key_id),
        user_type=msgspec.UNSET if origin.key_id is None else "api_key",
        client_ip=_if_known(origin.client),
    )


def _if_known(value: T | None) -> T | msgspec.UnsetType:
    return msgspec.UNSET if value is None else value


def file_list(page: FilePage | RemoteList, objects: list[FileObject]) -> FileList:
    """A page as callers see it: its cursors are those of its own first and last file."""
    return FileList(
        data=objects,
        first_id=objects[0].id if objects else None,
        last_id=objects[-1].id if objects else None,
        has_more=page.has_more,
        total=_if_known(page.total),
    )
