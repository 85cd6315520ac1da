"""Batches and fine-tuning jobs at providers, along a route.

Through a stored credential that projects share, a job that the catalog does not give to the caller's project does not exist, and what a
provider says of one is taken over by the catalog before it is shown: its results are the project's by then. Results of jobs that nobody
asks about become the project's when somebody does, or when an input of theirs is deleted. Through a caller's own credential, or one
whose files are shared, there is what the provider says that there is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from fileplane.access import Principal
from fileplane.catalog import Job, JobKind
from fileplane.errors import FileplaneError, JobOutputMissing, JobUnknown, StorageUnavailable, UnsupportedProviderOperation
from fileplane.files.attempts import repeated
from fileplane.files.job_creation import JobCreation
from fileplane.files.job_documents import output_of, shown
from fileplane.files.job_lists import JobList, list_along
from fileplane.files.job_refreshing import JobRefresher
from fileplane.files.remote import OpenFile, Outline, RemoteFiles
from fileplane.files.remote_route import RemoteRoute, RemoteTarget
from fileplane.metadata.base import MetadataStore
from fileplane.model import Origin
from fileplane.providers.base import ByteRange
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import JobAction, JobRecords, RecordsPage, RemoteJobQuery

_LONGEST_REASON: Final = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Output:
    """The file with a batch's answers, and the one target that it is at."""

    route: RemoteRoute
    file_id: str


class RemoteJobs:
    """See the module. One for a process; what is between two requests is in the catalog."""

    def __init__(self, metadata: MetadataStore, files: RemoteFiles) -> None:
        self._metadata = metadata
        self._files = files
        self._creation = JobCreation(metadata)
        self._refresher = JobRefresher(metadata)

    async def settle(self) -> None:
        """To be called before the stores are closed."""
        await self._creation.settle()

    async def create(
        self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Begins a job, see :meth:`JobCreation.create`."""
        return await self._creation.create(route, principal, origin, kind, document)

    async def get(self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, job_id: str) -> dict[str, Any]:
        """One job as its provider describes it now. Raises :class:`~fileplane.errors.JobUnknown`."""
        _, document = await self._found(route, principal, origin, kind, job_id)
        return document

    async def act(
        self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, job_id: str, action: JobAction
    ) -> dict[str, Any]:
        """Cancels, pauses or resumes a job; its document after that. Raises :class:`~fileplane.errors.JobUnknown`."""
        target, job = await self._owner(route, principal, kind, job_id)
        if target is None or job is None:
            _, remote = await _first(route, job_id, lambda one: one.provider.act_on_job(one.target, kind, job_id, action))
            return shown(remote.document, None)
        try:
            remote = await repeated(target, lambda one: one.provider.act_on_job(one.target, kind, job_id, action), route.trace)
        except JobUnknown as error:
            # It may be the action that the provider does not know: a job is given up only when itself is not there.
            await self._refresher.refresh(target, job, origin, route.trace)
            raise _has_no(target, action.value) from error
        refreshed = await self._refresher.take_over(target, job, remote, origin)
        return shown(remote.document, refreshed.job, refreshed.refused)

    async def list(self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, query: RemoteJobQuery) -> JobList:
        """One page, newest first, see :func:`list_along`. Raises :class:`~fileplane.errors.InvalidValue` for an unknown cursor."""
        return await list_along(self._metadata, self._refresher, route, principal, origin, kind, query)

    async def records(
        self, route: RemoteRoute, principal: Principal, origin: Origin, job_id: str, records: JobRecords, query: RemoteJobQuery
    ) -> RecordsPage:
        """The events or checkpoints of a fine-tuning job. Raises :class:`~fileplane.errors.JobUnknown`."""
        target, job = await self._owner(route, principal, JobKind.FINE_TUNING, job_id)
        if target is None or job is None:
            _, page = await _first(route, job_id, lambda one: one.provider.job_records(one.target, job_id, records, query))
            return page
        try:
            page = await repeated(target, lambda one: one.provider.job_records(one.target, job_id, records, query), route.trace)
        except JobUnknown as error:
            await self._refresher.refresh(target, job, origin, route.trace)
            raise _has_no(target, records.value) from error
        return RecordsPage(tuple(shown(document, job) for document in page.documents), page.has_more)

    @asynccontextmanager
    async def open_output(
        self, route: RemoteRoute, principal: Principal, origin: Origin, job_id: str, span: ByteRange | None = None
    ) -> AsyncIterator[OpenFile]:
        """A download of what a batch has made: its output, or where there is none its errors. The file is the project's by then.

        Raises :class:`~fileplane.errors.JobUnknown`, :class:`~fileplane.errors.JobOutputMissing`, and as opening a file does.
        """
        output = await self._output(route, principal, origin, job_id)
        async with self._files.open(output.route, principal, output.file_id, span) as opened:
            yield opened

    async def output_outline(self, route: RemoteRoute, principal: Principal, origin: Origin, job_id: str) -> Outline:
        """Says of what :meth:`open_output` opens what is known without fetching it. Raises as that."""
        output = await self._output(route, principal, origin, job_id)
        return await self._files.outline(output.route, principal, output.file_id)

    async def _output(self, route: RemoteRoute, principal: Principal, origin: Origin, job_id: str) -> _Output:
        target, document = await self._found(route, principal, origin, JobKind.BATCH, job_id)
        file_id = output_of(document)
        if file_id is None:
            raise JobOutputMissing(job_id, str(document.get("status"))[:_LONGEST_REASON], _reason_of(document))
        return _Output(replace(route, plan=(target,), everywhere=(target,)), file_id)

    async def _found(
        self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, job_id: str
    ) -> tuple[RemoteTarget, dict[str, Any]]:
        target, job = await self._owner(route, principal, kind, job_id)
        if target is None or job is None:
            target, remote = await _first(route, job_id, lambda one: one.provider.get_job(one.target, kind, job_id))
            return target, shown(remote.document, None)
        refreshed = await self._refresher.refresh(target, job, origin, route.trace)
        return target, shown(refreshed.remote.document, refreshed.job, refreshed.refused)

    async def _owner(self, route: RemoteRoute, principal: Principal, kind: JobKind, job_id: str) -> tuple[RemoteTarget | None, Job | None]:
        """The target at which the catalog gives a job to the caller's project. Neither, where others may have it.

        Raises :class:`~fileplane.errors.JobUnknown` when there are no others.
        """
        if not is_remote_id(job_id):
            raise JobUnknown(job_id)
        stored = {target.virtual_key_id: target for target in reversed(route.everywhere) if target.virtual_key_id is not None}
        if stored:
            for job in await self._metadata.find_jobs(principal.project_id, kind, job_id):
                if job.virtual_key_id in stored:
                    return stored[job.virtual_key_id], job
        if all(target.virtual_key_id is not None for target in route.everywhere):
            raise JobUnknown(job_id)
        return None, None


async def _first(route: RemoteRoute, job_id: str, call: Callable[[RemoteTarget], Awaitable[T]]) -> tuple[RemoteTarget, T]:
    """The first target that has the job, of those whose jobs are in no catalog, and what it gives."""
    failure: FileplaneError | None = None
    for target in route.everywhere:
        if target.virtual_key_id is not None:
            continue
        try:
            return target, await repeated(target, call, route.trace)
        except JobUnknown:
            continue
        except StorageUnavailable:
            raise
        except FileplaneError as error:
            failure = failure or error
    raise failure or JobUnknown(job_id)


def _has_no(target: RemoteTarget, what: str) -> UnsupportedProviderOperation:
    return UnsupportedProviderOperation(f"{target.provider.name} has this job, but no '{what}' for it.", param="x-portkey-provider")


def _reason_of(document: Mapping[str, Any]) -> str:
    """The first of a batch's errors, where its provider tells them as OpenAI does."""
    errors = document.get("errors")
    told = errors.get("data") if isinstance(errors, Mapping) else None
    first = told[0] if isinstance(told, list) and told else None
    message = first.get("message") if isinstance(first, Mapping) else None
    return message[:_LONGEST_REASON] if isinstance(message, str) else ""
