"""Jobs as they are begun at providers.

Through a stored credential that projects share, one transaction before the call finds the inputs alive and the project's, records the job
and puts the holds; after the call the job is bound. A crash anywhere in between leaves an intent that is found, with its holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from fileplane.access import Principal
from fileplane.catalog import Claim, FileState, Job, JobKind, NewJob
from fileplane.errors import (
    FileNotFound,
    FileplaneError,
    JobLost,
    StorageUnavailable,
    UnsupportedProviderOperation,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
)
from fileplane.files.attempts import along_the_plan, repeated
from fileplane.files.job_documents import checked_document, input_files, overridden, refuse_other_files, report_of, shown
from fileplane.files.job_refreshing import described
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, virtual_key_gone
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.metadata.control import VirtualKeyNotFound
from fileplane.model import Origin
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import JobAction, RemoteJob

CLAIM_SECONDS: Final = 600
_BIND_ATTEMPTS: Final = 4
_BIND_WAIT_SECONDS: Final = 0.2

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewRemoteJob:
    """A job that a caller wants. ``inputs`` are the files in ``document`` that are checked, by their members."""

    kind: JobKind
    document: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def input_ids(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(self.inputs.values()))

    def missing(self, file_id: str) -> FileNotFound:
        """An input that is unknown, or another project's: these are told apart by nothing."""
        return FileNotFound(file_id, param=next((member for member, value in self.inputs.items() if value == file_id), "id"))


class JobCreation:
    """See the module. One for a process."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata
        self._holder = new_holder()
        self._concluding: set[asyncio.Task[Any]] = set()

    async def settle(self) -> None:
        """To be called before the stores are closed: waits for what concludes jobs whose callers have gone."""
        while self._concluding:
            await asyncio.wait(self._concluding)

    async def create(
        self, route: RemoteRoute, principal: Principal, origin: Origin, kind: JobKind, document: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Begins a job at the target that has its files; its document. Not repeated once its outcome is not known.

        Raises :class:`~fileplane.errors.FileNotFound` for an input that the caller's project does not have,
        :class:`~fileplane.errors.InvalidValue`, and :class:`~fileplane.errors.UpstreamOutcomeUnknown`: then the provider may have begun the
        job, its inputs stay held, and what became of it is found out in the background.
        """
        document = checked_document(document)
        new = NewRemoteJob(kind, document, input_files(kind, document))
        placed = await self._placed(route, principal, new)
        for target in placed.plan:
            if isinstance(target, RemoteTarget):
                sent = overridden(kind, document, target.override_params)
                if target.virtual_key_id is not None:
                    refuse_other_files(kind, sent)

        unknown = False

        async def begin(target: RemoteTarget) -> dict[str, Any]:
            nonlocal unknown
            if kind not in target.provider.capabilities(target.target).jobs:
                raise UnsupportedProviderOperation(f"{target.provider.name} has no such jobs.", param="x-portkey-provider")
            sent = overridden(kind, document, target.override_params)
            try:
                if target.virtual_key_id is None:
                    return shown((await target.provider.create_job(target.target, kind, sent)).document, None)
                return await self._catalogued(target, target.virtual_key_id, principal, origin, replace(new, document=sent))
            except UpstreamOutcomeUnknown:
                unknown = True
                raise

        def after(number: int, status: int) -> int | None:
            return None if unknown else route.after(number, status)

        return await along_the_plan(placed if placed is not route else replace(route, after=after), begin, _native_begins_none)

    async def _placed(self, route: RemoteRoute, principal: Principal, new: NewRemoteJob) -> RemoteRoute:
        """The route to the target that has the job's files, where there are several."""
        if not new.inputs or (len(route.everywhere) == 1 and len(route.plan) == 1 and route.only is not None):
            return route
        first = new.input_ids[0]
        if not all(is_remote_id(file_id) for file_id in new.input_ids):
            raise new.missing(next(file_id for file_id in new.input_ids if not is_remote_id(file_id)))
        planned = [target for target in route.plan if isinstance(target, RemoteTarget)]
        stored = {target.virtual_key_id: target for target in (*reversed(route.everywhere), *reversed(planned))}
        for row in await self._metadata.find_catalog_files(principal.project_id, first):
            if row.state is FileState.BOUND and row.virtual_key_id in stored:
                return _only(route, stored[row.virtual_key_id])
        # Of several that have it, the one that the config chooses.
        others = [target for target in planned if target.virtual_key_id is None]
        others += [target for target in route.everywhere if target.virtual_key_id is None and target not in others]
        if not others:
            raise new.missing(first)
        return _only(route, others[0] if len(others) == 1 else await self._having(route, others, new, first))

    async def _having(self, route: RemoteRoute, targets: list[RemoteTarget], new: NewRemoteJob, file_id: str) -> RemoteTarget:
        failure: FileplaneError | None = None
        for target in targets:
            try:
                await repeated(target, lambda one: one.provider.get(one.target, file_id), route.trace)
            except FileNotFound:
                continue
            except FileplaneError as error:
                failure = failure or error
            else:
                return target
        raise failure or new.missing(file_id)

    async def _catalogued(
        self, target: RemoteTarget, virtual_key_id: str, principal: Principal, origin: Origin, new: NewRemoteJob
    ) -> dict[str, Any]:
        asked = NewJob(virtual_key_id, new.kind, new.input_ids, principal.key_id)
        try:
            intent = await self._metadata.begin_job(principal.project_id, asked, Claim(self._holder, CLAIM_SECONDS), origin)
        except FileNotFound as error:
            raise await self._missing(principal, virtual_key_id, new) from error
        except VirtualKeyNotFound as error:
            raise virtual_key_gone() from error
        try:
            remote = await target.provider.create_job(target.target, new.kind, new.document)
        except BaseException as error:
            # Whoever is cancelled cannot know how much of it has arrived, and an answer that makes no sense says nothing of what was done.
            certain = isinstance(error, FileplaneError) and not isinstance(error, UpstreamOutcomeUnknown | UpstreamAnswerInvalid)
            await asyncio.shield(self._later(self._give_up(intent, origin, unknown=not certain)))
            if isinstance(error, UpstreamAnswerInvalid):
                raise JobLost(f"{error.message} It may have begun the job; look at its list first.") from error
            raise
        return await asyncio.shield(self._later(self._bound(target, intent, remote, origin)))

    async def _missing(self, principal: Principal, virtual_key_id: str, new: NewRemoteJob) -> FileNotFound:
        """The input that the project does not have, named by its member."""
        for file_id in new.input_ids:
            try:
                await self._metadata.get_catalog_file(principal.project_id, virtual_key_id, file_id)
            except FileNotFound:
                return new.missing(file_id)
        return new.missing(new.input_ids[0])

    async def _bound(self, target: RemoteTarget, intent: Job, remote: RemoteJob, origin: Origin) -> dict[str, Any]:
        report = report_of(remote, await described(target, None, remote))
        for attempt in range(_BIND_ATTEMPTS):
            try:
                bound = await self._metadata.bind_job(intent.project_id, intent.id, remote.id, report, origin)
            except StorageUnavailable as error:
                if attempt == _BIND_ATTEMPTS - 1:
                    raise JobLost(
                        "The provider has begun the job, but that could not be recorded yet; it will be found. Look at the list later."
                    ) from error
                await asyncio.sleep(_BIND_WAIT_SECONDS * 2**attempt)
            except AlreadyBound as error:
                await self._give_up(intent, origin, unknown=True)
                raise JobLost("The provider answered with the id of another job. It may have begun this one; look later.") from error
            except IntentNotFound as error:
                await self._abandon(target, intent.kind, remote)
                raise JobLost("Beginning the job took so long that it was given up meanwhile. Begin it again.") from error
            else:
                return shown(remote.document, bound.job, bound.refused)
        raise AssertionError("unreachable")

    async def _abandon(self, target: RemoteTarget, kind: JobKind, remote: RemoteJob) -> None:
        try:
            await target.provider.act_on_job(target.target, kind, remote.id, JobAction.CANCEL)
        except FileplaneError as error:
            _log.error("a job at %s belongs to nobody and could not be cancelled: %s", target.provider.name, remote.id, exc_info=error)

    async def _give_up(self, intent: Job, origin: Origin, *, unknown: bool) -> None:
        end = self._metadata.mark_job_unknown if unknown else self._metadata.fail_job
        try:
            await end(intent.project_id, intent.id, origin)
        except (StorageUnavailable, IntentNotFound) as error:
            _log.warning("the end of a job's creation could not be recorded, and is found out later: %s", error, exc_info=error)

    def _later(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="fileplane-job-conclusion")
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        return task


async def _native_begins_none() -> dict[str, Any]:
    raise UnsupportedProviderOperation("Fileplane itself runs no jobs. Take it out of the config for them.", param="x-portkey-config")


def _only(route: RemoteRoute, target: RemoteTarget) -> RemoteRoute:
    return replace(route, plan=(target,), after=lambda _number, _status: None)
