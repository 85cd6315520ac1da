"""``fileplane usage``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from fileplane.access import Project
from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import Listing, print_json
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.metadata.control import UnknownProject
from fileplane.model import KeyUsage, UsageReport
from fileplane.settings import Settings

_DAY_SECONDS: Final = 86_400
_DEFAULT_DAYS: Final = 30
_MOST_DAYS: Final = 10_000


class Part(StrEnum):
    """What usage can be told apart by."""

    PURPOSE = "purpose"
    DAY = "day"
    KEY = "key"


_HEADINGS: Final = {
    None: ("PROJECT", "FILES", "STORED BYTES", "OF THEM DELETED", "QUOTA", "RECEIVED TODAY"),
    Part.PURPOSE: ("PROJECT", "PURPOSE", "FILES", "STORED BYTES", "DELETED FILES", "DELETED BYTES"),
    Part.DAY: ("PROJECT", "DAY", "UPLOADS", "RECEIVED BYTES", "STORED BYTES"),
    Part.KEY: ("PROJECT", "KEY", "FILES", "BYTES"),
}


@dataclass(frozen=True, slots=True)
class _Used:
    project: Project
    report: UsageReport
    keys: list[KeyUsage]


def usage(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only this project, by its id or slug.")] = None,
    by: Annotated[Part | None, typer.Option(help="Tell apart by purpose, by day, or by the key that uploaded.")] = None,
    days: Annotated[int, typer.Option(help="Days to show, the latest.", min=1, max=_MOST_DAYS)] = _DEFAULT_DAYS,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what projects use, from counters: live files, stored bytes, what was sent by day. Separated by tabs for programs.

    A server may be running.
    """
    settings = settings_for(config, data_dir)
    found = asyncio.run(_read(runtime_of(context), settings, project, days))
    if found is None:
        raise leave(ExitCode.NOT_FOUND, f"There is no project '{project}'.")
    if as_json:
        print_json({"projects": [_described(used) for used in found]})
        return
    headings = _HEADINGS[by]
    listing = Listing(headings, [max(12, len(heading)) for heading in headings[:-1]] + [0])
    for used in found:
        for row in _rows(used, by, settings):
            listing.row([used.project.slug, *map(str, row)])


async def _read(runtime: Runtime, settings: Settings, project: str | None, days: int) -> list[_Used] | None:
    today = int(time.time()) // _DAY_SECONDS
    async with runtime.open_metadata(settings) as metadata:
        try:
            projects = await metadata.list_projects() if project is None else [await metadata.find_project(project)]
        except UnknownProject:
            return None
        return [
            _Used(entry, await metadata.usage_report(entry.id, today - days + 1, today), await metadata.usage_by_key(entry.id))
            for entry in projects
        ]


def _rows(used: _Used, by: Part | None, settings: Settings) -> Iterator[tuple[object, ...]]:
    report = used.report
    if by is Part.PURPOSE:
        for purpose in report.by_purpose:
            yield purpose.purpose, purpose.live_files, purpose.stored_bytes, purpose.deleted_files, purpose.deleted_bytes
    elif by is Part.DAY:
        for day in report.by_day:
            yield _shown_day(day.day), day.uploads, day.received_bytes, day.stored_bytes
    elif by is Part.KEY:
        for key in used.keys:
            yield key.key_id, key.live_files, key.live_bytes
    else:
        deleted = sum(entry.deleted_bytes for entry in report.by_purpose)
        own = used.project.limits.storage_bytes
        quota = settings.project_quota_bytes if own is None else own
        yield report.project.files, report.project.bytes, deleted, quota, report.project.received_bytes


def _described(used: _Used) -> dict[str, Any]:
    report = used.report
    return {
        "project_id": used.project.id,
        "project": used.project.slug,
        "limits": asdict(used.project.limits),
        "now": asdict(report.project),
        "by_purpose": [asdict(entry) for entry in report.by_purpose],
        "by_day": [asdict(entry) | {"day": _shown_day(entry.day)} for entry in report.by_day],
        "by_key": [asdict(entry) for entry in used.keys],
    }


def _shown_day(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date().isoformat()
