"""What answers look like, as types: the JSON is encoded from them and the OpenAPI document is generated from them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from fileplane.model import File, FilePage

Bytes = Annotated[int, msgspec.Meta(ge=0, description="Bytes.")]
UnixTime = Annotated[int, msgspec.Meta(description="Seconds since the Unix epoch.")]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as OpenAI's File object."""

    id: str
    object: Literal["file"] = "file"
    bytes: Bytes
    created_at: UnixTime
    expires_at: UnixTime | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files. The next page begins after ``last_id``; ``total`` counts every file that the filter admits."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
    total: int


class FileDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the health checks."""

    status: Literal["ok"] = "ok"


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
    )


def file_list(page: FilePage, objects: list[FileObject]) -> FileList:
    """A page as callers see it: its cursors are those of its own first and last file."""
    return FileList(
        data=objects,
        first_id=objects[0].id if objects else None,
        last_id=objects[-1].id if objects else None,
        has_more=page.has_more,
        total=page.total,
    )
