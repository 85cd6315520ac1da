"""/v1/virtual-keys and /v1/providers: the same records in two views."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp

from fileplane.control.virtual_keys import View
from fileplane.control.wishes import virtual_key_wishes
from fileplane.credentials import VirtualKey
from fileplane.http.call import Call
from fileplane.http.control_lists import page_parameters, read_query, workspace_parameter
from fileplane.http.control_requests import ProviderChange, ProviderRequest, VirtualKeyChange, VirtualKeyRequest, given
from fileplane.http.control_schemas import (
    Nothing,
    ProviderList,
    ProviderObject,
    VirtualKeyList,
    VirtualKeyObject,
    provider_object,
    record_saved,
    virtual_key_object,
)
from fileplane.http.json_body import read_json
from fileplane.http.responses import json_response

VIRTUAL_KEY: Final = "virtual-key"
PROVIDER: Final = "provider"


async def create_virtual_key(call: Call) -> ASGIApp:
    """POST /v1/virtual-keys."""
    body = await read_json(call.request, VirtualKeyRequest, call.services.settings)
    made = await call.services.virtual_keys.create(call.principal, virtual_key_wishes(given(body)), call.origin)
    return json_response(record_saved(made, VIRTUAL_KEY))


async def list_virtual_keys(call: Call) -> ASGIApp:
    """GET /v1/virtual-keys."""
    query = read_query(call, page_parameters(call.services.settings))
    found = await call.services.virtual_keys.list(call.principal, project=query.workspace)
    return json_response(VirtualKeyList(total=len(found), data=[_virtual_key(call, key) for key in query.page_of(found)]))


async def retrieve_virtual_key(call: Call) -> ASGIApp:
    """GET /v1/virtual-keys/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    slug = call.path_text("virtual_key_slug")
    return json_response(_virtual_key(call, await call.services.virtual_keys.get(call.principal, slug, project=query.workspace)))


async def update_virtual_key(call: Call) -> ASGIApp:
    """PUT /v1/virtual-keys/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    slug = call.path_text("virtual_key_slug")
    # Looked for before the body is read, so that what is not there is told as ever.
    await call.services.virtual_keys.get(call.principal, slug, project=query.workspace)
    wishes = virtual_key_wishes(given(await read_json(call.request, VirtualKeyChange, call.services.settings)))
    after = await call.services.virtual_keys.update(call.principal, slug, wishes, call.origin, project=query.workspace)
    return json_response(record_saved(after, VIRTUAL_KEY))


async def delete_virtual_key(call: Call) -> ASGIApp:
    """DELETE /v1/virtual-keys/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    slug = call.path_text("virtual_key_slug")
    await call.services.virtual_keys.delete(call.principal, slug, call.origin, project=query.workspace)
    return json_response(Nothing())


async def create_provider(call: Call) -> ASGIApp:
    """POST /v1/providers."""
    body = await read_json(call.request, ProviderRequest, call.services.settings)
    made = await call.services.virtual_keys.create(call.principal, virtual_key_wishes(given(body)), call.origin, View.PROVIDER)
    return json_response(record_saved(made, PROVIDER))


async def list_providers(call: Call) -> ASGIApp:
    """GET /v1/providers."""
    query = read_query(call, page_parameters(call.services.settings))
    found = await call.services.virtual_keys.list(call.principal, View.PROVIDER, query.workspace)
    return json_response(ProviderList(total=len(found), data=[_provider(call, key) for key in query.page_of(found)]))


async def retrieve_provider(call: Call) -> ASGIApp:
    """GET /v1/providers/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    slug = call.path_text("provider_slug")
    return json_response(_provider(call, await call.services.virtual_keys.get(call.principal, slug, View.PROVIDER, query.workspace)))


async def update_provider(call: Call) -> ASGIApp:
    """PUT /v1/providers/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    slug = call.path_text("provider_slug")
    await call.services.virtual_keys.get(call.principal, slug, View.PROVIDER, query.workspace)
    wishes = virtual_key_wishes(given(await read_json(call.request, ProviderChange, call.services.settings)))
    after = await call.services.virtual_keys.update(call.principal, slug, wishes, call.origin, View.PROVIDER, query.workspace)
    return json_response(record_saved(after, PROVIDER))


async def delete_provider(call: Call) -> ASGIApp:
    """DELETE /v1/providers/{slug}."""
    query = read_query(call, workspace_parameter(call.services.settings))
    await call.services.virtual_keys.delete(call.principal, call.path_text("provider_slug"), call.origin, View.PROVIDER, query.workspace)
    return json_response(Nothing())


def _virtual_key(call: Call, key: VirtualKey) -> VirtualKeyObject:
    return virtual_key_object(key, call.principal, expired=call.services.virtual_keys.has_expired(key))


def _provider(call: Call, key: VirtualKey) -> ProviderObject:
    return provider_object(key, call.principal, expired=call.services.virtual_keys.has_expired(key))
