"""What projects use, and what is left of their limits."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

from starlette.types import ASGIApp

from fileplane.access import Principal, Project
from fileplane.clock import Clock
from fileplane.errors import InvalidValue, RecordNotFound
from fileplane.http.call import Call
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.responses import json_response
from fileplane.http.usage_schemas import UsagePage, project_usage
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import UnknownProject
from fileplane.settings import Settings

_LARGEST_PAGE: Final = 100
_MOST_DAYS: Final = 400
_DEFAULT_DAYS: Final = 30
_TEXT: Final = {"type": "string"}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DAY: Final = {"type": "string", "format": "date", "examples": ["2026-01-31"]}
_EPOCH: Final = date(1970, 1, 1)


def usage_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of the usage."""
    return (
        Parameter("project_id", "Only this project, by its id or slug.", _TEXT),
        Parameter("workspace_id", "The same, in Portkey's word.", _TEXT),
        Parameter("start_day", f"The first day (UTC) to show; at most {_MOST_DAYS} are shown. {_DEFAULT_DAYS} days without it.", _DAY),
        Parameter("end_day", "The last day to show. Without it, today.", _DAY),
        Parameter("current_page", "The page, from 0.", {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0}),
        Parameter(
            "page_size", "Projects in one page.", {"type": "integer", "minimum": 1, "maximum": _LARGEST_PAGE, "default": _LARGEST_PAGE}
        ),
    )


async def usage(call: Call) -> ASGIApp:
    """GET /v1/usage. A project's key sees its own project, an organisation's key any."""
    services, caller = call.services, call.principal
    parameters = usage_parameters(services.settings)
    declared = {parameter.name: parameter for parameter in parameters}
    everything = parse_query(call.request.scope["query_string"], parameters, "Usage")
    # An empty text asks for nothing; of anything else it is no value.
    given = {name: value for name, value in everything.items() if value or declared[name].schema is not _TEXT}
    size = declared["page_size"].whole(given.get("page_size", str(_LARGEST_PAGE)))
    offset = declared["current_page"].whole(given.get("current_page", "0")) * size
    first, last = _days(given, call.services.metadata.clock)
    projects = await _projects(services.metadata, caller, given)
    data = []
    for project in projects[offset : offset + size]:
        key_id = caller.key_id if project.id == caller.project_id else None
        report = await services.metadata.usage_report(project.id, first, last, key_id)
        data.append(project_usage(report, project, caller, services.settings))
    return json_response(UsagePage(data=data, has_more=len(projects) > offset + size, total=len(projects)))


async def _projects(metadata: MetadataStore, caller: Principal, given: dict[str, str]) -> list[Project]:
    """Those that are asked for. A project of others is told from one that does not exist by nothing."""
    name = "workspace_id" if "workspace_id" in given else "project_id"
    wanted = given.get(name)
    if given.get("project_id", wanted) != wanted:
        raise InvalidValue("'project_id' and 'workspace_id' name two projects. Give one of them.", param="workspace_id")
    if wanted is None and caller.organisation:
        return await metadata.list_projects()
    try:
        if caller.organisation and wanted is not None:
            return [await metadata.find_project(wanted)]
        own = await metadata.find_project(caller.project_id)
    except UnknownProject as error:
        raise RecordNotFound("project", wanted or caller.project_id, param=name) from error
    if wanted is not None and wanted not in {own.id, own.slug}:
        raise RecordNotFound("project", wanted, param=name)
    return [own]


def _days(given: dict[str, str], clock: Clock) -> tuple[int, int]:
    """The first and last day to show, since the epoch. Raises :class:`~fileplane.errors.InvalidValue`."""
    today = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()
    last = _day("end_day", given) or today
    first = _day("start_day", given)
    last_number = (last - _EPOCH).days
    first_number = last_number - _DEFAULT_DAYS + 1 if first is None else (first - _EPOCH).days
    if last_number < first_number:
        raise InvalidValue("'start_day' is after 'end_day'. Give the earlier day first.", param="start_day")
    if last_number - first_number >= _MOST_DAYS:
        raise InvalidValue(f"At most {_MOST_DAYS} days can be shown at once. Ask for fewer.", param="start_day")
    return first_number, last_number


def _day(name: str, given: dict[str, str]) -> date | None:
    if name not in given:
        return None
    invalid = InvalidValue(f"Invalid '{name}': expected a day such as 2026-01-31.", param=name)
    if not _DATE.fullmatch(given[name]):
        raise invalid
    try:
        return date.fromisoformat(given[name])
    except ValueError as error:
        raise invalid from error
