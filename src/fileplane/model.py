"""The values that cross every seam: frozen, without I/O, importing nothing of ours.

Times are whole seconds since the Unix epoch, sizes are bytes, and a file is always named together with its project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

COPY_PURPOSE: Final = "provider copy"
"""That of the copies of files that are at providers; no upload can have it. Statements of ``sql/`` name it too."""
INPUT_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
"""The purposes a caller may upload, as OpenAI's create call lists them."""

OUTPUT_PURPOSES: Final = ("assistants_output", "batch_output", "fine-tune-results")
"""The purposes of results; creating one takes the scope ``files.write_output``."""

SHORTEST_EXPIRY_SECONDS: Final = 3_600
LONGEST_EXPIRY_SECONDS: Final = 2_592_000


class FileStatus(StrEnum):
    """OpenAI's file states."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a change and from where, for the audit log. Everything is None for what Fileplane does of its own accord."""

    key_id: str | None = None
    client: str | None = None
    request_id: str | None = None
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What a committed blob turned out to be: its key, its size and the SHA-256 of its bytes in hex."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file about to be recorded. Its id, creation time and expiry are decided inside the create transaction."""

    blob: StoredBlob
    purpose: str
    filename: str
    media_type: str
    created_by: str
    expires_after: int | None = None
    status: FileStatus = FileStatus.PROCESSED
    status_details: str | None = None
    verdict: str | None = None
    """What validation found, as JSON; None when the file was not validated."""
    received_bytes: int = 0
    """Of the request's body, the form around the file included; they count towards the day's."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's Idempotency-Key, hashed, and what it stands for: the same key must always come with the same fingerprint."""

    key_hash: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class File:
    """A file as recorded. ``id`` is always the canonical UUID, whatever form callers see."""

    project_id: str
    id: str
    purpose: str
    filename: str
    bytes: int
    media_type: str
    sha256: str
    blob_key: str
    created_at: int
    expires_at: int | None
    status: str
    status_details: str | None
    deleted_at: int | None = None
    """None while the file is live."""
    restorable_until: int | None = None
    """Of a deleted file: the first second at which it can no longer be restored."""


@dataclass(frozen=True, slots=True)
class CreatedFile:
    """``file`` is the one recorded now, or, when ``repeated``, the one that the same idempotency key recorded before."""

    file: File
    repeated: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """As long as it is active, its file can be neither deleted nor purged, nor does it expire."""

    id: str
    file_id: str
    reason: str
    created_at: int
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Remains:
    """Of a file that is deleted: what is left of it. ``since`` is when it came into its present state."""

    project_id: str
    file_id: str
    blob_key: str
    bytes: int
    since: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A blob that is kept for a file, live or deleted, as the integrity checks need to know it: all of it, or one part of its manifest.

    The parts of uploads that are not completed are among them; ``file_id`` is then the id of the upload.
    """

    project_id: str
    file_id: str
    blob_key: str
    bytes: int
    sha256: str
    due: bool
    """Whether its bytes may be removed at any moment."""
    part_id: str = ""
    """Of a part; empty for a blob that is all of a file."""
    number: int = -1
    """Of a part, its place in the file's manifest; negative where it is in none."""

    @property
    def place(self) -> tuple[str, str]:
        """Where pages of :meth:`MetadataStore.kept_files` go on after this."""
        return self.project_id, self.part_id or self.file_id

    @property
    def counts(self) -> int:
        """1, but 0 for all parts of a file after the first and for parts of uploads: so that files are counted and not blobs."""
        return int(not self.part_id or self.number == 0)


@dataclass(frozen=True, slots=True)
class CounterDrift:
    """A counter of a project and purpose, or of a key, that is not what its files add up to."""

    project_id: str
    purpose: str
    """Empty for a counter of a key."""
    counter: str
    kept: int
    counted: int
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change: what was done to what, by whom, from where. ``project_id`` is the project of the thing changed."""

    position: int
    """Grows with every change."""
    project_id: str
    created_at: int
    action: str
    resource_type: str
    resource_id: str
    origin: Origin


RESOURCE_TYPES: Final = ("api_keys", "config_versions", "configs", "files", "secrets", "virtual_keys", "workspaces")
"""What the audit log tells of."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A page of the audit log, newest first. What is None does not filter; the times are inclusive bounds."""

    limit: int
    offset: int = 0
    since: int | None = None
    until: int | None = None
    project_id: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    key_id: str | None = None
    client: str | None = None
    request_id: str | None = None
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """``total`` counts every entry that the filters admit."""

    entries: tuple[AuditEntry, ...]
    total: int


@dataclass(frozen=True, slots=True)
class FileQuery:
    """A page of a project's files. ``after`` (a canonical id) and ``offset`` are never both set.

    With ``deleted``, of those that can be restored instead of those that are live.
    """

    limit: int
    purpose: str | None = None
    newest_first: bool = True
    after: str | None = None
    offset: int = 0
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class FilePage:
    """One page in order; ``total`` counts every file that the query admits, not only this page's."""

    files: tuple[File, ...]
    has_more: bool
    total: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project keeps: ``stored_bytes`` counts deleted files until their bytes are collected."""

    live_files: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """What all projects keep together: ``deleted_files`` are those whose bytes still count in ``stored_bytes``."""

    live_files: int
    deleted_files: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a project keeps, what of it one of its keys has uploaded, and what both have sent today, as limits count it.

    Files past their end are not among ``live_files``, ``key_live_files`` and ``key_live_bytes``, marked or not.
    """

    stored_bytes: int
    live_files: int
    key_live_files: int
    key_live_bytes: int
    received_bytes: int
    key_received_bytes: int


@dataclass(frozen=True, slots=True)
class RequestLease:
    """A portion of a subject's requests in one minute, to be used by one worker. ``left`` is what nobody has been given yet."""

    minute: int
    """Since the epoch."""
    granted: int
    left: int


@dataclass(frozen=True, slots=True)
class PurposeUsage:
    """What a project keeps of one purpose."""

    purpose: str
    live_files: int
    stored_bytes: int
    deleted_files: int
    deleted_bytes: int
    """Of the stored bytes, those of files that are deleted or past their end and not collected yet."""


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What was sent to a project on one day of UTC. ``day`` counts days since the epoch."""

    day: int
    uploads: int
    """Files that were made."""
    received_bytes: int
    """Of the bodies of all uploads, failed ones too."""
    stored_bytes: int
    """Of the files that were made, deleted since or not."""


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The live files that were uploaded with one key."""

    key_id: str
    live_files: int
    live_bytes: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What the limits of a project or a key are held against at a moment."""

    files: int
    """Live ones."""
    bytes: int
    """Of a project, all that is kept; of a key, those of its live files."""
    received_bytes: int
    """Of this day's uploads."""
    requests: int
    """Of this minute, as far as workers have been given them. Without such a limit, none are counted."""
    uploads_in_progress: int
    """Only those that were begun under a limit of uploads at once."""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What is counted of a project, at one instant. Nothing that is zero is listed."""

    project_id: str
    by_purpose: tuple[PurposeUsage, ...]
    by_day: tuple[DayUsage, ...]
    """Those that were asked for, the earliest first."""
    project: Spent
    key: Spent | None


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes from ``start``; never empty, always within the blob it is used on."""

    start: int
    length: int
