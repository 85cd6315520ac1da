"""Rows of the catalog as commands show them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from fileplane.access import Project
from fileplane.catalog import CatalogFile, FileState, Job, JobState
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.output import shown_time
from fileplane.credentials import VirtualKey
from fileplane.metadata.base import MetadataStore

AT_ONCE: Final = 500
_WHY_FILES: Final[Mapping[FileState, str]] = {
    FileState.RESERVED: "being uploaded, or left behind",
    FileState.UNKNOWN: "sent, and no answer came",
    FileState.DELETING: "being deleted, or left behind",
}
_WHY_JOBS: Final[Mapping[JobState, str]] = {
    JobState.RESERVED: "being created, or left behind",
    JobState.UNKNOWN: "creation sent, and no answer came",
}


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the projects and virtual keys that rows name by their ids."""

    projects: tuple[Project, ...]
    keys: tuple[VirtualKey, ...]

    def project(self, project_id: str) -> str:
        """The slug, or the id of one that is gone."""
        return next((project.slug for project in self.projects if project.id == project_id), project_id)

    def key(self, virtual_key_id: str) -> str:
        """The slug, or the id of one that is gone."""
        return next((key.slug for key in self.keys if key.id == virtual_key_id), virtual_key_id)

    def the_project(self, name: str) -> Project:
        """By its slug or id. Raises :class:`CommandFailed`."""
        for project in self.projects:
            if name in {project.id, project.slug}:
                return project
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no project '{name}'.")

    def the_key(self, slug: str) -> VirtualKey:
        """By its slug. Raises :class:`CommandFailed`."""
        for key in self.keys:
            if key.slug == slug:
                return key
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no virtual key '{slug}'.")


async def read_names(metadata: MetadataStore) -> Names:
    """Of all there are."""
    return Names(tuple(await metadata.list_projects()), tuple(await metadata.list_virtual_keys()))


async def unresolved_files(metadata: MetadataStore) -> AsyncIterator[CatalogFile]:
    """All of them, those due first at the front."""
    last: CatalogFile | None = None
    while rows := await metadata.unresolved_files(last, AT_ONCE):
        for row in rows:
            yield row
        last = rows[-1]


async def unresolved_jobs(metadata: MetadataStore) -> AsyncIterator[Job]:
    """All of them, those due first at the front."""
    last: Job | None = None
    while rows := await metadata.unresolved_jobs(last, AT_ONCE):
        for row in rows:
            yield row
        last = rows[-1]


def why(row: CatalogFile | Job) -> str | None:
    """Why a row is unresolved, and when it is looked at next; None for one that is not."""
    words = _WHY_FILES.get(row.state) if isinstance(row, CatalogFile) else _WHY_JOBS.get(row.state)
    if words is None:
        return None
    due = row.due_at is None or row.due_at <= time.time()
    return f"{words}; due {'now' if due else shown_time(row.due_at)}"


def described(row: CatalogFile | Job, names: Names) -> dict[str, Any]:
    """A row as the JSON output shows it: the catalog's own fields, with what people call projects and virtual keys."""
    return {**asdict(row), "project": names.project(row.project_id), "virtual_key": names.key(row.virtual_key_id), "unresolved": why(row)}
