"""The entry point: gives the command line the runtime that it may not import itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobStore
from fileplane.cli.main import cli
from fileplane.cli.runtime import CommandRefused, Restoring, Stores
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

_LONG_SECONDS: Final = 86_400.0


class _Runtime:
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
        from fileplane.app import DATABASE_NAME, open_metadata
        from fileplane.data_directory import require_database_of_blobs
        from fileplane.files.restore import restore_left_unfinished, unfinished_restore
        from fileplane.metadata.base import DatabaseUnusable
        from fileplane.metadata.sqlite_engine import require_current

        path = settings.data_dir / DATABASE_NAME
        if restore_left_unfinished(settings.data_dir):
            raise CommandRefused(unfinished_restore(settings.data_dir))
        try:
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
            yield metadata

    @asynccontextmanager
    async def open_stores(self, settings: Settings) -> AsyncIterator[Stores]:
        """See :meth:`Runtime.open_stores`."""
        from fileplane.app import BLOBS_NAME, DATABASE_NAME, open_blobs

        root = settings.data_dir / BLOBS_NAME
        if (settings.data_dir / DATABASE_NAME).is_file() and not (root / "tmp").is_dir():
            raise CommandRefused(f"The blobs in {root} are missing. If they have a file system of their own, mount it there.")
        patient = replace(settings, metadata_deadline_seconds=_LONG_SECONDS, storage_deadline_seconds=_LONG_SECONDS)
        async with self.open_metadata(patient) as metadata, open_blobs(patient) as blobs:
            yield Stores(metadata, blobs)

    @asynccontextmanager
    async def open_database(self, path: Path) -> AsyncIterator[MetadataStore]:
        """See :meth:`Runtime.open_database`."""
        import apsw

        from fileplane.clock import SystemClock
        from fileplane.metadata.sqlite import SqliteMetadataStore

        try:
            store = SqliteMetadataStore(path, SystemClock(), deadline_seconds=_LONG_SECONDS)
        except apsw.Error as error:
            raise CommandRefused(f"The database {path} cannot be opened ({error}). Remove the snapshot that it belongs to.") from error
        try:
            yield store
        finally:
            await store.close()

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
        from fileplane.app import BLOBS_NAME, DATABASE_NAME
        from fileplane.data_directory import StartRefused, locked_for_restore

        try:
            with locked_for_restore(settings.data_dir):
                async with self.open_blobs(settings.data_dir / BLOBS_NAME) as blobs:
                    yield Restoring(blobs, settings.data_dir / DATABASE_NAME)
        except StartRefused as error:
            raise CommandRefused(str(error)) from error

    def schema_version(self) -> int:
        """See :meth:`Runtime.schema_version`."""
        from fileplane.metadata.migrations import sqlite_migrations

        return sqlite_migrations()[-1][0]


def main() -> None:
    """Runs one command."""
    cli(obj=_Runtime(), prog_name="fileplane")


if __name__ == "__main__":
    main()
