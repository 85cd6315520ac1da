"""``fileplane config create|list|show|versions|update|delete``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fileplane.access import DEFAULT_PROJECT
from fileplane.cli.credentials import opened_credentials, project_slugs
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line, print_table, shown_time
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.cli.secret_input import read_input
from fileplane.model import Origin
from fileplane.saved_configs import SavedConfig
from fileplane.settings import Settings

_LARGEST: Final = 64 * 1024

saved_config = typer.Typer(help="Save routing configs for projects, on the machine that has the data directory.", no_args_is_help=True)

_Slug = Annotated[str, typer.Argument(help="The config's slug, as `fileplane config list` shows it.")]
_DOCUMENT_HELP: Final = "File with the document in JSON; - for standard input."


@saved_config.command("create")
def create_config(  # noqa: PLR0913, PLR0917 - the options of the command
    context: typer.Context,
    document: Annotated[str, typer.Argument(help=_DOCUMENT_HELP)],
    name: Annotated[str, typer.Option(help="What people call it.")],
    project: Annotated[str, typer.Option(help="Project that it belongs to, by slug or id.")] = DEFAULT_PROJECT,
    slug: Annotated[str | None, typer.Option(help="Slug to address it by, beginning with pc-. Without it one is made.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Let the project's requests go by it that name no other route.")] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a config after checking it and what it refers to."""
    given = {"name": name, "slug": slug, "workspace_id": project, "config": _read(document), "is_default": 1 if default else None}

    async def create(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            return described(await credentials.configs.create(OPERATOR, given, Origin()), await project_slugs(metadata))

    made = asyncio.run(create(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(made)
    else:
        print_line(made["slug"])


@saved_config.command("list")
def list_configs(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only the configs of this project.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List saved configs, oldest first."""

    async def read(runtime: Runtime, settings: Settings) -> list[dict[str, Any]]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            slugs = await project_slugs(metadata)
            return [described(one, slugs) for one in await credentials.configs.list(OPERATOR, project)]

    found = asyncio.run(read(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(found)
        return
    rows = [[one["slug"], one["name"], one["project"], str(one["version"]), "default" if one["is_default"] else ""] for one in found]
    print_table(["slug", "name", "project", "version", "default"], rows)


@saved_config.command("show")
def show_config(
    context: typer.Context, slug: _Slug, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show a config's document, without its secrets; with --json, what is known of the config too."""

    async def read(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            found = await credentials.configs.get(OPERATOR, slug)
            return described(found, await project_slugs(metadata)) | {"document": await credentials.configs.document(found)}

    found = asyncio.run(read(runtime_of(context), settings_for(config, data_dir)))
    typer.echo(json.dumps(found) if as_json else json.dumps(found["document"], indent=2))


@saved_config.command("versions")
def list_config_versions(
    context: typer.Context, slug: _Slug, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List every document that a config has had, newest first, without their secrets."""

    async def read(runtime: Runtime, settings: Settings) -> list[dict[str, Any]]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, _):
            _, versions = await credentials.configs.versions(OPERATOR, slug)
            return [
                {"version": one.number, "id": one.id, "created_at": one.created_at, "created_by": one.created_by, "document": one.document}
                for one in versions
            ]

    found = asyncio.run(read(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(found)
        return
    print_table(
        ["version", "id", "saved", "document"],
        [[str(one["version"]), one["id"], shown_time(one["created_at"]), json.dumps(one["document"])] for one in found],
    )


@saved_config.command("update")
def update_config(
    context: typer.Context,
    slug: _Slug,
    document: Annotated[str | None, typer.Argument(help=f"{_DOCUMENT_HELP} Without it the document stays.")] = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    default: Annotated[bool | None, typer.Option(help="Whether the project's requests go by it that name no other route.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rename a config, or put another document in force; running servers use it within 5 seconds."""
    given = {
        "name": name,
        "config": None if document is None else _read(document),
        "is_default": None if default is None else int(default),
    }

    async def change(runtime: Runtime, settings: Settings) -> dict[str, Any]:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, metadata):
            return described(await credentials.configs.update(OPERATOR, slug, given, Origin()), await project_slugs(metadata))

    after = asyncio.run(change(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json(after)
    else:
        print_line(f"changed {slug}, version {after['version']}")


@saved_config.command("delete")
def delete_config(
    context: typer.Context, slug: _Slug, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Remove a config and all its versions for good, unless something uses it."""

    async def remove(runtime: Runtime, settings: Settings) -> None:
        from fileplane.control.authority import OPERATOR

        async with opened_credentials(runtime, settings) as (credentials, _):
            await credentials.configs.delete(OPERATOR, slug, Origin())

    asyncio.run(remove(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        print_json({"slug": slug, "deleted": True})
    else:
        print_line(f"deleted {slug}")


def described(config: SavedConfig, slugs: Mapping[str, str]) -> dict[str, Any]:
    """A config as the JSON output shows it. Times are seconds since the epoch."""
    return {
        "id": config.id,
        "slug": config.slug,
        "name": config.name,
        "project": slugs.get(config.project_id, config.project_id),
        "version": config.number,
        "version_id": config.version_id,
        "is_default": config.is_default,
        "created_at": config.created_at,
        "updated_at": config.updated_at,
    }


def _read(document: str) -> bytes:
    try:
        if document == "-":
            return read_input(_LARGEST + 1)
        with Path(document).open("rb") as file:
            return file.read(_LARGEST + 1)
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{document} cannot be read: {error.strerror}.") from error
