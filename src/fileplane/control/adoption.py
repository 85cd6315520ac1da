"""Gives files that are at a provider already to projects: what would become of each is planned first, and then done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fileplane.access import Project
from fileplane.catalog import CatalogFile, FileState, Job, JobKind, JobQuery, JobReport, JobState, ProviderFile
from fileplane.credentials import VirtualKey
from fileplane.errors import FileInUse, FileNotFound, NotFound
from fileplane.files.remote_route import RemoteTarget
from fileplane.files.remote_shapes import status_word
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, JobNotFound
from fileplane.model import Origin
from fileplane.providers.base import RemoteFile, RemoteQuery

_AT_ONCE: Final = 500
_CLOCKS_DIFFER_SECONDS: Final = 600
_UNSENT: Final = frozenset({FileState.RESERVED, FileState.UNKNOWN})


class Verdict(StrEnum):
    """What becomes of a file, and why it does not become the project's."""

    ADOPT = "adopt"
    """It is nobody's."""
    MOVE = "move"
    """It is another project's, or at another virtual key of the credential, and is taken from there."""
    PRESENT = "present"
    """The project has it there already."""
    TAKEN = "taken"
    """It is somebody else's, and nobody said to take it away."""
    HELD = "held"
    """It is somebody else's, and a job there uses it."""
    UNRESOLVED = "unresolved"
    """It may be an upload of which it is not known yet whose file it made."""
    DELETING = "deleting"
    """Somebody is deleting it."""
    ABSENT = "absent"
    """The provider has no such file."""
    NO_PURPOSE = "no-purpose"
    """The provider does not say what it is for, and nobody else did."""


DONE: Final = frozenset({Verdict.ADOPT, Verdict.MOVE, Verdict.PRESENT})
"""The verdicts after which the project has the file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file and what becomes of it. ``owner`` is the id of the project that has it, or may have it."""

    file_id: str
    verdict: Verdict
    file: ProviderFile | None = None
    owner: str | None = None


class Adoption:
    """Files of one credential, for one project at one virtual key. ``purpose`` is that of files of which the provider does not say it.

    Planned again and again while others work: what was planned is checked anew by the transaction that does it.
    """

    def __init__(
        self, metadata: MetadataStore, target: RemoteTarget, project: Project, key: VirtualKey, *, purpose: str | None, move: bool
    ) -> None:
        self._metadata = metadata
        self._target = target
        self._project = project
        self._key = key
        self._purpose = purpose
        self._move = move

    async def named(self, file_ids: Iterable[str]) -> AsyncIterator[Candidate]:
        """Of these ids, in their order. Each is asked for at the provider; raises as :meth:`fileplane.providers.base.Provider.get`."""
        for file_id in dict.fromkeys(file_ids):
            try:
                remote = await self._target.provider.get(self._target.target, file_id)
            except FileNotFound:
                yield Candidate(file_id, Verdict.ABSENT)
                continue
            [candidate] = await self._judged([remote], named=True)
            yield candidate

    async def every(self) -> AsyncIterator[Candidate]:
        """Of all files in the provider's list that nobody has, newest first. Raises as :meth:`fileplane.providers.base.Provider.list`."""
        most = self._target.provider.capabilities(self._target.target).max_list_limit
        after: str | None = None
        while True:
            page = await self._target.provider.list(self._target.target, RemoteQuery(min(most, _AT_ONCE), after))
            for candidate in await self._judged(page.files, named=False):
                yield candidate
            if not page.has_more:
                return
            after = page.next_cursor

    async def settle_jobs(self) -> int:
        """Lets the jobs of the credential that go on have their results first, so that these follow their jobs; how many there were.

        Raises what asking for a job raises: what a job may have made is given to nobody else as long as that is not known.
        """
        asked = 0
        for key in await self._keys_of_credential():
            for project_id in sorted(key.project_ids):
                async for job in self._active_jobs(project_id, key.id):
                    asked += 1
                    await self._refresh(job)
        return asked

    async def adopt(self, candidate: Candidate) -> Candidate:
        """Does what was planned; the verdict says what really became of it."""
        if candidate.verdict not in {Verdict.ADOPT, Verdict.MOVE}:
            return candidate
        assert candidate.file is not None
        try:
            await self._metadata.adopt_catalog_file(
                self._project.id, self._key.id, candidate.file, Origin(), move=candidate.verdict is Verdict.MOVE
            )
        except AlreadyBound as error:
            return Candidate(candidate.file_id, Verdict.TAKEN, candidate.file, error.project_id)
        except FileInUse:
            return Candidate(candidate.file_id, Verdict.HELD, candidate.file, candidate.owner)
        return candidate

    async def _judged(self, files: Sequence[RemoteFile], *, named: bool) -> list[Candidate]:
        # In this order: what is bound between the two is found by the second.
        unsent = [row async for row in self._unsent()]
        taken = await self._metadata.catalogued_ids(self._key.id, [file.id for file in files])
        judged = []
        for file in files:
            if file.id in taken:
                if named:
                    judged.append(await self._of_taken(file))
                continue
            judged.append(self._of_free(file, unsent, named=named))
        return judged

    def _of_free(self, remote: RemoteFile, unsent: Iterable[CatalogFile], *, named: bool) -> Candidate:
        for row in unsent:
            if _may_be(remote, row) and not (named and (self._move or row.project_id == self._project.id)):
                return Candidate(remote.id, Verdict.UNRESOLVED, None, row.project_id)
        return self._with(remote, Verdict.ADOPT, None)

    async def _of_taken(self, remote: RemoteFile) -> Candidate:
        for key in await self._keys_of_credential():
            for project_id in sorted(key.project_ids):
                rows = await self._metadata.find_catalog_files(project_id, remote.id)
                if any(row.virtual_key_id == key.id and row.state is FileState.BOUND for row in rows):
                    return await self._of_owner(remote, project_id, key.id)
        return Candidate(remote.id, Verdict.DELETING)

    async def _of_owner(self, remote: RemoteFile, project_id: str, virtual_key_id: str) -> Candidate:
        if (project_id, virtual_key_id) == (self._project.id, self._key.id):
            return Candidate(remote.id, Verdict.PRESENT, None, project_id)
        if not self._move:
            return Candidate(remote.id, Verdict.TAKEN, None, project_id)
        if await self._metadata.jobs_holding(project_id, virtual_key_id, remote.id, 1):
            return Candidate(remote.id, Verdict.HELD, None, project_id)
        return self._with(remote, Verdict.MOVE, project_id)

    def _with(self, remote: RemoteFile, verdict: Verdict, owner: str | None) -> Candidate:
        purpose = remote.purpose or self._purpose
        if purpose is None:
            return Candidate(remote.id, Verdict.NO_PURPOSE, None, owner)
        file = ProviderFile(
            remote.id,
            purpose,
            remote.filename or "",
            remote.bytes or 0,
            status=status_word(remote),
            created_at=remote.created_at,
            expires_at=remote.expires_at,
        )
        return Candidate(remote.id, verdict, file, owner)

    async def _keys_of_credential(self) -> list[VirtualKey]:
        """Every virtual key that calls the provider with the same credential."""
        own = self._key.integration or self._key.slug
        return [key for key in await self._metadata.list_virtual_keys() if (key.integration or key.slug) == own]

    async def _unsent(self) -> AsyncIterator[CatalogFile]:
        keys = {key.id for key in await self._keys_of_credential()}
        last: CatalogFile | None = None
        while rows := await self._metadata.unresolved_files(last, _AT_ONCE):
            for row in rows:
                if row.virtual_key_id in keys and row.state in _UNSENT:
                    yield row
            last = rows[-1]

    async def _active_jobs(self, project_id: str, virtual_key_id: str) -> AsyncIterator[Job]:
        for kind in JobKind:
            after: str | None = None
            while True:
                page = await self._metadata.list_jobs(project_id, JobQuery((virtual_key_id,), kind, _AT_ONCE, after=after))
                for job in page.jobs:
                    if job.state is JobState.ACTIVE:
                        yield job
                if not page.has_more:
                    break
                after = page.jobs[-1].provider_job_id

    async def _refresh(self, job: Job) -> None:
        assert job.provider_job_id is not None
        try:
            remote = await self._target.provider.get_job(self._target.target, job.kind, job.provider_job_id)
            report = JobReport(remote.status, tuple(ProviderFile(result.file_id, result.purpose) for result in remote.results))
            await self._metadata.refresh_job(job.project_id, job.virtual_key_id, job.kind, job.provider_job_id, report, Origin())
        except (JobNotFound, NotFound):
            return  # a job that is gone names no results any more


def _may_be(remote: RemoteFile, row: CatalogFile) -> bool:
    """Whether a file at the provider may be what an unresolved upload made."""
    recent = remote.created_at is None or remote.created_at >= row.reserved_at - _CLOCKS_DIFFER_SECONDS
    return recent and remote.filename in {None, row.filename} and (row.bytes is None or remote.bytes in {None, row.bytes})
