"""The entry point: gives the command line the runtime that it may not import itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from fileplane.cli.main import cli
from fileplane.cli.runtime import CommandRefused, Stores
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
        from fileplane.metadata.base import DatabaseUnusable
        from fileplane.metadata.sqlite_engine import prepare_database

        path = settings.data_dir / DATABASE_NAME
        if not path.is_file():
            raise CommandRefused(
                f"There is no Fileplane in {settings.data_dir.absolute()}. Start one with `fileplane serve`, or name another --data-dir."
            )
        try:
            prepare_database(path)
        except DatabaseUnusable as error:
            raise CommandRefused(str(error)) from error
        async with open_metadata(settings) as metadata:
            yield metadata

    @asynccontextmanager
    async def open_stores(self, settings: Settings) -> AsyncIterator[Stores]:
        """See :meth:`Runtime.open_stores`."""
        from fileplane.app import open_blobs

        patient = replace(settings, metadata_deadline_seconds=_LONG_SECONDS, storage_deadline_seconds=_LONG_SECONDS)
        async with self.open_metadata(patient) as metadata, open_blobs(patient) as blobs:
            yield Stores(metadata, blobs)


def main() -> None:
    """Runs one command."""
    cli(obj=_Runtime(), prog_name="fileplane")


if __name__ == "__main__":
    main()
