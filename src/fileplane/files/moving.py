"""A store that is being served, moved to other engines: its blobs first, then, while nothing can be changed, its records.

Reading goes on throughout. Whatever interrupts it, either the old place is the whole store, or the new one is; a run that follows finds
out which, and goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fileplane.errors import StorageUnavailable
from fileplane.files.copying import Outcome
from fileplane.files.moving_blobs import BlobMove, Brought, MoveStopped
from fileplane.metadata.moves import Refusal, Stage
from fileplane.model import KeptFile

T = TypeVar("T")


class Gate(Protocol):
    """See :class:`fileplane.metadata.sqlite_moves.SourceGate`."""

    def refusal(self) -> Refusal | None: ...  # noqa: D102 - see there
    def refuse(self, token: str) -> Refusal: ...  # noqa: D102 - see there
    def admit(self) -> None: ...  # noqa: D102 - see there
    def finish(self, stage: Stage) -> None: ...  # noqa: D102 - see there


class Records(Protocol):
    """See :class:`fileplane.metadata.postgres_arrival.PostgresArrival`."""

    def arrived(self) -> str | None: ...  # noqa: D102 - see there
    def bring(self, token: str, tell: Callable[[str], None]) -> dict[str, int]: ...  # noqa: D102 - see there
    def stop(self) -> None: ...  # noqa: D102 - see there


class BytesMissing(Exception):
    """Files whose bytes cannot be had at the old place. Nothing was moved."""

    def __init__(self, count: int, problems: list[tuple[KeptFile, Outcome]]) -> None:
        super().__init__(
            f"The bytes of {count} files are missing or damaged. Restore them from a backup, or move without them with --allow-missing."
        )
        self.problems = problems


@dataclass(slots=True)
class Moved:
    """What a move has done. ``rows`` by table; ``seconds_refused`` is how long nothing could be changed, as far as this run was it."""

    brought: Brought = field(default_factory=Brought)
    rows: Mapping[str, int] = field(default_factory=dict)
    seconds_refused: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """``blobs`` and ``records``, or one of them alone; the other stays where it is. ``token`` must be new."""

    gate: Gate
    blobs: BlobMove | None
    records: Records | None
    token: str
    allow_missing: bool
    tell: Callable[[str], None]

    async def run(self, token_there: str | None) -> Moved:
        """Moves everything; ``token_there`` is that of a move which the new database says is complete.

        Raises :class:`MoveStopped`, :class:`BytesMissing`, and what the parts raise; the old place then goes on as before, unless it is
        said that it does not.
        """
        refusal = await _surely(self.gate.refusal)
        if token_there is not None:
            return await self._finish_what_is_complete(refusal, token_there)
        if refusal is not None and refusal.stage is not Stage.MOVING:
            raise MoveStopped(
                "The files have been moved already, to another place than this. Nothing was changed. To go back to how they were then, "
                "without whatever has changed there since: `fileplane migrate-store --undo`."
            )
        moved = Moved()
        if self.blobs is not None and refusal is None:
            await self.blobs.look()
            moved.brought = await self.blobs.catch_up()
            self._require_whole(moved.brought)
        began = time.monotonic()
        try:
            await self._move_the_rest(moved)
        except BaseException:
            await self._let_changes_in()
            raise
        await _surely(lambda: self.gate.finish(Stage.BLOBS_MOVED if self.records is None else Stage.MOVED))
        moved.seconds_refused = time.monotonic() - began
        return moved

    async def _finish_what_is_complete(self, refusal: Refusal | None, token_there: str) -> Moved:
        if refusal is None or refusal.token != token_there:
            raise MoveStopped(
                "The files were moved to this database before, and changes have been admitted here since. Nothing was changed. Name an "
                "empty database to move them again."
            )
        if refusal.stage is Stage.MOVING:
            await _surely(lambda: self.gate.finish(Stage.MOVED))
        return Moved()

    async def _move_the_rest(self, moved: Moved) -> None:
        refusal = await _surely(lambda: self.gate.refuse(self.token))
        self.tell("changes are refused from now on; reading goes on")
        if self.blobs is not None:
            if not moved.brought.looked_at:
                await self.blobs.look()
            last = await self.blobs.one_pass()
            moved.brought.files += last.files
            moved.brought.bytes += last.bytes
            moved.brought.problem_count, moved.brought.problems = last.problem_count, last.problems
            self._require_whole(last)
        if self.records is not None:
            moved.rows = await self._bring(self.records, refusal.token)

    async def _bring(self, records: Records, token: str) -> dict[str, int]:
        work = asyncio.create_task(asyncio.to_thread(records.bring, token, self.tell))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # It must not be completed after changes were let in again.
            records.stop()
            await asyncio.wait([work])
            raise

    async def _let_changes_in(self) -> None:
        try:
            complete = self.records is not None and await _surely(self.records.arrived) is not None
        except StorageUnavailable:
            self.tell(
                "the new database does not say whether everything has come to it, so changes stay refused here: run the same command again "
                "or take it back with `fileplane migrate-store --undo`"
            )
            return
        if complete:
            self.tell("everything is in the new database, so changes stay refused here: run the same command again to finish")
            return
        await _surely(self.gate.admit)
        self.tell("changes are admitted again")

    def _require_whole(self, brought: Brought) -> None:
        if brought.problem_count and not self.allow_missing:
            raise BytesMissing(brought.problem_count, brought.problems)


async def _surely(call: Callable[[], T]) -> T:
    """Blocking work that is waited for to its end, also by whoever is told to leave."""
    work = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
