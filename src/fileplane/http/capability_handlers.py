"""What can be done where: at every provider, at one, or at the targets of a route."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp

from fileplane.control.routes import Route
from fileplane.errors import InvalidValue, UnsupportedProviderOperation
from fileplane.http.auth import joined_headers
from fileplane.http.call import Call
from fileplane.http.capability_schemas import CapabilityList, ProviderCapabilities, native_capabilities, provider_capabilities
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.responses import json_response
from fileplane.providers.base import Target
from fileplane.routing.headers import NATIVE_PROVIDER, PROVIDER_HEADER
from fileplane.routing.route_requests import CONFIG_HEADER, VIRTUAL_KEY_HEADER
from fileplane.settings import Settings

_ROUTING: Final = (PROVIDER_HEADER, VIRTUAL_KEY_HEADER, CONFIG_HEADER)
_AS_A_FILE_CALL: Final = "/v1/files"


def capability_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of the capabilities."""
    return (Parameter("provider", "Only this provider, by its name, whatever the headers say.", {"type": "string"}),)


async def capabilities(call: Call) -> ASGIApp:
    """GET /v1/capabilities. Nothing is asked of any provider: it is what their adapters declare, with what the operator knows better."""
    given = parse_query(call.request.scope["query_string"], capability_parameters(call.services.settings), "This")
    headers = joined_headers(call.request.scope)
    if given.get("provider"):
        return json_response(CapabilityList(data=[_of_provider(call, given["provider"])]))
    if any(name in headers for name in _ROUTING):
        routes = call.services.routes
        find = routes.find_own(headers, _AS_A_FILE_CALL) if call.caller is None else routes.find(headers, call.caller, _AS_A_FILE_CALL)
        return json_response(CapabilityList(data=_of_route(call, await find)))
    native = [] if call.caller is None else [NATIVE_PROVIDER]
    return json_response(
        CapabilityList(data=[_of_provider(call, name) for name in (*native, *sorted(call.services.routes.registry.names))])
    )


def _of_provider(call: Call, name: str) -> ProviderCapabilities:
    if name == NATIVE_PROVIDER and call.caller is not None:
        return native_capabilities(name, call.services.settings, call.caller.scopes)
    try:
        provider = call.services.routes.registry.get(name)
    except (InvalidValue, UnsupportedProviderOperation) as error:
        raise type(error)(error.message, param="provider") from error
    return provider_capabilities(name, provider.capabilities(Target(name)))


def _of_route(call: Call, route: Route) -> list[ProviderCapabilities]:
    native = [native_capabilities(NATIVE_PROVIDER, call.services.settings, call.principal.scopes)] if route.has_native else []
    targets = () if route.remote is None else route.remote.everywhere
    return native + [
        provider_capabilities(
            one.provider.name,
            one.provider.capabilities(one.target),
            target=one.path,
            catalogued=one.virtual_key_id is not None,
            keep_copy=one.keep_copy,
        )
        for one in targets
    ]
