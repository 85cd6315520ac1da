"""What uploads in parts are created and completed with, and what they look like, as OpenAI's Uploads API has them.

After OpenAI's published schema and openai-python 3.54.0; the parts of an upload and the list of uploads are Fileplane's own.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from fileplane.http.schemas import Bytes, FileObject, UnixTime
from fileplane.ids import part_style, upload_style
from fileplane.uploads import MOST_PARTS, Part, Upload

LARGEST_COMPLETION: Final = 64 * MOST_PARTS
"""Bytes of a completion's body: the id of a part takes 37, with quotes, comma and room to spare less than 64."""


class ExpiresAfter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the file expires, counted from its creation, which is the upload's completion."""

    anchor: str
    seconds: int


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An upload to be created. ``bytes`` is the size that its parts come to."""

    filename: str
    purpose: str
    bytes: Annotated[int, msgspec.Meta(ge=1)]
    mime_type: str
    expires_after: ExpiresAfter | None = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parts of the file in their order. With ``md5``, in hex or base64, all bytes are read before the answer."""

    part_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_PARTS)]
    md5: str | None = None


class PartObject(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an upload, as OpenAI's; ``bytes`` and ``sha256`` are Fileplane's own.

    ``sha256`` is in hex, and null where only a provider has the part.
    """

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: UnixTime
    upload_id: str
    bytes: Bytes
    sha256: str | None = None


class UploadObject(msgspec.Struct, frozen=True, kw_only=True):
    """An upload, as OpenAI's; ``file`` is that of a completed one as long as it exists."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: Bytes
    created_at: UnixTime
    expires_at: UnixTime
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None
    parts: list[PartObject] | msgspec.UnsetType = msgspec.UNSET
    """Where one upload is asked for: as they came, or of a completed one in the order of its file."""


class UploadList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of uploads. The next page begins after ``last_id``."""

    object: Literal["list"] = "list"
    data: list[UploadObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def part_object(part: Part) -> PartObject:
    """A part as callers see it."""
    return PartObject(
        id=part_style(part.id),
        created_at=part.created_at,
        upload_id=upload_style(part.upload_id),
        bytes=part.bytes,
        sha256=part.sha256,
    )


def upload_object(upload: Upload, file: FileObject | None, parts: list[Part] | None = None) -> UploadObject:
    """An upload as callers see it."""
    return UploadObject(
        id=upload_style(upload.id),
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
        filename=upload.filename,
        purpose=upload.purpose,
        status=upload.status,  # type: ignore[arg-type]  # the database holds only these
        file=file,
        parts=msgspec.UNSET if parts is None else [part_object(part) for part in parts],
    )
