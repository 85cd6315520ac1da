"""The routes of projects (Portkey: workspaces) and API keys: Portkey's paths, methods and scopes."""

from __future__ import annotations

from typing import Any, Final

from fileplane import errors
from fileplane.access import Scope
from fileplane.control.scopes import scopes_of_kinds
from fileplane.http import access_schemas as access
from fileplane.http import api_key_handlers as api_keys
from fileplane.http import workspace_handlers as workspaces
from fileplane.http.operation import ALWAYS, JSON_ERRORS, Operation


def _of_keys(verb: str) -> dict[str, Any]:
    """API keys have a scope for each kind of key."""
    first, *others = scopes_of_kinds(verb)
    return {"scope": first, "or_scopes": tuple(others)}


_LIST_ERRORS: Final = (errors.InvalidValue, errors.BelowMinimum, errors.AboveMaximum, errors.UnknownParameter)
_CHANGE_ERRORS: Final = (errors.RecordNotFound, errors.RecordChanged, errors.BeyondOwnRights, *JSON_ERRORS)
_WORKSPACES: Final = "/v1/admin/workspaces"
_WORKSPACE: Final = "/v1/admin/workspaces/{workspace_id}"
_API_KEYS: Final = "/v1/api-keys"
_API_KEY: Final = "/v1/api-keys/{key_id}"

ACCESS_OPERATIONS: Final = (
    Operation(
        "POST",
        _WORKSPACES,
        workspaces.create_workspace,
        "Make a project",
        access.WorkspaceObject,
        Scope.WORKSPACES_CREATE,
        fails_with=(errors.SlugTaken, *JSON_ERRORS, *ALWAYS),
        takes=access.WorkspaceCreation,
    ),
    Operation(
        "GET",
        _WORKSPACES,
        workspaces.list_workspaces,
        "List projects",
        access.WorkspaceList,
        Scope.WORKSPACES_LIST,
        workspaces.workspace_parameters,
        (*_LIST_ERRORS, *ALWAYS),
    ),
    Operation(
        "GET",
        _WORKSPACE,
        workspaces.retrieve_workspace,
        "Retrieve a project",
        access.WorkspaceObject,
        Scope.WORKSPACES_READ,
        fails_with=(errors.RecordNotFound, *ALWAYS),
    ),
    Operation(
        "PUT",
        _WORKSPACE,
        workspaces.update_workspace,
        "Change a project",
        access.WorkspaceObject,
        Scope.WORKSPACES_UPDATE,
        fails_with=(errors.RecordNotFound, errors.RecordChanged, *JSON_ERRORS, *ALWAYS),
        takes=access.WorkspaceUpdate,
    ),
    Operation(
        "DELETE",
        _WORKSPACE,
        workspaces.delete_workspace,
        "Remove a project",
        access.WorkspaceDeletion,
        Scope.WORKSPACES_DELETE,
        fails_with=(errors.RecordNotFound, errors.RecordInUse, *JSON_ERRORS, *ALWAYS),
        takes=access.WorkspaceRemoval,
        needs_body=False,
    ),
    Operation(
        "GET",
        _API_KEYS,
        api_keys.list_api_keys,
        "List API keys",
        access.ApiKeyList,
        parameters=api_keys.api_key_parameters,
        fails_with=(errors.RecordNotFound, *_LIST_ERRORS, *ALWAYS),
        **_of_keys("list"),
    ),
    Operation(
        "POST",
        _API_KEY + "/rotate",
        api_keys.rotate_api_key,
        "Give an API key a new form",
        access.RotatedApiKeyObject,
        fails_with=(errors.BelowMinimum, errors.AboveMaximum, *_CHANGE_ERRORS, *ALWAYS),
        takes=access.ApiKeyRotation,
        needs_body=False,
        **_of_keys("update"),
    ),
    Operation(
        "POST",
        _API_KEYS + "/{type}/{sub_type}",
        api_keys.create_api_key,
        "Make an API key",
        access.NewApiKeyObject,
        fails_with=(errors.RecordNotFound, errors.BeyondOwnRights, *JSON_ERRORS, *ALWAYS),
        takes=access.ApiKeyCreation,
        **_of_keys("create"),
    ),
    Operation(
        "GET",
        _API_KEY,
        api_keys.retrieve_api_key,
        "Retrieve an API key",
        access.ApiKeyObject,
        fails_with=(errors.RecordNotFound, *ALWAYS),
        **_of_keys("read"),
    ),
    Operation(
        "PUT",
        _API_KEY,
        api_keys.update_api_key,
        "Change an API key",
        access.ApiKeyObject,
        fails_with=(*_CHANGE_ERRORS, *ALWAYS),
        takes=access.ApiKeyUpdate,
        **_of_keys("update"),
    ),
    Operation(
        "DELETE",
        _API_KEY,
        api_keys.delete_api_key,
        "Revoke an API key",
        access.ApiKeyDeletion,
        fails_with=(errors.RecordNotFound, *JSON_ERRORS, *ALWAYS),
        takes=access.ApiKeyRemoval,
        needs_body=False,
        **_of_keys("delete"),
    ),
)
