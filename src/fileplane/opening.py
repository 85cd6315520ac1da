"""The stores that the settings name, opened. Apart from the application, since most commands need nothing else of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fileplane.blobs.base import BlobStore
from fileplane.blobs.local import LocalBlobStore
from fileplane.clock import SystemClock
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.shared_database import open_shared_database
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.settings import Settings

DATABASE_NAME: Final = "fileplane.db"
BLOBS_NAME: Final = "blobs"


@asynccontextmanager
async def open_metadata(settings: Settings) -> AsyncIterator[MetadataStore]:
    """The metadata, in a database that has been prepared."""
    store: MetadataStore = (
        SqliteMetadataStore(
            settings.data_dir / DATABASE_NAME,
            SystemClock(),
            deadline_seconds=settings.metadata_deadline_seconds,
            cache_bytes=settings.database_cache_bytes,
        )
        if settings.database_url is None
        else await open_shared_database(settings.database_url, settings.metadata_deadline_seconds, settings.database_connections)
    )
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_blobs(settings: Settings) -> AsyncIterator[BlobStore]:
    """The blobs, of the data directory or of an object store. Raises :class:`~fileplane.blobs.bucket.BucketUnusable`."""
    store: BlobStore
    if settings.blob_store.is_local:
        store = LocalBlobStore(
            settings.data_dir / BLOBS_NAME,
            min_free_bytes=settings.min_free_disk_bytes,
            deadline_seconds=settings.storage_deadline_seconds,
        )
    else:
        # Imported here, so that servers with local blobs neither need nor load the libraries.
        from fileplane.blobs.opening import open_object_store  # noqa: PLC0415 - see above

        store = open_object_store(
            settings.blob_store,
            largest_blob=max(settings.max_file_bytes, settings.max_batch_file_bytes),
            slowest_bytes_per_second=settings.min_upload_rate,
            deadline_seconds=settings.storage_deadline_seconds,
        )
    try:
        yield store
    finally:
        await store.close()
