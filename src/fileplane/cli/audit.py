"""``fileplane audit``."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption, duration
from fileplane.cli.output import Listing, print_json, shown_time
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.ids import parse_file_id
from fileplane.model import RESOURCE_TYPES, AuditEntry, AuditPage, AuditQuery
from fileplane.settings import Settings

_DEFAULT_LIMIT: Final = 100
_LARGEST_LIMIT: Final = 10_000
_COLUMNS: Final = {"TIME": 20, "ACTION": 13, "RESOURCE": 36, "PROJECT": 12, "KEY": 36, "CLIENT": 15, "REQUEST": 0}
_WHEN: Final = "A time such as 2026-01-31T00:00:00Z, or how long ago, such as 24h or 30d."


def audit(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only changes in this project.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as delete.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help=f"Only changes of this kind of thing: {', '.join(RESOURCE_TYPES)}.")] = None,
    resource: Annotated[str | None, typer.Option(metavar="ID", help="Only changes of the thing with this id.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only changes by the API key with this id.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help=f"Only changes at or after this. {_WHEN}")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only changes at or before this.")] = None,
    limit: Annotated[int, typer.Option(help="Lines to show, the newest.", min=1, max=_LARGEST_LIMIT)] = _DEFAULT_LIMIT,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the audit log, newest first: who changed what, when, from where, by which request. Separated by tabs for programs.

    What Fileplane did of its own accord, such as ending an expired file, has no key, client or request.
    """
    if kind is not None and kind not in RESOURCE_TYPES:
        raise leave(ExitCode.USAGE, f"'{kind}' is no kind of thing that changes. Kinds: {', '.join(RESOURCE_TYPES)}.")
    query = AuditQuery(
        limit=limit,
        since=_time("--since", since),
        until=_time("--until", until),
        action=action,
        resource_type=kind,
        resource_id=None if resource is None else parse_file_id(resource) or resource,
        key_id=key,
    )
    found = asyncio.run(_read(runtime_of(context), settings_for(config, data_dir), project, query))
    if found is None:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'.")
    page, names = found
    if as_json:
        print_json({"records": [_described(entry, names) for entry in page.entries], "total": page.total})
        return
    listing = Listing(tuple(_COLUMNS), tuple(_COLUMNS.values()))
    for entry in page.entries:
        origin = entry.origin
        shown = (
            shown_time(entry.created_at),
            f"{entry.resource_type}.{entry.action}",
            entry.resource_id,
            names.get(entry.project_id, entry.project_id),
        )
        listing.row([*shown, origin.key_id or "", origin.client or "", origin.request_id or ""])
    if page.total > len(page.entries):
        typer.echo(f"There are {page.total - len(page.entries)} older ones: raise --limit, or narrow with --until.", err=True)


async def _read(runtime: Runtime, settings: Settings, project: str | None, query: AuditQuery) -> tuple[AuditPage, dict[str, str]] | None:
    async with runtime.open_metadata(settings) as metadata:
        names = {entry.id: entry.name for entry in await metadata.list_projects()}
        if project is None:
            return await metadata.list_audit(query), names
        project_id = next((found for found, name in names.items() if name == project), None)
        if project_id is None:
            return None
        return await metadata.list_audit(replace(query, project_id=project_id)), names


def _described(entry: AuditEntry, names: dict[str, str]) -> dict[str, Any]:
    return {
        "position": entry.position,
        "created_at": entry.created_at,
        "action": entry.action,
        "resource_type": entry.resource_type,
        "resource_id": entry.resource_id,
        "project_id": entry.project_id,
        "project": names.get(entry.project_id),
        **asdict(entry.origin),
    }


def _time(option: str, text: str | None) -> int | None:
    """Seconds since the epoch. Exits with a usage message for what is neither a time nor a duration."""
    if text is None:
        return None
    if text[-1:].isalpha() and text[-1] != "Z":
        return int(time.time()) - duration(text)
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise leave(
            ExitCode.USAGE, f"'{text}' is no value of {option}: use a time such as 2026-01-31T00:00:00Z, or how long ago."
        ) from error
