"""The scrub: reads every kept file again and again, slowly, and says in the log and the metrics which no longer have their bytes.

It changes no record and no blob. One worker of all nodes does it at a time; where it stopped, the next goes on.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

import msgspec

from fileplane.blobs.base import BlobStore
from fileplane.clock import Clock
from fileplane.files.examination import examine, still_kept
from fileplane.files.reading import SCRUB
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import INTEGRITY_FAILURES, SCRUB_COMPLETED, SCRUBBED_BYTES, SCRUBBED_FILES
from fileplane.model import KeptFile
from fileplane.settings import Settings

LEASE: Final = "scrub"
LEASE_SECONDS: Final = 300
BOOKMARK: Final = "scrub"
_NOTED_SECONDS: Final = 30.0
_PAGE: Final = 100
_LEAST_BYTES: Final = 64 * 1024  # what a file counts at least, so that many small ones do not keep the server busy
_log = logging.getLogger(__name__)


class _Round(msgspec.Struct, frozen=True):
    """The bookmark: when the round began, the last file it has read, and whether it is over. Times are seconds since the epoch."""

    began: int
    project_id: str = ""
    file_id: str = ""
    over: bool = False
    ended: int = 0
    """When the last round that came to its end did; 0 for none, or for one from before this was noted."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What one :meth:`Scrub.run` has read, and how many of the files were damaged. ``complete`` when the round came to its end."""

    files: int
    damaged: int
    complete: bool


class _Run:
    """One run's pace and lease: keeps to a number of bytes a second, over all that is read, and to the lease while it does."""

    def __init__(self, metadata: MetadataStore, clock: Clock, bytes_per_second: int, holder: str) -> None:
        self._metadata = metadata
        self._clock = clock
        self._rate = bytes_per_second
        self._holder = holder
        self._free_at = clock.monotonic()
        self._renewed_at = clock.monotonic()
        self.files = 0
        self.damaged = 0
        self.lost = False
        """Whether somebody else has the lease by now."""

    async def spend(self, count: int) -> None:
        """Returns when as much time has passed as ``count`` bytes may take."""
        now = self._clock.monotonic()
        # Time that was not used is not made up for later: that would be a burst.
        self._free_at = max(self._free_at, now) + count / self._rate
        await asyncio.sleep(self._free_at - now)
        if now - self._renewed_at >= _NOTED_SECONDS:
            self._renewed_at = now
            self.lost = not await self._metadata.take_lease(LEASE, self._holder, LEASE_SECONDS)

    async def read(self, count: int) -> None:
        """Counts what has been read, and spends it."""
        SCRUBBED_BYTES.add(count)
        await self.spend(count)


class Scrub:
    """Goes round all files whose bytes are kept. A round begins ``scrub_interval_seconds`` after the one before began, at the earliest."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, clock: Clock, settings: Settings) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._clock = clock
        self._settings = settings

    async def run(self, holder: str) -> Scrubbed | None:
        """The rest of the round that is due, at the rate that is set. None when none is due or somebody else is at it.

        Goes on where an earlier run was stopped, on whatever worker. Meant to be cancelled at any moment.
        """
        current = self._due_round(await self._metadata.bookmark(BOOKMARK))
        if current is None or not await self._metadata.take_lease(LEASE, holder, LEASE_SECONDS):
            return None
        try:
            return await self._go_round(current, holder)
        finally:
            await self._metadata.release_lease(LEASE, holder)

    async def tell_last_round(self) -> None:
        """Has the metrics say when the last round came to its end, whichever worker it was, also before the last start."""
        last = _read(await self._metadata.bookmark(BOOKMARK))
        if last is not None and last.ended:
            SCRUB_COMPLETED.set(last.ended)

    def _due_round(self, noted: str | None) -> _Round | None:
        now = self._clock.now_ms() // 1000
        last = _read(noted)
        if last is None:
            return _Round(now)
        if last.began > now:
            return _Round(now, ended=last.ended)
        if not last.over:
            return last
        return _Round(now, ended=last.ended) if now >= last.began + self._settings.scrub_interval_seconds else None

    async def _go_round(self, current: _Round, holder: str) -> Scrubbed:
        run = _Run(self._metadata, self._clock, self._settings.scrub_bytes_per_second, holder)
        noted_at = self._clock.monotonic()
        after = (current.project_id, current.file_id)
        while page := await self._metadata.kept_files(after, _PAGE):
            for file in page:
                await self._scrub(file, run)
                if run.lost:
                    return Scrubbed(run.files, run.damaged, complete=False)
                after = file.place
                if self._clock.monotonic() - noted_at >= _NOTED_SECONDS:
                    noted_at = self._clock.monotonic()
                    await self._note(_Round(current.began, *after, ended=current.ended))
        ended = self._clock.now_ms() // 1000
        await self._note(_Round(current.began, over=True, ended=ended))
        SCRUB_COMPLETED.set(ended)
        _log.info("scrubbed to the end of all files: %d in this run, %d of them damaged", run.files, run.damaged)
        return Scrubbed(run.files, run.damaged, complete=True)

    async def _note(self, current: _Round) -> None:
        await self._metadata.set_bookmark(BOOKMARK, msgspec.json.encode(current).decode())

    async def _scrub(self, file: KeptFile, run: _Run) -> None:
        if file.due:
            return
        finding = await examine(self._blobs, file, run.read)
        await run.spend(max(0, _LEAST_BYTES - file.bytes))
        run.files += 1
        SCRUBBED_FILES.add(1)
        if finding is not None and await still_kept(self._metadata, file):
            run.damaged += 1
            INTEGRITY_FAILURES.add(1, finding.kind, SCRUB)
            named = (file.file_id, file.project_id, finding.kind, file.blob_key, finding.words)
            _log.error("file %s of project %s is damaged (%s, blob %s): %s", *named)


def _read(noted: str | None) -> _Round | None:
    try:
        return None if noted is None else msgspec.json.decode(noted, type=_Round)
    except msgspec.DecodeError:
        return None
