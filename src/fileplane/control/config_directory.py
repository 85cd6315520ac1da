"""What the configs of a project can refer to, read before they are looked at, since checking them is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fileplane.metadata.control import ControlStore
from fileplane.providers.without_files import WITHOUT_FILES
from fileplane.routing.config_json import decode_document
from fileplane.routing.config_references import DEEPEST_REFERENCE, configs_of
from fileplane.routing.config_values import Config
from fileplane.routing.configs import parse_config
from fileplane.routing.headers import NATIVE_PROVIDER
from fileplane.routing.providers import PROVIDERS
from fileplane.saved_configs import ConfigVersion, SavedConfig
from fileplane.secrets.vault import Vault

DOCUMENT = "document"
"""The name of the one encrypted field of a config's version."""


@dataclass(frozen=True, slots=True)
class ProjectDirectory:
    """See :class:`~fileplane.routing.config_references.Directory`."""

    virtual_keys: frozenset[str]
    configs: Mapping[str, Config] = field(default_factory=dict)

    def has_virtual_key(self, slug: str) -> bool:
        """See :meth:`Directory.has_virtual_key`."""
        return slug in self.virtual_keys

    def has_provider(self, name: str) -> bool:
        """See :meth:`Directory.has_provider`."""
        return name == NATIVE_PROVIDER or name in PROVIDERS or name in WITHOUT_FILES

    def config(self, slug: str) -> Config | None:
        """See :meth:`Directory.config`."""
        return self.configs.get(slug)


async def directory_for(metadata: ControlStore, vault: Vault, project_id: str, config: Config) -> ProjectDirectory:
    """All that ``config`` can lead to in a project. Raises what :meth:`~fileplane.secrets.vault.Vault.open_stored` does."""
    virtual_keys = frozenset(key.slug for key in await metadata.list_virtual_keys(project_id))
    found: dict[str, Config] = {}
    wanted = set(configs_of(config))
    if wanted:
        saved = {one.slug: one for one in await metadata.list_configs(project_id)}
        for _ in range(DEEPEST_REFERENCE):
            wanted = {slug for slug in wanted if slug in saved and slug not in found}
            for slug in wanted:
                found[slug] = parse_config(await opened(vault, saved[slug].slug, saved[slug]))
            wanted = {slug for one in wanted for slug in configs_of(found[one])}
    return ProjectDirectory(virtual_keys, found)


async def opened(vault: Vault, slug: str, version: SavedConfig | ConfigVersion) -> dict[str, Any]:
    """A saved document, with its secrets. Raises as :meth:`~fileplane.secrets.vault.Vault.open_stored`."""
    version_id = version.version_id if isinstance(version, SavedConfig) else version.id
    fields = await vault.open_stored(version_id, f"config '{slug}'", version.sealed)
    return decode_document(fields[DOCUMENT].reveal())
