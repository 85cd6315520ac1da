"""The part of the MetadataStore protocol for uploads in parts: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Sequence

from fileplane.access import NO_LIMITS, CallerLimits
from fileplane.clock import Clock
from fileplane.metadata.engine import Connection, Engine
from fileplane.metadata.transactions import upkeep, uploads
from fileplane.model import File, KeptFile, Origin, Remains
from fileplane.uploads import Completion, NewPart, NewUpload, Part, Settlement, Upload, UploadPage, UploadQuery


class RelationalUploadStore:
    """See :class:`fileplane.metadata.uploads.UploadStore`."""

    _engine: Engine
    _clock: Clock

    async def create_upload(self, project_id: str, new: NewUpload, lifetime_seconds: int) -> Upload:
        """See :meth:`UploadStore.create_upload`."""
        return await self._engine.write(
            lambda connection: uploads.create(connection, project_id, new, lifetime_seconds, self._clock.now_ms())
        )

    async def get_upload(self, project_id: str, upload_id: str) -> Upload:
        """See :meth:`UploadStore.get_upload`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: uploads.get(connection, project_id, upload_id, now))

    async def list_uploads(self, project_id: str, query: UploadQuery) -> UploadPage:
        """See :meth:`UploadStore.list_uploads`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: uploads.page(connection, project_id, query, now))

    async def put_off_upload(self, project_id: str, upload_id: str, seconds: int) -> None:
        """See :meth:`UploadStore.put_off_upload`."""
        await self._engine.write(lambda connection: uploads.put_off(connection, project_id, upload_id, seconds, self._seconds()))

    async def add_part(self, project_id: str, upload_id: str, new: NewPart, quota_bytes: int, limits: CallerLimits = NO_LIMITS) -> Part:
        """See :meth:`UploadStore.add_part`."""
        return await self._engine.write(
            lambda connection: uploads.add_part(connection, project_id, upload_id, new, quota_bytes, limits, self._clock.now_ms())
        )

    async def upload_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """See :meth:`UploadStore.upload_parts`."""
        return await self._engine.read(lambda connection: uploads.parts(connection, project_id, upload_id))

    async def listed_parts(self, project_id: str, upload_id: str, part_ids: Sequence[str]) -> list[Part]:
        """See :meth:`UploadStore.listed_parts`."""
        now = self._seconds()

        def operation(connection: Connection) -> list[Part]:
            upload = uploads.pending(connection, project_id, upload_id, now)
            return uploads.listed(connection, project_id, upload, part_ids)

        return await self._engine.read(operation)

    async def manifest_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """See :meth:`UploadStore.manifest_parts`."""
        return await self._engine.read(lambda connection: uploads.manifest(connection, project_id, upload_id))

    async def complete_upload(
        self, project_id: str, upload_id: str, wanted: Completion, origin: Origin, limits: CallerLimits = NO_LIMITS
    ) -> Upload:
        """See :meth:`UploadStore.complete_upload`."""
        return await self._engine.write(
            lambda connection: uploads.complete(connection, project_id, upload_id, wanted, origin, limits, self._clock.now_ms())
        )

    async def cancel_upload(self, project_id: str, upload_id: str) -> list[Remains]:
        """See :meth:`UploadStore.cancel_upload`."""
        return await self._engine.write(lambda connection: uploads.cancel(connection, project_id, upload_id, self._seconds()))

    async def ended_uploads(self, after: Remains | None, limit: int) -> list[Remains]:
        """See :meth:`UploadStore.ended_uploads`."""
        now, statement = self._seconds(), uploads.SQL["select_ended_uploads"]
        return await self._engine.read(lambda connection: upkeep.remains_by(connection, statement, now, after, limit))

    async def expire_uploads(self, ended: Sequence[Remains]) -> int:
        """See :meth:`UploadStore.expire_uploads`."""
        return await self._engine.write(lambda connection: uploads.expire(connection, ended, self._seconds()))

    async def given_up_parts(self, after: Remains | None, limit: int) -> list[Remains]:
        """See :meth:`UploadStore.given_up_parts`."""
        now, statement = self._seconds(), uploads.SQL["select_given_up"]
        return await self._engine.read(lambda connection: upkeep.remains_by(connection, statement, now, after, limit))

    async def forget_parts(self, removed: Sequence[Remains]) -> list[Remains]:
        """See :meth:`UploadStore.forget_parts`."""
        return await self._engine.write(lambda connection: uploads.forget_parts(connection, removed, self._seconds()))

    async def unsettled_files(self, after: File | None, limit: int) -> list[File]:
        """See :meth:`UploadStore.unsettled_files`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: uploads.unsettled(connection, after, limit, now))

    async def settle_file(self, project_id: str, file_id: str, settlement: Settlement) -> bool:
        """See :meth:`UploadStore.settle_file`."""
        return await self._engine.write(lambda connection: uploads.settle(connection, project_id, file_id, settlement))

    async def damaged_files(self, after: tuple[str, str], limit: int) -> list[File]:
        """See :meth:`UploadStore.damaged_files`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: uploads.damaged(connection, after, limit, now))

    async def settle_again(self, project_id: str, file_id: str) -> bool:
        """See :meth:`UploadStore.settle_again`."""
        return await self._engine.write(lambda connection: uploads.settle_again(connection, project_id, file_id))

    async def incomplete_files(self, limit: int) -> list[tuple[KeptFile, int]]:
        """See :meth:`UploadStore.incomplete_files`."""
        return await self._engine.read(lambda connection: uploads.incomplete(connection, limit))

    def _seconds(self) -> int:
        return self._clock.now_ms() // 1000
