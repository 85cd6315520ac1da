"""Projects, which Portkey calls workspaces."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UnsetType
from starlette.types import ASGIApp

from fileplane.access import Project
from fileplane.control.projects import ProjectChanges
from fileplane.errors import InvalidValue
from fileplane.http.access_schemas import (
    WorkspaceCreation,
    WorkspaceDeletion,
    WorkspaceList,
    WorkspaceRemoval,
    WorkspaceUpdate,
    defaults_wanted,
    given,
    limits_wanted,
    refuse_what_is_not_kept,
    workspace_object,
)
from fileplane.http.call import Call
from fileplane.http.json_body import read_json, read_json_if_any
from fileplane.http.paging import PAGING, page_of
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.responses import json_response
from fileplane.settings import Settings

_STATUSES: Final = ("active", "archived")
_OTHER_SPELLINGS: Final = {"pageSize": "page_size", "currentPage": "current_page"}
_TEXT: Final = {"type": "string"}


def workspace_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of a list of projects."""
    sizes: dict[str, Any] = {parameter.name: parameter.schema for parameter in PAGING}
    return (
        *PAGING,
        *(Parameter(ours, f"Another spelling of `{theirs}`.", sizes[theirs]) for ours, theirs in _OTHER_SPELLINGS.items()),
        Parameter("name", "Only projects with this in their name, in the same case.", _TEXT),
        Parameter("exact_name", "Only projects of exactly this name.", _TEXT),
        Parameter("status", "Comma-separated: `active`, `archived`. No project is archived here.", _TEXT),
    )


async def create_workspace(call: Call) -> ASGIApp:
    """POST /v1/admin/workspaces."""
    wanted = await read_json(call.request, WorkspaceCreation, call.services.settings)
    refuse_what_is_not_kept(wanted)
    changes = ProjectChanges(given(wanted.name), given(wanted.description), limits_wanted(wanted), defaults_wanted(wanted))
    made = await call.services.projects.create(call.principal, wanted.name, wanted.slug, changes, call.origin)
    return json_response(workspace_object(made))


async def list_workspaces(call: Call) -> ASGIApp:
    """GET /v1/admin/workspaces."""
    parameters = workspace_parameters(call.services.settings)
    given = parse_query(call.request.scope["query_string"], parameters, "A list of workspaces")
    for other, name in _OTHER_SPELLINGS.items():
        if other in given:
            if name in given:
                raise InvalidValue(f"'{other}' and '{name}' are the same. Send one of them.", param=other)
            given[name] = given.pop(other)
    found = [project for project in await call.services.projects.every(call.principal) if _admitted(project, given)]
    data = [workspace_object(project) for project in page_of(found, given)]
    return json_response(WorkspaceList(total=len(found), data=data))


def _admitted(project: Project, given: dict[str, str]) -> bool:
    wanted = given.get("status", "").split(",") if given.get("status") else _STATUSES
    if unknown := [status for status in wanted if status not in _STATUSES]:
        raise InvalidValue(f"Invalid 'status': '{unknown[0][:80]}' is none of {', '.join(_STATUSES)}.", param="status")
    exact = given.get("exact_name") or project.name
    return "active" in wanted and given.get("name", "") in project.name and exact == project.name


async def retrieve_workspace(call: Call) -> ASGIApp:
    """GET /v1/admin/workspaces/{workspace_id}."""
    return json_response(workspace_object(await call.services.projects.get(call.principal, call.path_text("workspace_id"))))


async def update_workspace(call: Call) -> ASGIApp:
    """PUT /v1/admin/workspaces/{workspace_id}."""
    named = call.path_text("workspace_id")
    wanted = await read_json(call.request, WorkspaceUpdate, call.services.settings)
    await _refuse_another(call, wanted.workspace_id, named, "workspace_id")
    refuse_what_is_not_kept(wanted)
    changes = ProjectChanges(given(wanted.name), given(wanted.description), limits_wanted(wanted), defaults_wanted(wanted))
    return json_response(workspace_object(await call.services.projects.update(call.principal, named, changes, call.origin)))


async def delete_workspace(call: Call) -> ASGIApp:
    """DELETE /v1/admin/workspaces/{workspace_id}."""
    named = call.path_text("workspace_id")
    wanted = await read_json_if_any(call.request, WorkspaceRemoval, call.services.settings)
    await _refuse_another(call, wanted.workspace_id, named, "workspace_id")
    await _refuse_another(call, wanted.workspace_id_of_node, named, "workspaceId")
    removed = await call.services.projects.delete(call.principal, named, wanted.name, call.origin, force=bool(wanted.force_delete))
    return json_response(WorkspaceDeletion(id=removed.id))


async def _refuse_another(call: Call, sent: str | UnsetType | None, named: str, param: str) -> None:
    """The SDKs send the id in the body too: by id or by slug, it has to be the same."""
    if isinstance(sent, UnsetType) or sent is None or sent == named:
        return
    project = await call.services.projects.visible(call.principal, named)
    if sent not in (project.id, project.slug):
        raise InvalidValue(f"'{param}' in the body names another workspace than the path.", param=param)
