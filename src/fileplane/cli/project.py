"""``fileplane project create|list|show|update|delete``."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from fileplane.access import Project
from fileplane.cli import administration
from fileplane.cli.access_options import (
    ConcurrencyOption,
    DefaultConfigOption,
    DescriptionOption,
    FileSizeOption,
    FilesOption,
    MetadataOption,
    OverrideOption,
    RequestsOption,
    StorageOption,
    UploadOption,
    defaults_given,
    limits_given,
)
from fileplane.cli.administration import with_metadata
from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line, shown_time
from fileplane.control.authority import OPERATOR
from fileplane.control.projects import ProjectChanges, Projects
from fileplane.errors import RecordNotFound, SlugTaken
from fileplane.metadata.base import MetadataStore
from fileplane.model import Origin
from fileplane.unset import UNSET

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST_DISPLAY_NAME: Final = 100

ProjectArgument = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name, as `fileplane project list` shows it, or id.")]
DisplayNameOption = Annotated[str | None, typer.Option("--display-name", help="What the API shows as its name, in any script.")]

settings_for = administration.settings_for
"""Where the other administrative commands find it."""

project = typer.Typer(help="Make, list, change and remove projects, on the machine that has the data directory.", no_args_is_help=True)


@project.command("create")
def create_project(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _; at most 63. The API calls it the slug.")],
    display_name: DisplayNameOption = None,
    description: DescriptionOption = None,
    storage: StorageOption = None,
    files: FilesOption = None,
    file_size: FileSizeOption = None,
    requests_per_minute: RequestsOption = None,
    upload_per_day: UploadOption = None,
    concurrent_uploads: ConcurrencyOption = None,
    override: OverrideOption = None,
    metadata: MetadataOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project. Its files are seen by its own keys alone."""
    if not _NAME.fullmatch(name):
        raise leave(ExitCode.USAGE, f"'{name}' is no project name: use lower-case letters, digits, - and _, at most 63.")
    shown = _checked(display_name) or name
    limits = limits_given(storage, files, file_size, requests_per_minute, upload_per_day, concurrent_uploads)
    wanted = ProjectChanges(shown, description, limits, defaults_given(None, override, metadata))

    async def create(store: MetadataStore) -> Project:
        try:
            return await Projects(store).create(OPERATOR, shown, name, wanted, Origin())
        except SlugTaken as error:
            raise leave(ExitCode.REFUSED, f"There is a project '{name}' already.") from error

    _print(with_metadata(context, config, data_dir, create), as_json)


@project.command("list")
def list_projects(context: typer.Context, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the projects, oldest first."""
    projects = with_metadata(context, config, data_dir, lambda store: Projects(store).every(OPERATOR))
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in projects]))
        return
    for entry in projects:
        print_line(f"{entry.id}  {entry.slug}")


@project.command("show")
def show_project(
    context: typer.Context,
    name: ProjectArgument,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a project with its limits and defaults."""
    found = with_metadata(context, config, data_dir, lambda store: _known(store, name))
    if as_json:
        print_json(asdict(found))
        return
    for title, value in (
        ("id", found.id),
        ("project", found.slug),
        ("name", found.name),
        ("description", found.description or "-"),
        ("created", shown_time(found.created_at)),
        ("changed", shown_time(found.updated_at)),
        *shown_bounds(found),
    ):
        print_line(f"{title}: {value}")


@project.command("update")
def update_project(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    name: ProjectArgument,
    display_name: DisplayNameOption = None,
    description: DescriptionOption = None,
    storage: StorageOption = None,
    files: FilesOption = None,
    file_size: FileSizeOption = None,
    requests_per_minute: RequestsOption = None,
    upload_per_day: UploadOption = None,
    concurrent_uploads: ConcurrencyOption = None,
    default_config: DefaultConfigOption = None,
    override: OverrideOption = None,
    metadata: MetadataOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is named of a project, and leave the rest. Running servers heed it within 5 seconds."""
    changes = ProjectChanges(
        _checked(display_name) or UNSET,
        UNSET if description is None else description or None,
        limits_given(storage, files, file_size, requests_per_minute, upload_per_day, concurrent_uploads),
        defaults_given(default_config, override, metadata),
    )

    async def update(store: MetadataStore) -> Project:
        found = await _known(store, name)
        return await Projects(store).update(OPERATOR, found.id, changes, Origin())

    _print(with_metadata(context, config, data_dir, update), as_json)


@project.command("delete")
def delete_project(
    context: typer.Context,
    name: ProjectArgument,
    force: Annotated[bool, typer.Option("--force", help="Revoke its API keys and remove its configs too; its files never.")] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove a project that has no files, and without --force no API keys, configs and virtual keys either."""

    async def delete(store: MetadataStore) -> Project:
        found = await _known(store, name)
        return await Projects(store).delete(OPERATOR, found.id, None, Origin(), force=force)

    print_line(f"deleted {with_metadata(context, config, data_dir, delete).slug}")


def shown_bounds(entry: Any) -> list[tuple[str, str]]:
    """The limits and defaults of a project or an API key, for people."""
    limits = [(name.replace("_", " "), str(value)) for name, value in asdict(entry.limits).items() if value is not None]
    metadata = " ".join(f"{name}={value}" for name, value in sorted(entry.defaults.metadata.items()))
    return [
        *limits,
        ("default config", entry.defaults.config or "-"),
        ("may be overridden", "yes" if entry.defaults.allow_override else "no"),
        ("metadata", metadata or "-"),
    ]


async def _known(store: MetadataStore, name: str) -> Project:
    try:
        return await Projects(store).get(OPERATOR, name)
    except RecordNotFound as error:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{name}'.") from error


def _checked(display_name: str | None) -> str | None:
    if display_name is not None and not 0 < len(display_name) <= _LONGEST_DISPLAY_NAME:
        raise leave(ExitCode.USAGE, f"A display name has 1 to {_LONGEST_DISPLAY_NAME} characters.")
    return display_name


def _print(entry: Project, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(entry)))
    else:
        print_line(f"{entry.id}  {entry.slug}")
