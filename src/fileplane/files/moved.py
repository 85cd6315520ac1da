"""Whether a database may be used where it is: not before everything has been moved to it, and not after it was moved away."""

from __future__ import annotations

from fileplane.metadata.base import MetadataStore
from fileplane.metadata.moves import ARRIVING, BLOBS_ELSEWHERE, WRITES_REFUSED, Stage, parse_refusal

_BACK = "To go back to how they were then, without what has changed there since: `fileplane migrate-store --undo`."


class MovedAway(Exception):
    """The database, or its blobs, are not to be used here; the message says what to do."""


async def require_complete(metadata: MetadataStore) -> None:
    """Raises :class:`MovedAway` for a database to which another is being moved."""
    if await metadata.bookmark(ARRIVING) is not None:
        raise MovedAway(
            "The database is not complete: `fileplane migrate-store` is bringing another one to it, or was interrupted. Let it finish; run "
            "it again if it was interrupted."
        )


async def require_blobs_here(metadata: MetadataStore) -> None:
    """For who has the blobs in the data directory. Raises :class:`MovedAway` where they were moved to an object store."""
    place = await metadata.bookmark(BLOBS_ELSEWHERE)
    if place is not None:
        raise MovedAway(f"The bytes of the files have been moved to {place}. Set blob_store to that.")


async def require_present(metadata: MetadataStore, *, blobs_here: bool) -> Stage | None:
    """For a server. Returns how far a move is that was begun. Raises :class:`MovedAway`."""
    await require_complete(metadata)
    if blobs_here:
        await require_blobs_here(metadata)
    position = await metadata.bookmark(WRITES_REFUSED)
    if position is None:
        return None
    stage = parse_refusal(position).stage
    if stage is Stage.MOVED:
        raise MovedAway(f"The files have been moved to a PostgreSQL database. Set database_url, and blob_store, to where they are. {_BACK}")
    if stage is Stage.BLOBS_MOVED and blobs_here:
        raise MovedAway(f"The bytes of the files have been moved to an object store. Set blob_store to where they are. {_BACK}")
    return stage
