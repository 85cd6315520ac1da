"""The routes of virtual keys, providers, integrations and configs: Portkey's paths, methods and scopes."""

from __future__ import annotations

from typing import Any, Final

from fileplane import errors
from fileplane.access import Scope
from fileplane.http import config_handlers as configs
from fileplane.http import integration_handlers as integrations
from fileplane.http import virtual_key_handlers as keys
from fileplane.http.control_lists import integration_parameters, page_parameters, workspace_parameter
from fileplane.http.control_requests import (
    ConfigChange,
    ConfigRequest,
    IntegrationChange,
    IntegrationRequest,
    ProviderChange,
    ProviderRequest,
    VirtualKeyChange,
    VirtualKeyRequest,
    WorkspacesChange,
)
from fileplane.http.control_schemas import (
    ConfigList,
    ConfigObject,
    ConfigSaved,
    ConfigVersions,
    IntegrationList,
    IntegrationObject,
    IntegrationWorkspaces,
    Nothing,
    ProviderList,
    ProviderObject,
    RecordSaved,
    VirtualKeyList,
    VirtualKeyObject,
)
from fileplane.http.operation import ALWAYS, JSON_ERRORS, Handler, Operation

_QUERY_ERRORS: Final = (
    errors.InvalidValue,
    errors.BelowMinimum,
    errors.AboveMaximum,
    errors.UnknownParameter,
    errors.OrganisationKeyNeeded,
    *ALWAYS,
)
_ONE_ERRORS: Final = (errors.RecordNotFound, *_QUERY_ERRORS)
_CREATE_ERRORS: Final = (*JSON_ERRORS, errors.OrganisationKeyNeeded, errors.SlugTaken, errors.CredentialUnavailable, *ALWAYS)
_UPDATE_ERRORS: Final = (
    errors.RecordNotFound,
    *JSON_ERRORS,
    errors.OrganisationKeyNeeded,
    errors.RecordChanged,
    errors.RecordInUse,
    errors.CredentialUnavailable,
    *ALWAYS,
)
_DELETE_ERRORS: Final = (*_ONE_ERRORS, errors.RecordInUse)
_SCOPES: Final = {
    "virtual_keys": (
        Scope.VIRTUAL_KEYS_CREATE,
        Scope.VIRTUAL_KEYS_LIST,
        Scope.VIRTUAL_KEYS_READ,
        Scope.VIRTUAL_KEYS_UPDATE,
        Scope.VIRTUAL_KEYS_DELETE,
    ),
    "configs": (Scope.CONFIGS_CREATE, Scope.CONFIGS_LIST, Scope.CONFIGS_READ, Scope.CONFIGS_UPDATE, Scope.CONFIGS_DELETE),
}


def _five(
    path: str,
    name: str,
    noun: str,
    scopes: str,
    handlers: tuple[Handler, Handler, Handler, Handler, Handler],
    types: tuple[Any, Any, Any, Any, Any],
    lists: Any,
    one: Any = None,
) -> tuple[Operation, ...]:
    """Create, list, retrieve, update, delete; ``types`` are the two bodies, the list, the record, and what is saved."""
    create, several, retrieve, update, delete = _SCOPES[scopes]
    item = f"{path}/{{{name}}}"
    query = {} if one is None else {"parameters": one}
    article = "an" if noun[0] in "aeiou" else "a"
    return (
        Operation("POST", path, handlers[0], f"Make {article} {noun}", types[4], create, fails_with=_CREATE_ERRORS, takes=types[0]),
        Operation("GET", path, handlers[1], f"List {noun}s", types[2], several, lists, _QUERY_ERRORS),
        Operation(
            "GET",
            item,
            handlers[2],
            f"Show {article} {noun}",
            types[3],
            retrieve,
            fails_with=(*_ONE_ERRORS, errors.CredentialUnavailable),
            **query,
        ),
        Operation(
            "PUT", item, handlers[3], f"Change {article} {noun}", types[4], update, fails_with=_UPDATE_ERRORS, takes=types[1], **query
        ),
        Operation("DELETE", item, handlers[4], f"Remove {article} {noun}", Nothing, delete, fails_with=_DELETE_ERRORS, **query),
    )


_WORKSPACES: Final = "/v1/integrations/{integration_slug}/workspaces"

CONTROL_OPERATIONS: Final = (
    *_five(
        "/v1/virtual-keys",
        "virtual_key_slug",
        "virtual key",
        "virtual_keys",
        (keys.create_virtual_key, keys.list_virtual_keys, keys.retrieve_virtual_key, keys.update_virtual_key, keys.delete_virtual_key),
        (VirtualKeyRequest, VirtualKeyChange, VirtualKeyList, VirtualKeyObject, RecordSaved),
        page_parameters,
        workspace_parameter,
    ),
    *_five(
        "/v1/providers",
        "provider_slug",
        "provider",
        "virtual_keys",
        (keys.create_provider, keys.list_providers, keys.retrieve_provider, keys.update_provider, keys.delete_provider),
        (ProviderRequest, ProviderChange, ProviderList, ProviderObject, RecordSaved),
        page_parameters,
        workspace_parameter,
    ),
    *_five(
        "/v1/integrations",
        "integration_slug",
        "integration",
        "virtual_keys",
        (
            integrations.create_integration,
            integrations.list_integrations,
            integrations.retrieve_integration,
            integrations.update_integration,
            integrations.delete_integration,
        ),
        (IntegrationRequest, IntegrationChange, IntegrationList, IntegrationObject, RecordSaved),
        integration_parameters,
    ),
    Operation(
        "GET",
        _WORKSPACES,
        integrations.list_integration_workspaces,
        "List the projects that may use an integration",
        IntegrationWorkspaces,
        Scope.VIRTUAL_KEYS_READ,
        fails_with=(errors.RecordNotFound, *ALWAYS),
    ),
    Operation(
        "PUT",
        _WORKSPACES,
        integrations.update_integration_workspaces,
        "Say which projects may use an integration",
        Nothing,
        Scope.VIRTUAL_KEYS_UPDATE,
        fails_with=_UPDATE_ERRORS,
        takes=WorkspacesChange,
    ),
    *_five(
        "/v1/configs",
        "config_slug",
        "config",
        "configs",
        (configs.create_config, configs.list_configs, configs.retrieve_config, configs.update_config, configs.delete_config),
        (ConfigRequest, ConfigChange, ConfigList, ConfigObject, ConfigSaved),
        workspace_parameter,
    ),
    Operation(
        "GET",
        "/v1/configs/{config_slug}/versions",
        configs.list_config_versions,
        "List the documents that a config has had",
        ConfigVersions,
        Scope.CONFIGS_READ,
        fails_with=(errors.RecordNotFound, errors.CredentialUnavailable, *ALWAYS),
    ),
)
