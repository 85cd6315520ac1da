"""The CatalogStore protocol: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fileplane.catalog import (
    CatalogFile,
    CatalogPage,
    CatalogQuery,
    Claim,
    FileReport,
    Job,
    JobKind,
    JobPage,
    JobQuery,
    JobReport,
    NewJob,
    NewUpload,
    ProviderFile,
    RefreshedJob,
    Reservation,
    UploadedFile,
)
from fileplane.clock import Clock
from fileplane.metadata.catalog import NewCopy
from fileplane.metadata.engine import Connection, Engine
from fileplane.metadata.transactions import catalog_files as files
from fileplane.metadata.transactions import catalog_rows as rows
from fileplane.metadata.transactions import catalog_upkeep as upkeep
from fileplane.metadata.transactions import jobs
from fileplane.model import Idempotency, Origin, Usage


class RelationalCatalogStore:
    """See :class:`fileplane.metadata.catalog.CatalogStore`."""

    _clock: Clock
    _engine: Engine

    async def reserve_upload(
        self,
        project_id: str,
        new: NewUpload,
        claim: Claim,
        origin: Origin,
        idempotency: Idempotency | None = None,
        copy: NewCopy | None = None,
    ) -> Reservation:
        """See :meth:`CatalogStore.reserve_upload`."""
        return await self._engine.write(
            lambda connection: files.reserve(connection, project_id, new, claim, origin, idempotency, copy, self._clock.now_ms())
        )

    async def bind_upload(self, project_id: str, intent_id: str, uploaded: UploadedFile, origin: Origin) -> CatalogFile:
        """See :meth:`CatalogStore.bind_upload`."""
        return await self._engine.write(
            lambda connection: files.bind(connection, project_id, intent_id, uploaded, origin, self._clock.now_ms())
        )

    async def mark_upload_unknown(self, project_id: str, intent_id: str, origin: Origin, *, release_key: bool = False) -> None:
        """See :meth:`CatalogStore.mark_upload_unknown`."""
        await self._engine.write(
            lambda connection: files.mark_unknown(connection, project_id, intent_id, origin, self._clock.now_ms(), release_key=release_key)
        )

    async def fail_upload(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """See :meth:`CatalogStore.fail_upload`."""
        await self._engine.write(lambda connection: files.fail(connection, project_id, intent_id, origin, self._clock.now_ms()))

    async def renew_claim(self, project_id: str, intent_id: str, claim: Claim) -> bool:
        """See :meth:`CatalogStore.renew_claim`."""
        return await self._engine.write(
            lambda connection: upkeep.renew_claim(connection, project_id, intent_id, claim, self._clock.now_ms() // 1000)
        )

    async def get_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str) -> CatalogFile:
        """See :meth:`CatalogStore.get_catalog_file`."""
        now = self._clock.now_ms() // 1000
        return await self._engine.read(lambda connection: rows.bound(connection, project_id, virtual_key_id, provider_file_id, now))

    async def find_catalog_files(self, project_id: str, provider_file_id: str) -> list[CatalogFile]:
        """See :meth:`CatalogStore.find_catalog_files`."""
        now = self._clock.now_ms() // 1000
        return await self._engine.read(lambda connection: files.find(connection, project_id, provider_file_id, now))

    async def list_catalog_files(self, project_id: str, query: CatalogQuery) -> CatalogPage:
        """See :meth:`CatalogStore.list_catalog_files`."""
        now = self._clock.now_ms() // 1000
        return await self._engine.read(lambda connection: files.page(connection, project_id, query, now))

    async def known_file_ids(self, project_id: str, query: CatalogQuery, provider_file_ids: Sequence[str]) -> set[str]:
        """See :meth:`CatalogStore.known_file_ids`."""
        return await self._engine.read(lambda connection: files.known(connection, project_id, query, provider_file_ids))

    async def refresh_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str, report: FileReport) -> CatalogFile:
        """See :meth:`CatalogStore.refresh_catalog_file`. Mostly nothing is new, and then nothing waits for the writer."""
        file = await self.get_catalog_file(project_id, virtual_key_id, provider_file_id)
        if files.changes_nothing(file, report):
            return file
        return await self._engine.write(
            lambda connection: files.refresh(connection, project_id, virtual_key_id, provider_file_id, report, self._clock.now_ms() // 1000)
        )

    async def begin_catalog_delete(
        self, project_id: str, virtual_key_id: str, provider_file_id: str, claim: Claim, origin: Origin
    ) -> CatalogFile:
        """See :meth:`CatalogStore.begin_catalog_delete`."""
        return await self._engine.write(
            lambda connection: files.begin_delete(
                connection, project_id, virtual_key_id, provider_file_id, claim, origin, self._clock.now_ms()
            )
        )

    async def finish_catalog_delete(self, project_id: str, intent_id: str, origin: Origin) -> bool:
        """See :meth:`CatalogStore.finish_catalog_delete`."""
        return await self._engine.write(
            lambda connection: files.finish_delete(connection, project_id, intent_id, origin, self._clock.now_ms())
        )

    async def cancel_catalog_delete(self, project_id: str, intent_id: str, origin: Origin) -> CatalogFile:
        """See :meth:`CatalogStore.cancel_catalog_delete`."""
        return await self._engine.write(
            lambda connection: files.cancel_delete(connection, project_id, intent_id, origin, self._clock.now_ms())
        )

    async def close_catalog_file(self, project_id: str, virtual_key_id: str, provider_file_id: str, origin: Origin) -> bool:
        """See :meth:`CatalogStore.close_catalog_file`."""
        return await self._engine.write(
            lambda connection: files.close(connection, project_id, virtual_key_id, provider_file_id, origin, self._clock.now_ms())
        )

    async def adopt_catalog_file(
        self, project_id: str, virtual_key_id: str, file: ProviderFile, origin: Origin, *, move: bool = False
    ) -> CatalogFile:
        """See :meth:`CatalogStore.adopt_catalog_file`."""
        return await self._engine.write(
            lambda connection: files.adopt(connection, project_id, virtual_key_id, file, origin, self._clock.now_ms(), move=move)
        )

    async def catalogued_ids(self, virtual_key_id: str, provider_file_ids: Sequence[str]) -> set[str]:
        """See :meth:`CatalogStore.catalogued_ids`."""
        return await self._engine.read(lambda connection: upkeep.catalogued(connection, virtual_key_id, provider_file_ids))

    async def unresolved_files(self, after: CatalogFile | None, limit: int) -> list[CatalogFile]:
        """See :meth:`CatalogStore.unresolved_files`."""
        return await self._engine.read(lambda connection: upkeep.unresolved(connection, after, limit))

    async def claim_unresolved_files(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[CatalogFile]:
        """See :meth:`CatalogStore.claim_unresolved_files`. Mostly nothing is due, and then nothing waits for the writer."""
        now = self._clock.now_ms() // 1000
        if not await self._engine.read(lambda connection: upkeep.is_due(connection, now, without)):
            return []
        return await self._engine.write(
            lambda connection: upkeep.claim_unresolved(connection, claim, limit, self._clock.now_ms() // 1000, without)
        )

    async def put_off_unresolved_file(self, project_id: str, intent_id: str, claim: Claim) -> bool:
        """See :meth:`CatalogStore.put_off_unresolved_file`."""
        return await self._engine.write(
            lambda connection: upkeep.put_off(connection, project_id, intent_id, claim, self._clock.now_ms() // 1000)
        )

    async def claim_held_catalog_files(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[CatalogFile]:
        """See :meth:`CatalogStore.claim_held_catalog_files`. Mostly there are none, and then nothing waits for the writer."""
        now = self._clock.now_ms() // 1000
        if not await self._engine.read(lambda connection: upkeep.is_held_too_long(connection, now, without)):
            return []
        return await self._engine.write(
            lambda connection: upkeep.claim_held(connection, claim, limit, self._clock.now_ms() // 1000, without)
        )

    async def expire_catalog_files(self, claim: Claim, limit: int) -> list[CatalogFile]:
        """See :meth:`CatalogStore.expire_catalog_files`. Mostly nothing has ended, and then nothing waits for the writer."""
        now = self._clock.now_ms() // 1000
        if not await self._engine.read(lambda connection: upkeep.has_ended(connection, now)):
            return []
        return await self._engine.write(lambda connection: upkeep.expire(connection, claim, limit, self._clock.now_ms()))

    async def catalog_usage(self, project_id: str, virtual_key_id: str | None = None) -> Usage:
        """See :meth:`CatalogStore.catalog_usage`."""
        return await self._engine.read(lambda connection: upkeep.usage(connection, project_id, virtual_key_id))

    async def begin_job(self, project_id: str, new: NewJob, claim: Claim, origin: Origin) -> Job:
        """See :meth:`CatalogStore.begin_job`."""
        return await self._engine.write(lambda connection: jobs.begin(connection, project_id, new, claim, origin, self._clock.now_ms()))

    async def bind_job(self, project_id: str, intent_id: str, provider_job_id: str, report: JobReport, origin: Origin) -> RefreshedJob:
        """See :meth:`CatalogStore.bind_job`."""
        return await self._engine.write(
            lambda connection: jobs.bind(connection, project_id, intent_id, provider_job_id, report, origin, self._clock.now_ms())
        )

    async def mark_job_unknown(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """See :meth:`CatalogStore.mark_job_unknown`."""
        await self._engine.write(lambda connection: jobs.mark_unknown(connection, project_id, intent_id, origin, self._clock.now_ms()))

    async def fail_job(self, project_id: str, intent_id: str, origin: Origin) -> None:
        """See :meth:`CatalogStore.fail_job`."""
        await self._engine.write(lambda connection: jobs.fail(connection, project_id, intent_id, origin, self._clock.now_ms()))

    async def get_job(self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str) -> Job:
        """See :meth:`CatalogStore.get_job`."""
        return await self._engine.read(lambda connection: jobs.get(connection, project_id, virtual_key_id, kind, provider_job_id))

    async def find_jobs(self, project_id: str, kind: JobKind, provider_job_id: str) -> list[Job]:
        """See :meth:`CatalogStore.find_jobs`."""
        return await self._engine.read(lambda connection: jobs.find(connection, project_id, kind, provider_job_id))

    async def known_job_ids(self, project_id: str, query: JobQuery, provider_job_ids: Sequence[str]) -> set[str]:
        """See :meth:`CatalogStore.known_job_ids`."""
        return await self._engine.read(lambda connection: jobs.known(connection, project_id, query, provider_job_ids))

    async def list_jobs(self, project_id: str, query: JobQuery) -> JobPage:
        """See :meth:`CatalogStore.list_jobs`."""
        return await self._engine.read(lambda connection: jobs.page(connection, project_id, query))

    async def refresh_job(
        self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str, report: JobReport, origin: Origin
    ) -> RefreshedJob:
        """See :meth:`CatalogStore.refresh_job`. Mostly nothing is new, and then nothing waits for the writer."""

        def look(connection: Connection) -> RefreshedJob | None:
            return jobs.known_already(connection, jobs.get(connection, project_id, virtual_key_id, kind, provider_job_id), report)

        def change(connection: Connection) -> RefreshedJob:
            now_ms = self._clock.now_ms()
            return jobs.refresh(connection, project_id, virtual_key_id, kind, provider_job_id, report, origin, now_ms)

        known = await self._engine.read(look)
        return await self._engine.write(change) if known is None else known

    async def close_job(self, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str, origin: Origin) -> bool:
        """See :meth:`CatalogStore.close_job`."""
        return await self._engine.write(
            lambda connection: jobs.close(connection, project_id, virtual_key_id, kind, provider_job_id, origin, self._clock.now_ms())
        )

    async def jobs_holding(self, project_id: str, virtual_key_id: str, provider_file_id: str, limit: int) -> list[Job]:
        """See :meth:`CatalogStore.jobs_holding`."""

        def operation(connection: Connection) -> list[Job]:
            file = rows.live(connection, project_id, virtual_key_id, provider_file_id)
            return [] if file is None else jobs.holders(connection, file, limit)

        return await self._engine.read(operation)

    async def unresolved_jobs(self, after: Job | None, limit: int) -> list[Job]:
        """See :meth:`CatalogStore.unresolved_jobs`."""
        return await self._engine.read(lambda connection: jobs.unresolved(connection, after, limit))

    async def claim_unresolved_jobs(self, claim: Claim, limit: int, without: Collection[str] = ()) -> list[Job]:
        """See :meth:`CatalogStore.claim_unresolved_jobs`. Mostly nothing is due, and then nothing waits for the writer."""
        now = self._clock.now_ms() // 1000
        if not await self._engine.read(lambda connection: jobs.is_due(connection, now, without)):
            return []
        return await self._engine.write(
            lambda connection: jobs.claim_unresolved(connection, claim, limit, self._clock.now_ms() // 1000, without)
        )
