"""Who may do what, and how much of it: projects, API keys, scopes, limits. Frozen values without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

DEFAULT_PROJECT: Final = "default"
"""The slug of the project that the first API key works in."""
ORGANISATION_ID: Final = "default"
"""A Fileplane serves one organisation; where an API of several wants its id, this is it."""


class Scope(StrEnum):
    """What an API key may do, in Portkey's dotted style; those of the control plane are Portkey's own."""

    FILES_READ = "files.read"
    FILES_WRITE = "files.write"
    FILES_DELETE = "files.delete"
    FILES_PURGE = "files.purge"
    FILES_HOLD = "files.hold"
    FILES_WRITE_OUTPUT = "files.write_output"
    AUDIT_LOGS_VIEW = "audit_logs.view"
    METRICS_VIEW = "metrics.view"
    USAGE_VIEW = "usage.view"
    WORKSPACES_CREATE = "workspaces.create"
    WORKSPACES_READ = "workspaces.read"
    WORKSPACES_UPDATE = "workspaces.update"
    WORKSPACES_DELETE = "workspaces.delete"
    WORKSPACES_LIST = "workspaces.list"
    ORGANISATION_SERVICE_KEYS_CREATE = "organisation_service_api_keys.create"
    ORGANISATION_SERVICE_KEYS_READ = "organisation_service_api_keys.read"
    ORGANISATION_SERVICE_KEYS_UPDATE = "organisation_service_api_keys.update"
    ORGANISATION_SERVICE_KEYS_DELETE = "organisation_service_api_keys.delete"
    ORGANISATION_SERVICE_KEYS_LIST = "organisation_service_api_keys.list"
    WORKSPACE_SERVICE_KEYS_CREATE = "workspace_service_api_keys.create"
    WORKSPACE_SERVICE_KEYS_READ = "workspace_service_api_keys.read"
    WORKSPACE_SERVICE_KEYS_UPDATE = "workspace_service_api_keys.update"
    WORKSPACE_SERVICE_KEYS_DELETE = "workspace_service_api_keys.delete"
    WORKSPACE_SERVICE_KEYS_LIST = "workspace_service_api_keys.list"
    WORKSPACE_USER_KEYS_CREATE = "workspace_user_api_keys.create"
    WORKSPACE_USER_KEYS_READ = "workspace_user_api_keys.read"
    WORKSPACE_USER_KEYS_UPDATE = "workspace_user_api_keys.update"
    WORKSPACE_USER_KEYS_DELETE = "workspace_user_api_keys.delete"
    WORKSPACE_USER_KEYS_LIST = "workspace_user_api_keys.list"
    VIRTUAL_KEYS_CREATE = "virtual_keys.create"
    VIRTUAL_KEYS_READ = "virtual_keys.read"
    VIRTUAL_KEYS_UPDATE = "virtual_keys.update"
    VIRTUAL_KEYS_DELETE = "virtual_keys.delete"
    VIRTUAL_KEYS_LIST = "virtual_keys.list"
    CONFIGS_CREATE = "configs.create"
    CONFIGS_READ = "configs.read"
    CONFIGS_UPDATE = "configs.update"
    CONFIGS_DELETE = "configs.delete"
    CONFIGS_LIST = "configs.list"


ALL_SCOPES: Final = frozenset(scope.value for scope in Scope)
FILE_SCOPES: Final = frozenset(scope for scope in ALL_SCOPES if scope.startswith("files."))
ORGANISATION_SCOPES: Final = frozenset(
    {
        Scope.METRICS_VIEW.value,
        Scope.WORKSPACES_CREATE.value,
        Scope.WORKSPACES_UPDATE.value,
        Scope.WORKSPACES_DELETE.value,
        *(scope for scope in ALL_SCOPES if scope.startswith("organisation_")),
    }
)
"""Of use to organisation keys alone: no project's key ever does these, whatever is written on it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a project or a key may use at most. What is None is not limited here."""

    storage_bytes: int | None = None
    files: int | None = None
    file_bytes: int | None = None
    """Of one file."""
    requests_per_minute: int | None = None
    upload_bytes_per_day: int | None = None
    """A day of UTC."""
    concurrent_uploads: int | None = None


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What bounds a caller: the project's limits and the key's own, which hold together."""

    project: Limits = UNLIMITED
    key: Limits = UNLIMITED

    def least(self, name: str) -> int | None:
        """The lower of both limits of this name; None when there is neither."""
        return min((limit for limit in (getattr(self.project, name), getattr(self.key, name)) if limit is not None), default=None)

    def any(self, *names: str) -> bool:
        """Whether there is a limit of one of these names."""
        return any(self.least(name) is not None for name in names)


NO_LIMITS: Final = CallerLimits()


class Whose(StrEnum):
    """Whom a limit is set for."""

    PROJECT = "project"
    KEY = "API key"

    def subject(self, owner_id: str) -> str:
        """What the requests of this project or key are counted under."""
        return f"{self.name.lower()} {owner_id}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a project or a key says of a request that does not say it itself. A key's go before its project's."""

    config: str | None = None
    """The slug of the config that requests go by which name no provider, virtual key or config."""
    allow_override: bool = True
    """Whether a request may name another route than ``config``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What conditions of configs can look at, beside the request's own."""


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project about to be made. ``slug`` is unique among those there are."""

    slug: str
    name: str
    description: str | None = None
    limits: Limits = UNLIMITED
    defaults: Defaults = field(default_factory=Defaults)


@dataclass(frozen=True, slots=True)
class Project:
    """The unit of isolation and quota; every file belongs to exactly one. ``version`` grows with every change."""

    id: str
    slug: str
    name: str
    description: str | None
    limits: Limits
    defaults: Defaults
    created_at: int
    updated_at: int
    version: int


class KeyKind(StrEnum):
    """What an API key belongs to, in Portkey's words for it."""

    ORGANISATION_SERVICE = "organisation-service"
    WORKSPACE_SERVICE = "workspace-service"
    WORKSPACE_USER = "workspace-user"


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key about to be stored; ``key_hash`` is the SHA-256 of the whole key."""

    project_id: str
    name: str
    key_hash: bytes
    hint: str
    scopes: frozenset[str]
    kind: KeyKind = KeyKind.WORKSPACE_SERVICE
    expires_at: int | None = None
    description: str | None = None
    user_id: str | None = None
    other_scopes: frozenset[str] = frozenset()
    limits: Limits = UNLIMITED
    defaults: Defaults = field(default_factory=Defaults)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's credential as it is kept: everything but the key itself, of which only ``hint`` (its last four) is known."""

    id: str
    project_id: str
    project_slug: str
    name: str
    description: str | None
    hint: str
    kind: KeyKind
    user_id: str | None
    """Whom the operator says it is for; it means nothing to Fileplane."""
    scopes: frozenset[str]
    other_scopes: frozenset[str]
    """Names that have no meaning here. They are shown and grant nothing, also when a later version gives one a meaning."""
    limits: Limits
    defaults: Defaults
    created_at: int
    updated_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    """Right to a minute or so."""
    version: int
    """Grows with every change but those of ``last_used_at``."""

    @property
    def organisation(self) -> bool:
        """Whether it is the organisation's, and so may do what concerns all projects."""
        return self.kind is KeyKind.ORGANISATION_SERVICE

    def works_at(self, now: int) -> bool:
        """Whether a request made at ``now`` may use this key."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What a key that was sent turned out to be. ``works_until`` is set for one that a rotation has replaced: it ends then."""

    key: ApiKey
    project: Project
    works_until: int | None = None

    def works_at(self, now: int) -> bool:
        """Whether a request made at ``now`` may use it."""
        return self.key.works_at(now) and (self.works_until is None or now < self.works_until)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, after authentication, and within which bounds."""

    project_id: str
    key_id: str
    scopes: frozenset[str]
    organisation: bool = False
    project_limits: Limits = UNLIMITED
    key_limits: Limits = UNLIMITED
    project_defaults: Defaults = field(default_factory=Defaults)
    key_defaults: Defaults = field(default_factory=Defaults)
    works_until: int | None = None
    """Set when the caller's key was sent in a form that a rotation has replaced."""
    key_hash: bytes | None = field(default=None, repr=False)
    """Of the form that was sent, by which it can be looked up anew; None where no key was sent."""

    @property
    def limits(self) -> CallerLimits:
        """What holds for a request of this caller."""
        return CallerLimits(self.project_limits, self.key_limits)
