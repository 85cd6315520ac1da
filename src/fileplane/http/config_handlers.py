"""/v1/configs: saved configs and their versions."""

from __future__ import annotations

from starlette.types import ASGIApp

from fileplane.http.call import Call
from fileplane.http.control_lists import read_query, workspace_parameter
from fileplane.http.control_requests import ConfigChange, ConfigRequest, given
from fileplane.http.control_schemas import Nothing, config_list, config_object, config_saved, config_versions
from fileplane.http.json_body import read_json
from fileplane.http.responses import json_response


async def create_config(call: Call) -> ASGIApp:
    """POST /v1/configs."""
    body = await read_json(call.request, ConfigRequest, call.services.settings)
    return json_response(config_saved(await call.services.configs.create(call.principal, given(body), call.origin)))


async def list_configs(call: Call) -> ASGIApp:
    """GET /v1/configs. All of them: there is no paging."""
    query = read_query(call, workspace_parameter(call.services.settings))
    return json_response(config_list(await call.services.configs.list(call.principal, query.workspace)))


async def retrieve_config(call: Call) -> ASGIApp:
    """GET /v1/configs/{slug}."""
    found = await call.services.configs.get(call.principal, _slug(call))
    return json_response(config_object(found, await call.services.configs.document(found)))


async def update_config(call: Call) -> ASGIApp:
    """PUT /v1/configs/{slug}."""
    await call.services.configs.get(call.principal, _slug(call))
    body = await read_json(call.request, ConfigChange, call.services.settings)
    after = await call.services.configs.update(call.principal, _slug(call), given(body), call.origin)
    return json_response(config_saved(after))


async def delete_config(call: Call) -> ASGIApp:
    """DELETE /v1/configs/{slug}."""
    await call.services.configs.delete(call.principal, _slug(call), call.origin)
    return json_response(Nothing())


async def list_config_versions(call: Call) -> ASGIApp:
    """GET /v1/configs/{slug}/versions."""
    found, versions = await call.services.configs.versions(call.principal, _slug(call))
    return json_response(config_versions(found, versions))


def _slug(call: Call) -> str:
    return call.path_text("config_slug")
