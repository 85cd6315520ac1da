"""The one pass over all bytes of a file that was uploaded in parts: its SHA-256, and for batches and fine-tuning examples the verdict.

Completing an upload reads nothing, so this comes after it, and the file's status is ``uploaded`` until then. What is to be done is in the
database, so that a server that is killed leaves it to whoever comes next; a lease for each file keeps two from doing the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobStore
from fileplane.errors import FileNotFound, FileplaneError, StorageIntegrityError, StorageUnavailable
from fileplane.files.examination import examine
from fileplane.files.findings import Kind, is_unreadable
from fileplane.files.inspection import Inspection, recorded
from fileplane.files.manifests import GivenUp, open_manifest
from fileplane.files.reading import count_unreadable, damaged, is_given_up
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import VERDICTS
from fileplane.model import File, FileStatus, KeptFile
from fileplane.settings import Settings
from fileplane.uploads import Part, Settlement, manifest_of

_PAGE: Final = 100
_AT_ONCE: Final = 2
_LARGE: Final = 1 << 28
_RENEWALS: Final = 3
_DAMAGED: Final = "The stored bytes are missing or damaged. The operator must restore them from a backup."
_log = logging.getLogger(__name__)


class Digest(Protocol):
    """A hash of :mod:`hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None: ...  # noqa: D102 - see there


async def read_through(
    blobs: BlobStore, file: File, parts: Sequence[Part], inspection: Inspection, digests: Sequence[Digest], is_given_up: GivenUp
) -> None:
    """Lets every byte of a file pass through the hashes and the inspection, off the event loop.

    Each part is held against its own hash on the way: otherwise the hash of the whole would make damage look right for good. Raises what
    reading raises: :class:`~fileplane.errors.StorageIntegrityError`, BlobMissing, :class:`~fileplane.errors.StorageUnavailable`, and
    :class:`~fileplane.errors.FileNotFound` among it.
    """

    def update(data: bytes | memoryview) -> None:
        for digest in digests:
            digest.update(data)

    async with open_manifest(blobs, file, parts, is_given_up=is_given_up, verified=True) as reader:
        async for piece in reader:
            await asyncio.to_thread(inspection.feed, piece, update)


async def settlement_of(file: File, inspection: Inspection, sha256: str, blobs: BlobStore) -> Settlement:
    """What a file that has been read through to the end is recorded with."""
    verdict = await inspection.verdict(file.purpose, blobs, file.blob_key)
    if verdict is None:
        return Settlement(sha256, FileStatus.PROCESSED.value)
    VERDICTS.add(1, file.purpose, "valid" if verdict.valid else "invalid")
    found = recorded(verdict)
    return Settlement(sha256, found["status"].value, found["status_details"], found["verdict"])


async def settle_mended(metadata: MetadataStore, blobs: BlobStore) -> int:
    """Has those files read through again that were damaged when they were, and whose parts are all there now. Returns how many.

    Servers find them in their next round, and say by the hashes of the parts whether the bytes are right as well.
    """
    mended, after = 0, ("", "")
    while page := await metadata.damaged_files(after, _PAGE):
        after = (page[-1].project_id, page[-1].id)
        for file in page:
            if await _is_whole(metadata, blobs, file):
                mended += await metadata.settle_again(file.project_id, file.id)
    return mended


async def _is_whole(metadata: MetadataStore, blobs: BlobStore, file: File) -> bool:
    parts = await metadata.manifest_parts(file.project_id, str(manifest_of(file.blob_key)))
    for part in parts:
        kept = KeptFile(file.project_id, file.id, part.blob_key, part.bytes, part.sha256, due=False, part_id=part.id)
        if await examine(blobs, kept, None) is not None:
            return False
    return sum(part.bytes for part in parts) == file.bytes


class Settler:
    """Settles files: those of this worker's own completions at once, and all others that nobody is at in its rounds."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, settings: Settings) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._settings = settings
        self._holder = new_holder()
        self._gates = {False: asyncio.Semaphore(_AT_ONCE), True: asyncio.Semaphore(1)}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def rest_seconds(self) -> float:
        """How long to wait between two rounds: about as long as a dead worker's lease lasts."""
        return self._settings.upload_lease_seconds / _RENEWALS

    def begin(self, file: File) -> asyncio.Task[None]:
        """Has a file settled soon, unless that is under way already. Returns what does it."""
        task = self._tasks.get(file.id)
        if task is None:
            task = asyncio.create_task(self._settle_or_log(file), name="fileplane-settle")
            self._tasks[file.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(file.id, None))
        return task

    async def run(self) -> int:
        """One round: begins with every file that waits, and returns how many there were, once all of them have been seen to."""
        found, after = 0, None
        while page := await self._metadata.unsettled_files(after, _PAGE):
            after = page[-1]
            found += len(page)
            # For these alone: while completions come without end, there is always another one under way.
            await asyncio.wait([self.begin(file) for file in page])
        return found

    async def settle_down(self) -> None:
        """Returns when nothing is under way here."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Stops where it stands; what is left is found again in the database."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _settle_or_log(self, file: File) -> None:
        # Large ones have a line of their own, so that nobody waits minutes for the verdict on a small file.
        async with self._gates[file.bytes >= _LARGE]:
            try:
                await self._settle(file)
            except FileplaneError as error:
                _log.warning("the file %s was not read through and is tried again: %s", file.id, error, exc_info=error)
            except Exception:  # noqa: BLE001 - a defect with one file must not keep the others from being settled
                _log.exception("the file %s was not read through and is tried again", file.id)

    async def _settle(self, file: File) -> None:
        lease, seconds = f"settle {file.id}", max(1, int(self._settings.upload_lease_seconds))
        if not await self._metadata.take_lease(lease, self._holder, seconds):
            return
        renewing = asyncio.create_task(self._renew(lease, seconds), name="fileplane-settle-lease")
        try:
            settlement = await self._settlement(file)
            if settlement is not None:
                await self._metadata.settle_file(file.project_id, file.id, settlement)
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            with suppress(FileplaneError):
                await self._metadata.release_lease(lease, self._holder)

    async def _settlement(self, file: File) -> Settlement | None:
        """None for a file whose bytes may be gone by now, since it was purged meanwhile."""
        upload_id = manifest_of(file.blob_key)
        parts = [] if upload_id is None else await self._metadata.manifest_parts(file.project_id, upload_id)
        inspection, digest = Inspection(self._settings), hashlib.sha256()
        inspection.begin(file.filename, file.purpose)
        gone = partial(is_given_up, self._metadata, file)
        try:
            await read_through(self._blobs, file, parts, inspection, [digest], gone)
        except FileNotFound:
            return None
        except (StorageIntegrityError, BlobMissing, BlobKeyInvalid, StorageUnavailable) as error:
            if isinstance(error, StorageUnavailable) and not is_unreadable(error):
                raise  # the store did not answer: nothing is known of the bytes
            if await gone():
                return None
            _count(file, error)
            _log.error("the file %s of project %s is damaged: %s", file.id, file.project_id, error)
            return Settlement("", FileStatus.ERROR.value, _DAMAGED)
        return await settlement_of(file, inspection, digest.hexdigest(), self._blobs)

    async def _renew(self, lease: str, seconds: int) -> None:
        while True:
            await asyncio.sleep(seconds / _RENEWALS)
            try:
                await self._metadata.take_lease(lease, self._holder, seconds)
            except FileplaneError as error:
                _log.warning("the lease of a file that is read through could not be renewed: %s", error, exc_info=error)


def _count(file: File, error: Exception) -> None:
    """What was not counted where it was raised."""
    if isinstance(error, BlobMissing | BlobKeyInvalid):
        damaged(file, Kind.MISSING_BLOB if isinstance(error, BlobMissing) else Kind.INVALID_KEY)
    elif isinstance(error, StorageUnavailable):
        count_unreadable(error)
