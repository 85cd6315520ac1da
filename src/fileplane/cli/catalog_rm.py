"""``fileplane catalog rm``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileplane.cli.administration import settings_for
from fileplane.cli.catalog_rows import read_names
from fileplane.cli.credentials import opened_credentials
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import JsonArray, Listing, print_line
from fileplane.cli.providers import opened_routes
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.control.removal import Removal, Removed

_COLUMNS: Final = {"WHAT": 8, "ID": 36, "BYTES": 12, "PURPOSE": 12, "NAME": 24, "WHY": 0}
_CODES: Final[Mapping[str, ExitCode]] = {"held": ExitCode.REFUSED, "failed": ExitCode.FAILED, "absent": ExitCode.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class _Wanted:
    project: str
    virtual_key: str
    ids: tuple[str, ...]
    forget: bool
    yes: bool


def rm(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    project: Annotated[str, typer.Option(help="Project that has the files, by its slug or id.")],
    virtual_key: Annotated[
        str, typer.Option(help="Virtual key that the files are at, by its slug, whether the project may use it still or not.")
    ],
    file_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of files at the provider.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every file that the project has there.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Only take them out of the catalog; no provider is asked, and there they stay.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this, it is shown what would be done, and nothing is changed.")
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete files that a project has at a provider, there and in the catalog, also where it may use the virtual key no longer.

    Never while a job uses them. Shows what would be done, and does it with --yes; the exit code tells of files that are there still. A
    server may be running.
    """
    if every == bool(file_ids):
        raise CommandFailed(ExitCode.USAGE, "Name files by their ids, or take --all of them.")
    wanted = _Wanted(project, virtual_key, tuple(file_ids or ()), forget, yes)
    worst = asyncio.run(_run(runtime_of(context), settings_for(config, data_dir), wanted, as_json=as_json))
    if worst is not ExitCode.OK:
        raise typer.Exit(worst)


async def _run(runtime: Runtime, settings: Settings, wanted: _Wanted, *, as_json: bool) -> ExitCode:
    worst, count, done = ExitCode.OK, 0, 0
    report = JsonArray(f'{{"done": {str(wanted.yes).lower()}, "files": ', "}") if as_json else nullcontext()
    listing = None if as_json else Listing(tuple(_COLUMNS), tuple(_COLUMNS.values()))
    async with _opened(runtime, settings, wanted) as removal:
        with report:
            async for planned in removal.named(wanted.ids) if wanted.ids else removal.every():
                removed = await removal.remove(planned) if wanted.yes else planned
                worst = max(worst, _CODES.get(removed.verdict, ExitCode.OK))
                count, done = count + 1, done + (removed.verdict in {"delete", "forget"})
                row = _described(removed)
                if isinstance(report, JsonArray):
                    report.add(row)
                if listing is not None:
                    listing.row(["" if value is None else str(value) for value in row.values()])
    if not as_json:
        verb = "forgotten" if wanted.forget else "deleted"
        print_line(f"{count} files: " + (f"{done} {verb}" if wanted.yes else f"nothing was changed; with --yes, {done} are {verb}"))
    return worst


def _described(removed: Removed) -> dict[str, Any]:
    file = removed.file
    about = {"bytes": file and file.bytes, "purpose": file and file.purpose, "filename": file and file.filename}
    return {"verdict": removed.verdict.value, "id": removed.file_id, **about, "why": removed.why}


@asynccontextmanager
async def _opened(runtime: Runtime, settings: Settings, wanted: _Wanted) -> AsyncIterator[Removal]:
    from fileplane.control.removal import Removal

    async with opened_credentials(runtime, settings) as (credentials, metadata):
        names = await read_names(metadata)
        project, key = names.the_project(wanted.project), names.the_key(wanted.virtual_key)
        if wanted.forget:
            yield Removal(metadata, settings, None, project, key)
            return
        async with opened_routes(credentials, settings) as routes:
            yield Removal(metadata, settings, await routes.of_virtual_key(project.id, key.id), project, key)
