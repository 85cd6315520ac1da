"""The values of resumable uploads (tus): frozen, without I/O.

A resumable upload is an upload in parts whose parts are appended in order, each at the offset at which the one before it ends. Only the
request that has the upload's *turn* may append: a number that grows whenever anybody takes the turn or ends it, so that what a request
does after it has lost its turn changes nothing, however late it wakes up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fileplane.access import CallerLimits
from fileplane.model import Origin
from fileplane.uploads import MOST_PARTS, NewPart, NewUpload, Part, Upload

MANY_PARTS: Final = 1_000
"""From so many parts on, small ones that lie side by side are merged before another is added."""

MERGED_AT_ONCE: Final = 32
"""How many parts one merge reads at most: no longer than a client that asks for the offset is told to wait, also where each takes 50 ms."""

_MOST_FULL_PARTS: Final = MOST_PARTS * 2 // 5


@dataclass(frozen=True, slots=True)
class NewResumable:
    """A resumable upload about to be recorded. With ``deferred``, the length is not known yet and ``upload.bytes`` is 0."""

    upload: NewUpload
    metadata: str
    """As the client wrote it, in the form of the header Upload-Metadata; may be empty."""
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Resumable:
    """A resumable upload as recorded: ``received`` bytes are durable, in ``parts`` parts. ``held`` while a request has the turn."""

    upload: Upload
    metadata: str
    deferred: bool
    received: int
    parts: int
    turn: int
    held: bool
    asked: bool
    """Whether the request that has the turn is asked to end it."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole file, if it is known."""
        return None if self.deferred else self.upload.bytes


@dataclass(frozen=True, slots=True)
class Append:
    """What is appended to a resumable upload: a part whose blob is durable; None for an upload of no bytes at all."""

    part: NewPart | None
    created_by: str
    quota_bytes: int
    limits: CallerLimits
    lifetime_seconds: int
    """How long the upload is kept from now on, if nothing more comes."""
    origin: Origin
    ends_turn: bool = False
    length: int | None = None
    """Of the whole upload, if whoever took the turn knows it: recorded now, where it was deferred."""


def full_part_bytes(largest: int, length: int | None) -> int:
    """How many bytes a part of a resumable upload is filled with: ``largest``, or more where the file would have too many parts.

    With it, :func:`to_merge` finds something whenever there are more than :data:`MANY_PARTS` parts and more than twice as many as full ones
    would be. So no upload, whatever its length and however often its line breaks, comes to :data:`~fileplane.uploads.MOST_PARTS`.
    """
    return max(1, largest, -(-(length or 0) // _MOST_FULL_PARTS))


def to_merge(parts: Sequence[Part], most_bytes: int, most_parts: int = MERGED_AT_ONCE) -> Sequence[Part]:
    """Of parts in order, those side by side that are the most within ``most_bytes`` and ``most_parts``; fewer than two when no two fit.

    Of as many, those with the fewest bytes: what has been merged is not read again as long as there are smaller ones.
    """
    best, first, size = (0, 0, 0), 0, 0
    for end, part in enumerate(parts, 1):
        size += part.bytes
        while size > most_bytes or end - first > most_parts:
            size -= parts[first].bytes
            first += 1
        best = max(best, (end - first, -size, -first))
    count, _, negative = best
    return parts[-negative : count - negative]
