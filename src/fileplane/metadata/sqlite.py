"""The MetadataStore protocol on SQLite: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from fileplane.clock import Clock
from fileplane.credentials import DataKey, NewDataKey, NewVirtualKey, Sealed, VirtualKey
from fileplane.metadata import sqlite_files as files
from fileplane.metadata import sqlite_keys as keys
from fileplane.metadata import sqlite_lifecycle as lifecycle
from fileplane.metadata import sqlite_secrets as secrets
from fileplane.metadata import sqlite_upkeep as upkeep
from fileplane.metadata.sqlite_engine import CACHE_BYTES, SqliteEngine, snapshot
from fileplane.model import (
    ApiKey,
    AuditPage,
    AuditQuery,
    CounterDrift,
    CreatedFile,
    File,
    FilePage,
    FileQuery,
    Hold,
    Idempotency,
    KeptFile,
    NewApiKey,
    NewFile,
    Origin,
    Project,
    Remains,
    StoreUsage,
    Usage,
)


class SqliteMetadataStore:
    """See :class:`fileplane.metadata.base.MetadataStore`. Several processes on one machine may use one database at once."""

    def __init__(self, path: Path, clock: Clock, *, deadline_seconds: float = 10.0, cache_bytes: int = CACHE_BYTES) -> None:
        """For a database that :func:`~fileplane.metadata.sqlite_engine.prepare_database` has prepared. Needs a running event loop."""
        self._clock = clock
        self._engine = SqliteEngine(path, deadline_seconds, cache_bytes)

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    async def create_file(
        self, project_id: str, new: NewFile, quota_bytes: int, origin: Origin, idempotency: Idempotency | None = None
    ) -> CreatedFile:
        """See :meth:`MetadataStore.create_file`."""
        return await self._engine.write(
            lambda connection: files.create(connection, project_id, new, quota_bytes, origin, idempotency, self._clock.now_ms())
        )

    async def repeated_upload_bytes(self, project_id: str, key_hash: bytes) -> int | None:
        """See :meth:`MetadataStore.repeated_upload_bytes`."""
        now = self._now()
        return await self._engine.read(lambda connection: files.repeated_bytes(connection, project_id, key_hash, now))

    async def reclaimable_bytes(self, project_id: str) -> int:
        """See :meth:`MetadataStore.reclaimable_bytes`."""
        now = self._now()
        return await self._engine.read(lambda connection: upkeep.reclaimable(connection, project_id, now))

    async def get_file(self, project_id: str, file_id: str) -> File:
        """See :meth:`MetadataStore.get_file`."""
        now = self._now()
        return await self._engine.read(lambda connection: files.get(connection, project_id, file_id, now))

    async def get_validation(self, project_id: str, file_id: str) -> str:
        """See :meth:`MetadataStore.get_validation`."""
        now = self._now()
        return await self._engine.read(lambda connection: files.validation(connection, project_id, file_id, now))

    async def list_files(self, project_id: str, query: FileQuery) -> FilePage:
        """See :meth:`MetadataStore.list_files`."""
        now = self._now()
        return await self._engine.read(lambda connection: files.page(connection, project_id, query, now))

    async def delete_file(self, project_id: str, file_id: str, retention_seconds: int, origin: Origin) -> None:
        """See :meth:`MetadataStore.delete_file`."""
        await self._engine.write(
            lambda connection: lifecycle.delete(connection, project_id, file_id, retention_seconds, origin, self._clock.now_ms())
        )

    async def purge_file(self, project_id: str, file_id: str, origin: Origin) -> Remains:
        """See :meth:`MetadataStore.purge_file`."""
        return await self._engine.write(lambda connection: lifecycle.purge(connection, project_id, file_id, origin, self._clock.now_ms()))

    async def restore_file(self, project_id: str, file_id: str, quota_bytes: int, origin: Origin) -> File:
        """See :meth:`MetadataStore.restore_file`."""

        def operation(connection: apsw.Connection) -> File:
            stored = files.usage(connection, project_id).stored_bytes
            lifecycle.restore(connection, project_id, file_id, stored, quota_bytes, origin, self._clock.now_ms())
            return files.get(connection, project_id, file_id, self._now())

        return await self._engine.write(operation)

    async def hold_file(self, project_id: str, file_id: str, reason: str, expires_in: int | None, origin: Origin) -> Hold:
        """See :meth:`MetadataStore.hold_file`."""
        return await self._engine.write(
            lambda connection: lifecycle.hold(connection, project_id, file_id, reason, expires_in, origin, self._clock.now_ms())
        )

    async def list_holds(self, project_id: str, file_id: str) -> list[Hold]:
        """See :meth:`MetadataStore.list_holds`."""
        now = self._now()

        def operation(connection: apsw.Connection) -> list[Hold]:
            files.get(connection, project_id, file_id, now)
            return lifecycle.holds(connection, project_id, file_id, now)

        return await self._engine.read(operation)

    async def release_hold(self, project_id: str, file_id: str, hold_id: str, origin: Origin) -> None:
        """See :meth:`MetadataStore.release_hold`."""

        def operation(connection: apsw.Connection) -> None:
            files.get(connection, project_id, file_id, self._now())
            lifecycle.release(connection, project_id, file_id, hold_id, origin, self._clock.now_ms())

        await self._engine.write(operation)

    async def usage(self, project_id: str) -> Usage:
        """See :meth:`MetadataStore.usage`."""
        return await self._engine.read(lambda connection: files.usage(connection, project_id))

    async def list_audit(self, query: AuditQuery) -> AuditPage:
        """See :meth:`MetadataStore.list_audit`."""
        return await self._engine.read(lambda connection: lifecycle.audit_page(connection, query))

    async def create_project(self, name: str) -> Project:
        """See :meth:`MetadataStore.create_project`."""
        return await self._engine.write(lambda connection: keys.insert_project(connection, name, self._clock.now_ms()))

    async def list_projects(self) -> list[Project]:
        """See :meth:`MetadataStore.list_projects`."""
        return await self._engine.read(keys.projects)

    async def create_api_key(self, new: NewApiKey) -> ApiKey:
        """See :meth:`MetadataStore.create_api_key`."""
        return await self._engine.write(lambda connection: keys.insert_api_key(connection, new, self._clock.now_ms()))

    async def list_api_keys(self, project_id: str | None = None) -> list[ApiKey]:
        """See :meth:`MetadataStore.list_api_keys`."""
        return await self._engine.read(lambda connection: keys.api_keys(connection, project_id))

    async def revoke_api_key(self, key_id: str) -> bool:
        """See :meth:`MetadataStore.revoke_api_key`."""
        return await self._engine.write(lambda connection: keys.revoke(connection, key_id, self._now()))

    async def find_api_key(self, key_hash: bytes) -> ApiKey | None:
        """See :meth:`MetadataStore.find_api_key`."""
        return await self._engine.read(lambda connection: keys.find(connection, key_hash))

    async def bootstrap(self, key_hash: bytes, hint: str, scopes: frozenset[str]) -> bool:
        """See :meth:`MetadataStore.bootstrap`."""
        return await self._engine.write(lambda connection: keys.bootstrap(connection, key_hash, hint, scopes, self._clock.now_ms()))

    async def ended_files(self, after: Remains | None, limit: int) -> list[Remains]:
        """See :meth:`MetadataStore.ended_files`."""
        now = self._now()
        return await self._engine.read(lambda connection: upkeep.remains(connection, "select_ended", now, after, limit))

    async def mark_ended(self, ended: Sequence[Remains]) -> None:
        """See :meth:`MetadataStore.mark_ended`."""
        await self._engine.write(lambda connection: upkeep.mark_ended(connection, ended, self._clock.now_ms()))

    async def collectable_files(self, after: Remains | None, limit: int) -> list[Remains]:
        """See :meth:`MetadataStore.collectable_files`."""
        now = self._now()
        return await self._engine.read(lambda connection: upkeep.remains(connection, "select_collectable", now, after, limit))

    async def claim_collectable(self, due: Sequence[Remains]) -> list[Remains]:
        """See :meth:`MetadataStore.claim_collectable`."""
        return await self._engine.write(lambda connection: upkeep.claim(connection, due, self._now()))

    async def mark_collected(self, collected: Sequence[Remains]) -> list[Remains]:
        """See :meth:`MetadataStore.mark_collected`."""
        return await self._engine.write(lambda connection: upkeep.mark_collected(connection, collected, self._now()))

    async def give_up_oldest_deleted(self, project_id: str, needed: int) -> list[Remains]:
        """See :meth:`MetadataStore.give_up_oldest_deleted`."""
        return await self._engine.write(lambda connection: upkeep.give_up_oldest(connection, project_id, needed, self._clock.now_ms()))

    async def tombstones(self, collected_before: int, after: Remains | None, limit: int) -> list[Remains]:
        """See :meth:`MetadataStore.tombstones`."""
        return await self._engine.read(lambda connection: upkeep.remains(connection, "select_tombstones", collected_before, after, limit))

    async def forget_files(self, gone: Sequence[Remains]) -> None:
        """See :meth:`MetadataStore.forget_files`."""
        await self._engine.write(lambda connection: upkeep.forget(connection, gone))

    async def forget_old_entries(self, audit_before: int | None) -> bool:
        """See :meth:`MetadataStore.forget_old_entries`."""
        return await self._engine.write(lambda connection: upkeep.forget_old(connection, audit_before, self._now()))

    async def unowned_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """See :meth:`MetadataStore.unowned_blobs`."""
        return await self._engine.read(lambda connection: upkeep.unowned(connection, blob_keys))

    async def condemn_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """See :meth:`MetadataStore.condemn_blobs`."""
        return await self._engine.write(lambda connection: upkeep.condemn(connection, blob_keys, self._now()))

    async def master_key_id(self) -> str | None:
        """See :meth:`MetadataStore.master_key_id`."""
        return await self._engine.read(secrets.master_key_id)

    async def adopt_master_key(self, key_id: str) -> str:
        """See :meth:`MetadataStore.adopt_master_key`."""
        return await self._engine.write(lambda connection: secrets.adopt_master_key(connection, key_id, self._now()))

    async def list_data_keys(self) -> list[DataKey]:
        """See :meth:`MetadataStore.list_data_keys`."""
        return await self._engine.read(secrets.data_keys)

    async def replace_data_key(self, new: NewDataKey, replaced_id: str | None, origin: Origin) -> bool:
        """See :meth:`MetadataStore.replace_data_key`."""
        return await self._engine.write(
            lambda connection: secrets.replace_data_key(connection, new, replaced_id, origin, self._clock.now_ms())
        )

    async def rewrap_data_keys(self, old_master_key_id: str, new_master_key_id: str, wrapped: Mapping[str, bytes], origin: Origin) -> None:
        """See :meth:`MetadataStore.rewrap_data_keys`."""
        await self._engine.write(
            lambda connection: secrets.rewrap_data_keys(
                connection, old_master_key_id, new_master_key_id, wrapped, origin, self._clock.now_ms()
            )
        )

    async def drop_unused_data_keys(self, origin: Origin) -> list[str]:
        """See :meth:`MetadataStore.drop_unused_data_keys`."""
        return await self._engine.write(lambda connection: secrets.drop_unused_data_keys(connection, origin, self._clock.now_ms()))

    async def create_virtual_key(self, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """See :meth:`MetadataStore.create_virtual_key`."""
        return await self._engine.write(lambda connection: secrets.create(connection, new, origin, self._clock.now_ms()))

    async def update_virtual_key(self, before: VirtualKey, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """See :meth:`MetadataStore.update_virtual_key`."""
        return await self._engine.write(lambda connection: secrets.update(connection, before, new, origin, self._clock.now_ms()))

    async def reseal_virtual_key(self, before: VirtualKey, sealed: Sealed, origin: Origin) -> bool:
        """See :meth:`MetadataStore.reseal_virtual_key`."""
        return await self._engine.write(lambda connection: secrets.reseal(connection, before, sealed, origin, self._clock.now_ms()))

    async def delete_virtual_key(self, slug: str, origin: Origin) -> None:
        """See :meth:`MetadataStore.delete_virtual_key`."""
        await self._engine.write(lambda connection: secrets.delete(connection, slug, origin, self._clock.now_ms()))

    async def get_virtual_key(self, slug: str) -> VirtualKey:
        """See :meth:`MetadataStore.get_virtual_key`."""
        return await self._engine.read(lambda connection: secrets.get(connection, slug))

    async def list_virtual_keys(self, project_id: str | None = None) -> list[VirtualKey]:
        """See :meth:`MetadataStore.list_virtual_keys`."""
        return await self._engine.read(lambda connection: secrets.virtual_keys(connection, project_id))

    async def stale_virtual_keys(self, after: str, limit: int) -> list[VirtualKey]:
        """See :meth:`MetadataStore.stale_virtual_keys`."""
        return await self._engine.read(lambda connection: secrets.stale_virtual_keys(connection, after, limit))

    async def take_lease(self, name: str, holder: str, seconds: int) -> bool:
        """See :meth:`MetadataStore.take_lease`."""
        return await self._engine.write(lambda connection: upkeep.take_lease(connection, name, holder, self._now(), seconds))

    async def release_lease(self, name: str, holder: str) -> None:
        """See :meth:`MetadataStore.release_lease`."""
        values = {"name": name, "holder": holder}
        await self._engine.write(lambda connection: connection.execute(upkeep.SQL["release_lease"], values))

    async def bookmark(self, name: str) -> str | None:
        """See :meth:`MetadataStore.bookmark`."""
        row = await self._engine.read(lambda connection: connection.execute(upkeep.SQL["select_bookmark"], {"name": name}).fetchone())
        return None if row is None else str(row[0])

    async def set_bookmark(self, name: str, position: str) -> None:
        """See :meth:`MetadataStore.set_bookmark`."""
        values = {"name": name, "position": position}
        await self._engine.write(lambda connection: connection.execute(upkeep.SQL["set_bookmark"], values))

    async def kept_files(self, after: tuple[str, str], limit: int) -> list[KeptFile]:
        """See :meth:`MetadataStore.kept_files`."""
        now = self._now()
        return await self._engine.read(lambda connection: upkeep.kept(connection, after, limit, now))

    async def given_up_files(self, files: Sequence[KeptFile]) -> list[KeptFile]:
        """See :meth:`MetadataStore.given_up_files`."""
        return await self._engine.read(lambda connection: upkeep.given_up(connection, files))

    async def drop_files(self, files: Sequence[KeptFile]) -> None:
        """See :meth:`MetadataStore.drop_files`."""
        await self._engine.write(lambda connection: upkeep.drop(connection, files, self._now()))

    async def total_usage(self) -> StoreUsage:
        """See :meth:`MetadataStore.total_usage`."""
        return await self._engine.read(upkeep.total_usage)

    async def counter_drifts(self) -> list[CounterDrift]:
        """See :meth:`MetadataStore.counter_drifts`."""
        return await self._engine.read(upkeep.drifts)

    async def structural_problems(self) -> list[str]:
        """See :meth:`MetadataStore.structural_problems`."""
        return await self._engine.read(upkeep.problems)

    async def snapshot(self, destination: Path) -> None:
        """See :meth:`MetadataStore.snapshot`."""
        await self._engine.read(lambda connection: snapshot(connection, destination))

    async def check(self) -> None:
        """See :meth:`MetadataStore.check`."""
        await self._engine.read(lambda connection: connection.execute("SELECT count(*) FROM projects").fetchone())

    async def close(self) -> None:
        """See :meth:`MetadataStore.close`."""
        await self._engine.close()
