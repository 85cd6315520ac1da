"""Checking the whole store: records, blobs, counters and the database against each other, in a bounded amount of memory.

Only looks. A server may be running: whatever seems wrong is looked at again, in an order in which no deletion, upload or collection
that happens meanwhile can be taken for damage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from fileplane.blobs.base import BlobInfo, BlobMissing, BlobStore
from fileplane.clock import Clock
from fileplane.errors import FileplaneError, StorageUnavailable
from fileplane.files.examination import examine, still_kept
from fileplane.files.findings import Finding, Kind, Severity
from fileplane.files.selection import Selection
from fileplane.metadata.base import MetadataStore
from fileplane.model import KeptFile

PAGE: Final = 500
_AT_ONCE: Final = 16
_READ_AT_ONCE: Final = 4


@dataclass(slots=True)
class Checked:
    """How far a check has come."""

    files: int = 0
    files_read: int = 0
    bytes_read: int = 0
    blobs: int = 0
    errors: int = 0
    warnings: int = 0


class IntegrityCheck:
    """One check of a store. ``checked`` counts while it runs."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, clock: Clock, orphan_grace_seconds: int) -> None:
        """What no record refers to is in flight, and no finding, for ``orphan_grace_seconds``."""
        self._metadata = metadata
        self._blobs = blobs
        self._clock = clock
        self._grace = orphan_grace_seconds
        self.checked = Checked()

    async def findings(self, selection: Selection | None = None) -> AsyncIterator[Finding]:
        """Everything that is wrong, as it is found. Of the files that ``selection`` takes, the bytes are read and hashed too.

        Raises :class:`~fileplane.errors.StorageUnavailable` when a store does not answer; the check is then incomplete.
        """
        parts = (self._database(), self._counters(), self._manifests(), self._files(selection), self._unrecorded())
        for part in parts:
            async for finding in _database_failures_reported(part):
                if finding.severity is Severity.ERROR:
                    self.checked.errors += 1
                else:
                    self.checked.warnings += 1
                yield finding

    async def _database(self) -> AsyncIterator[Finding]:
        for words in await self._metadata.structural_problems():
            yield Finding(Kind.DATABASE, words)

    async def _counters(self) -> AsyncIterator[Finding]:
        for drift in await self._metadata.counter_drifts():
            what = f"purpose {drift.purpose}" if drift.key_id is None else f"key {drift.key_id}"
            words = f"the counter {drift.counter} of {what} is {drift.kept}, but its files make {drift.counted}"
            yield Finding(Kind.COUNTER_DRIFT, words, drift.project_id)

    async def _manifests(self) -> AsyncIterator[Finding]:
        """Files whose parts are not all there, as recorded."""
        for file, found in await self._metadata.incomplete_files(PAGE):
            words = f"its parts have {found} bytes instead of {file.bytes}"
            yield Finding(Kind.WRONG_SIZE, words, file.project_id, file.file_id, file.blob_key)

    async def _files(self, selection: Selection | None) -> AsyncIterator[Finding]:
        """Every record against its blob."""
        at_once = _AT_ONCE if selection is None else _READ_AT_ONCE
        after = ("", "")
        while page := await self._metadata.kept_files(after, PAGE):
            after = page[-1].place
            for start in range(0, len(page), at_once):
                for finding in await asyncio.gather(*(self._file(file, selection) for file in page[start : start + at_once])):
                    if finding is not None:
                        yield finding

    async def _file(self, file: KeptFile, selection: Selection | None) -> Finding | None:
        self.checked.files += file.counts
        if file.due:
            # Nobody can read it any more, and its blob may be gone at any moment.
            return None
        reads = selection is not None and selection.takes(file.file_id)
        finding = await examine(self._blobs, file, self._count_read if reads else None)
        if finding is not None:
            return finding if await still_kept(self._metadata, file) else None
        self.checked.files_read += reads * file.counts
        return None

    async def _count_read(self, count: int) -> None:
        self.checked.bytes_read += count

    async def _unrecorded(self) -> AsyncIterator[Finding]:
        """Every blob and temporary against the records, page by page."""
        before = self._clock.now_ms() / 1000 - self._grace
        page: list[BlobInfo] = []
        async for blob in self._blobs.walk():
            self.checked.blobs += blob.committed
            if blob.modified_at < before:
                page.append(blob)
            if len(page) == PAGE:
                for finding in await self._left_over(page):
                    yield finding
                page = []
        for finding in await self._left_over(page):
            yield finding

    async def _left_over(self, old: Sequence[BlobInfo]) -> list[Finding]:
        temporaries = {blob.key: blob for blob in old if not blob.committed}
        if temporaries:
            # Finished or removed in the meantime, most likely.
            there = [blob.key async for blob in self._blobs.walk(uncommitted_only=True) if blob.key in temporaries]
            temporaries = {key: temporaries[key] for key in there}
        blobs = {blob.key: blob for blob in old if blob.committed}
        orphans = [key for key in await self._metadata.unowned_blobs(list(blobs)) if await self._is_there(key)] if blobs else []
        return [
            *(_left_over(Kind.STALE_TEMPORARY, blob, "no upload writes to it any more") for blob in temporaries.values()),
            *(_left_over(Kind.ORPHAN_BLOB, blobs[key], "no file refers to it") for key in orphans),
        ]

    async def _is_there(self, key: str) -> bool:
        try:
            async with self._blobs.open(key):
                return True
        except BlobMissing:
            return False


async def _database_failures_reported(findings: AsyncIterator[Finding]) -> AsyncIterator[Finding]:
    """Ends with a finding where the database could not be read to the end."""
    try:
        async for finding in findings:
            yield finding
    except StorageUnavailable:
        raise
    except FileplaneError as error:
        yield Finding(Kind.DATABASE, f"the database cannot be read: {error.__cause__ or error}")


def _left_over(kind: Kind, blob: BlobInfo, why: str) -> Finding:
    return Finding(kind, f"{why}; it has {blob.size} bytes", blob_key=blob.key)
