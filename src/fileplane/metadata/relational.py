"""The MetadataStore protocol: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Sequence

from fileplane.access import NO_LIMITS, UNLIMITED, CallerLimits, Limits
from fileplane.clock import Clock
from fileplane.errors import StorageQuotaExceeded
from fileplane.metadata.engine import Connection, Engine
from fileplane.metadata.relational_catalog import RelationalCatalogStore
from fileplane.metadata.relational_control import RelationalControlStore
from fileplane.metadata.relational_limits import RelationalLimitsStore
from fileplane.metadata.relational_resumable import RelationalResumableStore
from fileplane.metadata.relational_routed_uploads import RelationalRoutedUploadStore
from fileplane.metadata.relational_uploads import RelationalUploadStore
from fileplane.metadata.transactions import catalog_upkeep as catalog
from fileplane.metadata.transactions import files, lifecycle, upkeep
from fileplane.metadata.transactions.limits import require_restored
from fileplane.model import (
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
    NewFile,
    Origin,
    Remains,
    StoreUsage,
    Usage,
)


class RelationalMetadataStore(
    RelationalControlStore,
    RelationalLimitsStore,
    RelationalCatalogStore,
    RelationalUploadStore,
    RelationalRoutedUploadStore,
    RelationalResumableStore,
):
    """See :class:`fileplane.metadata.base.MetadataStore`. What an engine does its own way is left to subclasses."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """On an engine whose database has been prepared. Needs a running event loop."""
        self._engine = engine
        self._clock = clock

    @property
    def clock(self) -> Clock:
        """See :attr:`MetadataStore.clock`."""
        return self._clock

    async def create_file(
        self,
        project_id: str,
        new: NewFile,
        quota_bytes: int,
        origin: Origin,
        idempotency: Idempotency | None = None,
        limits: CallerLimits = NO_LIMITS,
    ) -> CreatedFile:
        """See :meth:`MetadataStore.create_file`."""
        return await self._engine.write(
            lambda connection: files.create(connection, project_id, new, quota_bytes, origin, idempotency, limits, self._clock.now_ms())
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

    async def get_copy(self, project_id: str, file_id: str) -> File:
        """See :meth:`MetadataStore.get_copy`."""
        return await self._engine.read(lambda connection: files.copy(connection, project_id, file_id))

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

    async def restore_file(self, project_id: str, file_id: str, quota_bytes: int, origin: Origin, limits: Limits = UNLIMITED) -> File:
        """See :meth:`MetadataStore.restore_file`."""

        def operation(connection: Connection) -> File:
            key_id = lifecycle.restore(connection, project_id, file_id, origin, self._clock.now_ms())
            if files.usage(connection, project_id).stored_bytes > quota_bytes:
                raise StorageQuotaExceeded(quota_bytes)
            require_restored(connection, project_id, key_id, limits, self._now())
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

        def operation(connection: Connection) -> list[Hold]:
            files.get(connection, project_id, file_id, now)
            return lifecycle.holds(connection, project_id, file_id, now)

        return await self._engine.read(operation)

    async def release_hold(self, project_id: str, file_id: str, hold_id: str, origin: Origin) -> None:
        """See :meth:`MetadataStore.release_hold`."""

        def operation(connection: Connection) -> None:
            files.get(connection, project_id, file_id, self._now())
            lifecycle.release(connection, project_id, file_id, hold_id, origin, self._clock.now_ms())

        await self._engine.write(operation)

    async def usage(self, project_id: str) -> Usage:
        """See :meth:`MetadataStore.usage`."""
        return await self._engine.read(lambda connection: files.usage(connection, project_id))

    async def list_audit(self, query: AuditQuery) -> AuditPage:
        """See :meth:`MetadataStore.list_audit`."""
        return await self._engine.read(lambda connection: lifecycle.audit_page(connection, query))

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

    async def forget_old_entries(self, audit_before: int | None, usage_before: int | None = None) -> bool:
        """See :meth:`MetadataStore.forget_old_entries`."""
        return await self._engine.write(lambda connection: upkeep.forget_old(connection, audit_before, usage_before, self._now()))

    async def unowned_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """See :meth:`MetadataStore.unowned_blobs`."""
        return await self._engine.read(lambda connection: upkeep.unowned(connection, blob_keys))

    async def condemn_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """See :meth:`MetadataStore.condemn_blobs`."""
        return await self._engine.write(lambda connection: upkeep.condemn(connection, blob_keys, self._now()))

    async def store_identity(self) -> str:
        """See :meth:`MetadataStore.store_identity`."""
        known = await self._engine.read(upkeep.identity)
        return known if known is not None else await self._engine.write(upkeep.make_identity)

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
        return await self._engine.read(lambda connection: upkeep.drifts(connection) + catalog.drifts(connection))

    async def check(self) -> None:
        """See :meth:`MetadataStore.check`."""
        await self._engine.read(lambda connection: connection.execute("SELECT count(*) FROM projects").fetchone())

    async def close(self) -> None:
        """See :meth:`MetadataStore.close`."""
        await self._engine.close()
