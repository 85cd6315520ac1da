"""Files at providers in the form in which all files are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileplane.catalog import CatalogFile
from fileplane.model import File, FileStatus
from fileplane.providers.base import RemoteFile

_STATUSES: Final = frozenset(FileStatus)
_OCTET_STREAM: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class RemoteListQuery:
    """A page of files at providers. ``limit`` None leaves it to whoever keeps the list. ``after`` and ``offset`` are never both set."""

    limit: int | None = None
    purpose: str | None = None
    newest_first: bool = True
    after: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class RemoteList:
    """One page in order. ``total`` is None where it cannot be known without walking a provider's whole list."""

    files: tuple[File, ...]
    has_more: bool
    total: int | None


def status_word(remote: RemoteFile) -> str:
    """The status that the catalog keeps; a provider that tells none has processed what it took."""
    return (remote.status or FileStatus.PROCESSED).value


def file_in_catalog(row: CatalogFile, status_details: str | None = None) -> File:
    """A bound file of the catalog. Its id is the provider's."""
    assert row.provider_file_id is not None, "only bound files are shown"
    return File(
        project_id=row.project_id,
        id=row.provider_file_id,
        purpose=row.purpose,
        filename=row.filename,
        bytes=row.bytes or 0,
        media_type=row.media_type,
        sha256="" if row.sha256 is None or row.transformed else row.sha256,
        blob_key="",
        created_at=row.created_at or row.reserved_at,
        expires_at=row.expires_at,
        status=row.status if row.status in _STATUSES else FileStatus.PROCESSED.value,
        status_details=status_details,
    )


def file_at_provider(project_id: str, remote: RemoteFile) -> File:
    """A file as its provider describes it; what that does not say is 0 or empty."""
    return File(
        project_id=project_id,
        id=remote.id,
        purpose=remote.purpose or "",
        filename=remote.filename or "",
        bytes=remote.bytes or 0,
        media_type=_OCTET_STREAM,
        sha256="",
        blob_key="",
        created_at=remote.created_at or 0,
        expires_at=remote.expires_at,
        status=status_word(remote),
        status_details=remote.status_details,
    )
