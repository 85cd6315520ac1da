"""Files in a store without a server, backups of it in this process, and what is in a backup, read back."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from unittest.mock import patch

from fileplane.blobs import local_disk
from fileplane.blobs.base import BlobStore
from fileplane.clock import SystemClock
from fileplane.files.backup import Backup, BackupOptions, BackupReport, Tally
from fileplane.files.backup_directory import chosen_snapshot, opened_for_backup, opened_for_restore
from fileplane.files.restore import restore
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import File, KeptFile, NewFile, Origin, Remains
from fileplane.runtime import ServerRuntime
from fileplane.settings import Settings
from fileplane.testing.faults import NaughtyBlobStore, NaughtyMetadataStore, Plan
from support.in_process import InProcess

RUNTIME = ServerRuntime()
NOBODY = Origin()


@contextmanager
def one_directory_of_blobs() -> Iterator[None]:
    """Blob stores with one directory instead of 256, which take long to make and to remove again and again."""
    with patch.object(local_disk, "SHARDS", ("5e",)):
        yield


async def keep(store: InProcess, content: bytes) -> File:
    """A new file with this content."""
    key = secrets.choice(local_disk.SHARDS) + new_blob_key()[2:]
    async with store.blobs.writer(key) as writer:
        await writer.write(content)
        blob = await writer.commit()
    new = NewFile(blob, "user_data", "a.bin", "application/octet-stream", store.principal.key_id)
    return (await store.metadata.create_file(store.principal.project_id, new, 10**15, NOBODY)).file


async def purge(store: InProcess, file: File) -> Remains:
    """Purges a file without collecting it; returns what is left."""
    return await store.metadata.purge_file(file.project_id, file.id, NOBODY)


async def collect(store: InProcess, file: File) -> None:
    """Purges a file and removes its bytes."""
    remains = await purge(store, file)
    await store.blobs.delete(file.blob_key)
    await store.metadata.mark_collected([remains])


def naughty_databases(plan: Plan) -> Callable[[Path], AbstractAsyncContextManager[MetadataStore]]:
    """Opens the databases of backups with the faults of ``plan``."""

    class Opened(AbstractAsyncContextManager[MetadataStore]):
        def __init__(self, path: Path) -> None:
            self._inner = RUNTIME.open_database(path)

        async def __aenter__(self) -> MetadataStore:
            return NaughtyMetadataStore(await self._inner.__aenter__(), plan)

        async def __aexit__(self, *details: object) -> bool | None:
            return await self._inner.__aexit__(*details)

    return Opened


async def back_up(
    store: InProcess, directory: Path, plan: Plan | None = None, *, metadata: MetadataStore | None = None, **options: object
) -> BackupReport:
    """A backup of the store, with the faults of ``plan`` in everything that it calls."""
    plan = plan or Plan({})
    chosen = BackupOptions(**{"keep": 1} | options)
    with opened_for_backup(directory, store.settings.data_dir, "this store") as opened:
        async with RUNTIME.open_blobs(opened.blobs) as pool:
            return await Backup(
                NaughtyMetadataStore(metadata or store.metadata, plan),
                NaughtyBlobStore(store.blobs, plan) if not chosen.link else store.blobs,
                opened,
                NaughtyBlobStore(pool, plan),
                naughty_databases(plan),
                RUNTIME.schema_version(),
                SystemClock(),
                chosen,
            ).run()


async def put_back(directory: Path, data_dir: Path, plan: Plan | None = None, name: str | None = None) -> Tally:
    """A restore, with the faults of ``plan``."""
    plan = plan or Plan({})
    with opened_for_restore(directory) as opened:
        manifest = chosen_snapshot(opened, name, RUNTIME.schema_version())
        async with RUNTIME.restoring(Settings(data_dir=data_dir)) as target, RUNTIME.open_blobs(opened.blobs) as pool:
            blobs: BlobStore = NaughtyBlobStore(target.blobs, plan)
            return await restore(opened, manifest, NaughtyBlobStore(pool, plan), blobs, target.database, naughty_databases(plan))


async def rows_of(database: Path) -> list[KeptFile]:
    """Every row whose bytes are kept, of a database that is sound."""
    async with RUNTIME.open_database(database) as store:
        assert await store.structural_problems() == []
        assert await store.counter_drifts() == []
        assert await store.tombstones(2**62, None, 10) == []
        return await store.kept_files(("", ""), 10_000)


async def snapshots_of(directory: Path) -> list[set[str]]:
    """The SHA-256 of every file of every snapshot, oldest first: each has its bytes, but those that the manifest names."""
    found = []
    with opened_for_restore(directory) as opened:
        for manifest in opened.snapshots():
            lacking = {problem["blob_key"] for problem in manifest.problems}
            rows = [row for row in await rows_of(opened.database(manifest.name)) if row.blob_key not in lacking]
            assert {digest_of(opened.blobs / row.blob_key) for row in rows} == {row.sha256 for row in rows}
            assert (len(rows), sum(row.bytes for row in rows)) == (manifest.files, manifest.bytes)
            found.append({row.sha256 for row in rows})
    return found


def pool_of(directory: Path) -> set[str]:
    """The SHA-256 of every blob of a backup, temporaries included."""
    return {digest_of(path) for path in (directory / "blobs").glob("*/*")}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
