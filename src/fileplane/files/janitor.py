"""The only place that deletes blobs."""

from __future__ import annotations

import logging

from fileplane.blobs.base import BlobStore

_log = logging.getLogger(__name__)


async def sweep_abandoned_uploads(blobs: BlobStore) -> int:
    """Removes what killed servers left half-written; returns how many there were.

    Only for a store that nobody writes to, such as at start, while the data directory is locked.
    """
    swept = 0
    async for blob in blobs.walk(uncommitted_only=True):
        await blobs.delete(blob.key)
        swept += 1
    if swept:
        _log.info("removed %d abandoned uploads", swept)
    return swept


async def discard_refused_blob(blobs: BlobStore, key: str) -> None:
    """Removes a committed blob whose record was refused for certain, so that nothing refers to it or ever will."""
    await blobs.delete(key)
