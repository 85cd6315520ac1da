"""Batches and fine-tuning jobs at every provider that speaks OpenAI's API of them, or one near to it: a dialect says what is different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fileplane.catalog import JobKind
from fileplane.errors import (
    FileplaneError,
    JobUnknown,
    ProviderRefused,
    UpstreamAnswerInvalid,
    UpstreamUnreachable,
)
from fileplane.providers.answers import answer_of
from fileplane.providers.base import Target
from fileplane.providers.calls import (
    NOT_FOUND,
    SUCCESSES,
    AccessTo,
    check_found,
    refused,
    refused_sending,
    request_to,
    unsupported,
    unwrapped,
)
from fileplane.providers.dialects import Dialect, DialectOf
from fileplane.providers.egress import Egress
from fileplane.providers.job_listing import page_of, unknown_cursor
from fileplane.providers.job_objects import parse_job, with_seconds
from fileplane.providers.json_body import JsonBody
from fileplane.providers.outcomes import JOB
from fileplane.providers.remote_ids import JOB_PATHS, is_remote_id, job_path
from fileplane.providers.remote_jobs import JobAction, JobRecords, RecordsPage, RemoteJob, RemoteJobPage, RemoteJobQuery

MOST_JOB_BYTES: Final = 2 << 20
"""Of an answer with one job: what was sent for it may be half of that."""
MOST_LIST_BYTES: Final = 16 << 20
MOST_JOB_VALUES: Final = 20_000
"""In an answer with one job, of which many are kept at once for a list."""
_NAMES: Final = {JobKind.BATCH: "batches", JobKind.FINE_TUNING: "fine-tuning jobs"}


class OpenAIJobs:
    """The part of the adapter that is a :class:`~fileplane.providers.remote_jobs.JobsProvider`."""

    def __init__(self, egress: Egress, dialect_of: DialectOf, access_to: AccessTo) -> None:
        self._egress = egress
        self._dialect_of = dialect_of
        self._access_to = access_to

    async def create_job(self, target: Target, kind: JobKind, document: Mapping[str, Any]) -> RemoteJob:
        """See the protocol. Raises :class:`~fileplane.errors.InvalidValue` for a document of more than 1 MiB."""
        dialect = self._dialect_for(target, kind, "run")
        body = JsonBody(document)
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "POST", access.url(JOB_PATHS[kind]), body=body)) as response:
            if response.status not in SUCCESSES:
                raise await refused_sending(target, access, response, body)
            if not body.complete:
                raise JOB.lost("The provider answered before it had the whole job.")
            try:
                return _job(dialect, kind, await answer_of(target, access, response, MOST_JOB_BYTES, MOST_JOB_VALUES))
            except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
                raise JOB.lost(error.message) from error

    async def get_job(self, target: Target, kind: JobKind, job_id: str) -> RemoteJob:
        """See the protocol."""
        path = job_path(kind, job_id)
        dialect = self._dialect_for(target, kind, "describe")
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "GET", access.url(path))) as response:
            await check_found(target, dialect, access, response, JobUnknown, job_id)
            return _same(job_id, _job(dialect, kind, await answer_of(target, access, response, MOST_JOB_BYTES, MOST_JOB_VALUES)))

    async def list_jobs(self, target: Target, kind: JobKind, query: RemoteJobQuery) -> RemoteJobPage:
        """See the protocol. Where a page behind a cursor is empty the cursor's own job is asked for: not every provider checks it."""
        dialect = self._dialect_for(target, kind, "list")
        _check_cursor(query)
        try:
            rows, more = await self._page(target, dialect, JOB_PATHS[kind], query, paged=dialect.pages_jobs)
            if not rows and query.after is not None:
                await self.get_job(target, kind, query.after)
        except JobUnknown as error:
            raise unknown_cursor() from error
        except ProviderRefused as error:
            if error.status == NOT_FOUND and query.after is not None:
                raise unknown_cursor() from error
            raise
        jobs = tuple(parse_job(row, kind, dialect.job_statuses.get(kind, {})) for row in rows)
        return RemoteJobPage(jobs, more, jobs[-1].id if more else None)

    async def act_on_job(self, target: Target, kind: JobKind, job_id: str, action: JobAction) -> RemoteJob:
        """See the protocol. Raises :class:`~fileplane.errors.UnsupportedProviderOperation` where the provider has no such action."""
        path = job_path(kind, job_id, action.value)
        dialect = self._dialect_for(target, kind, action.value)
        lacking = unsupported(dialect, f"{action.value} {_NAMES[kind]}")
        if kind is JobKind.BATCH and action is not JobAction.CANCEL:
            raise lacking
        access = await self._access_to(target, dialect)
        try:
            async with self._egress.call(request_to(target, access, "POST", access.url(path))) as response:
                await check_found(target, dialect, access, response, JobUnknown, job_id)
                answer = await answer_of(target, access, response, MOST_JOB_BYTES, MOST_JOB_VALUES)
        except (JobUnknown, ProviderRefused) as error:
            if error.status != NOT_FOUND:
                raise
            raise await self._lacking(target, kind, job_id, lacking) from error
        return await self.get_job(target, kind, job_id) if answer is None else _same(job_id, _job(dialect, kind, answer))

    async def job_records(self, target: Target, job_id: str, records: JobRecords, query: RemoteJobQuery) -> RecordsPage:
        """See the protocol. Raises :class:`~fileplane.errors.UnsupportedProviderOperation` where the provider keeps no such records."""
        kind = JobKind.FINE_TUNING
        path = job_path(kind, job_id, records.value)
        dialect = self._dialect_for(target, kind, "run")
        _check_cursor(query)
        try:
            rows, more = await self._page(target, dialect, path, query, paged=True)
        except ProviderRefused as error:
            if error.status != NOT_FOUND:
                raise
            lacking = unsupported(dialect, f"list the {records.value} of fine-tuning jobs") if query.after is None else unknown_cursor()
            raise await self._lacking(target, kind, job_id, lacking) from error
        return RecordsPage(tuple(with_seconds(row) for row in rows), more)

    async def _lacking(self, target: Target, kind: JobKind, job_id: str, error: FileplaneError) -> FileplaneError:
        """What a 404 for a part of a job means: the job's own, or ``error`` when the job is there."""
        await self.get_job(target, kind, job_id)
        return error

    async def _page(self, target: Target, dialect: Dialect, path: str, query: RemoteJobQuery, *, paged: bool) -> tuple[Any, bool]:
        access = await self._access_to(target, dialect)

        async def fetch(asked: Mapping[str, str]) -> Any:
            async with self._egress.call(request_to(target, access, "GET", access.url(path, asked))) as response:
                if response.status not in SUCCESSES:
                    raise await refused(target, access, response)
                return await answer_of(target, access, response, MOST_LIST_BYTES)

        return await page_of(fetch, query, paged=paged)

    def _dialect_for(self, target: Target, kind: JobKind, what: str) -> Dialect:
        dialect = self._dialect_of(target)
        if kind not in dialect.capabilities.jobs:
            raise unsupported(dialect, f"{what} {_NAMES[kind]}")
        return dialect


def _job(dialect: Dialect, kind: JobKind, answer: Any) -> RemoteJob:
    return parse_job(unwrapped(dialect, answer), kind, dialect.job_statuses.get(kind, {}))


def _same(job_id: str, job: RemoteJob) -> RemoteJob:
    if job.id != job_id:
        raise UpstreamAnswerInvalid("The provider describes another job than the one that was asked for.")
    return job


def _check_cursor(query: RemoteJobQuery) -> None:
    if query.after is not None and not is_remote_id(query.after):
        raise unknown_cursor()
