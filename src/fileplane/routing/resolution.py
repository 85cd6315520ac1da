"""What a request's headers and its caller's defaults say of where it goes: the native store, a saved config, or a config of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from fileplane.access import FILE_SCOPES, Principal
from fileplane.errors import BeyondOwnRights, MissingParameter
from fileplane.routing.config_problems import refuse
from fileplane.routing.config_references import configs_of, virtual_keys_of
from fileplane.routing.config_values import Config, Target
from fileplane.routing.configs import slug_or_config
from fileplane.routing.headers import NATIVE_PROVIDER, PROVIDER_HEADER
from fileplane.routing.route_requests import (
    CONFIG_HEADER,
    CUSTOM_HOST_HEADER,
    VIRTUAL_KEY_HEADER,
    RouteRequest,
    read_route_request,
)
from fileplane.secrets.values import Secret

API_KEY_HEADER: Final = "x-portkey-api-key"
PLACEHOLDERS: Final = frozenset({"OPENAI_API_KEY", "DUMMY-KEY"})
"""What SDKs that insist on a key are given for one."""

HEADERS_ALONE: Final = Config(Target())
"""The config of a request that names its provider in headers: it says nothing itself."""

NOBODY: Final = Principal("", "", FILE_SCOPES)
"""Who calls where no key for Fileplane is asked for."""

_BEARER: Final = "bearer "
_SPACE: Final = re.compile(r"\s")
"""What no key has in it, and what another scheme's credentials have before them."""
_NOTHING_STORED: Final = "This server keeps no credentials and no configs. Send the provider's name and key, or a config that has them."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A route that is not the native store's.

    ``config`` is a saved config's slug, or a document. ``from_caller`` when the caller sent the document, or nothing but headers.
    """

    config: str | Config
    request: RouteRequest
    from_caller: bool


def provider_key_of(headers: Mapping[str, str]) -> Secret | None:
    """The provider's key, which ``Authorization`` holds when ``x-portkey-api-key`` holds the key for Fileplane.

    Nothing where it repeats that one, or stands for none. ``headers`` have names in lower case.
    """
    own = headers.get(API_KEY_HEADER, "").strip()
    authorization = _bearer_of(headers.get("authorization", ""))
    if not own or not authorization or authorization in PLACEHOLDERS or authorization == own:
        return None
    return Secret(authorization)


def passed_key_of(headers: Mapping[str, str]) -> Secret | None:
    """The provider's key where no key for Fileplane is asked for: ``Authorization``, or else ``x-portkey-api-key``."""
    authorization = _bearer_of(headers.get("authorization", ""))
    key = authorization if authorization and authorization not in PLACEHOLDERS else headers.get(API_KEY_HEADER, "").strip()
    return Secret(key) if key and key not in PLACEHOLDERS else None


def wanted_own_route(headers: Mapping[str, str], *, pathname: str) -> Wanted:
    """Where a file call goes that has nothing but credentials of its own: no saved config, no virtual key, no native store.

    Raises :class:`~fileplane.errors.InvalidValue`, or MissingParameter when no provider is named.
    """
    wanted = wanted_route(headers, NOBODY, pathname=pathname, api_key=passed_key_of(headers))
    if wanted is None:
        raise MissingParameter(f"This server keeps no files itself. Name a provider in {PROVIDER_HEADER}.", param=PROVIDER_HEADER)
    if wanted.request.credential.virtual_key is not None:
        raise refuse(VIRTUAL_KEY_HEADER, _NOTHING_STORED)
    if wanted.config is HEADERS_ALONE:
        return wanted
    if isinstance(wanted.config, str) or virtual_keys_of(wanted.config) or configs_of(wanted.config):
        raise refuse(CONFIG_HEADER, _NOTHING_STORED)
    return wanted


def wanted_route(headers: Mapping[str, str], principal: Principal, *, pathname: str, api_key: Secret | None) -> Wanted | None:
    """Where a file call goes; None is the native store.

    Raises :class:`~fileplane.errors.InvalidValue` whose ``param`` is the header at fault, and
    :class:`~fileplane.errors.BeyondOwnRights` for another route than the one that the caller's key is bound to.
    """
    _refuse_empty(headers)
    config = headers.get(CONFIG_HEADER, "").strip()
    provider, virtual_key = headers.get(PROVIDER_HEADER, "").strip(), headers.get(VIRTUAL_KEY_HEADER, "").strip()
    default = _default_of(principal)
    if default is not None and not _may_choose(principal) and CUSTOM_HOST_HEADER in headers:
        # A bound config may name a provider and leave open where it is.
        raise BeyondOwnRights(f"This API key goes where its config says. Leave {CUSTOM_HOST_HEADER} out.", CUSTOM_HOST_HEADER)
    if not (config or provider or virtual_key):
        return _without_headers(headers, principal, default, pathname, api_key)
    if not _may_choose(principal) and (config != default or provider or virtual_key):
        bound = "the native store" if default is None else f"the config '{default}'"
        param = PROVIDER_HEADER if provider else VIRTUAL_KEY_HEADER if virtual_key else CONFIG_HEADER
        raise BeyondOwnRights(f"This API key goes by {bound} and no other route. Leave {param} out.", param)
    if provider.lower() == NATIVE_PROVIDER:
        return None
    request = _request(headers, principal, pathname, api_key)
    if config:
        chosen = slug_or_config(config)
        return Wanted(chosen, request, from_caller=isinstance(chosen, Config))
    return Wanted(HEADERS_ALONE, request, from_caller=True)


def _bearer_of(authorization: str) -> str:
    text = authorization.strip()
    if text[: len(_BEARER)].lower() == _BEARER:
        return text[len(_BEARER) :].strip()
    return "" if text.lower() == _BEARER.strip() else text


def _refuse_empty(headers: Mapping[str, str]) -> None:
    """A variable that was not set must not send a file that is meant for a provider to the native store."""
    for name in (PROVIDER_HEADER, VIRTUAL_KEY_HEADER, CONFIG_HEADER, CUSTOM_HOST_HEADER):
        if name in headers and not headers[name].strip():
            raise refuse(name, "This is empty. Say where the request goes, or leave the header out.")


def _without_headers(
    headers: Mapping[str, str], principal: Principal, default: str | None, pathname: str, api_key: Secret | None
) -> Wanted | None:
    if default is not None:
        return Wanted(default, _request(headers, principal, pathname, api_key), from_caller=False)
    if headers.get(CUSTOM_HOST_HEADER, "").strip():
        raise MissingParameter(
            f"{CUSTOM_HOST_HEADER} says where to call, and nothing says whom. Add {PROVIDER_HEADER}, such as 'openai'.",
            param=PROVIDER_HEADER,
        )
    return None


def _request(headers: Mapping[str, str], principal: Principal, pathname: str, api_key: Secret | None) -> RouteRequest:
    if api_key is not None and _SPACE.search(api_key.reveal()):
        raise refuse("authorization", "This must be the provider's API key, as 'Bearer <key>': it is sent to the provider in that form.")
    request = read_route_request(headers, pathname=pathname, api_key=api_key)
    if request.credential.virtual_key is not None and request.options.custom_host is not None:
        raise refuse(
            CUSTOM_HOST_HEADER,
            "A stored credential goes only to the host saved with it. Leave this out, or send a credential of your own.",
        )
    if not principal.project_defaults.metadata and not principal.key_defaults.metadata:
        return request
    metadata = {**principal.project_defaults.metadata, **principal.key_defaults.metadata, **dict(request.metadata)}
    return replace(request, metadata=tuple(metadata.items()))


def _default_of(principal: Principal) -> str | None:
    return principal.key_defaults.config or principal.project_defaults.config


def _may_choose(principal: Principal) -> bool:
    return principal.key_defaults.allow_override and principal.project_defaults.allow_override
