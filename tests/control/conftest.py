"""The use cases of the control plane over a real database and a real vault, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fileplane.access import ALL_SCOPES, NewProject, Principal
from fileplane.control.configs import Configs
from fileplane.control.virtual_keys import View, VirtualKeys
from fileplane.control.wishes import integration_wishes, virtual_key_wishes
from fileplane.credentials import VirtualKey
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import Origin
from fileplane.saved_configs import SavedConfig
from fileplane.secrets.master_key import MasterKeySource, unlock
from fileplane.secrets.references import References
from fileplane.secrets.vault import Vault
from fileplane.testing.clock import ManualClock

NOBODY = Origin()


@dataclass
class Plane:
    """Two projects, a key of each, and one of the organisation that works in the first."""

    metadata: SqliteMetadataStore
    vault: Vault
    virtual_keys: VirtualKeys
    configs: Configs
    clock: ManualClock
    data_dir: Path
    project: Principal
    other: Principal
    organisation: Principal

    async def make(self, caller: Principal | None = None, view: View = View.VIRTUAL_KEY, **given: Any) -> VirtualKey:
        """A virtual key; without anything given, one of OpenAI's."""
        standard = {"name": "Mine"} | ({} if "integration_id" in given else {"provider": "openai"})
        own = given.get("provider", "openai") == "openai" and not {"integration_id", "api_key"} & set(given)
        standard |= {"key": "sk-standard"} if own else {}
        return await self.virtual_keys.create(caller or self.project, virtual_key_wishes(standard | given), NOBODY, view)

    async def integrate(self, caller: Principal | None = None, **given: Any) -> VirtualKey:
        standard = {"name": "Mine", "ai_provider_id": "openai", "key": "sk-standard"}
        return await self.virtual_keys.create(caller or self.organisation, integration_wishes(standard | given), NOBODY, View.INTEGRATION)

    async def change(self, slug: str, caller: Principal | None = None, /, **given: Any) -> VirtualKey:
        return await self.virtual_keys.update(caller or self.project, slug, virtual_key_wishes(given), NOBODY)

    async def save(self, document: object, caller: Principal | None = None, **given: Any) -> SavedConfig:
        return await self.configs.create(caller or self.project, {"name": "Mine", "config": document} | given, NOBODY)

    async def secret(self, slug: str, name: str = "api_key", caller: Principal | None = None) -> str:
        opened = await self.virtual_keys.resolve((caller or self.project).project_id, slug)
        return opened.secrets[name].reveal()


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    prepare_database(tmp_path / "fileplane.db")
    clock = ManualClock()
    metadata = SqliteMetadataStore(tmp_path / "fileplane.db", clock)
    try:
        source = MasterKeySource(tmp_path)
        master_key, _ = await unlock(metadata, source)
        references = References(("env:ALLOWED_*",), tmp_path, {"ALLOWED_KEY": "sk-from-the-environment"})
        vault = Vault(metadata, source, master_key, references, clock)
        one, other = [(await metadata.create_project(NewProject(slug, slug), NOBODY)).id for slug in ("one", "other")]
        yield Plane(
            metadata,
            vault,
            VirtualKeys(metadata, vault, references, clock),
            Configs(metadata, vault, clock),
            clock,
            tmp_path,
            Principal(one, "key-1", ALL_SCOPES),
            Principal(other, "key-2", ALL_SCOPES),
            Principal(one, "key-3", ALL_SCOPES, organisation=True),
        )
    finally:
        await metadata.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteMetadataStore]:
    prepare_database(tmp_path / "fileplane.db")
    store = SqliteMetadataStore(tmp_path / "fileplane.db", clock)
    yield store
    await store.close()
