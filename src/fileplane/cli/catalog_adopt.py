"""``fileplane catalog adopt``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer

from fileplane.cli.administration import settings_for
from fileplane.cli.catalog_rows import Names, read_names
from fileplane.cli.credentials import opened_credentials
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import JsonArray, Listing, print_line
from fileplane.cli.providers import opened_routes
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.control.adoption import Adoption, Candidate

_COLUMNS: Final = {"WHAT": 12, "ID": 36, "BYTES": 12, "PURPOSE": 12, "NAME": 24, "WHY": 0}
_WORDS: Final[Mapping[str, str]] = {
    "move": "is taken from project {owner}",
    "present": "is there already",
    "taken": "is of project {owner}; --move takes it away",
    "held": "is of project {owner}, and a job there uses it",
    "unresolved": "may be an upload of project {owner} that is not resolved; run `fileplane catalog reconcile` first",
    "deleting": "is being deleted, or has expired",
    "absent": "is not at the provider",
    "no-purpose": "has no purpose that the provider tells; name it with --purpose",
}
_CODES: Final[Mapping[str, ExitCode]] = {
    "taken": ExitCode.REFUSED,
    "held": ExitCode.REFUSED,
    "unresolved": ExitCode.REFUSED,
    "deleting": ExitCode.REFUSED,
    "no-purpose": ExitCode.REFUSED,
    "absent": ExitCode.NOT_FOUND,
}


@dataclass(frozen=True, slots=True)
class _Wanted:
    project: str
    virtual_key: str
    ids: tuple[str, ...]
    purpose: str | None
    move: bool
    yes: bool


def adopt(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    project: Annotated[str, typer.Option(help="Project that is to have the files, by its slug or id.")],
    virtual_key: Annotated[str, typer.Option(help="Virtual key that the files are at, by its slug; the project may use it.")],
    file_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of files at the provider.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every file in the provider's list that no project has.")] = False,
    purpose: Annotated[str | None, typer.Option(help="Purpose of files of which the provider does not tell it.")] = None,
    move: Annotated[bool, typer.Option("--move", help="Take files away from the projects that have them.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this, it is shown what would be done, and nothing is changed.")
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give files that are at a provider already to a project, so that its calls through the virtual key see them.

    Each is looked for at the provider first, which says what it is. Results of jobs that a project has go to that project. Shows what
    would be done, and does it with --yes; the exit code tells of files that the project does not have afterwards. A server may be running.
    """
    if every == bool(file_ids):
        raise CommandFailed(ExitCode.USAGE, "Name files by their ids, or take --all of them.")
    if every and move:
        raise CommandFailed(ExitCode.USAGE, "--all takes only what no project has. To take files away from one, name them.")
    wanted = _Wanted(project, virtual_key, tuple(file_ids or ()), purpose, move, yes)
    worst = asyncio.run(_run(runtime_of(context), settings_for(config, data_dir), wanted, as_json=as_json))
    if worst is not ExitCode.OK:
        raise typer.Exit(worst)


async def _run(runtime: Runtime, settings: Settings, wanted: _Wanted, *, as_json: bool) -> ExitCode:
    from fileplane.control.adoption import Verdict

    worst, count, possible = ExitCode.OK, 0, 0
    async with _opened(runtime, settings, wanted) as (adoption, names):
        await adoption.settle_jobs()
        with _Report(names, done=wanted.yes, as_json=as_json) as report:
            async for planned in adoption.named(wanted.ids) if wanted.ids else adoption.every():
                candidate = await adoption.adopt(planned) if wanted.yes else planned
                report.add(candidate)
                count += 1
                possible += candidate.verdict in {Verdict.ADOPT, Verdict.MOVE}
                worst = max(worst, _CODES.get(candidate.verdict, ExitCode.OK))
    if not as_json:
        would = (
            f"{possible} given to {wanted.project}" if wanted.yes else f"nothing was changed; --yes gives {possible} to {wanted.project}"
        )
        print_line(f"{count} files: {would}")
    return worst


@asynccontextmanager
async def _opened(runtime: Runtime, settings: Settings, wanted: _Wanted) -> AsyncIterator[tuple[Adoption, Names]]:
    from fileplane.control.adoption import Adoption
    from fileplane.credentials import Sharing

    async with opened_credentials(runtime, settings) as (credentials, metadata):
        names = await read_names(metadata)
        project, key = names.the_project(wanted.project), names.the_key(wanted.virtual_key)
        if project.id not in key.project_ids:
            raise CommandFailed(
                ExitCode.REFUSED,
                f"Project {project.slug} may not use virtual key {key.slug}. Allow it with `fileplane virtual-key update`.",
            )
        if key.sharing is Sharing.ACCOUNT:
            raise CommandFailed(ExitCode.REFUSED, f"Whoever may use virtual key {key.slug} sees all its files: there is nothing to give.")
        async with opened_routes(credentials, settings) as routes:
            target = await routes.of_virtual_key(project.id, key.id)
            yield Adoption(metadata, target, project, key, purpose=wanted.purpose, move=wanted.move), names


class _Report:
    """Prints each file as it is known what becomes of it."""

    def __init__(self, names: Names, *, done: bool, as_json: bool) -> None:
        self._names = names
        self._done = done
        self._array = JsonArray(f'{{"done": {str(done).lower()}, "files": ', "}") if as_json else None
        self._listing = None if as_json else Listing(tuple(_COLUMNS), tuple(_COLUMNS.values()))

    def __enter__(self) -> Self:
        if self._array is not None:
            self._array.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._array is not None:
            self._array.__exit__(None, None, None)

    def add(self, candidate: Candidate) -> None:
        owner = None if candidate.owner is None else self._names.project(candidate.owner)
        why = _WORDS.get(candidate.verdict, "").format(owner=owner)
        file = candidate.file
        if self._array is not None:
            about = {} if file is None else {"bytes": file.bytes, "purpose": file.purpose, "filename": file.filename}
            self._array.add({"id": candidate.file_id, "verdict": candidate.verdict.value, "owner": owner, **about})
            return
        cells: Sequence[str] = ("", "", "") if file is None else (str(file.bytes), file.purpose, file.filename)
        assert self._listing is not None
        self._listing.row([candidate.verdict.value, candidate.file_id, *cells, why])
