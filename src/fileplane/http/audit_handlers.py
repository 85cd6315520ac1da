"""The audit log, with Portkey's parameters and records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.types import ASGIApp

from fileplane.access import ORGANISATION_ID, Principal
from fileplane.errors import InvalidValue
from fileplane.http.call import Call
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.responses import json_response
from fileplane.http.schemas import AuditLogs, audit_record
from fileplane.ids import parse_file_id
from fileplane.model import AuditPage, AuditQuery
from fileplane.settings import Settings

_SUCCESS: Final = 200
_LARGEST_PAGE: Final = 100
_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "minLength": 1, "examples": ["2026-01-31T00:00:00Z"]}  # a date alone will do
_PLAIN_FILTERS: Final = {
    "method": "method",
    "uri": "path",
    "request_id": "request_id",
    "user_id": "key_id",
    "resource_type": "resource_type",
    "resource_id": "resource_id",
    "action": "action",
    "client_ip": "client",
}
_EMPTY: Final = AuditPage((), 0)


def audit_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of the audit log."""
    return (
        Parameter("start_time", "Only changes at or after this time (ISO 8601).", _TIME),
        Parameter("end_time", "Only changes at or before this time (ISO 8601).", _TIME),
        Parameter("organisation_id", f"The organisation, which is always `{ORGANISATION_ID}`.", _TEXT),
        Parameter("workspace_id", "Only changes in this project, by its id.", _TEXT),
        Parameter("method", "Only changes by this HTTP method.", {"type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"]}),
        Parameter("uri", "Only changes by a call of this path.", _TEXT),
        Parameter("request_id", "Only the changes of one request.", _TEXT),
        Parameter("user_id", "Only changes by this API key, by its id.", _TEXT),
        Parameter("user_type", "Who made the change. Here it is always an API key.", {"type": "string", "enum": ["user", "api_key"]}),
        Parameter(
            "response_status_code",
            "Of the change, not of the whole call: only changes that happened are recorded, so always 200.",
            {"type": "integer", "minimum": 100, "maximum": 599},
        ),
        Parameter("resource_type", "Only changes of this kind of thing, such as `files`.", _TEXT),
        Parameter("resource_id", "Only changes of this thing, by its id.", _TEXT),
        Parameter("action", "Only this action, such as `delete`.", _TEXT),
        Parameter("client_ip", "Only changes from this address.", _TEXT),
        Parameter("country", "Only changes from this country. No country is known here.", _TEXT),
        Parameter("current_page", "The page, from 0.", {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0}),
        Parameter(
            "page_size", "Records in one page.", {"type": "integer", "minimum": 1, "maximum": _LARGEST_PAGE, "default": _LARGEST_PAGE}
        ),
    )


async def audit_logs(call: Call) -> ASGIApp:
    """GET /v1/audit-logs. A project's key sees its own project's changes, an organisation's key those of all."""
    query = _query(call.request.scope["query_string"], audit_parameters(call.services.settings), call.principal)
    page = _EMPTY if query is None else await call.services.metadata.list_audit(query)
    return json_response(AuditLogs(records=[audit_record(entry) for entry in page.entries], total=page.total))


def _query(query_string: bytes, parameters: tuple[Parameter, ...], principal: Principal) -> AuditQuery | None:
    """The page that is asked for; None when the filters can admit nothing. Raises an InvalidRequest that names the parameter."""
    declared = {parameter.name: parameter for parameter in parameters}
    everything = parse_query(query_string, parameters, "The audit log")
    # An empty text filters nothing; of anything else it is no value.
    given = {name: value for name, value in everything.items() if value or declared[name].schema is not _TEXT}
    size = declared["page_size"].whole(given.get("page_size", str(_LARGEST_PAGE)))
    page = declared["current_page"].whole(given.get("current_page", "0"))
    for name in ("method", "user_type"):
        if name in given:
            declared[name].choice(given[name])
    since, until = _time("start_time", given), _time("end_time", given)
    status = declared["response_status_code"].whole(given.get("response_status_code", str(_SUCCESS)))
    project_id = given.get("workspace_id") if principal.organisation else principal.project_id
    if (
        "country" in given
        or status != _SUCCESS
        or given.get("user_type") == "user"
        or given.get("organisation_id", ORGANISATION_ID) != ORGANISATION_ID
        or (not principal.organisation and given.get("workspace_id", project_id) != project_id)
    ):
        return None
    if "resource_id" in given:
        given["resource_id"] = parse_file_id(given["resource_id"]) or given["resource_id"]
    return AuditQuery(
        limit=size,
        offset=page * size,
        since=since,
        until=until,
        project_id=project_id,
        **{ours: given[theirs] for theirs, ours in _PLAIN_FILTERS.items() if theirs in given},
    )


def _time(name: str, given: dict[str, str]) -> int | None:
    if name not in given:
        return None
    try:
        moment = datetime.fromisoformat(given[name])
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"Invalid '{name}': expected a time such as 2026-01-31T00:00:00Z.", param=name) from error
