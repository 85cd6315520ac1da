"""What providers now say of jobs, taken over by the catalog before anybody is shown it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from fileplane.catalog import CatalogFile, Job, JobState, ProviderFile
from fileplane.errors import FileplaneError, JobUnknown, StorageUnavailable, UpstreamAnswerInvalid
from fileplane.files.attempts import repeated
from fileplane.files.job_documents import report_of
from fileplane.files.remote_route import RemoteTarget, Trace
from fileplane.files.remote_shapes import status_word
from fileplane.files.together import together
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import JobNotFound
from fileplane.model import Origin
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import JobResult, RemoteJob

DEADLINE_SECONDS: Final = 10.0
"""For asking about the jobs that hold a file, and about those of one page, together."""
_MOST_JOBS: Final = 8
_DESCRIBING_SECONDS: Final = 5.0
_MOST_DESCRIBED: Final = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A job as its provider describes it and as the catalog now has it. ``refused`` are files that are another project's."""

    remote: RemoteJob
    job: Job
    refused: tuple[str, ...]


class JobRefresher:
    """Any number of calls at once; what they find out is decided in the catalog's transactions."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata

    async def refresh(self, target: RemoteTarget, job: Job, origin: Origin, trace: Trace) -> Refreshed:
        """Asks the provider. Raises :class:`~fileplane.errors.JobUnknown` when it has forgotten the job, which is closed then."""
        assert job.provider_job_id is not None, "what is not bound cannot be asked for"
        name = job.provider_job_id
        try:
            remote = await repeated(target, lambda one: one.provider.get_job(one.target, job.kind, name), trace)
        except JobUnknown:
            await self._metadata.close_job(job.project_id, job.virtual_key_id, job.kind, name, origin)
            raise
        return await self.take_over(target, job, remote, origin)

    async def take_over(self, target: RemoteTarget, job: Job, remote: RemoteJob, origin: Origin) -> Refreshed:
        """Makes the results the project's. Raises :class:`~fileplane.errors.JobUnknown` when the job was closed meanwhile."""
        assert job.provider_job_id is not None
        if remote.id != job.provider_job_id:
            raise UpstreamAnswerInvalid("The provider describes another job than the one that was asked for.")
        report = report_of(remote, await described(target, job, remote))
        try:
            known = await self._metadata.refresh_job(job.project_id, job.virtual_key_id, job.kind, job.provider_job_id, report, origin)
        except JobNotFound as error:
            raise JobUnknown(job.provider_job_id) from error
        return Refreshed(remote, known.job, known.refused)

    async def refresh_holders(self, target: RemoteTarget, file: CatalogFile, origin: Origin) -> None:
        """Asks about the jobs that hold a file, those that began first at the front, until one still runs or the deadline has passed.

        What cannot be found out leaves the hold as it is.
        """
        assert file.provider_file_id is not None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await self._all_ended(target, file, file.provider_file_id, origin):
                    pass
        except TimeoutError:
            _log.info("the jobs that hold %s were not all asked about in time", file.id)

    async def _all_ended(self, target: RemoteTarget, file: CatalogFile, name: str, origin: Origin) -> bool:
        jobs = await self._metadata.jobs_holding(file.project_id, file.virtual_key_id, name, _MOST_JOBS)
        if not jobs or any(job.state is not JobState.ACTIVE for job in jobs):
            return False
        # The trace tells of the deletion itself.
        return all(await together(lambda job: self._has_ended(target, job, origin), jobs))

    async def _has_ended(self, target: RemoteTarget, job: Job, origin: Origin) -> bool:
        try:
            return (await self.refresh(target, job, origin, Trace())).job.state is not JobState.ACTIVE
        except JobUnknown:
            return True
        except StorageUnavailable:
            raise
        except FileplaneError as error:
            _log.info("whether the job %s at %s has ended cannot be found out now: %s", job.id, job.provider, error.message)
            return False


async def described(target: RemoteTarget, job: Job | None, remote: RemoteJob) -> dict[str, ProviderFile]:
    """What the provider says of results that are new, by id: their names and sizes, where it tells them in time.

    Of a result that turns out to be another project's, this is thrown away with it.
    """
    known = () if job is None else job.result_file_ids
    new = [one for one in remote.results if one.file_id not in known and is_remote_id(one.file_id)][:_MOST_DESCRIBED]
    if not new or not target.provider.capabilities(target.target).get:
        return {}

    async def describe(result: JobResult) -> ProviderFile | None:
        try:
            async with asyncio.timeout(_DESCRIBING_SECONDS):
                file = await target.provider.get(target.target, result.file_id)
        except (FileplaneError, TimeoutError) as error:
            _log.info("a result at %s cannot be described now: %s", target.provider.name, error)
            return None
        return ProviderFile(
            result.file_id,
            result.purpose,
            file.filename or "",
            file.bytes or 0,
            status=status_word(file),
            created_at=file.created_at,
            expires_at=file.expires_at,
        )

    found = await together(describe, new)
    return {file.provider_file_id: file for file in found if file is not None}
