"""Virtual keys, providers, integrations and configs as types: what Portkey's calls answer, with no secret in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from fileplane.access import ORGANISATION_ID, Principal
from fileplane.control.configs import ShownVersion
from fileplane.control.reach import shown_projects
from fileplane.credentials import VirtualKey
from fileplane.routing.output_prefixes import outputs_of, parsed_prefixes, written_prefixes
from fileplane.routing.providers import PROVIDERS
from fileplane.saved_configs import SavedConfig
from fileplane.secrets.values import REDACTED

_KEY: Final = "api_key"


class VirtualKeyObject(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key. Secrets are ``********``; ``workspace_ids`` are the projects that may use it, as far as the caller may know."""

    id: str
    object: Literal["virtual-key"] = "virtual-key"
    slug: str
    name: str
    note: str | None
    status: Literal["active", "expired"]
    provider: str
    ai_provider_name: str
    masked_api_key: str | None
    model_config: dict[str, str]
    custom_host: str | None
    sharing: Literal["project", "account"]
    keep_copy: bool
    integration_id: str | None
    references: dict[str, str]
    workspace_id: str | None
    workspace_ids: list[str]
    usage_limits: None = None
    rate_limits: None = None
    reset_usage: None = None
    expires_at: str | None
    created_at: str
    last_updated_at: str


class VirtualKeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of virtual keys, oldest first; ``total`` counts all."""

    object: Literal["list"] = "list"
    total: int
    data: list[VirtualKeyObject]


class ProviderObject(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key as a provider. ``integration_id`` is the slug of whose credential it uses: its own, if it has one."""

    id: str
    object: Literal["provider"] = "provider"
    slug: str
    name: str
    note: str | None
    status: Literal["active", "expired"]
    provider: str
    integration_id: str
    sharing: Literal["project", "account"]
    keep_copy: bool
    workspace_id: str | None
    workspace_ids: list[str]
    usage_limits: None = None
    rate_limits: None = None
    reset_usage: None = None
    expires_at: str | None
    created_at: str
    last_updated_at: str


class ProviderList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of providers, oldest first; ``total`` counts all."""

    object: Literal["list"] = "list"
    total: int
    data: list[ProviderObject]


class IntegrationObject(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual key with a credential of its own, as an integration. A secret field is there as ``masked_<field>``."""

    id: str
    object: Literal["integration"] = "integration"
    slug: str
    name: str
    description: str | None
    status: Literal["active", "expired"]
    ai_provider_id: str
    organisation_id: str
    masked_key: str | None
    configurations: dict[str, str]
    sharing: Literal["project", "account"]
    keep_copy: bool
    references: dict[str, str]
    workspace_id: str | None
    workspace_ids: list[str]
    workspace_count: int
    allow_all_models: Literal[True] = True
    expires_at: str | None
    created_at: str
    last_updated_at: str


class IntegrationList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of integrations, oldest first; ``total`` counts all."""

    object: Literal["list"] = "list"
    total: int
    data: list[IntegrationObject]


class AllowedWorkspace(msgspec.Struct, frozen=True, kw_only=True):
    """A project that may use an integration."""

    id: str
    enabled: Literal[True] = True
    usage_limits: None = None
    rate_limits: None = None


class GlobalAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Which projects may use an integration is always said one by one."""

    enabled: Literal[False] = False
    usage_limits: None = None
    rate_limits: None = None


class IntegrationWorkspaces(msgspec.Struct, frozen=True, kw_only=True):
    """The projects that may use an integration, as far as the caller may know of them."""

    object: Literal["list"] = "list"
    total: int
    workspaces: list[AllowedWorkspace]
    global_workspace_access: GlobalAccess


class RecordName(msgspec.Struct, frozen=True, kw_only=True):
    """What was made or changed."""

    id: str
    slug: str
    object: str


class RecordSaved(msgspec.Struct, frozen=True, kw_only=True):
    """What was made or changed; Portkey's documentation and its SDKs look for it in two places, so it is in both."""

    success: Literal[True] = True
    data: RecordName
    id: str
    slug: str
    object: str


class Nothing(msgspec.Struct, frozen=True):
    """An empty object: it is done."""


class ConfigSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A saved config without its document."""

    id: str
    object: Literal["config"] = "config"
    slug: str
    name: str
    organisation_id: str
    workspace_id: str
    is_default: Literal[0, 1]
    status: Literal["active"] = "active"
    version: int
    version_id: str
    owner_id: str | None
    updated_by: str | None
    created_at: str
    last_updated_at: str


class ConfigDetails(ConfigSummary, frozen=True, kw_only=True):
    """A saved config with the document in force, in which secrets are shown as ``********``."""

    format: Literal["json"] = "json"
    type: Literal["ORG_CONFIG"] = "ORG_CONFIG"
    config: dict[str, Any]


class ConfigObject(ConfigDetails, frozen=True, kw_only=True):
    """A saved config, twice: as Portkey documents it, in ``data``, and as its SDKs read it."""

    success: Literal[True] = True
    data: ConfigDetails


class ConfigList(msgspec.Struct, frozen=True, kw_only=True):
    """Saved configs, oldest first."""

    success: Literal[True] = True
    object: Literal["list"] = "list"
    total: int
    data: list[ConfigSummary]


class ConfigVersionObject(ConfigSummary, frozen=True, kw_only=True):
    """A document that a config has or had, as JSON text; null for one that cannot be decrypted any more."""

    format: Literal["json"] = "json"
    type: Literal["ORG_CONFIG"] = "ORG_CONFIG"
    config: str | None


class ConfigVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Every document that a config has had, newest first."""

    object: Literal["list"] = "list"
    total: int
    data: list[ConfigVersionObject]


class ConfigVersionName(msgspec.Struct, frozen=True, kw_only=True):
    """A config and its version in force."""

    id: str
    slug: str
    version_id: str
    object: Literal["config"] = "config"


class ConfigSaved(ConfigVersionName, frozen=True, kw_only=True):
    """What was made or changed; Portkey's documentation and its SDKs look for it in two places, so it is in both."""

    success: Literal[True] = True
    data: ConfigVersionName


def shown_time(seconds: int) -> str:
    """A time in ISO 8601, as Portkey shows it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def virtual_key_object(key: VirtualKey, caller: Principal, *, expired: bool) -> VirtualKeyObject:
    """A virtual key as this caller sees it."""
    return VirtualKeyObject(
        note=key.note,
        ai_provider_name=key.provider,
        masked_api_key=REDACTED if _KEY in _secret_names(key) else None,
        model_config=_model_config(key, caller),
        custom_host=key.custom_host,
        integration_id=key.integration,
        references=_references(key, caller),
        provider=key.provider,
        **_common(key, caller, expired=expired),
    )


def provider_object(key: VirtualKey, caller: Principal, *, expired: bool) -> ProviderObject:
    """A virtual key as this caller sees it among the providers."""
    common = _common(key, caller, expired=expired)
    return ProviderObject(note=key.note, provider=key.provider, integration_id=key.integration or key.slug, **common)


def integration_object(key: VirtualKey, caller: Principal, *, expired: bool) -> IntegrationObject:
    """A virtual key as this caller sees it among the integrations."""
    secret_names = _secret_names(key)
    masked = {f"masked_{name}": REDACTED for name in secret_names if name != _KEY}
    host = {} if key.custom_host is None else {"custom_host": key.custom_host}
    common = _common(key, caller, expired=expired)
    return IntegrationObject(
        description=key.note,
        ai_provider_id=key.provider,
        organisation_id=ORGANISATION_ID,
        masked_key=REDACTED if _KEY in secret_names else None,
        configurations={**_clear(key, caller), **host, **masked},
        references=_references(key, caller),
        workspace_count=len(common["workspace_ids"]),
        **common,
    )


def integration_workspaces(key: VirtualKey, caller: Principal) -> IntegrationWorkspaces:
    """The projects that may use it, as far as this caller may know of them."""
    shown = [AllowedWorkspace(id=project_id) for project_id in shown_projects(caller, key.project_ids)]
    return IntegrationWorkspaces(total=len(shown), workspaces=shown, global_workspace_access=GlobalAccess())


def record_saved(key: VirtualKey, kind: str) -> RecordSaved:
    """The answer to making or changing a record that is shown as ``kind``."""
    return RecordSaved(data=RecordName(id=key.id, slug=key.slug, object=kind), id=key.id, slug=key.slug, object=kind)


def config_object(config: SavedConfig, document: dict[str, Any]) -> ConfigObject:
    """A config with its document."""
    values = _config_values(config) | {"config": document}
    return ConfigObject(data=ConfigDetails(**values), **values)


def config_list(configs: Iterable[SavedConfig]) -> ConfigList:
    """Configs without their documents."""
    data = [ConfigSummary(**_config_values(config)) for config in configs]
    return ConfigList(total=len(data), data=data)


def config_versions(config: SavedConfig, versions: Iterable[ShownVersion]) -> ConfigVersions:
    """The documents that a config has had."""
    data = [
        ConfigVersionObject(
            **_config_values(config)
            | {"version": one.number, "version_id": one.id, "updated_by": one.created_by, "last_updated_at": shown_time(one.created_at)},
            config=None if one.document is None else json.dumps(one.document, ensure_ascii=False, separators=(",", ":")),
        )
        for one in versions
    ]
    return ConfigVersions(total=len(data), data=data)


def config_saved(config: SavedConfig) -> ConfigSaved:
    """The answer to making or changing a config."""
    name = ConfigVersionName(id=config.id, slug=config.slug, version_id=config.version_id)
    return ConfigSaved(data=name, id=config.id, slug=config.slug, version_id=config.version_id)


def _common(key: VirtualKey, caller: Principal, *, expired: bool) -> dict[str, Any]:
    projects = shown_projects(caller, key.project_ids)
    return {
        "id": key.id,
        "slug": key.slug,
        "name": key.name,
        "status": "expired" if expired else "active",
        "sharing": key.sharing.value,
        "keep_copy": key.keep_copy,
        "workspace_id": projects[0] if len(projects) == 1 else None,
        "workspace_ids": projects,
        "expires_at": None if key.expires_at is None else shown_time(key.expires_at),
        "created_at": shown_time(key.created_at),
        "last_updated_at": shown_time(key.updated_at),
    }


def _secret_names(key: VirtualKey) -> set[str]:
    return {*key.sealed.fields, *key.references}


def _model_config(key: VirtualKey, caller: Principal) -> dict[str, str]:
    """The fields but the key, under Portkey's names."""
    masked = {name: REDACTED for name in sorted(_secret_names(key)) if name != _KEY}
    fields = PROVIDERS[key.provider].fields
    shown = {fields[name].aliases[0] if name in fields else name: value for name, value in {**_clear(key, caller), **masked}.items()}
    return shown if key.custom_host is None else shown | {"customHost": key.custom_host}


def _clear(key: VirtualKey, caller: Principal) -> dict[str, str]:
    """What is no secret, without what concerns other projects."""
    clear = dict(key.clear)
    text = clear.pop("output_prefixes", "")
    shown = parsed_prefixes(text) if caller.organisation else tuple((one, caller.project_id) for one in outputs_of(text, caller.project_id))
    return clear | {"output_prefixes": written_prefixes(shown)} if shown else clear


def _references(key: VirtualKey, caller: Principal) -> dict[str, str]:
    """Where secrets are kept is for the organisation alone to know."""
    return dict(key.references) if caller.organisation else dict.fromkeys(key.references, REDACTED)


def _config_values(config: SavedConfig) -> dict[str, Any]:
    return {
        "id": config.id,
        "slug": config.slug,
        "name": config.name,
        "organisation_id": ORGANISATION_ID,
        "workspace_id": config.project_id,
        "is_default": int(config.is_default),
        "version": config.number,
        "version_id": config.version_id,
        "owner_id": config.created_by,
        "updated_by": config.updated_by,
        "created_at": shown_time(config.created_at),
        "last_updated_at": shown_time(config.updated_at),
    }
