"""``fileplane catalog ls``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import typer

from fileplane.access import Project
from fileplane.catalog import CatalogFile, CatalogQuery, Job, JobKind, JobQuery
from fileplane.cli.administration import settings_for
from fileplane.cli.catalog_rows import AT_ONCE, Names, described, read_names, unresolved_files, unresolved_jobs, why
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import JsonArray, Listing, shown_time
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.settings import Settings

_DEFAULT_LIMIT: Final = 100
_FILE_COLUMNS: Final = {
    "STATE": 10, "ID": 36, "PROJECT": 12, "VIRTUAL KEY": 16, "SINCE": 20, "BYTES": 12, "PURPOSE": 12, "NAME": 24, "WHY": 0,
}  # fmt: skip
_JOB_COLUMNS: Final = {"STATE": 10, "ID": 36, "PROJECT": 12, "VIRTUAL KEY": 16, "SINCE": 20, "KIND": 12, "STATUS": 12, "WHY": 0}


class State(StrEnum):
    """Of files and jobs. What is closed or failed is in the audit log."""

    UNRESOLVED = "unresolved"
    RESERVED = "reserved"
    UNKNOWN = "unknown"
    DELETING = "deleting"
    BOUND = "bound"
    ACTIVE = "active"
    ENDED = "ended"


_SETTLED: Final = frozenset({State.BOUND, State.ACTIVE, State.ENDED})
_OF_FILES: Final = frozenset({State.UNRESOLVED, State.RESERVED, State.UNKNOWN, State.DELETING, State.BOUND})
_OF_JOBS: Final = frozenset({State.UNRESOLVED, State.RESERVED, State.UNKNOWN, State.ACTIVE, State.ENDED})


@dataclass(frozen=True, slots=True)
class _Wanted:
    project: str | None
    virtual_key: str | None
    state: State | None
    jobs: bool
    after: str | None

    @property
    def unresolved(self) -> bool:
        return self.state not in _SETTLED and self.after is None

    @property
    def settled(self) -> bool:
        return self.state is None or self.state in _SETTLED

    def require_known(self, names: Names) -> None:
        if self.project is not None:
            names.the_project(self.project)
        if self.virtual_key is not None:
            names.the_key(self.virtual_key)

    def admits(self, row: CatalogFile | Job, names: Names) -> bool:
        return (
            (self.project is None or row.project_id == names.the_project(self.project).id)
            and (self.virtual_key is None or names.key(row.virtual_key_id) == self.virtual_key)
            and (self.state in {None, State.UNRESOLVED} or row.state.value == self.state)
        )


def ls(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only this project's, by its slug or id.")] = None,
    virtual_key: Annotated[str | None, typer.Option(help="Only at this virtual key, by its slug.")] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state; unresolved stands for reserved, unknown and deleting.")] = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="Jobs instead of files.")] = False,
    limit: Annotated[int, typer.Option(help="Rows in one page.", min=1)] = _DEFAULT_LIMIT,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin after this file or job of --project, which is not unresolved.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every page, to the end.")] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the files at providers that projects have, as Fileplane's catalog knows them. Separated by tabs for programs.

    What is unresolved comes first, with why and when it is looked at next, under Fileplane's own id as long as it has none at the
    provider; then project by project, the newest first. A server may be running; no provider is asked.
    """
    if state is not None and state not in (_OF_JOBS if jobs else _OF_FILES):
        raise CommandFailed(ExitCode.USAGE, f"No {'job' if jobs else 'file'} is ever {state}.")
    if after is not None and project is None:
        raise CommandFailed(ExitCode.USAGE, "--after goes with the --project whose list is gone on with.")
    wanted = _Wanted(project, virtual_key, state, jobs, after)
    most = None if every else limit
    last = asyncio.run(_show(runtime_of(context), settings_for(config, data_dir), wanted, most, as_json=as_json))
    if last is not None:
        typer.echo(f"There are more{last}, --all shows every page.", err=True)


async def _show(runtime: Runtime, settings: Settings, wanted: _Wanted, most: int | None, *, as_json: bool) -> str | None:
    """Prints the rows. What to do to see more, where there are more than ``most``."""
    async with runtime.open_metadata(settings) as metadata:
        names = await read_names(metadata)
        wanted.require_known(names)
        printer = _JsonPrinter(names) if as_json else _Printer(names, jobs=wanted.jobs)
        shown, last = 0, None
        with printer:
            async with aclosing(_rows(metadata, names, wanted)) as rows:
                async for row in rows:
                    if shown == most:
                        return _how_to_go_on(last, names)
                    printer.print(row)
                    shown, last = shown + 1, row
    return None


def _how_to_go_on(last: CatalogFile | Job | None, names: Names) -> str:
    if last is None or why(last) is not None:
        return ": --limit shows more of them"
    return f": --project {names.project(last.project_id)} --after {_id_of(last)} shows the next of that project"


async def _rows(metadata: MetadataStore, names: Names, wanted: _Wanted) -> AsyncGenerator[CatalogFile | Job, None]:
    if wanted.unresolved:
        async for row in unresolved_jobs(metadata) if wanted.jobs else unresolved_files(metadata):
            if wanted.admits(row, names):
                yield row
    if not wanted.settled:
        return
    for project in names.projects:
        keys = tuple(key.id for key in names.keys if wanted.virtual_key in {None, key.slug})
        if not keys or wanted.project not in {None, project.slug, project.id}:
            continue
        async for row in _settled(metadata, project, keys, wanted):
            if wanted.admits(row, names):
                yield row


async def _settled(metadata: MetadataStore, project: Project, keys: tuple[str, ...], wanted: _Wanted) -> AsyncIterator[CatalogFile | Job]:
    try:
        if not wanted.jobs:
            async for file in _files(metadata, project, keys, wanted.after):
                yield file
            return
        for kind in JobKind:
            async for job in _jobs(metadata, project, keys, kind, wanted.after):
                yield job
    except CursorNotFound as error:
        raise CommandFailed(ExitCode.NOT_FOUND, f"'{wanted.after}' is in no list of project {project.slug}.") from error


async def _files(metadata: MetadataStore, project: Project, keys: tuple[str, ...], after: str | None) -> AsyncIterator[CatalogFile]:
    while True:
        page = await metadata.list_catalog_files(project.id, CatalogQuery(keys, AT_ONCE, after=after))
        for file in page.files:
            yield file
        if not page.has_more:
            return
        after = page.files[-1].provider_file_id


async def _jobs(metadata: MetadataStore, project: Project, keys: tuple[str, ...], kind: JobKind, after: str | None) -> AsyncIterator[Job]:
    if after is not None and not await metadata.find_jobs(project.id, kind, after):
        return  # the cursor is a job of the other kind
    while True:
        page = await metadata.list_jobs(project.id, JobQuery(keys, kind, AT_ONCE, after=after))
        for job in page.jobs:
            yield job
        if not page.has_more:
            return
        after = page.jobs[-1].provider_job_id


def _id_of(row: CatalogFile | Job) -> str:
    theirs = row.provider_file_id if isinstance(row, CatalogFile) else row.provider_job_id
    return theirs or row.id


class _JsonPrinter:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._array = JsonArray()

    def __enter__(self) -> None:
        self._array.__enter__()

    def __exit__(self, *raised: object) -> None:
        self._array.__exit__(None, None, None)

    def print(self, row: CatalogFile | Job) -> None:
        self._array.add(described(row, self._names))


class _Printer:
    def __init__(self, names: Names, *, jobs: bool) -> None:
        self._names = names
        self._columns = _JOB_COLUMNS if jobs else _FILE_COLUMNS
        self._listing: Listing | None = None

    def __enter__(self) -> None:
        self._listing = Listing(tuple(self._columns), tuple(self._columns.values()))

    def __exit__(self, *raised: object) -> None:
        """Has nothing to complete."""

    def print(self, row: CatalogFile | Job) -> None:
        assert self._listing is not None
        since = shown_time(row.reserved_at if row.created_at is None else row.created_at)
        ours = [row.state.value, _id_of(row), self._names.project(row.project_id), self._names.key(row.virtual_key_id), since]
        if isinstance(row, CatalogFile):
            ours += ["" if row.bytes is None else str(row.bytes), row.purpose, row.filename]
        else:
            ours += [row.kind.value, row.status or ""]
        self._listing.row([*ours, why(row) or ""])
