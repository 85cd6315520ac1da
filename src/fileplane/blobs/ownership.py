"""Whose the blobs under a prefix are: an object there names the one store whose database knows them.

A database takes whatever it does not know for something to be removed. Two of them with one prefix would remove each other's blobs, so the
first one marks the prefix, and every other one is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from fileplane.blobs.bucket import Bucket
from fileplane.blobs.object_reader import Asking
from fileplane.errors import StorageUnavailable

MARKER: Final = "fileplane.json"
"""The key of the mark, which is none that a blob can have."""

UNREADABLE: Final = "unreadable"
"""The owner where the mark is something that no Fileplane wrote."""

_LONGEST_MARKER: Final = 4_096
_ATTEMPTS: Final = 3
_SETTLE_SECONDS: Final = 2.0


class _Marker(msgspec.Struct):
    store: str
    about: str = "These files belong to the Fileplane database with this store id. Without this object, no server uses them."


class Ownership:
    """The mark of one bucket's prefix. Raises :class:`~fileplane.errors.StorageUnavailable` when the store fails."""

    def __init__(self, store: Asking, bucket: Bucket) -> None:
        self._store = store
        self._bucket = bucket

    async def owner(self) -> str | None:
        """The id that the mark names, None without a mark, or :data:`UNREADABLE`."""
        download = await self._store.ask(self._bucket.download(MARKER, None))
        if download is None:
            return None
        body = b""
        try:
            while len(body) <= _LONGEST_MARKER:
                body += await self._store.ask(anext(download.chunks))
        except StopAsyncIteration:
            pass
        finally:
            if isinstance(download.chunks, AsyncGenerator):
                await download.chunks.aclose()
        try:
            return msgspec.json.decode(body, type=_Marker).store
        except msgspec.MsgspecError:
            return UNREADABLE

    async def claim(self, store_id: str) -> str:
        """Marks the prefix unless it is marked, and returns the owner that is read back.

        Most stores let one of several creations win. Of one that does not, and lets the last win, the mark is read when all have settled:
        then each but the last finds another's.
        """
        body = msgspec.json.encode(_Marker(store_id))
        for _ in range(_ATTEMPTS):
            owner = await self.owner()
            if owner is not None:
                return owner
            created = await self._store.ask(self._bucket.create(MARKER, body))
            if created and await self._store.ask(self._bucket.create(MARKER, body)):
                await asyncio.sleep(_SETTLE_SECONDS)
        raise StorageUnavailable("The blob store does not keep the object that says whose its blobs are.")
