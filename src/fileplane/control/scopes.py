"""The scopes, each with what it allows, and how callers' lists of them are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fileplane.access import ALL_SCOPES, KeyKind, Scope
from fileplane.errors import InvalidValue

SCOPE_HELP: Final[Mapping[Scope, str]] = {
    Scope.FILES_READ: "List, retrieve and download files; read holds and verdicts.",
    Scope.FILES_WRITE: "Upload files and restore deleted ones.",
    Scope.FILES_DELETE: "Delete files, so that they can be restored.",
    Scope.FILES_PURGE: "Delete files for good; needed beside `files.delete`.",
    Scope.FILES_HOLD: "Hold files and release holds.",
    Scope.FILES_WRITE_OUTPUT: "Upload under an output purpose; needed beside `files.write`.",
    Scope.AUDIT_LOGS_VIEW: "Read the audit log: of the project, or with an organisation's key of all.",
    Scope.METRICS_VIEW: "Read the metrics of the whole server.",
    Scope.USAGE_VIEW: "Read how much is used of each limit: of the project, or with an organisation's key of any.",
    Scope.WORKSPACES_CREATE: "Make projects.",
    Scope.WORKSPACES_READ: "Retrieve a project: its own, or with an organisation's key any.",
    Scope.WORKSPACES_UPDATE: "Change projects: name, limits, defaults.",
    Scope.WORKSPACES_DELETE: "Remove projects.",
    Scope.WORKSPACES_LIST: "List projects: its own, or with an organisation's key all.",
    Scope.ORGANISATION_SERVICE_KEYS_CREATE: "Make API keys of the organisation.",
    Scope.ORGANISATION_SERVICE_KEYS_READ: "Retrieve API keys of the organisation.",
    Scope.ORGANISATION_SERVICE_KEYS_UPDATE: "Change and rotate API keys of the organisation.",
    Scope.ORGANISATION_SERVICE_KEYS_DELETE: "Revoke API keys of the organisation.",
    Scope.ORGANISATION_SERVICE_KEYS_LIST: "List API keys of the organisation.",
    Scope.WORKSPACE_SERVICE_KEYS_CREATE: "Make service keys of a project.",
    Scope.WORKSPACE_SERVICE_KEYS_READ: "Retrieve service keys of a project.",
    Scope.WORKSPACE_SERVICE_KEYS_UPDATE: "Change and rotate service keys of a project.",
    Scope.WORKSPACE_SERVICE_KEYS_DELETE: "Revoke service keys of a project.",
    Scope.WORKSPACE_SERVICE_KEYS_LIST: "List service keys of a project.",
    Scope.WORKSPACE_USER_KEYS_CREATE: "Make user keys of a project.",
    Scope.WORKSPACE_USER_KEYS_READ: "Retrieve user keys of a project.",
    Scope.WORKSPACE_USER_KEYS_UPDATE: "Change and rotate user keys of a project.",
    Scope.WORKSPACE_USER_KEYS_DELETE: "Revoke user keys of a project.",
    Scope.WORKSPACE_USER_KEYS_LIST: "List user keys of a project.",
    Scope.VIRTUAL_KEYS_CREATE: "Store providers' credentials as virtual keys.",
    Scope.VIRTUAL_KEYS_READ: "Retrieve a virtual key; its secrets are never shown.",
    Scope.VIRTUAL_KEYS_UPDATE: "Change virtual keys and their secrets.",
    Scope.VIRTUAL_KEYS_DELETE: "Remove virtual keys.",
    Scope.VIRTUAL_KEYS_LIST: "List virtual keys.",
    Scope.CONFIGS_CREATE: "Save routing configs.",
    Scope.CONFIGS_READ: "Retrieve a saved config and its versions.",
    Scope.CONFIGS_UPDATE: "Change saved configs.",
    Scope.CONFIGS_DELETE: "Remove saved configs.",
    Scope.CONFIGS_LIST: "List saved configs.",
}

MOST_SCOPES: Final = 200
LONGEST_SCOPE: Final = 100
_SCOPE: Final = re.compile(r"[a-z_]+\.[a-z_]+", re.ASCII)


def scopes_of_kinds(verb: str) -> tuple[Scope, ...]:
    """The scopes that let a caller ``create``, ``read``, ``update``, ``delete`` or ``list`` API keys, one for each kind of key."""
    return tuple(scope_of_kind(kind, verb) for kind in (KeyKind.WORKSPACE_SERVICE, KeyKind.WORKSPACE_USER, KeyKind.ORGANISATION_SERVICE))


def scope_of_kind(kind: KeyKind, verb: str) -> Scope:
    """The scope that ``verb`` needs for API keys of one kind."""
    return Scope(f"{kind.value.replace('-', '_')}_api_keys.{verb}")


def told_apart(names: Iterable[str], param: str = "scopes") -> tuple[frozenset[str], frozenset[str]]:
    """The scopes among ``names``, and the names that would be scopes elsewhere but mean nothing here.

    Raises :class:`~fileplane.errors.InvalidValue` for a text that is no scope at all, and for one that is given twice.
    """
    seen: set[str] = set()
    for name in names:
        if len(name) > LONGEST_SCOPE or not _SCOPE.fullmatch(name):
            raise InvalidValue(f"'{name[:LONGEST_SCOPE]}' is no scope: scopes look like files.read.", param=param)
        if name in seen:
            raise InvalidValue(f"The scope '{name}' was given twice. Give it once.", param=param)
        seen.add(name)
    return frozenset(seen & ALL_SCOPES), frozenset(seen - ALL_SCOPES)
