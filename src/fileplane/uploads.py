"""The values of uploads in parts: frozen, without I/O.

An upload is announced, takes parts in any order, and is completed with a list of them. The file that it becomes refers to no blob of its
own but to a manifest: the listed parts, in that order, each an immutable blob. So completing copies nothing. A manifest is named where a
blob's key would be, in a form that no blob's key has, and what does not know manifests refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fileplane.catalog import CatalogFile
from fileplane.model import File, StoredBlob

MOST_PARTS: Final = 10_000
"""Parts that an upload may have at once, listed in its completion or not: as many as object stores allow theirs."""

_MANIFEST: Final = "parts:"


def manifest_key(upload_id: str) -> str:
    """What a file has as its blob's key that consists of the parts of an upload."""
    return _MANIFEST + upload_id


def manifest_of(blob_key: str) -> str | None:
    """The upload whose parts a file consists of, from its blob's key; None for a file that is one blob."""
    return blob_key.removeprefix(_MANIFEST) if blob_key.startswith(_MANIFEST) else None


class UploadStatus(StrEnum):
    """OpenAI's states of an upload. Only a pending one takes parts and can be completed or cancelled."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload about to be recorded. ``bytes`` is the size that its file has to come to."""

    purpose: str
    filename: str
    bytes: int
    media_type: str
    created_by: str
    expires_after: int | None = None
    """Seconds from the file's creation, which is the completion, to its expiry."""
    target: str = ""
    """As :attr:`Upload.target`."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as recorded. ``id`` is a canonical UUID. One past ``expires_at`` is expired, marked or not."""

    project_id: str
    id: str
    purpose: str
    filename: str
    bytes: int
    media_type: str
    expires_after: int | None
    status: str
    created_at: int
    expires_at: int
    target: str = ""
    """Where the file is to be: empty for the native store, else as :func:`key_target` and :func:`own_target` have it."""
    file: File | None = None
    """Of a completed one, the live file that it became; None when that is gone."""


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part whose blob is durable. ``received_bytes`` of the request's body count towards the day's.

    The upload does not expire for ``lifetime_seconds`` from then on, where that is later than it would.
    """

    blob: StoredBlob
    created_by: str
    received_bytes: int = 0
    lifetime_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part as recorded: one immutable blob. ``id`` is a canonical UUID."""

    upload_id: str
    id: str
    blob_key: str
    bytes: int
    sha256: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the one pass over all bytes of a completed upload has come to.

    ``sha256`` is empty when the bytes could not be read, since they are missing or damaged.
    """

    sha256: str
    status: str
    status_details: str | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What an upload is completed with: its parts in their order, by whom, and what is known of the bytes already, if they were read."""

    part_ids: tuple[str, ...]
    created_by: str
    settlement: Settlement | None = None


@dataclass(frozen=True, slots=True)
class UploadQuery:
    """A page of a project's uploads. ``after`` is a canonical id."""

    limit: int
    newest_first: bool = True
    after: str | None = None
    targets: tuple[str, ...] = ("",)
    """Of uploads to these alone, at least one."""


@dataclass(frozen=True, slots=True)
class UploadPage:
    """One page in order."""

    uploads: tuple[Upload, ...]
    has_more: bool


def upload_of_row(row: tuple[Any, ...], now: int) -> Upload:
    """From the columns of an upload, then those of its live file, whose id is None when there is none."""
    own, of_file = row[:11], row[11:]
    project_id, upload_id, purpose, filename, size, media_type, expires_after, status, created_at, expires_at, target = own
    if status == UploadStatus.PENDING and expires_at <= now:
        status = UploadStatus.EXPIRED.value
    file = None if of_file[1] is None else File(*of_file)
    return Upload(project_id, upload_id, purpose, filename, size, media_type, expires_after, status, created_at, expires_at, target, file)


def key_target(virtual_key_id: str) -> str:
    """The target of uploads through a virtual key whose files a catalog gives to projects."""
    return f"key {virtual_key_id}"


def own_target(provider: str, host: str | None) -> str:
    """The target of uploads with a credential that comes with each request, or whose files are shared: nothing of it is kept."""
    return f"own {provider} {host or ''}"


@dataclass(frozen=True, slots=True)
class RoutedPart:
    """A part that was passed on to the provider. ``part.blob_key`` is empty."""

    part: Part
    provider_part_id: str


@dataclass(frozen=True, slots=True)
class RoutedUpload:
    """An upload that becomes a file at a provider, as recorded. ``upload.file`` is None; the catalog's ``intent`` has it.

    ``provider_upload_id`` is None where the parts are kept here, and sent as one file when the upload is completed. ``digest`` is of the
    list that a completion was begun with; ``upload.status`` is ``completed`` as soon as the catalog has the file.
    """

    upload: Upload
    provider_upload_id: str | None
    unresolved: bool
    """Whether a completion has been begun whose end is not known: no other one may be."""
    digest: bytes | None
    intent: CatalogFile | None
    provider_file_id: str | None
    """Of a completed one that is in no catalog."""


@dataclass(frozen=True, slots=True)
class BegunCompletion:
    """A completion that is about to be sent to a provider.

    ``digest`` is of the list, ``part_ids`` are those of parts that were passed on, in order. ``intent_id`` is of the catalog's file that it
    is to make; ``replacing`` that with which the same request has begun before, at another target. The upload does not expire for
    ``lifetime_seconds``. ``number`` is the request's own by chance, from 1 to 2**62, by which it abandons what it has begun.
    """

    digest: bytes
    intent_id: str | None
    part_ids: tuple[str, ...] = ()
    replacing: str | None = None
    lifetime_seconds: int = 0
    number: int = 1
