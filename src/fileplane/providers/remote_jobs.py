"""The part of the Provider protocol that is about jobs, batches and fine-tuning, and the values that cross it.

A job's document stays the provider's own, in OpenAI's terms: its members are not listed anywhere here but for those that name files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from fileplane.catalog import JobKind

if TYPE_CHECKING:
    from fileplane.providers.base import Target


class JobAction(StrEnum):
    """What can be done to a job. A batch can only be cancelled."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


class JobRecords(StrEnum):
    """What a fine-tuning job keeps records of."""

    EVENTS = "events"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class JobResult:
    """A file that a job has made, with its purpose in our words: ``batch_output`` or ``fine-tune-results``."""

    file_id: str
    purpose: str


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job as its provider describes it, in OpenAI's terms.

    ``status`` is in OpenAI's spelling where the word is known, and the provider's own word where it is not. ``inputs`` and ``results``
    are the ids of the files that ``document`` names, in their order there and without repetitions.
    """

    id: str
    kind: JobKind
    status: str
    document: Mapping[str, Any] = field(repr=False)
    inputs: tuple[str, ...] = ()
    results: tuple[JobResult, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteJobQuery:
    """A page of jobs, newest first. ``limit`` None leaves it to the provider; ``after`` is a job's id, exclusive."""

    limit: int | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteJobPage:
    """One page in order. ``next_cursor`` is the ``after`` of the next page: set if and only if there is more."""

    jobs: tuple[RemoteJob, ...]
    has_more: bool
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """One page of a job's records, as the provider's own documents in OpenAI's terms."""

    documents: tuple[Mapping[str, Any], ...] = field(repr=False)
    has_more: bool


class JobsProvider(Protocol):
    """Each raises what :mod:`fileplane.providers.base` lists, and UnsupportedProviderOperation for a kind that the capabilities lack.

    An id that the provider does not know, or cannot have given out, is :class:`~fileplane.errors.JobUnknown`.
    """

    async def create_job(self, target: Target, kind: JobKind, document: Mapping[str, Any]) -> RemoteJob:
        """Begins a job. ``document`` is sent as it is, but for words the provider spells differently.

        Not idempotent, and never sent a second time by itself. When the whole was sent and no answer came it raises
        :class:`~fileplane.errors.UpstreamOutcomeUnknown`.
        """
        ...

    async def get_job(self, target: Target, kind: JobKind, job_id: str) -> RemoteJob:
        """One job."""
        ...

    async def list_jobs(self, target: Target, kind: JobKind, query: RemoteJobQuery) -> RemoteJobPage:
        """One page, and truly whether there is more. Raises :class:`~fileplane.errors.InvalidValue` for an unknown ``after``."""
        ...

    async def act_on_job(self, target: Target, kind: JobKind, job_id: str, action: JobAction) -> RemoteJob:
        """The job as it is after it. Repeating an action is safe; the provider may refuse it then."""
        ...

    async def job_records(self, target: Target, job_id: str, records: JobRecords, query: RemoteJobQuery) -> RecordsPage:
        """Of a fine-tuning job."""
        ...
