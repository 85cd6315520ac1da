"""The records of parts whose blobs are durable: made, or else the blob goes again where it is certain that nothing refers to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from fileplane.access import Whose
from fileplane.blobs.base import BlobStore
from fileplane.errors import (
    FileTooLarge,
    InvalidRequest,
    NotFound,
    RateLimited,
    StorageQuotaExceeded,
    StorageUnavailable,
    UploadGone,
    UploadLocked,
)
from fileplane.files.janitor import discard_refused_blob
from fileplane.files.room import Room
from fileplane.model import StoredBlob

_REFUSALS: Final = (NotFound, InvalidRequest, RateLimited, FileTooLarge, UploadGone, UploadLocked)

T = TypeVar("T")


async def recorded(blobs: BlobStore, blob: StoredBlob, room: Room, add: Callable[[], Awaitable[T]]) -> T:
    """What ``add`` returns, which records the blob. Where the project's quota is reached, room is made for it, and it is tried once more.

    Raises what ``add`` raises.
    """
    async with discarding(blobs, blob):
        try:
            return await add()
        except StorageQuotaExceeded as refusal:
            if refusal.whose is Whose.KEY:
                raise
        # Only now, with all its bytes here, is anything given up for it.
        async with discarding(blobs, blob, BaseException):
            await room.settle(blob.size)
        return await add()


@asynccontextmanager
async def discarding(blobs: BlobStore, blob: StoredBlob, *refusals: type[BaseException]) -> AsyncIterator[None]:
    """Removes the blob when the block raises one of ``refusals``, or what says that nothing was recorded."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, refusals or _REFUSALS) or (isinstance(error, StorageUnavailable) and error.nothing_changed):
            await discard_refused_blob(blobs, blob.key)
        raise
