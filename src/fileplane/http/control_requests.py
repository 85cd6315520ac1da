"""The JSON bodies of the calls on virtual keys, providers, integrations and configs, as types.

They describe the calls in the OpenAPI document and refuse fields that nobody knows. What the values may be, the use cases decide, since
the command line sends the same without any JSON.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from fileplane.control.values import LONGEST_NAME, LONGEST_NOTE
from fileplane.control.wishes import CREDENTIAL_NAMES, NOT_DONE, SNAKE_CASE
from fileplane.routing.providers import PROVIDERS

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Note = Annotated[str, Meta(max_length=LONGEST_NOTE)] | None
Time = Annotated[str | None, Meta(description="A time to come, such as 2030-01-31T00:00:00Z; null is never.")]
Projects = Annotated[list[str] | None, Meta(description="Ids or slugs of the projects that may use it.")]
Sharing = Annotated[
    str | None,
    Meta(description="project: a project sees its own files at the provider; account: everything that the credential sees."),
]
KeepCopy = Annotated[bool | None, Meta(description="Whether the bytes of uploads are kept in the native store too.")]
_NOT_DONE: Final = Annotated[Any, Meta(description="Null only: Fileplane does not do this.")]
_Fields = tuple[tuple[str, Any, Any], ...]


def _optional(*fields: tuple[str, Any]) -> _Fields:
    return tuple((name, wanted | UnsetType, UNSET) for name, wanted in fields)


def _not_done(*names: str) -> _Fields:
    assert set(names) <= set(NOT_DONE)
    return tuple((name, _NOT_DONE | UnsetType, UNSET) for name in names)


def _credential_fields() -> _Fields:
    """One for every spelling of every provider's fields; which of them a provider has, the use case knows."""
    helps = {
        spelling: f"{entry.title}: {found.help}"
        for entry in PROVIDERS.values()
        for found in entry.fields.values()
        for spelling in (found.name, *found.aliases)
    }
    helps |= {snake: helps[name] for snake, name in SNAKE_CASE.items()}
    kinds: dict[str, Any] = {
        spelling: str | dict[str, Any] | None if found.service_account else str | list[str] | None
        for entry in PROVIDERS.values()
        for found in entry.fields.values()
        if found.service_account or found.several
        for spelling in (found.name, *found.aliases)
    }
    return tuple(
        (
            name,
            Annotated[kinds.get(name, str | None), Meta(description=helps[name])] | UnsetType,
            UNSET,
        )
        for name in sorted({*CREDENTIAL_NAMES, *SNAKE_CASE})
    )


def _body(name: str, doc: str, *fields: tuple[str, Any] | tuple[str, Any, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name, fields, frozen=True, kw_only=True, forbid_unknown_fields=True, namespace={"__doc__": doc}, module=__name__
    )


_KEY_LIMITS: Final = _not_done("usage_limits", "rate_limits", "reset_usage")
_KEY_COMMON: Final = _optional(
    ("note", Note),
    ("custom_host", str | None),
    ("sharing", Sharing),
    ("keep_copy", KeepCopy),
    ("workspace_id", str | None),
    ("project_ids", Projects),
    ("workspace_ids", Projects),
    ("expires_at", Time),
    ("model_config", dict[str, Any] | None),
)
_KEY_FIELDS: Final = (
    *_KEY_COMMON,
    *_KEY_LIMITS,
    *_not_done("secret_mappings", "deploymentConfig", "deployment_config"),
    *_credential_fields(),
)

VirtualKeyRequest = _body(
    "VirtualKeyRequest",
    "A virtual key to be made: a provider with the fields of its credential, here or in model_config, or the slug of an integration.",
    ("name", Name),
    *_optional(("provider", str | None), ("integration_id", str | None), ("slug", str | None)),
    *_KEY_FIELDS,
)
VirtualKeyChange = _body(
    "VirtualKeyChange",
    "What is to change of a virtual key; what is left out stays. A field of the credential that is null is removed.",
    *_optional(("name", Name), ("provider", str | None), ("integration_id", str | None), ("slug", str | None)),
    *_KEY_FIELDS,
)
_PROVIDER_COMMON: Final = (
    *_optional(
        ("note", Note),
        ("sharing", Sharing),
        ("keep_copy", KeepCopy),
        ("workspace_id", str | None),
        ("project_ids", Projects),
        ("workspace_ids", Projects),
        ("expires_at", Time),
    ),
    *_KEY_LIMITS,
)
ProviderRequest = _body(
    "ProviderRequest",
    "A provider to be made: a virtual key that uses the credential of an integration, by its slug.",
    ("name", Name),
    ("integration_id", str),
    *_optional(("slug", str | None)),
    *_PROVIDER_COMMON,
)
ProviderChange = _body(
    "ProviderChange",
    "What is to change of a provider; what is left out stays.",
    *_optional(("name", Name), ("integration_id", str | None), ("slug", str | None)),
    *_PROVIDER_COMMON,
)
_INTEGRATION_COMMON: Final = (
    *_optional(
        ("description", Note),
        ("key", str | None),
        ("configurations", dict[str, Any] | None),
        ("custom_host", str | None),
        ("sharing", Sharing),
        ("keep_copy", KeepCopy),
        ("workspace_id", str | None),
        ("project_ids", Projects),
        ("workspace_ids", Projects),
        ("expires_at", Time),
    ),
    *_not_done("secret_mappings", "pricing_adjustments", "usage_limits", "rate_limits", "default_provider_slug"),
)
IntegrationRequest = _body(
    "IntegrationRequest",
    "An integration to be made: a virtual key with a credential, its key here and its other fields in configurations.",
    ("name", Name),
    ("ai_provider_id", str),
    *_optional(("slug", str | None), ("create_default_provider", bool | None)),
    *_INTEGRATION_COMMON,
)
IntegrationChange = _body(
    "IntegrationChange",
    "What is to change of an integration; what is left out stays.",
    *_optional(("name", Name), ("ai_provider_id", str | None), ("slug", str | None)),
    *_INTEGRATION_COMMON,
)


class WorkspaceAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a project, by its id or slug, may use an integration."""

    id: Name
    enabled: bool
    usage_limits: Any = None
    rate_limits: Any = None
    reset_usage: Any = None
    create_default_provider: bool | None = None
    default_provider_slug: Any = None


class WorkspacesChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which projects may use an integration from now on; those that are not named stay as they are."""

    workspaces: Annotated[list[WorkspaceAccess], Meta(max_length=1_000)] | None = None
    global_workspace_access: dict[str, Any] | None = None
    override_existing_workspace_access: bool | None = None
    override_existing_workspaces_access: bool | None = None
    create_default_provider: bool | None = None
    default_provider_slug: Any = None


class ConfigRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A config to be saved."""

    name: Name
    config: msgspec.Raw
    slug: str | None = None
    workspace_id: str | None = None
    is_default: int | bool | None = None
    isDefault: int | bool | None = None  # noqa: N815 - Portkey's name
    status: str | None = None


class ConfigChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a config; what is left out stays. A document is a new version."""

    name: Name | None = None
    config: msgspec.Raw | UnsetType = UNSET
    slug: str | None = None
    workspace_id: str | None = None
    is_default: int | bool | None = None
    isDefault: int | bool | None = None  # noqa: N815 - Portkey's name
    status: str | None = None


def given(body: msgspec.Struct) -> dict[str, object]:
    """What of a body was sent, by its names."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    return {name: _plain(value) for name, value in values.items() if value is not UNSET}


def _plain(value: object) -> object:
    """A document as its text, so that a name that is there twice is still seen; null and a text inside of JSON as what they are."""
    if not isinstance(value, msgspec.Raw):
        return value
    text = bytes(value)
    return msgspec.json.decode(text) if text.lstrip()[:1] in {b'"', b"n"} else text
