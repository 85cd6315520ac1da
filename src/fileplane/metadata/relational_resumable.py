"""The part of the MetadataStore protocol for resumable uploads: each method hands one operation to the engine."""

from __future__ import annotations

from collections.abc import Sequence

from fileplane.clock import Clock
from fileplane.metadata.engine import Engine
from fileplane.metadata.transactions import resumable
from fileplane.model import Remains
from fileplane.resumable import Append, NewResumable, Resumable
from fileplane.uploads import NewPart, Part


class RelationalResumableStore:
    """See :class:`fileplane.metadata.resumable.ResumableStore`."""

    _engine: Engine
    _clock: Clock

    async def create_resumable(self, project_id: str, new: NewResumable, lifetime_seconds: int) -> Resumable:
        """See :meth:`ResumableStore.create_resumable`."""
        return await self._engine.write(
            lambda connection: resumable.create(connection, project_id, new, lifetime_seconds, self._clock.now_ms())
        )

    async def get_resumable(self, project_id: str, upload_id: str) -> Resumable:
        """See :meth:`ResumableStore.get_resumable`."""
        now = self._now()
        return await self._engine.read(lambda connection: resumable.get(connection, project_id, upload_id, now))

    async def take_turn(self, project_id: str, upload_id: str, offset: int, length: int | None, seconds: int) -> Resumable:
        """See :meth:`ResumableStore.take_turn`."""
        return await self._engine.write(
            lambda connection: resumable.take_turn(connection, project_id, upload_id, offset, length, seconds, self._now())
        )

    async def ask_turn(self, project_id: str, upload_id: str, turn: int) -> None:
        """See :meth:`ResumableStore.ask_turn`."""
        await self._engine.write(lambda connection: resumable.ask_turn(connection, project_id, upload_id, turn))

    async def keep_turn(self, project_id: str, upload_id: str, turn: int, seconds: int) -> bool:
        """See :meth:`ResumableStore.keep_turn`."""
        return await self._engine.write(
            lambda connection: resumable.keep_turn(connection, project_id, upload_id, turn, self._now() + seconds)
        )

    async def end_turn(self, project_id: str, upload_id: str, turn: int) -> None:
        """See :meth:`ResumableStore.end_turn`."""
        await self._engine.write(lambda connection: resumable.end_turn(connection, project_id, upload_id, turn))

    async def append_part(self, project_id: str, upload_id: str, turn: int, wanted: Append) -> Resumable:
        """See :meth:`ResumableStore.append_part`."""
        return await self._engine.write(
            lambda connection: resumable.append(connection, project_id, upload_id, turn, wanted, self._clock.now_ms())
        )

    async def resumable_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """See :meth:`ResumableStore.resumable_parts`."""
        return await self._engine.read(lambda connection: resumable.parts(connection, project_id, upload_id))

    async def merge_parts(self, project_id: str, upload_id: str, turn: int, merged: Sequence[Part], new: NewPart) -> list[Remains]:
        """See :meth:`ResumableStore.merge_parts`."""
        return await self._engine.write(
            lambda connection: resumable.merge(connection, project_id, upload_id, turn, merged, new, self._clock.now_ms())
        )

    def _now(self) -> int:
        return self._clock.now_ms() // 1000
