"""/v1/integrations: virtual keys with a credential of their own, and which projects may use them."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.types import ASGIApp

from fileplane.control.virtual_keys import View
from fileplane.control.wishes import Wishes, integration_wishes, refuse_what_is_not_done
from fileplane.credentials import VirtualKey
from fileplane.errors import InvalidValue
from fileplane.http.call import Call
from fileplane.http.control_lists import integration_parameters, read_query
from fileplane.http.control_requests import IntegrationChange, IntegrationRequest, WorkspacesChange, given
from fileplane.http.control_schemas import (
    IntegrationList,
    IntegrationObject,
    Nothing,
    integration_object,
    integration_workspaces,
    record_saved,
)
from fileplane.http.json_body import read_json
from fileplane.http.responses import json_response

INTEGRATION: Final = "integration"
_DEFAULT_PROVIDER: Final = "create_default_provider"
_LIMITS: Final = ("usage_limits", "rate_limits", "reset_usage", "default_provider_slug")


async def create_integration(call: Call) -> ASGIApp:
    """POST /v1/integrations."""
    wishes = _wishes(await read_json(call.request, IntegrationRequest, call.services.settings))
    made = await call.services.virtual_keys.create(call.principal, wishes, call.origin, View.INTEGRATION)
    return json_response(record_saved(made, INTEGRATION))


async def list_integrations(call: Call) -> ASGIApp:
    """GET /v1/integrations."""
    query = read_query(call, integration_parameters(call.services.settings))
    found = await call.services.virtual_keys.list(call.principal, View.INTEGRATION, query.workspace)
    wanted = [key for key in found if query.kind == "all" or (len(key.project_ids) == 1) == (query.kind == "workspace")]
    return json_response(IntegrationList(total=len(wanted), data=[_integration(call, key) for key in query.page_of(wanted)]))


async def retrieve_integration(call: Call) -> ASGIApp:
    """GET /v1/integrations/{slug}."""
    return json_response(_integration(call, await call.services.virtual_keys.get(call.principal, _slug(call), View.INTEGRATION)))


async def update_integration(call: Call) -> ASGIApp:
    """PUT /v1/integrations/{slug}."""
    await call.services.virtual_keys.get(call.principal, _slug(call), View.INTEGRATION)
    wishes = _wishes(await read_json(call.request, IntegrationChange, call.services.settings))
    after = await call.services.virtual_keys.update(call.principal, _slug(call), wishes, call.origin, View.INTEGRATION)
    return json_response(record_saved(after, INTEGRATION))


async def delete_integration(call: Call) -> ASGIApp:
    """DELETE /v1/integrations/{slug}."""
    await call.services.virtual_keys.delete(call.principal, _slug(call), call.origin, View.INTEGRATION)
    return json_response(Nothing())


async def list_integration_workspaces(call: Call) -> ASGIApp:
    """GET /v1/integrations/{slug}/workspaces."""
    found = await call.services.virtual_keys.get(call.principal, _slug(call), View.INTEGRATION)
    return json_response(integration_workspaces(found, call.principal))


async def update_integration_workspaces(call: Call) -> ASGIApp:
    """PUT /v1/integrations/{slug}/workspaces."""
    await call.services.virtual_keys.get(call.principal, _slug(call), View.INTEGRATION)
    body = await read_json(call.request, WorkspacesChange, call.services.settings)
    allowed, params = _allowed(body)
    await call.services.virtual_keys.allow_projects(call.principal, _slug(call), allowed, call.origin, params)
    return json_response(Nothing())


def _slug(call: Call) -> str:
    return call.path_text("integration_slug")


def _wishes(body: msgspec.Struct) -> Wishes:
    values = given(body)
    _require_default_provider(values.pop(_DEFAULT_PROVIDER, None), _DEFAULT_PROVIDER)
    return integration_wishes(values)


def _require_default_provider(wanted: object, param: str) -> None:
    if wanted is False:
        raise InvalidValue(f"A project that may use an integration has it as a provider at once: '{param}' can only be true.", param=param)


def _allowed(body: WorkspacesChange) -> tuple[dict[str, bool], dict[str, str]]:
    """Which projects are to be let in or not, and what each is called in errors."""
    if body.global_workspace_access is not None and body.global_workspace_access.get("enabled") is not False:
        raise InvalidValue(
            "Which projects may use an integration is said one by one: 'global_workspace_access.enabled' can only be false.",
            param="global_workspace_access.enabled",
        )
    for name in ("override_existing_workspace_access", "override_existing_workspaces_access"):
        if getattr(body, name):
            raise InvalidValue(f"'{name}' belongs to global access, which there is none of. Leave it out.", param=name)
    _require_default_provider(body.create_default_provider, _DEFAULT_PROVIDER)
    refuse_what_is_not_done({"default_provider_slug": body.default_provider_slug})
    allowed: dict[str, bool] = {}
    params: dict[str, str] = {}
    for number, one in enumerate(body.workspaces or ()):
        place = f"workspaces[{number}]."
        refuse_what_is_not_done({name: getattr(one, name) for name in _LIMITS}, _LIMITS, place)
        _require_default_provider(one.create_default_provider, f"{place}{_DEFAULT_PROVIDER}")
        if one.id in allowed:
            raise InvalidValue("A project is named twice. Name it once.", param=f"{place}id")
        allowed[one.id], params[one.id] = one.enabled, f"{place}id"
    return allowed, params


def _integration(call: Call, key: VirtualKey) -> IntegrationObject:
    return integration_object(key, call.principal, expired=call.services.virtual_keys.has_expired(key))
