"""Backups of a store that is being served: the database as of one instant first, then every blob that it names.

A file that is deleted for good between the two is gone: the row of such a file is taken out of the snapshot, so that every row of a backup
has its bytes. It is taken out only when the live store says that it gave the file up; a blob that is missing otherwise is a problem,
which the backup names and does not hide.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fileplane import __version__
from fileplane.blobs.base import BlobStore
from fileplane.clock import Clock
from fileplane.files import durable
from fileplane.files.backup_directory import FORMAT, BackupDirectory, Manifest
from fileplane.files.copying import PAGE, PROBLEMS, Copier, Outcome
from fileplane.files.janitor import remove_unnamed_blobs, sweep_abandoned_uploads
from fileplane.metadata.base import MetadataStore
from fileplane.model import KeptFile

OpenDatabase = Callable[[Path], AbstractAsyncContextManager[MetadataStore]]
"""Opens a database that no server uses: as it is, or, where an older version wrote it, as a copy in the newest schema."""

NAMED_PROBLEMS: Final = 1_000
_EVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """``keep`` snapshots, the new one included; ``link`` and ``verify`` as :class:`~fileplane.files.copying.Copier` has them."""

    keep: int
    link: bool = False
    verify: bool = False


@dataclass(slots=True)
class Tally:
    """What became of the files of a snapshot, by outcome, and in bytes."""

    files: Counter[Outcome] = field(default_factory=Counter)
    bytes: Counter[Outcome] = field(default_factory=Counter)
    problems: list[dict[str, str]] = field(default_factory=list)
    problem_count: int = 0
    """Blobs that could not be had: of a file that consists of parts, there may be several."""
    gone: int = 0

    def add(self, file: KeptFile, outcome: Outcome) -> None:
        """Counts one file."""
        self.files[outcome] += file.counts
        self.bytes[outcome] += file.bytes
        self.problem_count += outcome in PROBLEMS
        if outcome in PROBLEMS and len(self.problems) < NAMED_PROBLEMS:
            self.problems.append(
                {"project_id": file.project_id, "file_id": file.file_id, "blob_key": file.blob_key, "problem": outcome.value}
            )

    @property
    def whole(self) -> tuple[int, int]:
        """Files that are there with their bytes, and those bytes."""
        there = [outcome for outcome in Outcome if outcome not in PROBLEMS]
        return sum(self.files[outcome] for outcome in there), sum(self.bytes[outcome] for outcome in there)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A finished backup: what it has, how that came about, and what was removed because no kept snapshot needs it."""

    manifest: Manifest
    tally: Tally
    removed_snapshots: tuple[str, ...]
    removed_blobs: int
    removed_bytes: int


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup of ``metadata`` and ``blobs`` into ``directory``, whose pool of blobs is ``pool``."""

    metadata: MetadataStore
    blobs: BlobStore
    directory: BackupDirectory
    pool: BlobStore
    open_database: OpenDatabase
    schema_version: int
    clock: Clock
    options: BackupOptions

    async def run(self) -> BackupReport:
        """Makes a snapshot, then removes what is older than the kept ones. Until it is whole, the earlier ones stay as they are.

        Raises :class:`~fileplane.files.backup_directory.BackupFailed`, OSError or :class:`~fileplane.errors.StorageUnavailable`; what was
        copied by then is kept, and the next run goes on from it.
        """
        await sweep_abandoned_uploads(self.pool)
        database = await asyncio.to_thread(self.directory.begin)
        started = self.clock.now_ms() // 1000
        await self.metadata.snapshot(database)
        await asyncio.to_thread(database.chmod, 0o600)
        async with self.open_database(database) as snapshot:
            await _forget_tombstones(snapshot)
            tally = await self._copy(snapshot)
        manifest = await asyncio.to_thread(self._publish, database, started, tally)
        removed = await asyncio.to_thread(self._remove_old)
        return BackupReport(manifest, tally, removed, *await self._remove_unneeded())

    async def _copy(self, snapshot: MetadataStore) -> Tally:
        link_into = self.directory.blobs if self.options.link else None
        copier = Copier(self.blobs, self.pool, verify=self.options.verify, link_into=link_into)
        tally = Tally()
        async for page in copier.pages(snapshot):
            missing = [file for file, outcome in page if outcome is Outcome.MISSING]
            given_up = await self.metadata.given_up_files(missing) if missing else []
            if given_up:
                await snapshot.drop_files(given_up)
                tally.gone += len(given_up)
            for file, outcome in page:
                if file not in given_up:
                    tally.add(file, outcome)
        return tally

    def _publish(self, database: Path, started: int, tally: Tally) -> Manifest:
        files, size = tally.whole
        manifest = Manifest(
            format=FORMAT,
            name=self.directory.next_name(started),
            created_at=started,
            fileplane_version=__version__,
            schema_version=self.schema_version,
            database_bytes=database.stat().st_size,
            database_sha256=durable.sha256_of(database),
            files=files,
            bytes=size,
            problem_count=tally.problem_count,
            problems=tuple(tally.problems),
        )
        self.directory.publish(manifest)
        return manifest

    def _remove_old(self) -> tuple[str, ...]:
        old = tuple(manifest.name for manifest in self.directory.snapshots()[: -self.options.keep])
        for name in old:
            self.directory.remove(name)
        return old

    async def _remove_unneeded(self) -> tuple[int, int]:
        kept = await asyncio.to_thread(self.directory.snapshots)
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(self.open_database(self.directory.database(manifest.name))) for manifest in kept]
            return await remove_unnamed_blobs(self.pool, databases)


async def _forget_tombstones(snapshot: MetadataStore) -> None:
    """Files without bytes are of no use in a backup, and would keep their blobs of earlier backups from being removed."""
    while gone := await snapshot.tombstones(_EVER, None, PAGE):
        await snapshot.forget_files(gone)
