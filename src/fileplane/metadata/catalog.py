"""The CatalogStore protocol: the record of the files that were put at providers, and of the jobs there that use them.

A :class:`~fileplane.metadata.base.MetadataStore` is one too; what is said there of all methods holds for these.

The orders that callers keep, so that a crash anywhere leaves something that is found:

- upload: :meth:`~CatalogStore.reserve_upload`, send, then one of ``bind_upload``, ``fail_upload`` (certainly not there) and
  ``mark_upload_unknown`` (sent, no answer);
- delete: :meth:`~CatalogStore.begin_catalog_delete`, ask the provider, then one of ``finish_catalog_delete`` (gone, also when it was
  gone already) and ``cancel_catalog_delete`` (certainly still there), or nothing when the outcome is unknown;
- job: :meth:`~CatalogStore.begin_job`, send, then one of ``bind_job``, ``fail_job`` and ``mark_job_unknown``.

Whatever is between the first step and the last is unresolved, and given by :meth:`~CatalogStore.claim_unresolved_files` or
:meth:`~CatalogStore.claim_unresolved_jobs` to whoever reconciles, once the claim of the one at work has run out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from fileplane.access import CallerLimits
from fileplane.catalog import (
    CatalogFile,
    CatalogPage,
    CatalogQuery,
    Claim,
    FileReport,
    Job,
    JobKind,
    JobPage,
    JobQuery,
    JobReport,
    NewJob,
    NewUpload,
    ProviderFile,
    RefreshedJob,
    Reservation,
    UploadedFile,
)
from fileplane.model import Idempotency, Origin, StoredBlob, Usage


@dataclass(frozen=True, slots=True)
class NewCopy:
    """The bytes of a file that is to be at a provider, durable in the blob store, and what bounds what the project keeps there."""

    blob: StoredBlob
    quota_bytes: int
    limits: CallerLimits


class IntentNotFound(Exception):
    """The project has no such intent, or it is over: bound to something else, failed or closed. Nothing was changed."""


class JobNotFound(Exception):
    """The project has no job with that id at that virtual key."""


class AlreadyBound(Exception):
    """The provider's id is bound already, to another project or at another virtual key of the same credential. Nothing was changed.

    ``project_id`` is for operators alone.
    """

    def __init__(self, provider_id: str, project_id: str) -> None:
        super().__init__(provider_id)
        self.provider_id = provider_id
        self.project_id = project_id


class CatalogStore(Protocol):
    """See the module.

    Files and jobs are addressed by project, virtual key id and the provider's id, or by project and intent id: there is no way to
    address one without its project, except for what the reconcilers and ``adopt`` need. A foreign one answers as an unknown one does.
    A file past its expiry is treated as deleted by every method, while an active job does not hold it. Files stay at most once under
    one provider's id: :class:`~fileplane.catalog.FileState` BOUND or DELETING for one project and one virtual key, and virtual keys
    that share a credential count as one.
    """

    async def reserve_upload(
        self,
        project_id: str,
        new: NewUpload,
        claim: Claim,
        origin: Origin,
        idempotency: Idempotency | None = None,
        copy: NewCopy | None = None,
    ) -> Reservation:
        """Records that a file is about to be sent. Limits are not looked at.

        A key that the project used within 24 hours decides first, as in ``create_file``: for the same fingerprint the file of then is
        returned, at whatever virtual key, and nothing is recorded. The fingerprint covers what is known before the body; whoever
        streams compares the SHA-256 of a repeated body with that of the file. Of racing reservations with one key, one is not repeated.
        Raises :class:`~fileplane.metadata.control.VirtualKeyNotFound` when the project may not use it, and
        :class:`~fileplane.errors.IdempotencyConflict` for another fingerprint, for a file that is gone, and for a key that stands for
        a native file. With a ``copy``, the native file that has it is recorded too, within the quota: raises as ``create_file``.
        """
        ...

    async def bind_upload(self, project_id: str, intent_id: str, uploaded: UploadedFile, origin: Origin) -> CatalogFile:
        """The upload came to be: the file exists from now on. Idempotent for the same provider's id.

        Where the provider answers with a file that the project has at this virtual key already, that one is returned, and the intent
        is closed. Raises :class:`IntentNotFound` when it is over: the file at the provider is then nobody's, and is to be deleted.
        Raises :class:`AlreadyBound`.
        """
        ...

    async def mark_upload_unknown(self, project_id: str, intent_id: str, origin: Origin, *, release_key: bool = False) -> None:
        """The upload was sent and no answer came; whoever reconciles may take it at once.

        With ``release_key``, its idempotency key stands for it no longer, so that the upload may be tried at another target.
        Raises :class:`IntentNotFound`. Idempotent.
        """
        ...

    async def fail_upload(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """The file is certainly not at the provider. Its idempotency key may be used again. Raises :class:`IntentNotFound`. Idempotent."""
        ...

    async def renew_claim(self, project_id: str, intent_id: str, claim: Claim) -> bool:
        """Goes on working on an unresolved file. False when the claim is somebody else's by now, or nothing is left to resolve."""
        ...

    async def get_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str) -> CatalogFile:
        """The file that the project has there. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    async def find_catalog_files(self, project_id: str, provider_file_id: str) -> list[CatalogFile]:
        """The project's files with this id, at whatever virtual key: mostly none or one."""
        ...

    async def list_catalog_files(self, project_id: str, query: CatalogQuery) -> CatalogPage:
        """One page, in the order in which the files were bound, and their number; of several virtual keys as one list.

        All of it is of one instant. Raises :class:`~fileplane.metadata.base.CursorNotFound`; a cursor whose file has been closed since
        works for a week.
        """
        ...

    async def known_file_ids(self, project_id: str, query: CatalogQuery, provider_file_ids: Sequence[str]) -> set[str]:
        """Those of the query's virtual keys and purpose, gone or being deleted though they may be: as long as their cursors work."""
        ...

    async def refresh_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str, report: FileReport) -> CatalogFile:
        """Takes over what the provider says of a file. Raises :class:`~fileplane.errors.FileNotFound`. Writes no line in the audit log."""
        ...

    async def begin_catalog_delete(
        self, project_id: str, virtual_key_id: str, provider_file_id: str, claim: Claim, origin: Origin
    ) -> CatalogFile:
        """From now on callers see the file no longer, and no job can begin with it. Again for a deletion that was not finished.

        Raises :class:`~fileplane.errors.FileNotFound` or, while a job holds it, :class:`~fileplane.errors.FileInUse`, which names the
        jobs. Jobs that may have ended since are to be refreshed before, see :meth:`jobs_holding`.
        """
        ...

    async def finish_catalog_delete(self, project_id: str, intent_id: str, origin: Origin) -> bool:
        """The file is gone at the provider. Whether that was not known yet. Raises :class:`IntentNotFound`."""
        ...

    async def cancel_catalog_delete(self, project_id: str, intent_id: str, origin: Origin) -> CatalogFile:
        """The provider refused: the file is there as before. Raises :class:`IntentNotFound` when it is not being deleted."""
        ...

    async def close_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str, origin: Origin) -> bool:
        """The provider turned out to have forgotten the file, held or not. Whether there was one."""
        ...

    async def adopt_catalog_file(
        self, project_id: str, virtual_key_id: str, file: ProviderFile, origin: Origin, *, move: bool = False
    ) -> CatalogFile:
        """Gives a file that is at the provider to a project. For operators. Returns it as it is when the project has it there already.

        Raises :class:`~fileplane.metadata.control.VirtualKeyNotFound`, and :class:`AlreadyBound` when it is somebody else's, unless
        ``move`` takes it away; then :class:`~fileplane.errors.FileInUse` while a job holds it.
        """
        ...

    async def catalogued_ids(self, virtual_key_id: str, provider_file_ids: Sequence[str]) -> set[str]:
        """Those that some project has already, at this virtual key or another of its credential. For reconcilers, ``adopt``, and
        reads of what a declared prefix gives.
        """  # noqa: D205 - one sentence
        ...

    async def unresolved_files(self, after: CatalogFile | None, limit: int) -> list[CatalogFile]:
        """Unresolved files of all projects, claimed or not, those due first at the front. For showing; to work on them, claim them."""
        ...

    async def claim_unresolved_files(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[CatalogFile]:
        """Takes on unresolved files of all projects whose claims have run out, those due first at the front. No two claims get the same.

        ``without`` are ids of virtual keys whose files are left for later, so that one that holds things up does so for itself alone.
        What an attempt did not resolve is to be put off; else it is due again when its claim has run out.
        """
        ...

    async def put_off_unresolved_file(self, project_id: str, intent_id: str, claim: Claim) -> bool:
        """An attempt to resolve it came to nothing: it is due again after the claim's seconds, or after longer the more came to nothing.

        For a deletion that is twice as long each time; for an upload, once nothing has been heard of it for an hour, an hour, which is the
        most for both. False when the claim is somebody else's by now, or nothing is left to resolve.
        """
        ...

    async def claim_held_catalog_files(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[CatalogFile]:
        """Takes on files of all projects that are past their expiry and that jobs hold, those that have waited longest at the front.

        The jobs may have ended without anybody looking; once that is known, see :meth:`refresh_job`, the files end. No two claims get
        the same.
        """
        ...

    async def expire_catalog_files(self, claim: Claim, limit: int) -> list[CatalogFile]:
        """Begins the deletion of files of all projects that are past their expiry and not held, and claims them.

        They are to be deleted at the provider, and may be gone there already.
        """
        ...

    async def catalog_usage(self, project_id: str, virtual_key_id: str | None = None) -> Usage:
        """What the project has at one virtual key or at all. Files past their expiry count until their deletion has begun."""
        ...

    async def begin_job(self, project_id: str, new: NewJob, claim: Claim, origin: Origin) -> Job:
        """Records that a job is about to be created, and lets it hold its inputs: they are neither deleted nor do they expire.

        Raises :class:`~fileplane.errors.FileNotFound` for an input that the project does not have at this virtual key, and
        :class:`~fileplane.metadata.control.VirtualKeyNotFound`.
        """
        ...

    async def bind_job(self, project_id: str, intent_id: str, provider_job_id: str, report: JobReport, origin: Origin) -> RefreshedJob:
        """The job exists, and is as the provider says. Idempotent for the same provider's id. Results as in :meth:`refresh_job`.

        Raises :class:`IntentNotFound` or :class:`AlreadyBound`.
        """
        ...

    async def mark_job_unknown(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """The creation was sent and no answer came: the inputs stay held. Raises :class:`IntentNotFound`. Idempotent."""
        ...

    async def fail_job(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """The job certainly does not exist; its holds end. Raises :class:`IntentNotFound`. Idempotent."""
        ...

    async def get_job(self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str) -> Job:
        """Raises :class:`JobNotFound`."""
        ...

    async def find_jobs(self, project_id: str, kind: JobKind, provider_job_id: str) -> list[Job]:
        """The project's jobs with this id, at whatever virtual key: mostly none or one."""
        ...

    async def known_job_ids(self, project_id: str, query: JobQuery, provider_job_ids: Sequence[str]) -> set[str]:
        """Those of the query's virtual keys and kind, forgotten though they may be: as long as their cursors work."""
        ...

    async def list_jobs(self, project_id: str, query: JobQuery) -> JobPage:
        """One page, in the order in which the jobs were bound. Raises :class:`~fileplane.metadata.base.CursorNotFound`."""
        ...

    async def refresh_job(
        self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str, report: JobReport, origin: Origin
    ) -> RefreshedJob:
        """Takes over what the provider says of a job; to be called before that is shown.

        The results are the project's from now on; one that it has deleted since stays deleted. A job that has ended holds nothing,
        and does not become active again. Nothing is written when nothing is new. Raises :class:`JobNotFound`.
        """
        ...

    async def close_job(self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str, origin: Origin) -> bool:
        """The provider turned out to have forgotten the job; its holds end. Whether there was one."""
        ...

    async def jobs_holding(self, project_id: str, virtual_key_id: str, provider_file_id: str, limit: int) -> list[Job]:
        """Jobs that hold the file, oldest first, to be refreshed before it is deleted. None for a file that the project does not have."""
        ...

    async def unresolved_jobs(self, after: Job | None, limit: int) -> list[Job]:
        """As :meth:`unresolved_files`."""
        ...

    async def claim_unresolved_jobs(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[Job]:
        """As :meth:`claim_unresolved_files`."""
        ...
