"""A snapshot of a backup, put back into an empty data directory.

A marker stands in the directory from before the first blob until after the database: as long as it is there, no server starts.
A restore that was interrupted is run again; it keeps what is right of what it finds.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobStore
from fileplane.files import durable
from fileplane.files.backup import OpenDatabase, Tally
from fileplane.files.backup_directory import BackupDirectory, BackupFailed, Manifest
from fileplane.files.copying import Copier
from fileplane.files.janitor import remove_unnamed_blobs, sweep_abandoned_uploads

_MARKER: Final = "restore.unfinished"
_HARMLESS: Final = frozenset({"server.lock", f"{_MARKER}.new", "lost+found"})
_LEFT_BY_SQLITE: Final = ("-wal", "-shm", "-journal")


def restore_left_unfinished(data_dir: Path) -> bool:
    """Whether a restore into this directory was begun and not finished."""
    return (data_dir / _MARKER).exists()


def unfinished_restore(data_dir: Path) -> str:
    """What somebody who wants to use such a directory is told."""
    return (
        f"A restore into the data directory {data_dir} is not finished. Wait for it; or, if it was interrupted, run the same "
        "`fileplane restore` again, or remove the directory."
    )


def require_restorable(data_dir: Path) -> None:
    """Raises :class:`BackupFailed` unless the directory is missing, is empty, or has a restore that was interrupted."""
    if not data_dir.exists() or restore_left_unfinished(data_dir):
        return
    if {entry.name for entry in data_dir.iterdir() if not _is_empty_mount(entry)} - _HARMLESS:
        raise BackupFailed(f"The data directory {data_dir} is not empty. Name another --data-dir, or move that one away first.")


def _is_empty_mount(entry: Path) -> bool:
    """Whether this is a place for the blobs with nothing in it, such as a file system of their own that is mounted already."""
    return entry.name == "blobs" and entry.is_dir() and not entry.is_symlink() and not {inner.name for inner in entry.iterdir()} - _HARMLESS


def begin_restore(data_dir: Path) -> None:
    """From now on no server starts in the directory."""
    durable.write(data_dir / _MARKER, b"")


async def restore(
    directory: BackupDirectory, manifest: Manifest, pool: BlobStore, blobs: BlobStore, target: Path, opener: OpenDatabase
) -> Tally:
    """Puts a snapshot back: its blobs from ``pool`` into ``blobs``, then its database at ``target``; :func:`begin_restore` came before.

    What the tally has as problems is in the database, but has no bytes. Raises :class:`BackupFailed` or OSError, after which it can be run
    again.
    """
    source = directory.database(manifest.name)
    if await asyncio.to_thread(durable.sha256_of, source) != manifest.database_sha256:
        raise _damaged(manifest)
    await sweep_abandoned_uploads(blobs)
    tally = Tally()
    async with opener(source) as snapshot:
        async for page in Copier(pool, blobs).pages(snapshot):
            for file, outcome in page:
                tally.add(file, outcome)
        await remove_unnamed_blobs(blobs, [snapshot])
    await asyncio.to_thread(_put_database, source, target, manifest)
    await asyncio.to_thread(durable.remove, target.parent / _MARKER)
    return tally


def _put_database(source: Path, target: Path, manifest: Manifest) -> None:
    for suffix in _LEFT_BY_SQLITE:
        durable.remove(target.with_name(target.name + suffix))
    if not durable.copy(source, target, manifest.database_sha256):
        raise _damaged(manifest)


def _damaged(manifest: Manifest) -> BackupFailed:
    return BackupFailed(f"The snapshot {manifest.name} is damaged: its database is not the one that was written. Use another --snapshot.")
