"""The values of the catalog: files that Fileplane has put at providers, and the jobs there that use them. Frozen, without I/O.

A file or a job is known by two ids: the provider's, which callers use and which is unknown until the provider has answered, and the
intent's, which is Fileplane's own and there before anything is sent. Times are whole seconds since the Unix epoch, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class FileState(StrEnum):
    """Where a catalogued file is in its life. RESERVED, UNKNOWN and DELETING are unresolved: somebody has to find out how they ended."""

    RESERVED = "reserved"
    """About to be uploaded, or being uploaded, or left behind by a crash."""
    UNKNOWN = "unknown"
    """The upload was sent, and no answer came."""
    BOUND = "bound"
    """At the provider, under its id there. The only state that callers see."""
    DELETING = "deleting"
    """About to be deleted at the provider; callers see it no longer."""
    CLOSED = "closed"
    """No longer there, or no longer this project's."""
    FAILED = "failed"
    """Never came to be."""


class JobKind(StrEnum):
    """What a job does with its files."""

    BATCH = "batch"
    FINE_TUNING = "fine_tuning"


class JobState(StrEnum):
    """Where a job is in its life. RESERVED and UNKNOWN are unresolved; these two and ACTIVE hold the job's inputs."""

    RESERVED = "reserved"
    """About to be created, or left behind by a crash."""
    UNKNOWN = "unknown"
    """The creation was sent, and no answer came."""
    ACTIVE = "active"
    ENDED = "ended"
    CLOSED = "closed"
    """The provider has forgotten it."""
    FAILED = "failed"
    """Never came to be."""


ENDED_STATUSES: Final[Mapping[JobKind, frozenset[str]]] = MappingProxyType(
    {
        JobKind.BATCH: frozenset({"completed", "failed", "expired", "cancelled"}),
        JobKind.FINE_TUNING: frozenset({"succeeded", "failed", "cancelled"}),
    }
)
"""The status words after which a job uses its files no more, in OpenAI's spelling, into which adapters translate."""


def job_state(kind: JobKind, status: str) -> JobState:
    """ACTIVE or ENDED. A word that is not in the table counts as active: a file held for too long is better than one lost in use."""
    return JobState.ENDED if status in ENDED_STATUSES[kind] else JobState.ACTIVE


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on something unresolved, and for how many seconds (at most a day) nobody else shall. A courtesy, not a lock."""

    holder: str
    seconds: int


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A file about to be sent to a provider. ``bytes`` and ``sha256`` are None where they are not known before the body has passed."""

    virtual_key_id: str
    purpose: str
    filename: str
    media_type: str
    created_by: str
    bytes: int | None = None
    sha256: str | None = None
    expires_after: int | None = None
    ends_here: bool = False
    """Whether the provider is not told of the expiry, so that Fileplane deletes the file there when its time has come."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """What came of an upload. ``expires_at`` is the provider's word; without it, the expiry that was asked for is kept by Fileplane.

    ``sha256`` is of what was sent; where the provider has ``transformed`` that, ``bytes`` counts what it has made of it.
    """

    provider_file_id: str
    bytes: int
    status: str
    sha256: str | None = None
    expires_at: int | None = None
    transformed: bool = False


@dataclass(frozen=True, slots=True)
class ProviderFile:
    """A file that is at the provider without an upload of ours: one that is adopted, or a job's result."""

    provider_file_id: str
    purpose: str
    filename: str = ""
    bytes: int = 0
    media_type: str = "application/octet-stream"
    status: str = "processed"
    created_at: int | None = None
    """None, or one in the future, stands for now."""
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class FileReport:
    """What the provider now says of a file. What is None it did not say, and stays as it was."""

    status: str | None = None
    bytes: int | None = None
    expires_at: int | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """A file as catalogued."""

    project_id: str
    id: str
    """The intent's: a UUIDv7 of ours, there from the reservation on."""
    virtual_key_id: str
    provider: str
    state: FileState
    provider_file_id: str | None
    """None until it is bound."""
    purpose: str
    filename: str
    bytes: int | None
    media_type: str
    sha256: str | None
    status: str | None
    """The provider's status word, None until it is bound."""
    reserved_at: int
    created_at: int | None
    """When it was bound, which is the order of lists; of an adopted file, the provider's word."""
    expires_at: int | None
    closed_at: int | None
    claimed_by: str | None
    due_at: int | None
    """Of an unresolved file, or of one that a job holds past its expiry: when somebody other than ``claimed_by`` may look after it."""
    created_by: str | None
    transformed: bool = False
    """Whether the provider has other bytes than were sent: ``bytes`` counts those that it has, ``sha256`` is of those that were sent."""

    ends_here: bool = False
    """Whether the provider knows nothing of the expiry, which is then never later than what was asked for."""
    tries: int = 0
    """How often somebody has taken it on since it is unresolved."""
    copy_id: str | None = None
    """Of the native file that has the bytes too: there from the reservation on, for as long as the file is not closed."""
    unresolved_since: int | None = None
    """When it was found that nobody sends it any more, where nobody knows whether it came to be."""

    @property
    def counted_bytes(self) -> int | None:
        """The size of what a download gives where that was counted here, byte by byte; None where it is a provider's word."""
        return None if self.sha256 is None or self.transformed else self.bytes


@dataclass(frozen=True, slots=True)
class Reservation:
    """``file`` is reserved now, or, when ``repeated``, is the one that the same idempotency key stands for.

    A repeated one in a state other than BOUND is not decided yet: the first upload still runs, or its outcome is being found out.
    """

    file: CatalogFile
    repeated: bool


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """A page of a project's files at some virtual keys. ``after`` (a provider's file id) and ``offset`` are never both set."""

    virtual_key_ids: tuple[str, ...]
    limit: int
    purpose: str | None = None
    newest_first: bool = True
    after: str | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """One page in order; ``total`` counts every file that the query admits, not only this page's."""

    files: tuple[CatalogFile, ...]
    has_more: bool
    total: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job about to be created. ``input_file_ids`` are the provider's."""

    virtual_key_id: str
    kind: JobKind
    input_file_ids: tuple[str, ...]
    created_by: str


@dataclass(frozen=True, slots=True)
class JobReport:
    """What the provider now says of a job: its status word, and every output, error and result file that it names."""

    status: str
    results: tuple[ProviderFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as catalogued. The files are named by the provider's ids, in the order of these."""

    project_id: str
    id: str
    """The intent's: a UUIDv7 of ours."""
    virtual_key_id: str
    provider: str
    kind: JobKind
    state: JobState
    provider_job_id: str | None
    """None until it is bound."""
    status: str | None
    """The last status word known, None until it is bound."""
    reserved_at: int
    created_at: int | None
    """When it was bound, which is the order of lists."""
    ended_at: int | None
    claimed_by: str | None
    due_at: int | None
    created_by: str | None
    input_file_ids: tuple[str, ...]
    result_file_ids: tuple[str, ...]
    """Bound to the job's project."""


@dataclass(frozen=True, slots=True)
class RefreshedJob:
    """``refused`` are results that the provider names but that are another project's: they must not be shown, nor served."""

    job: Job
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A page of a project's jobs of one kind at some virtual keys. ``after`` is a provider's job id."""

    virtual_key_ids: tuple[str, ...]
    kind: JobKind
    limit: int
    newest_first: bool = True
    after: str | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page in order."""

    jobs: tuple[Job, ...]
    has_more: bool
