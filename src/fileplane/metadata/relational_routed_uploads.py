"""The part of the MetadataStore protocol for uploads in parts to providers: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Sequence

from fileplane.clock import Clock
from fileplane.metadata.engine import Engine
from fileplane.metadata.transactions import routed_uploads as routed
from fileplane.model import Remains
from fileplane.uploads import BegunCompletion, NewUpload, Part, RoutedPart, RoutedUpload


class RelationalRoutedUploadStore:
    """See :class:`fileplane.metadata.routed_uploads.RoutedUploadStore`."""

    _engine: Engine
    _clock: Clock

    async def create_routed_upload(
        self, project_id: str, new: NewUpload, provider_upload_id: str | None, lifetime_seconds: int
    ) -> RoutedUpload:
        """See :meth:`RoutedUploadStore.create_routed_upload`."""
        return await self._engine.write(
            lambda connection: routed.create(connection, project_id, new, provider_upload_id, lifetime_seconds, self._clock.now_ms())
        )

    async def get_routed_upload(self, project_id: str, upload_id: str) -> RoutedUpload:
        """See :meth:`RoutedUploadStore.get_routed_upload`."""
        now = self._now()
        return await self._engine.read(lambda connection: routed.get(connection, project_id, upload_id, now))

    async def routed_parts(self, project_id: str, upload_id: str) -> list[RoutedPart]:
        """See :meth:`RoutedUploadStore.routed_parts`."""
        return await self._engine.read(lambda connection: routed.parts(connection, project_id, upload_id))

    async def listed_routed_parts(self, project_id: str, upload_id: str, part_ids: Sequence[str]) -> list[RoutedPart]:
        """See :meth:`RoutedUploadStore.listed_routed_parts`."""
        now = self._now()
        return await self._engine.read(lambda connection: routed.listed(connection, project_id, upload_id, part_ids, now))

    async def require_room_for_part(self, project_id: str, upload_id: str) -> None:
        """See :meth:`RoutedUploadStore.require_room_for_part`."""
        now = self._now()
        await self._engine.read(lambda connection: routed.require_room(connection, project_id, upload_id, now))

    async def add_routed_part(self, project_id: str, upload_id: str, provider_part_id: str, size: int, sha256: str) -> Part:
        """See :meth:`RoutedUploadStore.add_routed_part`."""
        return await self._engine.write(
            lambda connection: routed.add_part(connection, project_id, upload_id, provider_part_id, size, sha256, self._clock.now_ms())
        )

    async def begin_completion(self, project_id: str, upload_id: str, begun: BegunCompletion) -> None:
        """See :meth:`RoutedUploadStore.begin_completion`."""
        await self._engine.write(lambda connection: routed.begin(connection, project_id, upload_id, begun, self._now()))

    async def finish_completion(self, project_id: str, upload_id: str, provider_file_id: str) -> list[Remains]:
        """See :meth:`RoutedUploadStore.finish_completion`."""
        return await self._engine.write(lambda connection: routed.finish(connection, project_id, upload_id, provider_file_id, self._now()))

    async def abandon_completion(self, project_id: str, upload_id: str, number: int) -> None:
        """See :meth:`RoutedUploadStore.abandon_completion`."""
        await self._engine.write(lambda connection: routed.abandon(connection, project_id, upload_id, number))

    async def cancel_routed_upload(self, project_id: str, upload_id: str) -> list[Remains]:
        """See :meth:`RoutedUploadStore.cancel_routed_upload`."""
        return await self._engine.write(lambda connection: routed.cancel(connection, project_id, upload_id, self._now()))

    async def completion_parts(self, project_id: str, intent_id: str) -> list[tuple[int, str]]:
        """See :meth:`RoutedUploadStore.completion_parts`."""
        return await self._engine.read(lambda connection: routed.completion_parts(connection, project_id, intent_id))

    def _now(self) -> int:
        return self._clock.now_ms() // 1000
