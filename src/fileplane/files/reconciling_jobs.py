"""Finds out what became of jobs whose creation nobody lived to tell of. The part of :mod:`fileplane.files.reconciling` that is about jobs.

Jobs that run need no such look: one that holds a file is asked about when that file is deleted, and the results of one become the
project's when somebody asks about it. A job that nobody asks about again costs nothing, and its results stay where they are.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from fileplane.catalog import Claim, Job
from fileplane.clock import Clock
from fileplane.files.job_documents import report_of
from fileplane.files.job_refreshing import described
from fileplane.files.reconciling_apart import each_apart
from fileplane.files.remote_route import RemoteTarget
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.model import Origin
from fileplane.providers.remote_jobs import RemoteJob, RemoteJobQuery

_MOST_PAGES: Final = 20
_PAGE: Final = 100

_log = logging.getLogger(__name__)


class JobReconciler:
    """Any number may run at once, as of the reconciler of files.

    A job is known again by its inputs, which are files of one project alone, and by when it was begun. Two lost creations with the same
    inputs are as good as each other: each gets one of the jobs that came of them.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        target_of: Callable[[str, str], Awaitable[RemoteTarget]],
        clock: Clock,
        claim: Claim,
        *,
        sure_after_seconds: int,
        clocks_differ_seconds: int,
    ) -> None:
        self._metadata = metadata
        self._target_of = target_of
        self._clock = clock
        self._claim = claim
        self._sure_after = sure_after_seconds
        self._clocks_differ = clocks_differ_seconds

    async def run(self) -> int:
        """One round; how many jobs it has looked at. What could not be decided is looked at again once its claim has run out."""
        claim = partial(self._metadata.claim_unresolved_jobs, self._claim)
        return await each_apart(claim, self._resolve_unless_done, self._claim.seconds)

    async def _resolve_unless_done(self, job: Job) -> None:
        try:
            await self._resolve(job)
        except IntentNotFound:
            _log.info("somebody else has resolved the job %s meanwhile", job.id)

    async def _resolve(self, job: Job) -> None:
        target = await self._target_of(job.project_id, job.virtual_key_id)
        candidates, seen_all = await self._like(job, target)
        for remote in candidates:
            try:
                report = report_of(remote, await described(target, job, remote))
                await self._metadata.bind_job(job.project_id, job.id, remote.id, report, Origin())
            except AlreadyBound:
                continue
            return
        old = self._clock.now_ms() // 1000 - job.reserved_at >= self._sure_after
        if old and not seen_all:
            _log.warning("the job %s may be beyond the jobs of %s that can be looked through; its files stay held", job.id, job.provider)
        elif old:
            await self._metadata.fail_job(job.project_id, job.id, Origin())

    async def _like(self, job: Job, target: RemoteTarget) -> tuple[list[RemoteJob], bool]:
        """Jobs that may be the one, those that began first at the front, and whether all of its time were looked at."""
        since, after = job.reserved_at - self._clocks_differ, None
        until = job.reserved_at + self._sure_after + self._clocks_differ
        found: list[RemoteJob] = []
        for _ in range(_MOST_PAGES):
            page = await target.provider.list_jobs(target.target, job.kind, RemoteJobQuery(_PAGE, after))
            found += [one for one in page.jobs if since <= _began(one, since) <= until and _has_inputs(one, job)]
            if not page.has_more or (page.jobs and _began(page.jobs[-1], since) < since):
                return found[::-1], True
            after = page.next_cursor
        return found[::-1], False


def _began(remote: RemoteJob, unless_known: int) -> int:
    created = remote.document.get("created_at")
    return created if isinstance(created, int) else unless_known


def _has_inputs(remote: RemoteJob, job: Job) -> bool:
    return bool(job.input_file_ids) and set(remote.inputs) == set(job.input_file_ids)
