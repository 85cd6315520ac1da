"""Projects and API keys as they are asked for and answered, in Portkey's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fileplane import unset
from fileplane.access import ORGANISATION_ID, ApiKey, Defaults, Limits, Project
from fileplane.control.changes import DefaultChanges, LimitChanges
from fileplane.control.limits import RateLimit, limit_changes, rate_limits_of
from fileplane.control.scopes import LONGEST_SCOPE, MOST_SCOPES
from fileplane.errors import InvalidValue

T = TypeVar("T")

LONGEST_NAME: Final = 100
LONGEST_DESCRIPTION: Final = 1_000
LONGEST_USER_ID: Final = 255
MOST_METADATA: Final = 64
LONGEST_METADATA: Final = 128
LARGEST_LIMIT: Final = 2**53

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Description = Annotated[str, Meta(max_length=LONGEST_DESCRIPTION)]
MetadataText = Annotated[str, Meta(max_length=LONGEST_METADATA)]
Metadata = Annotated[dict[MetadataText, MetadataText], Meta(max_length=MOST_METADATA)]
Amount = Annotated[int, Meta(ge=0, le=LARGEST_LIMIT)]
Rate = Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)]
Scopes = Annotated[list[Annotated[str, Meta(max_length=LONGEST_SCOPE)]], Meta(max_length=MOST_SCOPES)]
NotKept = Annotated[Any, Meta(description="Fileplane does not do this: leave it out, or send null or something empty.")]
_NOTHING: Final[tuple[object, ...]] = (None, UNSET, {}, [], "", False, 0)


class RateLimitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Portkey's form of a rate. Fileplane knows one: ``requests`` per minute (``rpm``)."""

    type: str
    unit: str
    value: Rate


class LimitsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be used at most. What is not named stays as it is; null lifts a limit."""

    storage_bytes: Amount | UnsetType | None = UNSET
    files: Amount | UnsetType | None = UNSET
    file_bytes: Amount | UnsetType | None = UNSET
    requests_per_minute: Rate | UnsetType | None = UNSET
    upload_bytes_per_day: Amount | UnsetType | None = UNSET
    concurrent_uploads: Rate | UnsetType | None = UNSET


class DefaultsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said for requests that do not say it themselves. What is not named stays as it is; null removes."""

    metadata: Metadata | UnsetType | None = UNSET
    config_id: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType | None = UNSET
    allow_config_override: bool | UnsetType | None = UNSET
    input_guardrails: NotKept = UNSET
    output_guardrails: NotKept = UNSET
    user_api_key_config: NotKept = UNSET


class _Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    description: Description | UnsetType | None = UNSET
    limits: LimitsRequest | UnsetType | None = UNSET
    rate_limits: Annotated[list[RateLimitRequest], Meta(max_length=10)] | UnsetType | None = UNSET
    defaults: DefaultsRequest | UnsetType | None = UNSET
    usage_limits: NotKept = UNSET
    alert_emails: NotKept = UNSET


class WorkspaceCreation(_Changes, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A project to be made. Without ``slug`` it gets one that begins with its name."""

    name: Name
    slug: str | None = None
    users: NotKept = UNSET


class WorkspaceUpdate(_Changes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a project; the rest stays."""

    name: Name | UnsetType = UNSET
    workspace_id: str | UnsetType | None = UNSET


class WorkspaceRemoval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``name``, if it is given, has to be the project's. ``force_delete`` takes its API keys and configs with it, never its files."""

    name: str | None = None
    force_delete: bool | None = None
    workspace_id: str | UnsetType | None = UNSET
    workspace_id_of_node: str | UnsetType | None = msgspec.field(name="workspaceId", default=UNSET)


class _KeyChanges(_Changes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    expires_at: Annotated[str, Meta(description="ISO 8601, such as 2027-01-31T00:00:00Z.")] | UnsetType | None = UNSET
    rotation_policy: NotKept = UNSET
    reset_usage: NotKept = UNSET


class ApiKeyCreation(_KeyChanges, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An API key to be made. ``workspace_id`` is the project that it works in; without it, the caller's."""

    name: Name
    scopes: Scopes
    workspace_id: str | None = None
    user_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_USER_ID)] | None = None
    organisation_id: str | None = None
    type: str | UnsetType | None = UNSET
    sub_type: str | UnsetType | None = msgspec.field(name="sub-type", default=UNSET)


class ApiKeyUpdate(_KeyChanges, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of an API key; the rest stays."""

    name: Name | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    id: str | UnsetType | None = UNSET


class ApiKeyRotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the key goes on working in the form that it has now, in milliseconds."""

    key_transition_period_ms: int | None = None
    id: str | UnsetType | None = UNSET


class ApiKeyRemoval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing but the id once more, which Portkey's SDK for Node sends."""

    id: str | UnsetType | None = UNSET


class LimitsObject(msgspec.Struct, frozen=True, kw_only=True):
    """What may be used at most; null is not limited here."""

    storage_bytes: int | None
    files: int | None
    file_bytes: int | None
    requests_per_minute: int | None
    upload_bytes_per_day: int | None
    concurrent_uploads: int | None


class RateLimitObject(msgspec.Struct, frozen=True, kw_only=True):
    """``limits.requests_per_minute`` in Portkey's form."""

    type: Literal["requests"] = "requests"
    unit: Literal["rpm"] = "rpm"
    value: int


class DefaultsObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is said for requests that do not say it themselves."""

    metadata: dict[str, str]
    config_id: str | None
    allow_config_override: bool


class WorkspaceObject(msgspec.Struct, frozen=True, kw_only=True):
    """A project, as Portkey's workspace."""

    id: str
    slug: str
    object: Literal["workspace"] = "workspace"
    name: str
    description: str | None
    created_at: str
    last_updated_at: str
    defaults: DefaultsObject
    limits: LimitsObject
    rate_limits: list[RateLimitObject]


class WorkspaceList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of projects, oldest first; ``total`` counts all that the filters admit."""

    object: Literal["list"] = "list"
    total: int
    data: list[WorkspaceObject]


class WorkspaceDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the removal of a project."""

    id: str
    object: Literal["workspace"] = "workspace"
    deleted: Literal[True] = True


class ApiKeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without the key itself, of which ``key`` has the last four characters."""

    id: str
    object: Literal["api-key"] = "api-key"
    key: str
    name: str
    description: str | None
    type: Literal["organisation-service", "workspace-service", "workspace-user"]
    organisation_id: str
    workspace_id: str
    workspace_slug: str
    user_id: str | None
    status: Literal["active", "expired"]
    created_at: str
    last_updated_at: str
    expires_at: str | None
    last_used_at: str | None
    scopes: list[str]
    defaults: DefaultsObject
    limits: LimitsObject
    rate_limits: list[RateLimitObject]


class ApiKeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of API keys, oldest first; ``total`` counts all that the caller may list."""

    object: Literal["list"] = "list"
    total: int
    data: list[ApiKeyObject]


class NewApiKeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer that has the key itself."""

    id: str
    object: Literal["api-key"] = "api-key"
    key: str


class RotatedApiKeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """The key in its new form, shown this once, and when the form before stops working."""

    id: str
    object: Literal["api-key"] = "api-key"
    key: str
    key_transition_expires_at: str


class ApiKeyDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the revocation of an API key."""

    id: str
    object: Literal["api-key"] = "api-key"
    deleted: Literal[True] = True


def refuse_what_is_not_kept(wanted: _Changes) -> None:
    """Whatever Portkey has and Fileplane has not is refused by name, unless it says nothing. Raises InvalidValue."""
    for name in ("usage_limits", "alert_emails", "users", "rotation_policy", "reset_usage"):
        _refuse(name, getattr(wanted, name, UNSET))
    if isinstance(wanted.defaults, DefaultsRequest):
        for name in ("input_guardrails", "output_guardrails", "user_api_key_config"):
            _refuse(f"defaults.{name}", getattr(wanted.defaults, name))


def _refuse(name: str, value: object) -> None:
    if not any(value is nothing or value == nothing for nothing in _NOTHING):
        raise InvalidValue(f"Fileplane does not do '{name}'. Leave it out.", param=name)


def limits_wanted(wanted: _Changes) -> LimitChanges:
    """Both forms of limits as one change. Raises InvalidValue."""
    limits = wanted.limits
    named = _given(limits) if isinstance(limits, LimitsRequest) else limits
    rates = wanted.rate_limits
    return limit_changes(
        given(named), [RateLimit(one.type, one.unit, one.value) for one in rates] if isinstance(rates, list) else given(rates)
    )


def given(value: T | UnsetType) -> T | unset.UnsetType:
    """What was sent, or what stands for nothing beyond this layer."""
    return unset.UNSET if isinstance(value, UnsetType) else value


def defaults_wanted(wanted: _Changes) -> DefaultChanges:
    """The change of the defaults."""
    defaults = wanted.defaults
    if not isinstance(defaults, DefaultsRequest):
        return DefaultChanges(anew=defaults is None)
    metadata, override = defaults.metadata, defaults.allow_config_override
    return DefaultChanges(
        given(defaults.config_id), True if override is None else given(override), {} if metadata is None else given(metadata)
    )


def workspace_object(project: Project) -> WorkspaceObject:
    """A project as callers see it."""
    return WorkspaceObject(
        id=project.id,
        slug=project.slug,
        name=project.name,
        description=project.description,
        created_at=shown_time(project.created_at),
        last_updated_at=shown_time(project.updated_at),
        defaults=_defaults_object(project.defaults),
        limits=_limits_object(project.limits),
        rate_limits=_rate_limits(project.limits),
    )


def api_key_object(key: ApiKey, now: int) -> ApiKeyObject:
    """An API key as callers see it at ``now``, in seconds since the epoch."""
    return ApiKeyObject(
        id=key.id,
        key=f"********{key.hint}",
        name=key.name,
        description=key.description,
        type=key.kind.value,
        organisation_id=ORGANISATION_ID,
        workspace_id=key.project_id,
        workspace_slug=key.project_slug,
        user_id=key.user_id,
        status="active" if key.works_at(now) else "expired",
        created_at=shown_time(key.created_at),
        last_updated_at=shown_time(key.updated_at),
        expires_at=None if key.expires_at is None else shown_time(key.expires_at),
        last_used_at=None if key.last_used_at is None else shown_time(key.last_used_at),
        scopes=sorted(key.scopes | key.other_scopes),
        defaults=_defaults_object(key.defaults),
        limits=_limits_object(key.limits),
        rate_limits=_rate_limits(key.limits),
    )


def shown_time(seconds: int) -> str:
    """Seconds since the epoch in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def parsed_time(text: str, param: str) -> int:
    """Seconds since the epoch from ISO 8601, in UTC unless it says otherwise. Raises InvalidValue."""
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise InvalidValue(f"Invalid '{param}': expected a time such as 2027-01-31T00:00:00Z.", param=param) from error


def _given(limits: LimitsRequest) -> dict[str, int | None]:
    return {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not UNSET}


def _limits_object(limits: Limits) -> LimitsObject:
    return msgspec.convert(limits, LimitsObject, from_attributes=True)


def _defaults_object(defaults: Defaults) -> DefaultsObject:
    return DefaultsObject(metadata=dict(defaults.metadata), config_id=defaults.config, allow_config_override=defaults.allow_override)


def _rate_limits(limits: Limits) -> list[RateLimitObject]:
    return [RateLimitObject(value=rate.value) for rate in rate_limits_of(limits)]
