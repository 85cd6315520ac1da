"""The only place that deletes blobs: plans what is to go, then removes it, in steps that may each be repeated after a crash.

A deleted file goes in three steps. It is claimed: from then on nothing can restore it, whatever any clock says. Its bytes are removed,
and no longer count. Much later, once its blob has been found gone, its tombstone is forgotten: an unlink that no fsync of the directory
followed comes back after a power cut. A blob that no file refers to is condemned first: from then on no file can. The parts of an upload
that came to nothing, and those that are none of its file's, are removed and forgotten at once: one that comes back is such a blob.

Any number of janitors may run at once, on any number of nodes. A lease keeps them from doing the same work twice; nothing depends on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from typing import Final

from fileplane.blobs.base import BlobInfo, BlobKeyInvalid, BlobMissing, BlobStore
from fileplane.clock import Clock
from fileplane.errors import StorageUnavailable
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import COLLECTED_BYTES, COLLECTED_FILES, JANITOR_FAILURES, JANITOR_SUCCEEDED
from fileplane.model import Remains
from fileplane.settings import Settings
from fileplane.uploads import manifest_of

BATCH: Final = 500
_AT_ONCE: Final = 16
LEASE: Final = "janitor"
LEASE_SECONDS: Final = 300
SWEPT: Final = "swept"
"""The bookmark that says when the last sweep ended, whichever node did it, in seconds since the epoch."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A bounded part of what could be removed at a moment. Carrying it out later does no harm: everything is looked at again."""

    expire: tuple[Remains, ...] = ()
    collect: tuple[Remains, ...] = ()
    forget: tuple[Remains, ...] = ()
    abandoned: tuple[BlobInfo, ...] = ()
    orphans: tuple[BlobInfo, ...] = ()
    uploads: tuple[Remains, ...] = ()
    """Uploads in parts that are past their time."""
    parts: tuple[Remains, ...] = ()
    """Of uploads, those that became no part of a file."""

    @property
    def bytes(self) -> int:
        """How much room it makes."""
        files = sum(entry.bytes for entry in (*self.expire, *self.collect, *self.parts))
        return files + sum(blob.size for blob in (*self.abandoned, *self.orphans))


@dataclass(frozen=True, slots=True)
class Collected:
    """What a pass did. ``bytes`` are all that were freed; ``failures`` counts blobs that could not be removed this time."""

    expired: int = 0
    collected: int = 0
    forgotten: int = 0
    abandoned: int = 0
    orphans: int = 0
    bytes: int = 0
    abandoned_bytes: int = 0
    orphan_bytes: int = 0
    failures: int = 0
    uploads: int = 0
    parts: int = 0
    part_bytes: int = 0


class Janitor:
    """Ends what has expired and removes what is no longer needed."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, clock: Clock, settings: Settings) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._clock = clock
        self._settings = settings

    async def run(self, holder: str, *, sweep: bool | None = True) -> Collected | None:
        """One whole pass, unless somebody else is at it, which gives None.

        Without ``sweep`` the blob store is not walked; None walks it if `sweep_interval_seconds` have passed since any node last did.
        """
        if not await self._metadata.take_lease(LEASE, holder, LEASE_SECONDS):
            return None
        done = Collected()
        try:
            if sweep is None:
                sweep = await self._is_sweep_due()
            async with aclosing(self.plans(sweep=sweep)) as plans:
                async for plan in plans:
                    done = _added(done, await self.execute(plan))
                    if not await self._metadata.take_lease(LEASE, holder, LEASE_SECONDS):
                        break
                else:
                    if sweep:
                        await self._note_sweep()
                    while await self._metadata.forget_old_entries(self._audit_before(), self._usage_before()):
                        continue
                    JANITOR_SUCCEEDED.set(self._now())
        finally:
            await self._metadata.release_lease(LEASE, holder)
        if done != Collected():
            _log.info("collected %d bytes: %s", done.bytes, done)
        return done

    async def _is_sweep_due(self) -> bool:
        """A new database is given a whole interval; one whose bookmark is of the future is not left without."""
        noted = await self._metadata.bookmark(SWEPT)
        if noted is None:
            await self._note_sweep()
            return False
        last = int(noted) if noted.isdecimal() else 0
        return not last <= self._now() < last + self._settings.sweep_interval_seconds

    async def _note_sweep(self) -> None:
        await self._metadata.set_bookmark(SWEPT, str(self._now()))

    async def plans(self, *, sweep: bool = True) -> AsyncGenerator[Plan, None]:
        """What there is to do, in parts of at most :data:`BATCH` steps. Only looks."""
        metadata, now = self._metadata, self._now()
        async for ended in _pages(metadata.ended_files):
            yield Plan(expire=ended)
        async for due in _pages(metadata.collectable_files):
            yield Plan(collect=due)
        async for late in _pages(metadata.ended_uploads):
            yield Plan(uploads=late)
        async for given_up in _pages(metadata.given_up_parts):
            yield Plan(parts=given_up)
        async for gone in _pages(lambda after, limit: metadata.tombstones(now - self._settings.tombstone_seconds, after, limit)):
            yield Plan(forget=gone)
        if sweep:
            async for plan in self._sweep(now - self._settings.orphan_grace_seconds):
                yield plan

    async def _sweep(self, before: float) -> AsyncIterator[Plan]:
        """Blobs and temporaries from before a time that no file refers to: none of a place that is not known to be this database's."""
        if not await self._blobs.belongs_to(await self._metadata.store_identity()):
            JANITOR_FAILURES.add(1)
            _log.error("the blob store is not swept: it is not marked as this database's, or no longer; the next start says more")
            return
        abandoned: list[BlobInfo] = []
        committed: list[BlobInfo] = []
        async for blob in self._blobs.walk():
            if blob.modified_at < before:
                (committed if blob.committed else abandoned).append(blob)
            if len(abandoned) + len(committed) == BATCH:
                yield await self._unowned(abandoned, committed)
                abandoned, committed = [], []
        yield await self._unowned(abandoned, committed)

    async def _unowned(self, abandoned: Sequence[BlobInfo], committed: Sequence[BlobInfo]) -> Plan:
        keys = set(await self._metadata.unowned_blobs([blob.key for blob in committed])) if committed else set()
        return Plan(abandoned=tuple(abandoned), orphans=tuple(blob for blob in committed if blob.key in keys))

    async def execute(self, plan: Plan) -> Collected:
        """Carries a plan out, as far as it still holds. A blob that cannot be removed is left for the next pass."""
        collected, failures = await self._collect(plan)
        await self._expire(plan.uploads)
        parts, part_failures = await self.collect_parts(plan.parts)
        forgotten = [entry for entry in plan.forget if await self._is_gone(entry)]
        await self._forget(forgotten)
        condemned = set(await self._metadata.condemn_blobs([blob.key for blob in plan.orphans])) if plan.orphans else set()
        doomed = [*plan.abandoned, *(blob for blob in plan.orphans if blob.key in condemned)]
        removed = [blob for blob in doomed if await self._remove(blob.key)]
        for blob in removed:
            _count("orphan" if blob.committed else "temporary", blob.size)
        abandoned = sum(not blob.committed for blob in removed)
        return Collected(
            expired=len(plan.expire),
            collected=len(collected),
            forgotten=len(forgotten),
            abandoned=abandoned,
            orphans=len(removed) - abandoned,
            bytes=sum(entry.bytes for entry in (*collected, *parts)) + sum(blob.size for blob in removed),
            abandoned_bytes=sum(blob.size for blob in removed if not blob.committed),
            orphan_bytes=sum(blob.size for blob in removed if blob.committed),
            failures=failures + part_failures + len(doomed) - len(removed),
            uploads=len(plan.uploads),
            parts=len(parts),
            part_bytes=sum(entry.bytes for entry in parts),
        )

    async def _expire(self, late: Sequence[Remains]) -> None:
        while late:
            late = late[await self._metadata.expire_uploads(late) :]

    async def _forget(self, gone: Sequence[Remains]) -> None:
        single = [entry for entry in gone if manifest_of(entry.blob_key) is None]
        # A file of parts has up to ten thousand rows more: each gets a transaction of its own, between which others have their turn.
        for batch in ([single] if single else []) + [[entry] for entry in gone if manifest_of(entry.blob_key) is not None]:
            await self._metadata.forget_files(batch)

    async def _collect(self, plan: Plan) -> tuple[list[Remains], int]:
        claimed: list[Remains] = []
        if plan.expire:
            await self._metadata.mark_ended(plan.expire)
        if plan.expire or plan.collect:
            claimed = await self._metadata.claim_collectable([*plan.expire, *plan.collect])
        return await self.collect(claimed)

    async def collect(self, claimed: Sequence[Remains]) -> tuple[list[Remains], int]:
        """Removes the bytes of files that have been claimed.

        Returns those whose bytes no longer count because of this, and how many blobs could not be removed.
        """
        removed = [entry for entry in claimed if await self._remove_file(entry)]
        collected = await self._metadata.mark_collected(removed) if removed else []
        for entry in collected:
            _count("file", entry.bytes)
        return collected, len(claimed) - len(removed)

    async def collect_parts(self, given_up: Sequence[Remains]) -> tuple[list[Remains], int]:
        """As :meth:`collect`, of parts of uploads that have been given up."""
        gone = await _each(self._remove, [entry.blob_key for entry in given_up])
        removed = [entry for entry, is_gone in zip(given_up, gone, strict=True) if is_gone]
        forgotten = await self._metadata.forget_parts(removed) if removed else []
        for entry in forgotten:
            _count("part", entry.bytes)
        return forgotten, len(given_up) - len(removed)

    async def make_room(self, project_id: str, needed: int) -> None:
        """Collects the project's oldest deleted files until ``needed`` bytes no longer count, if there are as many."""
        while needed > 0:
            given_up = await self._metadata.give_up_oldest_deleted(project_id, needed)
            collected, _ = await self.collect(given_up)
            if not collected:
                return
            needed -= sum(entry.bytes for entry in collected)

    async def _keys_of(self, file: Remains) -> list[str]:
        """The blobs that a file consists of."""
        upload_id = manifest_of(file.blob_key)
        if upload_id is None:
            return [file.blob_key]
        return [part.blob_key for part in await self._metadata.manifest_parts(file.project_id, upload_id)]

    async def _remove_file(self, file: Remains) -> bool:
        return all(await _each(self._remove, await self._keys_of(file)))

    async def _remove(self, key: str) -> bool:
        try:
            await self._blobs.delete(key)
        except (StorageUnavailable, BlobKeyInvalid) as error:
            JANITOR_FAILURES.add(1)
            _log.warning("a blob could not be removed and will be tried again: %s", error, exc_info=error)
            return False
        return True

    async def _is_gone(self, file: Remains) -> bool:
        return all(await _each(self._is_blob_gone, await self._keys_of(file)))

    async def _is_blob_gone(self, key: str) -> bool:
        try:
            async with self._blobs.open(key):
                pass
        except BlobMissing:
            return True
        except (StorageUnavailable, BlobKeyInvalid) as error:
            _log.warning("a blob could not be looked for and will be tried again: %s", error, exc_info=error)
            return False
        await self._remove(key)
        return False

    def _now(self) -> int:
        return self._clock.now_ms() // 1000

    def _audit_before(self) -> int | None:
        seconds = self._settings.audit_retention_seconds
        return self._now() - seconds if seconds else None

    def _usage_before(self) -> int | None:
        days = self._settings.usage_retention_days
        return self._now() // 86_400 - days if days else None


async def _each(step: Callable[[str], Awaitable[bool]], keys: Sequence[str]) -> list[bool]:
    """Takes a step for each blob, a few at once: a file of ten thousand parts is purged within a request."""
    done: list[bool] = []
    for start in range(0, len(keys), _AT_ONCE):
        done += await asyncio.gather(*(step(key) for key in keys[start : start + _AT_ONCE]))
    return done


def _count(kind: str, size: int) -> None:
    COLLECTED_FILES.add(1, kind)
    COLLECTED_BYTES.add(size, kind)


def _added(one: Collected, other: Collected) -> Collected:
    return Collected(*(getattr(one, entry.name) + getattr(other, entry.name) for entry in fields(Collected)))


async def _pages(method: Callable[[Remains | None, int], Awaitable[list[Remains]]]) -> AsyncIterator[tuple[Remains, ...]]:
    after: Remains | None = None
    while page := await method(after, BATCH):
        yield tuple(page)
        after = page[-1]


async def sweep_abandoned_uploads(blobs: BlobStore) -> int:
    """Removes what killed servers left half-written; returns how many there were.

    Only for a store that nobody writes to, such as at start, while the data directory is locked.
    """
    swept = 0
    async for blob in blobs.walk(uncommitted_only=True):
        await blobs.delete(blob.key)
        swept += 1
    if swept:
        _log.info("removed %d abandoned uploads", swept)
    return swept


async def remove_unnamed_blobs(blobs: BlobStore, databases: Sequence[MetadataStore]) -> tuple[int, int]:
    """Removes the blobs that no row of any of the databases names; returns how many there were, and their bytes.

    Only for a store that nobody writes to: that of a backup, or one that is being restored.
    """
    removed, freed = 0, 0
    async for batch in _batches(blobs.walk()):
        keys = [blob.key for blob in batch if blob.committed]
        for database in databases:
            keys = await database.unowned_blobs(keys) if keys else []
        for key in keys:
            await blobs.delete(key)
        removed += len(keys)
        freed += sum(blob.size for blob in batch if blob.key in set(keys))
    return removed, freed


async def _batches(blobs: AsyncIterator[BlobInfo]) -> AsyncIterator[list[BlobInfo]]:
    batch: list[BlobInfo] = []
    async for blob in blobs:
        batch.append(blob)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def discard_damaged_copy(blobs: BlobStore, key: str) -> None:
    """Removes a blob of a backup, or of a store that is being restored, that is not what its row says, so that it is copied again."""
    await blobs.delete(key)


async def discard_refused_blob(blobs: BlobStore, key: str) -> None:
    """Removes a committed blob whose record was refused for certain, so that nothing refers to it or ever will."""
    await blobs.delete(key)
