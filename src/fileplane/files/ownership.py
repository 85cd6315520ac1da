"""Blobs where others can reach them belong to one database: the one whose store id is marked beside them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, cast

from fileplane.blobs.base import BlobInfo, BlobStore, Claimable
from fileplane.metadata.base import MetadataStore

_LOOKED_AT: Final = 500


class BlobsOfAnother(Exception):
    """The blobs do not belong to this database; the message says what to do. Nothing was changed."""


async def claim_blobs(metadata: MetadataStore, blobs: BlobStore, place: str) -> None:
    """Makes sure that the blobs of ``place`` belong to this database, marking them when nobody has.

    Without a mark, blobs of which the database knows none of the first few hundred are another's. Raises :class:`BlobsOfAnother` and
    :class:`~fileplane.errors.StorageUnavailable`.
    """
    marked = cast("Claimable", blobs)
    store_id = await metadata.store_identity()
    owner = await marked.owner()
    if owner is None:
        keys = await _first_keys(blobs)
        if keys and len(await metadata.unowned_blobs(keys)) == len(keys):
            raise BlobsOfAnother(
                f"There are blobs in {place}, which belong to another database: this one knows none of them. {_OTHERWISE} restore it "
                "from a backup, or choose another bucket or prefix."
            )
        owner = await marked.claim(store_id)
    if owner != store_id:
        raise _marked_for_another(place, owner, store_id)


async def require_own_blobs(metadata: MetadataStore, blobs: BlobStore, place: str) -> None:
    """Changes nothing. Raises :class:`BlobsOfAnother` unless the blobs are marked as this database's."""
    store_id = await metadata.store_identity()
    owner = await cast("Claimable", blobs).owner()
    if owner is None:
        raise BlobsOfAnother(f"Nothing in {place} says which database the blobs there belong to. Start a server, which looks and says so.")
    if owner != store_id:
        raise _marked_for_another(place, owner, store_id)


async def _first_keys(blobs: BlobStore) -> list[str]:
    keys: list[str] = []
    async with aclosing(cast("AsyncGenerator[BlobInfo, None]", blobs.walk())) as found:
        async for info in found:
            if info.committed:
                keys.append(info.key)
            if len(keys) == _LOOKED_AT:
                break
    return keys


def _marked_for_another(place: str, owner: str, store_id: str) -> BlobsOfAnother:
    return BlobsOfAnother(
        f"The blobs in {place} belong to another database: its store id is {owner} by the object fileplane.json there, and the one of this "
        f"database is {store_id}. {_OTHERWISE} restore it from a backup, or choose another bucket or prefix in blob_store. Delete that "
        "object only when no other server uses these blobs: this database then takes them if it knows them."
    )


_OTHERWISE: Final = "Nothing was changed. Use that database,"
