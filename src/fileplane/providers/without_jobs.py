"""The part of a provider that has files and no jobs that could be called in OpenAI's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fileplane.catalog import JobKind
from fileplane.errors import UnsupportedProviderOperation
from fileplane.providers.base import Target
from fileplane.providers.remote_jobs import JobAction, JobRecords, RecordsPage, RemoteJob, RemoteJobPage, RemoteJobQuery


class WithoutJobs:
    """A :class:`~fileplane.providers.remote_jobs.JobsProvider` that refuses everything, before anything is sent."""

    def __init__(self, title: str) -> None:
        self._title = title

    async def create_job(self, target: Target, kind: JobKind, document: Mapping[str, Any]) -> RemoteJob:  # noqa: ARG002 - the protocol's
        """See the protocol."""
        self._refuse()

    async def get_job(self, target: Target, kind: JobKind, job_id: str) -> RemoteJob:  # noqa: ARG002 - the protocol's
        """See the protocol."""
        self._refuse()

    async def list_jobs(self, target: Target, kind: JobKind, query: RemoteJobQuery) -> RemoteJobPage:  # noqa: ARG002 - the protocol's
        """See the protocol."""
        self._refuse()

    async def act_on_job(self, target: Target, kind: JobKind, job_id: str, action: JobAction) -> RemoteJob:  # noqa: ARG002 - the protocol's
        """See the protocol."""
        self._refuse()

    async def job_records(self, target: Target, job_id: str, records: JobRecords, query: RemoteJobQuery) -> RecordsPage:  # noqa: ARG002 - the protocol's
        """See the protocol."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedProviderOperation(f"{self._title} cannot run jobs through this API.", param="x-portkey-provider")
