"""``fileplane key create|list|revoke``."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

import typer

from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption, duration
from fileplane.cli.output import print_json, print_table
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.ids import hash_api_key, new_api_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import ALL_SCOPES, DEFAULT_PROJECT_NAME, ApiKey, NewApiKey
from fileplane.settings import Settings

_LONGEST_NAME: Final = 100

key = typer.Typer(help="Make, list and revoke API keys, on the machine that has the data directory.", no_args_is_help=True)


@key.command("create")
def create_key(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    project: Annotated[str, typer.Option(help="Project that the key belongs to.")] = DEFAULT_PROJECT_NAME,
    scope: Annotated[list[str] | None, typer.Option(help="What the key may do; repeat for several. Without it: everything.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d, 12h, 45m. Without it the key does not expire.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and show it, this once."""
    scopes = frozenset(scope or ALL_SCOPES)
    if unknown := sorted(scopes - ALL_SCOPES):
        raise leave(ExitCode.USAGE, f"Unknown scope '{unknown[0]}'. Scopes: {', '.join(sorted(ALL_SCOPES))}.")
    if not 0 < len(name) <= _LONGEST_NAME:
        raise leave(ExitCode.USAGE, f"A key's name has 1 to {_LONGEST_NAME} characters.")
    expires_at = None if expires_in is None else int(time.time()) + duration(expires_in)
    plain = new_api_key()
    made = asyncio.run(_create(runtime_of(context), settings_for(config, data_dir), project, name, scopes, plain, expires_at))
    if made is None:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'. Make it with: fileplane project create {project}")
    if as_json:
        print_json({**describe(made), "key": plain})
        return
    typer.echo(plain)
    typer.echo(f"This is shown once. Revoke it with: fileplane key revoke {made.id}", err=True)


async def _create(
    runtime: Runtime, settings: Settings, project: str, name: str, scopes: frozenset[str], plain: str, expires_at: int | None
) -> ApiKey | None:
    async with runtime.open_metadata(settings) as metadata:
        project_id = await _project_id(metadata, project)
        if project_id is None:
            return None
        return await metadata.create_api_key(NewApiKey(project_id, name, hash_api_key(plain), plain[-4:], scopes, expires_at=expires_at))


async def _project_id(metadata: MetadataStore, name: str) -> str | None:
    return next((entry.id for entry in await metadata.list_projects() if entry.name == name), None)


@key.command("list")
def list_keys(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only the keys of this project.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List API keys, oldest first; of the keys themselves only the last four characters are known."""
    keys = asyncio.run(_list(runtime_of(context), settings_for(config, data_dir), project))
    if keys is None:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'.")
    if as_json:
        print_json([describe(entry) for entry in keys])
        return
    rows = [[entry.id, entry.project_name, entry.name, f"…{entry.hint}", " ".join(sorted(entry.scopes)), state_of(entry)] for entry in keys]
    print_table(["id", "project", "name", "key", "scopes", "state"], rows)


async def _list(runtime: Runtime, settings: Settings, project: str | None) -> list[ApiKey] | None:
    async with runtime.open_metadata(settings) as metadata:
        if project is None:
            return await metadata.list_api_keys()
        project_id = await _project_id(metadata, project)
        return None if project_id is None else await metadata.list_api_keys(project_id)


@key.command("revoke")
def revoke_key(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id, as `fileplane key list` shows it.")],
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Revoke an API key. Running servers stop accepting it within 5 seconds."""
    known = asyncio.run(_revoke(runtime_of(context), settings_for(config, data_dir), key_id))
    if not known:
        raise leave(ExitCode.NOT_FOUND, f"There is no API key with the id '{key_id}'. See: fileplane key list")
    typer.echo(f"revoked {key_id}")


async def _revoke(runtime: Runtime, settings: Settings, key_id: str) -> bool:
    async with runtime.open_metadata(settings) as metadata:
        return await metadata.revoke_api_key(key_id)


def describe(entry: ApiKey) -> dict[str, Any]:
    """An API key as the JSON output shows it."""
    return {
        "id": entry.id,
        "project": entry.project_name,
        "name": entry.name,
        "hint": entry.hint,
        "scopes": sorted(entry.scopes),
        "organisation": entry.organisation,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "revoked_at": entry.revoked_at,
        "state": state_of(entry),
    }


def state_of(entry: ApiKey) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if entry.revoked_at is not None:
        return "revoked"
    return "active" if entry.works_at(int(time.time())) else "expired"
