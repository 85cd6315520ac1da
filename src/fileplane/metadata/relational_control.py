"""The ControlStore protocol: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Mapping

from fileplane.access import ALL_SCOPES, DEFAULT_PROJECT, ApiKey, KeyKind, KnownKey, NewApiKey, NewProject, Project
from fileplane.clock import Clock
from fileplane.credentials import DataKey, NewDataKey, NewVirtualKey, Sealed, SealedRecord, VirtualKey
from fileplane.metadata.control import UnknownProject
from fileplane.metadata.engine import Connection, Engine
from fileplane.metadata.transactions import configs, keys, projects, secrets, virtual_keys
from fileplane.model import Origin
from fileplane.saved_configs import ConfigVersion, NewConfig, NewConfigVersion, SavedConfig


class RelationalControlStore:
    """See :class:`fileplane.metadata.control.ControlStore`."""

    _clock: Clock
    _engine: Engine

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    async def create_project(self, new: NewProject, origin: Origin) -> Project:
        """See :meth:`ControlStore.create_project`."""
        return await self._engine.write(lambda connection: projects.create(connection, new, origin, self._clock.now_ms()))

    async def list_projects(self) -> list[Project]:
        """See :meth:`ControlStore.list_projects`."""
        return await self._engine.read(projects.every)

    async def find_project(self, id_or_slug: str) -> Project:
        """See :meth:`ControlStore.find_project`."""
        return await self._engine.read(lambda connection: projects.find(connection, id_or_slug))

    async def update_project(self, after: Project, origin: Origin) -> Project:
        """See :meth:`ControlStore.update_project`."""
        return await self._engine.write(lambda connection: projects.update(connection, after, origin, self._clock.now_ms()))

    async def delete_project(self, project_id: str, origin: Origin, *, force: bool = False) -> None:
        """See :meth:`ControlStore.delete_project`."""
        await self._engine.write(lambda connection: projects.delete(connection, project_id, origin, self._clock.now_ms(), force=force))

    async def create_api_key(self, new: NewApiKey, origin: Origin) -> ApiKey:
        """See :meth:`ControlStore.create_api_key`."""
        return await self._engine.write(lambda connection: keys.create(connection, new, origin, self._clock.now_ms()))

    async def list_api_keys(self, project_id: str | None = None, *, with_revoked: bool = True) -> list[ApiKey]:
        """See :meth:`ControlStore.list_api_keys`."""
        return await self._engine.read(lambda connection: keys.every(connection, project_id, with_revoked=with_revoked))

    async def get_api_key(self, key_id: str, project_id: str | None = None) -> ApiKey:
        """See :meth:`ControlStore.get_api_key`."""
        return await self._engine.read(lambda connection: keys.get_working(connection, key_id, project_id))

    async def update_api_key(self, after: ApiKey, origin: Origin) -> ApiKey:
        """See :meth:`ControlStore.update_api_key`."""
        return await self._engine.write(lambda connection: keys.update(connection, after, origin, self._clock.now_ms()))

    async def rotate_api_key(self, before: ApiKey, key_hash: bytes, hint: str, overlap_seconds: int, origin: Origin) -> ApiKey:
        """See :meth:`ControlStore.rotate_api_key`."""
        return await self._engine.write(
            lambda connection: keys.rotate(connection, before, key_hash, hint, overlap_seconds, origin, self._clock.now_ms())
        )

    async def revoke_api_key(self, key_id: str, origin: Origin) -> bool:
        """See :meth:`ControlStore.revoke_api_key`."""
        return await self._engine.write(lambda connection: keys.revoke(connection, key_id, origin, self._clock.now_ms()))

    async def find_api_key(self, key_hash: bytes) -> KnownKey | None:
        """See :meth:`ControlStore.find_api_key`."""

        def operation(connection: Connection) -> KnownKey | None:
            found = keys.find(connection, key_hash)
            try:
                return None if found is None else KnownKey(found[0], projects.get(connection, found[0].project_id), found[1])
            except UnknownProject:
                return None  # it was removed, with its keys

        return await self._engine.read(operation)

    async def note_key_use(self, key_id: str, used_at: int) -> None:
        """See :meth:`ControlStore.note_key_use`."""
        await self._engine.write(lambda connection: keys.note_use(connection, key_id, used_at))

    async def bootstrap(self, key_hash: bytes, hint: str, scopes: frozenset[str] = ALL_SCOPES) -> bool:
        """See :meth:`ControlStore.bootstrap`."""

        def operation(connection: Connection) -> bool:
            if keys.there_is_one(connection):
                return False
            now_ms, nobody = self._clock.now_ms(), Origin()
            try:
                project = projects.find(connection, DEFAULT_PROJECT)
            except UnknownProject:
                project = projects.create(connection, NewProject(DEFAULT_PROJECT, DEFAULT_PROJECT), nobody, now_ms)
            new = NewApiKey(project.id, "bootstrap", key_hash, hint, scopes, KeyKind.ORGANISATION_SERVICE)
            keys.create(connection, new, nobody, now_ms)
            return True

        return await self._engine.write(operation)

    async def create_config(self, new: NewConfig, origin: Origin) -> SavedConfig:
        """See :meth:`ControlStore.create_config`."""
        return await self._engine.write(lambda connection: configs.create(connection, new, origin, self._clock.now_ms()))

    async def update_config(self, before: SavedConfig, name: str | None, version: NewConfigVersion | None, origin: Origin) -> SavedConfig:
        """See :meth:`ControlStore.update_config`."""
        return await self._engine.write(lambda connection: configs.update(connection, before, name, version, origin, self._clock.now_ms()))

    async def delete_config(self, slug: str, origin: Origin) -> None:
        """See :meth:`ControlStore.delete_config`."""
        await self._engine.write(lambda connection: configs.delete(connection, slug, origin, self._clock.now_ms()))

    async def get_config(self, slug: str) -> SavedConfig:
        """See :meth:`ControlStore.get_config`."""
        return await self._engine.read(lambda connection: configs.get(connection, slug))

    async def list_configs(self, project_id: str | None = None) -> list[SavedConfig]:
        """See :meth:`ControlStore.list_configs`."""
        return await self._engine.read(lambda connection: configs.every(connection, project_id))

    async def list_config_versions(self, slug: str) -> list[ConfigVersion]:
        """See :meth:`ControlStore.list_config_versions`."""
        return await self._engine.read(lambda connection: configs.versions(connection, slug))

    async def master_key_id(self) -> str | None:
        """See :meth:`ControlStore.master_key_id`."""
        return await self._engine.read(secrets.master_key_id)

    async def adopt_master_key(self, key_id: str) -> str:
        """See :meth:`ControlStore.adopt_master_key`."""
        return await self._engine.write(lambda connection: secrets.adopt_master_key(connection, key_id, self._now()))

    async def list_data_keys(self) -> list[DataKey]:
        """See :meth:`ControlStore.list_data_keys`."""
        return await self._engine.read(secrets.data_keys)

    async def replace_data_key(self, new: NewDataKey, replaced_id: str | None, origin: Origin) -> bool:
        """See :meth:`ControlStore.replace_data_key`."""
        return await self._engine.write(
            lambda connection: secrets.replace_data_key(connection, new, replaced_id, origin, self._clock.now_ms())
        )

    async def rewrap_data_keys(self, old_master_key_id: str, new_master_key_id: str, wrapped: Mapping[str, bytes], origin: Origin) -> None:
        """See :meth:`ControlStore.rewrap_data_keys`."""
        await self._engine.write(
            lambda connection: secrets.rewrap_data_keys(
                connection, old_master_key_id, new_master_key_id, wrapped, origin, self._clock.now_ms()
            )
        )

    async def drop_unused_data_keys(self, origin: Origin) -> list[str]:
        """See :meth:`ControlStore.drop_unused_data_keys`."""
        return await self._engine.write(lambda connection: secrets.drop_unused_data_keys(connection, origin, self._clock.now_ms()))

    async def forget_ciphertexts(self, lost_master_key_id: str, new_master_key_id: str, origin: Origin) -> None:
        """See :meth:`ControlStore.forget_ciphertexts`."""
        await self._engine.write(
            lambda connection: secrets.forget(connection, lost_master_key_id, new_master_key_id, origin, self._clock.now_ms())
        )

    async def create_virtual_key(self, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """See :meth:`ControlStore.create_virtual_key`."""
        return await self._engine.write(lambda connection: virtual_keys.create(connection, new, origin, self._clock.now_ms()))

    async def update_virtual_key(self, before: VirtualKey, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """See :meth:`ControlStore.update_virtual_key`."""
        return await self._engine.write(lambda connection: virtual_keys.update(connection, before, new, origin, self._clock.now_ms()))

    async def delete_virtual_key(self, slug: str, origin: Origin) -> None:
        """See :meth:`ControlStore.delete_virtual_key`."""
        await self._engine.write(lambda connection: virtual_keys.delete(connection, slug, origin, self._clock.now_ms()))

    async def get_virtual_key(self, slug: str) -> VirtualKey:
        """See :meth:`ControlStore.get_virtual_key`."""
        return await self._engine.read(lambda connection: virtual_keys.get(connection, slug))

    async def list_virtual_keys(self, project_id: str | None = None) -> list[VirtualKey]:
        """See :meth:`ControlStore.list_virtual_keys`."""
        return await self._engine.read(lambda connection: virtual_keys.virtual_keys(connection, project_id))

    async def stale_records(self, after: str, limit: int) -> list[SealedRecord]:
        """See :meth:`ControlStore.stale_records`."""
        return await self._engine.read(lambda connection: secrets.stale(connection, after, limit))

    async def reseal_record(self, before: SealedRecord, sealed: Sealed, origin: Origin) -> bool:
        """See :meth:`ControlStore.reseal_record`."""
        return await self._engine.write(lambda connection: secrets.reseal(connection, before, sealed, origin, self._clock.now_ms()))
