"""The use cases of saved configs."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from fileplane import errors
from fileplane.access import Principal, Project
from fileplane.clock import Clock
from fileplane.control.changes import ATTEMPTS
from fileplane.control.config_directory import DOCUMENT, directory_for, opened
from fileplane.control.credential_rules import uses_identity_of_the_machine
from fileplane.control.failures import told
from fileplane.control.reach import project_named
from fileplane.control.values import name_of
from fileplane.credentials import Sealed
from fileplane.ids import uuid7
from fileplane.metadata.control import ConfigNotFound, ControlStore, RecordChanged
from fileplane.model import Origin
from fileplane.routing.config_documents import redacted, starred
from fileplane.routing.config_json import LARGEST_DOCUMENT, decode_document
from fileplane.routing.config_problems import WHOLE_DOCUMENT, refuse
from fileplane.routing.config_references import configs_of, every_target, expand, virtual_keys_of
from fileplane.routing.config_values import Config
from fileplane.routing.configs import parse_config
from fileplane.routing.slugs import CONFIG_PREFIX, parse_config_slug, slug_from_name
from fileplane.saved_configs import NewConfig, NewConfigVersion, SavedConfig
from fileplane.secrets.values import Secret
from fileplane.secrets.vault import CredentialDamaged, Vault

CACHE_SECONDS: Final = 3.0
"""For so long a config that was changed elsewhere may still be used as it was before."""
_MOST_CACHED: Final = 1_000
_KIND: Final = "config"


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A document that a config has or had, without its secrets; None for one that cannot be decrypted any more."""

    id: str
    number: int
    created_at: int
    created_by: str | None
    document: dict[str, Any] | None


class Configs:
    """Saves, changes, shows and resolves the configs of projects.

    A project's key reaches its own project's; what is another's is to it as if it did not exist. An organisation's key reaches all.
    """

    def __init__(self, metadata: ControlStore, vault: Vault, clock: Clock) -> None:
        self._metadata = metadata
        self._vault = vault
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, Config]] = OrderedDict()

    async def list(self, caller: Principal, project: object = None) -> list[SavedConfig]:
        """Oldest first. ``project`` (id or slug) is for the organisation to see one project's."""
        project_id = await project_named(self._metadata, caller, project, "workspace_id")
        return await self._metadata.list_configs(project_id if caller.organisation else caller.project_id)

    async def get(self, caller: Principal, slug: str) -> SavedConfig:
        """Raises :class:`~fileplane.errors.RecordNotFound`."""
        found: SavedConfig | None = None
        if caller.organisation:
            with suppress(ConfigNotFound):
                found = await self._metadata.get_config(slug)
        else:
            # Among its own, so that not even the time it takes tells of others'.
            found = next((one for one in await self._metadata.list_configs(caller.project_id) if one.slug == slug), None)
        if found is None:
            raise errors.RecordNotFound(_KIND, slug, param="slug")
        return found

    async def document(self, config: SavedConfig) -> dict[str, Any]:
        """The document in force, without its secrets. Raises :class:`~fileplane.errors.CredentialUnavailable`."""
        with told(_KIND):
            return redacted(await opened(self._vault, config.slug, config))

    async def versions(self, caller: Principal, slug: str) -> tuple[SavedConfig, tuple[ShownVersion, ...]]:
        """The config with every document that it has had, newest first. Raises as :meth:`get`, and ``CredentialUnavailable``."""
        config = await self.get(caller, slug)
        shown = []
        with told(_KIND):
            for version in await self._metadata.list_config_versions(slug):
                try:
                    document: dict[str, Any] | None = redacted(await opened(self._vault, slug, version))
                except CredentialDamaged:
                    document = None
                shown.append(ShownVersion(version.id, version.number, version.created_at, version.created_by, document))
        return config, tuple(shown)

    async def create(self, caller: Principal, given: Mapping[str, object], origin: Origin) -> SavedConfig:
        """``given`` has name and config, and may have slug, workspace_id, is_default (or isDefault) and status.

        Raises an :class:`~fileplane.errors.InvalidRequest` that names what is wrong, ``SlugTaken`` and ``CredentialUnavailable``.
        """
        name = name_of(given.get("name"), "name")
        default = _default_wished(given)
        _require_active(given)
        wished = _slug_wished(given.get("slug"))
        project_id = await project_named(self._metadata, caller, given.get("workspace_id"), "workspace_id") or caller.project_id
        if not project_id:
            raise errors.MissingParameter("A config belongs to a project: name it.", param="workspace_id")
        if given.get("config") is None:
            raise errors.MissingParameter("Missing required parameter: 'config'.", param="config")
        if default:
            # Before anything is saved, so that a refusal leaves nothing.
            _require_choice(caller, await self._project(project_id))
        for attempt in range(ATTEMPTS):
            slug = wished or slug_from_name(name, secrets.token_hex(3), prefix=CONFIG_PREFIX)
            try:
                made = await self._create(caller, project_id, slug, name, given["config"], origin)
            except errors.SlugTaken:
                if wished is not None or attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        return await self._with_default(caller, made, default, origin)

    async def update(self, caller: Principal, slug: str, given: Mapping[str, object], origin: Origin) -> SavedConfig:
        """Changes what was sent; a ``config`` is a new version. Raises as :meth:`create`, ``RecordNotFound`` and ``RecordChanged``."""
        default = _default_wished(given)
        _require_active(given)
        if given.get("slug") not in {None, "", slug}:
            raise errors.InvalidValue("'slug' never changes. Make another config instead.", param="slug")
        for _ in range(ATTEMPTS):
            before = await self.get(caller, slug)
            project_id = await project_named(self._metadata, caller, given.get("workspace_id"), "workspace_id")
            if project_id not in {None, before.project_id}:
                raise errors.RecordNotFound(_KIND, slug, param="workspace_id")
            name = name_of(given["name"], "name") if given.get("name") is not None else None
            if default not in {None, before.is_default}:
                _require_choice(caller, await self._project(before.project_id))
            try:
                after = await self._update(caller, before, name, given.get("config"), origin)
            except RecordChanged:
                continue
            return await self._with_default(caller, after, default, origin)
        raise errors.RecordChanged(_KIND)

    async def delete(self, caller: Principal, slug: str, origin: Origin) -> SavedConfig:
        """With all its versions, for good. Raises :class:`~fileplane.errors.RecordNotFound` or ``RecordInUse``."""
        found = await self.get(caller, slug)
        with told(_KIND):
            await self._metadata.delete_config(slug, origin)
        return found

    async def resolve(self, project_id: str, slug: str) -> Config:
        """The config that requests of a project go by under this slug, with every config that it refers to in its place.

        What was changed elsewhere is seen after :data:`CACHE_SECONDS` at the latest. Raises
        :class:`~fileplane.errors.RecordNotFound`, :class:`~fileplane.errors.InvalidValue` when what it refers to is gone, and
        :class:`~fileplane.errors.CredentialUnavailable`.
        """
        now = self._clock.monotonic()
        cached = self._cache.get((project_id, slug))
        if cached is not None and now < cached[0]:
            return cached[1]
        self._cache.pop((project_id, slug), None)
        config = await self._resolved(project_id, slug)
        self._cache[(project_id, slug)] = (now + CACHE_SECONDS, config)
        if len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        return config

    async def expanded(self, project_id: str, config: Config) -> Config:
        """A config that a caller of a project sent, with every config that it refers to in its place.

        Virtual keys that do not exist are left to whoever calls the targets, since one of several must not fail the others. Raises
        :class:`~fileplane.errors.InvalidValue` for a config that does not exist, and :class:`~fileplane.errors.CredentialUnavailable`.
        """
        if not configs_of(config):
            return config
        with told(_KIND):
            return expand(config, await directory_for(self._metadata, self._vault, project_id, config))

    async def _resolved(self, project_id: str, slug: str) -> Config:
        try:
            saved = await self._metadata.get_config(slug)
        except ConfigNotFound:
            saved = None
        if saved is None or saved.project_id != project_id:
            raise errors.RecordNotFound(_KIND, slug, param=_KIND)
        with told(_KIND):
            config = parse_config(await opened(self._vault, slug, saved))
            return expand(config, await directory_for(self._metadata, self._vault, project_id, config), own_slug=slug)

    async def _create(self, caller: Principal, project_id: str, slug: str, name: str, document: object, origin: Origin) -> SavedConfig:
        version, text = await self._version(caller, project_id, slug, document)

        async def store(sealed: Sealed) -> SavedConfig:
            return await self._metadata.create_config(NewConfig(project_id, slug, name, replace(version, sealed=sealed)), origin)

        with told(_KIND, {"virtual key": WHOLE_DOCUMENT}):
            return await self._vault.stored(version.id, {DOCUMENT: text}, store)

    async def _update(self, caller: Principal, before: SavedConfig, name: str | None, document: object, origin: Origin) -> SavedConfig:
        if document is None:
            with told(_KIND):
                return before if name in {None, before.name} else await self._metadata.update_config(before, name, None, origin)
        version, text = await self._version(caller, before.project_id, before.slug, document)

        async def store(sealed: Sealed) -> SavedConfig:
            return await self._metadata.update_config(before, name, replace(version, sealed=sealed), origin)

        self._cache.clear()
        with told(_KIND, {"virtual key": WHOLE_DOCUMENT}):
            return await self._vault.stored(version.id, {DOCUMENT: text}, store)

    async def _version(self, caller: Principal, project_id: str, slug: str, document: object) -> tuple[NewConfigVersion, Secret]:
        values = decode_document(document)
        if (place := starred(values)) is not None:
            raise refuse(place, "This stands for a secret that is not shown. Write the secret itself, or keep it in a virtual key.")
        config = parse_config(values)
        if not caller.organisation:
            _refuse_identity_of_the_machine(config)
        with told(_KIND):
            directory = await directory_for(self._metadata, self._vault, project_id, config)
        config = parse_config(values, directory=directory, own_slug=slug)
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        if len(text.encode("utf-8")) > LARGEST_DOCUMENT:
            raise refuse(WHOLE_DOCUMENT, f"The document is larger than {LARGEST_DOCUMENT} bytes. Split it into several configs.")
        version_id = uuid7(self._clock.now_ms())
        return NewConfigVersion(version_id, Sealed(), virtual_keys_of(config), configs_of(config)), Secret(text)

    async def _project(self, project_id: str) -> Project:
        with told(_KIND):
            return await self._metadata.find_project(project_id)

    async def _with_default(self, caller: Principal, config: SavedConfig, default: bool | None, origin: Origin) -> SavedConfig:
        """The config after it was made its project's default, or was it no longer."""
        for _ in range(ATTEMPTS):
            if default is None or default == config.is_default:
                return config
            with told(_KIND):
                project = await self._metadata.find_project(config.project_id)
                _require_choice(caller, project)
                defaults = replace(project.defaults, config=config.slug if default else None)
                with suppress(RecordChanged):
                    await self._metadata.update_project(replace(project, defaults=defaults), origin)
                config = await self._metadata.get_config(config.slug)
        raise errors.RecordChanged("project")


def _require_choice(caller: Principal, project: Project) -> None:
    """Raises :class:`~fileplane.errors.OrganisationKeyNeeded` where a project is bound to its route, and so may not choose another."""
    if not caller.organisation and not project.defaults.allow_override:
        raise errors.OrganisationKeyNeeded(
            "Requests of this project have to go by the config that the organisation has made its default.", param="is_default"
        )


def _refuse_identity_of_the_machine(config: Config) -> None:
    """Raises :class:`~fileplane.errors.OrganisationKeyNeeded`, as for virtual keys: a project could have it sent to any host."""
    for target in every_target(config.root):
        clear = {name: value for name, value in target.credential.fields if isinstance(value, str)}
        hidden = {name for name, value in target.credential.fields if not isinstance(value, str)}
        if uses_identity_of_the_machine(clear, hidden):
            raise errors.OrganisationKeyNeeded(
                "A credential that uses the identity of the server's machine is set by the organisation.", param=WHOLE_DOCUMENT
            )


def _default_wished(given: Mapping[str, object]) -> bool | None:
    sent = [name for name in ("is_default", "isDefault") if given.get(name) is not None]
    if len(sent) > 1:
        raise errors.InvalidValue("'isDefault' and 'is_default' are the same. Send one of them.", param="isDefault")
    if not sent:
        return None
    value = given[sent[0]]
    if not isinstance(value, int) or value not in {0, 1}:
        raise errors.InvalidValue(f"'{sent[0]}' must be 0 or 1.", param=sent[0])
    return bool(value)


def _require_active(given: Mapping[str, object]) -> None:
    if given.get("status") not in (None, "active"):
        raise errors.InvalidValue("'status' can only be active. A config that is not wanted can be deleted.", param="status")


def _slug_wished(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or parse_config_slug(value) is None:
        raise errors.InvalidValue(
            f"'slug' must begin with '{CONFIG_PREFIX}' and go on with a-z, 0-9, '_' and '-', 128 characters at most.", param="slug"
        )
    return value
