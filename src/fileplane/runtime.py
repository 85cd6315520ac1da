"""What commands run on: the parts of the server that the command line may not import itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileplane.blobs.base import BlobStore
from fileplane.blobs.probes import Probe
from fileplane.cli.runtime import CommandRefused, Restoring, Stores
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.metadata.moves import Stage
    from fileplane.migrating import Migration

_LONG_SECONDS: Final = 86_400.0


class ServerRuntime:
    """See :class:`fileplane.cli.runtime.Runtime`. Imports what a command needs only when it runs, so that `--help` is quick."""

    def serve(self, settings: Settings) -> None:
        """See :meth:`Runtime.serve`."""
        from fileplane.data_directory import StartRefused
        from fileplane.metadata.base import DatabaseUnusable
        from fileplane.server import serve

        try:
            serve(settings)
        except (StartRefused, DatabaseUnusable) as error:
            raise CommandRefused(str(error)) from error

    @asynccontextmanager
    async def open_metadata(self, settings: Settings) -> AsyncIterator[MetadataStore]:
        """See :meth:`Runtime.open_metadata`."""
        from fileplane.data_directory import require_database_of_blobs
        from fileplane.files.moved import MovedAway, require_complete
        from fileplane.files.restore import restore_left_unfinished, unfinished_restore
        from fileplane.metadata.base import DatabaseUnusable
        from fileplane.metadata.shared_database import require_current_shared_database
        from fileplane.metadata.sqlite_engine import require_current
        from fileplane.opening import DATABASE_NAME, open_metadata

        path = settings.data_dir / DATABASE_NAME
        if restore_left_unfinished(settings.data_dir):
            raise CommandRefused(unfinished_restore(settings.data_dir))
        try:
            if settings.database_url is not None:
                require_current_shared_database(settings.database_url)
            else:
                require_database_of_blobs(settings.data_dir)
                if not path.is_file():
                    raise CommandRefused(
                        f"There is no Fileplane in {settings.data_dir.absolute()}. Start one with `fileplane serve`, or name another "
                        "--data-dir."
                    )
                require_current(path)
        except DatabaseUnusable as error:
            raise CommandRefused(str(error)) from error
        async with open_metadata(settings) as metadata:
            try:
                await require_complete(metadata)
            except MovedAway as error:
                raise CommandRefused(str(error)) from error
            yield metadata

    @asynccontextmanager
    async def open_stores(self, settings: Settings) -> AsyncIterator[Stores]:
        """See :meth:`Runtime.open_stores`."""
        from fileplane.blobs.bucket import BucketUnusable
        from fileplane.files.moved import MovedAway, require_blobs_here
        from fileplane.files.ownership import BlobsOfAnother, require_own_blobs
        from fileplane.opening import BLOBS_NAME, DATABASE_NAME, open_blobs

        root = settings.data_dir / BLOBS_NAME
        if settings.blob_store.is_local and (settings.data_dir / DATABASE_NAME).is_file() and not (root / "tmp").is_dir():
            raise CommandRefused(f"The blobs in {root} are missing. If they have a file system of their own, mount it there.")
        # A disk answers in the end; a connection to an object store may not.
        storage_seconds = _LONG_SECONDS if settings.blob_store.is_local else settings.storage_deadline_seconds
        patient = replace(settings, metadata_deadline_seconds=_LONG_SECONDS, storage_deadline_seconds=storage_seconds)
        try:
            async with self.open_metadata(patient) as metadata, open_blobs(patient) as blobs:
                if settings.blob_store.is_local:
                    await require_blobs_here(metadata)
                else:
                    await require_own_blobs(metadata, blobs, str(settings.blob_store))
                yield Stores(metadata, blobs)
        except (BucketUnusable, BlobsOfAnother, MovedAway) as error:
            raise CommandRefused(str(error)) from error

    @asynccontextmanager
    async def open_database(self, path: Path) -> AsyncIterator[MetadataStore]:
        """See :meth:`Runtime.open_database`."""
        import apsw

        from fileplane.clock import SystemClock
        from fileplane.metadata.base import DatabaseDamaged, DatabaseUnusable
        from fileplane.metadata.older_snapshots import in_newest_schema
        from fileplane.metadata.sqlite import SqliteMetadataStore

        async with AsyncExitStack() as stack:
            try:
                usable = await stack.enter_async_context(in_newest_schema(path))
                store = SqliteMetadataStore(usable, SystemClock(), deadline_seconds=_LONG_SECONDS)
            except (apsw.Error, DatabaseDamaged) as error:
                raise CommandRefused(f"The database {path} cannot be opened ({error}). Remove the snapshot that it belongs to.") from error
            except DatabaseUnusable as error:
                raise CommandRefused(
                    f"The database {path} is of an older version, and its copy in the temporary directory (TMPDIR) is of no use: {error}"
                ) from error
            stack.push_async_callback(store.close)
            yield store

    @asynccontextmanager
    async def open_blobs(self, root: Path) -> AsyncIterator[BlobStore]:
        """See :meth:`Runtime.open_blobs`."""
        from fileplane.blobs.local import LocalBlobStore

        store = LocalBlobStore(root, deadline_seconds=_LONG_SECONDS)
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def restoring(self, settings: Settings) -> AsyncIterator[Restoring]:
        """See :meth:`Runtime.restoring`."""
        from fileplane.data_directory import StartRefused, locked_for_restore
        from fileplane.opening import BLOBS_NAME, DATABASE_NAME

        if settings.database_url is not None:
            raise CommandRefused(
                "A backup is restored into SQLite in a data directory. Leave database_url out for that; `fileplane migrate-store` moves it "
                "to PostgreSQL afterwards."
            )
        if not settings.blob_store.is_local:
            raise CommandRefused("A backup is restored into a data directory with its blobs. Set blob_store to file: for that.")
        try:
            with locked_for_restore(settings.data_dir):
                async with self.open_blobs(settings.data_dir / BLOBS_NAME) as blobs:
                    yield Restoring(blobs, settings.data_dir / DATABASE_NAME)
        except StartRefused as error:
            raise CommandRefused(str(error)) from error

    async def examine_blobs(self, settings: Settings) -> AsyncIterator[Probe]:
        """See :meth:`Runtime.examine_blobs`."""
        from fileplane.blobs.bucket import BucketUnusable
        from fileplane.blobs.opening import open_for_probes

        try:
            examination = open_for_probes(settings.blob_store, deadline_seconds=settings.storage_deadline_seconds)
        except BucketUnusable as error:
            raise CommandRefused(str(error)) from error
        try:
            async for probe in examination.run():
                yield probe
        finally:
            await examination.close()

    @asynccontextmanager
    async def open_migration(self, settings: Settings, named: Settings) -> AsyncIterator[Migration]:
        """See :meth:`Runtime.open_migration`."""
        from fileplane.blobs.bucket import BucketUnusable
        from fileplane.data_directory import StartRefused
        from fileplane.files.backup_directory import BackupFailed
        from fileplane.files.moving_blobs import MoveStopped
        from fileplane.files.ownership import BlobsOfAnother
        from fileplane.metadata.base import DatabaseUnusable
        from fileplane.migrating import Migration, new_settings

        try:
            new = new_settings(settings, named)
            async with self.open_stores(settings) as stores:
                yield Migration(settings, new, stores.metadata, stores.blobs)
        except (MoveStopped, DatabaseUnusable, StartRefused, BucketUnusable, BlobsOfAnother, BackupFailed) as error:
            raise CommandRefused(str(error)) from error

    async def take_back(self, settings: Settings, *, really: bool) -> Stage | None:
        """See :meth:`Runtime.take_back`."""
        from fileplane.files.moving_blobs import MoveStopped
        from fileplane.migrating import take_back

        try:
            async with self.open_metadata(replace(settings, database_url=None)):
                return take_back(settings.data_dir, really=really)
        except MoveStopped as error:
            raise CommandRefused(str(error)) from error

    def schema_version(self) -> int:
        """See :meth:`Runtime.schema_version`."""
        from fileplane.metadata.migrations import sqlite_migrations

        return sqlite_migrations()[-1][0]
