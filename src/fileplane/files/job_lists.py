"""Lists of jobs at providers: from the catalog, each asked about anew; from a provider; or stitched together of several."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fileplane.access import Principal
from fileplane.catalog import Job, JobKind, JobQuery
from fileplane.errors import FileplaneError, InvalidValue, JobUnknown, StorageUnavailable, UnsupportedProviderOperation
from fileplane.files.attempts import repeated
from fileplane.files.job_documents import last_known, shown
from fileplane.files.job_refreshing import DEADLINE_SECONDS, JobRefresher
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Trace
from fileplane.files.stitched_lists import Page, Section, asked_for, asked_for_each, same_account, stitched
from fileplane.files.together import together
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import Origin
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.remote_jobs import RemoteJob, RemoteJobQuery

USUAL_LIMIT: Final = 20
_LEAST_SECONDS: Final = 0.05
_ROOM: Final = 16 << 20
"""Bytes of memory, about, that one page's documents may take, whatever providers put into them."""
_VALUE: Final = 64
_NO_ROOM: Final[dict[str, Any]] = {}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobList:
    """One page of documents, newest first. The next page begins after the last one's id."""

    documents: tuple[dict[str, Any], ...]
    has_more: bool


async def list_along(
    metadata: MetadataStore,
    refresher: JobRefresher,
    route: RemoteRoute,
    principal: Principal,
    origin: Origin,
    kind: JobKind,
    query: RemoteJobQuery,
) -> JobList:
    """One page of what a route leads to. Raises :class:`~fileplane.errors.InvalidValue` for an unknown cursor."""
    if query.after is not None and not is_remote_id(query.after):
        raise _no_cursor()
    keys = {target.virtual_key_id: target for target in reversed(route.everywhere) if target.virtual_key_id is not None}
    sections: list[Section[dict[str, Any]]] = []
    if keys:
        first = next(target for target in route.everywhere if target.virtual_key_id is not None)
        route.trace.path, route.trace.provider = first.path, first.provider.name
        sections.append(_CatalogSection(metadata, refresher, keys, principal.project_id, origin, kind))
    others = [target for target in route.everywhere if target.virtual_key_id is None]
    able = [target for target in others if kind in target.provider.capabilities(target.target).jobs]
    known: list[RemoteTarget] = []
    for target in able:
        if not any(same_account(target, one) for one in known):
            known.append(target)
            sections.append(_ProviderSection(target, route.trace, kind))
    if not sections:
        raise UnsupportedProviderOperation(f"{others[0].provider.name} has no such jobs.", param="x-portkey-provider")
    limit = query.limit or USUAL_LIMIT
    if len(sections) == 1:
        page = await sections[0].page(limit, query.after)
    else:
        page = await stitched(sections, lambda document: str(document["id"]), limit, query.after, _no_cursor())
    return JobList(tuple(page.rows), page.has_more)


class _CatalogSection:
    """A :class:`~fileplane.files.stitched_lists.Section`: the project's jobs at some virtual keys.

    One that its provider cannot be asked about in time is shown as last known.
    """

    of_an_account = False
    provider = None

    def __init__(
        self,
        metadata: MetadataStore,
        refresher: JobRefresher,
        targets: dict[str, RemoteTarget],
        project_id: str,
        origin: Origin,
        kind: JobKind,
    ) -> None:
        self._metadata = metadata
        self._refresher = refresher
        self._targets = targets
        self._project_id = project_id
        self._origin = origin
        self._kind = kind
        self._room = _ROOM
        self._deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS

    async def has(self, row_id: str) -> bool:
        return bool(await self.has_of([row_id]))

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        asked = JobQuery(tuple(self._targets), self._kind, len(row_ids))
        return await self._metadata.known_job_ids(self._project_id, asked, row_ids)

    async def page(self, limit: int, after: str | None) -> Page[dict[str, Any]]:
        """Jobs that their providers turn out to have forgotten are replaced by the ones after them.

        A page whose documents are very large ends early, and says that there is more.
        """
        documents: list[dict[str, Any]] = []
        while True:
            asked = JobQuery(tuple(self._targets), self._kind, limit - len(documents), after=after)
            try:
                page = await self._metadata.list_jobs(self._project_id, asked)
            except CursorNotFound as error:
                raise _no_cursor() from error
            found = await together(self._document, page.jobs)
            # They are asked for in their order, so that before the first one without room there is what has taken it.
            fitting = list(itertools.takewhile(lambda one: one is not _NO_ROOM, found))
            documents += [one for one in fitting if one is not None]
            if len(fitting) < len(found):
                return Page(documents, has_more=True)
            if len(documents) == limit or not page.has_more:
                return Page(documents, page.has_more)
            after = page.jobs[-1].provider_job_id

    async def _document(self, job: Job) -> dict[str, Any] | None:
        """None for a job that is forgotten, and :data:`_NO_ROOM` for one that the page ends before."""
        if self._room <= 0:
            return _NO_ROOM
        try:
            async with asyncio.timeout_at(max(self._deadline, asyncio.get_running_loop().time() + _LEAST_SECONDS)):
                refreshed = await self._refresher.refresh(self._targets[job.virtual_key_id], job, self._origin, Trace())
        except JobUnknown:
            return None
        except StorageUnavailable:
            raise
        except (FileplaneError, TimeoutError) as error:
            _log.info("the job %s at %s is shown as last known: %s", job.id, job.provider, error)
            return last_known(job)
        document = shown(refreshed.remote.document, refreshed.job, refreshed.refused)
        self._room -= _weight(document)
        return document


class _ProviderSection:
    """A :class:`~fileplane.files.stitched_lists.Section`: whatever a credential sees at its provider."""

    of_an_account = True

    def __init__(self, target: RemoteTarget, trace: Trace, kind: JobKind) -> None:
        self.provider = target.provider.name
        self._target = target
        self._trace = trace
        self._kind = kind

    async def has(self, row_id: str) -> bool:
        return await asked_for(row_id, self._get, JobUnknown)

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        return await asked_for_each(row_ids, self.has)

    async def _get(self, job_id: str) -> RemoteJob:
        return await repeated(self._target, lambda one: one.provider.get_job(one.target, self._kind, job_id), Trace())

    async def page(self, limit: int, after: str | None) -> Page[dict[str, Any]]:
        query = RemoteJobQuery(limit, after)
        page = await repeated(self._target, lambda one: one.provider.list_jobs(one.target, self._kind, query), self._trace)
        return Page([shown(job.document, None) for job in page.jobs], page.has_more)


def _weight(document: dict[str, Any]) -> int:
    """Bytes of memory, about."""
    text = msgspec.json.encode(document)
    return len(text) + _VALUE * (text.count(b",") + text.count(b"[") + text.count(b"{"))


def _no_cursor() -> InvalidValue:
    return InvalidValue("Invalid 'after': no such job. Use the id of a job from the page before.", param="after")
