"""API keys, as Portkey's control plane has them."""

from __future__ import annotations

from typing import Final

from msgspec import UnsetType
from starlette.types import ASGIApp

from fileplane.access import ORGANISATION_ID, KeyKind
from fileplane.control.api_keys import KeyChanges
from fileplane.errors import InvalidValue
from fileplane.http.access_schemas import (
    ApiKeyCreation,
    ApiKeyDeletion,
    ApiKeyList,
    ApiKeyRemoval,
    ApiKeyRotation,
    ApiKeyUpdate,
    NewApiKeyObject,
    RotatedApiKeyObject,
    api_key_object,
    defaults_wanted,
    given,
    limits_wanted,
    parsed_time,
    refuse_what_is_not_kept,
    shown_time,
)
from fileplane.http.call import Call
from fileplane.http.json_body import read_json, read_json_if_any
from fileplane.http.paging import PAGING, page_of
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.responses import json_response
from fileplane.settings import Settings

_TYPES: Final = ("organisation", "workspace")
_SUB_TYPES: Final = ("service", "user")


def api_key_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of a list of API keys."""
    return (*PAGING, Parameter("workspace_id", "Only keys of this project, by its id or slug.", {"type": "string"}))


async def create_api_key(call: Call) -> ASGIApp:
    """POST /v1/api-keys/{type}/{sub_type}."""
    kind = _kind(call.path_text("type"), call.path_text("sub_type"))
    wanted = await read_json(call.request, ApiKeyCreation, call.services.settings)
    _refuse_another(wanted.type, call.path_text("type"), "type")
    _refuse_another(wanted.sub_type, call.path_text("sub_type"), "sub-type")
    refuse_what_is_not_kept(wanted)
    if wanted.organisation_id not in (None, ORGANISATION_ID):
        raise InvalidValue(f"There is one organisation, '{ORGANISATION_ID}'. Leave 'organisation_id' out.", param="organisation_id")
    made, plain = await call.services.api_keys.create(
        call.principal, kind, wanted.workspace_id, _changes(wanted), wanted.user_id, call.origin
    )
    return json_response(NewApiKeyObject(id=made.id, key=plain), headers=_NOT_STORED)


async def list_api_keys(call: Call) -> ASGIApp:
    """GET /v1/api-keys."""
    parameters = api_key_parameters(call.services.settings)
    given = parse_query(call.request.scope["query_string"], parameters, "A list of API keys")
    found = await call.services.api_keys.every(call.principal, given.get("workspace_id") or None)
    return json_response(
        ApiKeyList(total=len(found), data=[api_key_object(key, call.services.api_keys.now()) for key in page_of(found, given)])
    )


async def retrieve_api_key(call: Call) -> ASGIApp:
    """GET /v1/api-keys/{key_id}."""
    return json_response(
        api_key_object(await call.services.api_keys.get(call.principal, call.path_text("key_id")), call.services.api_keys.now())
    )


async def update_api_key(call: Call) -> ASGIApp:
    """PUT /v1/api-keys/{key_id}."""
    key_id = call.path_text("key_id")
    wanted = await read_json(call.request, ApiKeyUpdate, call.services.settings)
    _refuse_another(wanted.id, key_id, "id")
    refuse_what_is_not_kept(wanted)
    key = await call.services.api_keys.update(call.principal, key_id, _changes(wanted), call.origin)
    return json_response(api_key_object(key, call.services.api_keys.now()))


async def rotate_api_key(call: Call) -> ASGIApp:
    """POST /v1/api-keys/{key_id}/rotate."""
    key_id = call.path_text("key_id")
    wanted = await read_json_if_any(call.request, ApiKeyRotation, call.services.settings)
    _refuse_another(wanted.id, key_id, "id")
    rotated = await call.services.api_keys.rotate(call.principal, key_id, wanted.key_transition_period_ms, call.origin)
    shown = RotatedApiKeyObject(id=rotated.key.id, key=rotated.plain, key_transition_expires_at=shown_time(rotated.former_ends_at))
    return json_response(shown, headers=_NOT_STORED)


async def delete_api_key(call: Call) -> ASGIApp:
    """DELETE /v1/api-keys/{key_id}."""
    key_id = call.path_text("key_id")
    wanted = await read_json_if_any(call.request, ApiKeyRemoval, call.services.settings)
    _refuse_another(wanted.id, key_id, "id")
    revoked = await call.services.api_keys.revoke(call.principal, key_id, call.origin)
    return json_response(ApiKeyDeletion(id=revoked.id))


_NOT_STORED: Final = {"cache-control": "no-store"}


def _kind(kind: str, sub_type: str) -> KeyKind:
    for name, value, allowed in (("type", kind, _TYPES), ("sub-type", sub_type, _SUB_TYPES)):
        if value not in allowed:
            raise InvalidValue(f"Invalid '{name}': expected {' or '.join(allowed)}.", param=name)
    if (kind, sub_type) == ("organisation", "user"):
        raise InvalidValue("The organisation has service keys only: use /v1/api-keys/organisation/service.", param="sub-type")
    return KeyKind(f"{kind}-{sub_type}")


def _changes(wanted: ApiKeyCreation | ApiKeyUpdate) -> KeyChanges:
    expires_at = parsed_time(wanted.expires_at, "expires_at") if isinstance(wanted.expires_at, str) else wanted.expires_at
    return KeyChanges(
        given(wanted.name),
        given(wanted.description),
        given(wanted.scopes),
        given(expires_at),
        limits_wanted(wanted),
        defaults_wanted(wanted),
    )


def _refuse_another(sent: str | UnsetType | None, named: str, param: str) -> None:
    """The SDKs send parts of the path in the body too."""
    if not isinstance(sent, UnsetType) and sent is not None and sent != named:
        raise InvalidValue(f"'{param}' in the body is not what the path says.", param=param)
