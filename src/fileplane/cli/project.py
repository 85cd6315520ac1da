"""``fileplane project create|list``."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict
from typing import Annotated, Final

import typer

from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.metadata.base import NameTaken
from fileplane.model import Project
from fileplane.settings import Settings, load_settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

project = typer.Typer(help="Make and list projects, on the machine that has the data directory.", no_args_is_help=True)


def settings_for(config: ConfigOption, data_dir: DataDirOption) -> Settings:
    """The settings of an administrative command."""
    return load_settings(config=config, options={"data_dir": str(data_dir) if data_dir else None}).settings


@project.command("create")
def create_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _; at most 63.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project. Its files are seen by its own keys alone."""
    if not _NAME.fullmatch(name):
        raise leave(ExitCode.USAGE, f"'{name}' is no project name: use lower-case letters, digits, - and _, at most 63.")
    made = asyncio.run(_create(runtime_of(context), settings_for(config, data_dir), name))
    if made is None:
        raise leave(ExitCode.REFUSED, f"There is a project '{name}' already.")
    typer.echo(json.dumps(asdict(made)) if as_json else f"{made.id}  {made.name}")


async def _create(runtime: Runtime, settings: Settings, name: str) -> Project | None:
    async with runtime.open_metadata(settings) as metadata:
        try:
            return await metadata.create_project(name)
        except NameTaken:
            return None


@project.command("list")
def list_projects(context: typer.Context, data_dir: DataDirOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the projects, oldest first."""
    projects = asyncio.run(_list(runtime_of(context), settings_for(config, data_dir)))
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in projects]))
        return
    for entry in projects:
        typer.echo(f"{entry.id}  {entry.name}")


async def _list(runtime: Runtime, settings: Settings) -> list[Project]:
    async with runtime.open_metadata(settings) as metadata:
        return await metadata.list_projects()
