"""What databases say about being moved: bookmarks, which the old database and the new one have in turn.

While a database is moved, the old one refuses every change from one transaction on, whoever makes it, and goes on being read. The new one
refuses to be used until everything is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fileplane.errors import StorageUnavailable

WRITES_REFUSED: Final = "writes_refused"
"""In the old database: how far the move is, and its token."""

BLOBS_ELSEWHERE: Final = "blobs_elsewhere"
"""In a database that stayed where it is: the blobs have been moved to an object store, and this is where they went."""

ARRIVING: Final = "arriving"
"""In a new database that is not complete: the store id of the one that is being moved to it."""

ARRIVED: Final = "arrived"
"""In a new database: the token of the move that completed it."""

OF_THE_MOVE: Final = (WRITES_REFUSED, ARRIVING, ARRIVED)
"""Bookmarks that stay where they are."""

_MOVING_SECONDS: Final = 15
_MOVED_SECONDS: Final = 300

COUNTS_ALONE: ContextVar[bool] = ContextVar("counts_alone", default=False)
"""Whether a change only counts requests, so that reading needs it, and a database that is moved admits it."""


class Stage(StrEnum):
    """How far the move of a database is that refuses changes."""

    MOVING = "moving"
    MOVED = "moved"
    BLOBS_MOVED = "blobs-moved"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What :data:`WRITES_REFUSED` says. The ``token`` is new each time that changes begin to be refused."""

    stage: Stage
    token: str

    def __str__(self) -> str:
        return f"{self.stage.value} {self.token}"

    def told(self) -> StorageUnavailable:
        """What somebody is told who wants to change something."""
        if self.stage is Stage.MOVING:
            return StorageUnavailable(
                "The files are being moved to another store, and nothing can be changed for the moment. "
                "Reading goes on. Try again shortly.",
                retry_after=_MOVING_SECONDS,
                nothing_changed=True,
            )
        return StorageUnavailable(
            "The files have been moved to another store, and nothing is changed here any more. Ask the operator for the new server.",
            retry_after=_MOVED_SECONDS,
            nothing_changed=True,
        )


def parse_refusal(position: str) -> Refusal:
    """The opposite of ``str``."""
    stage, _, token = position.partition(" ")
    return Refusal(Stage(stage), token)


@contextmanager
def counting_alone() -> Iterator[None]:
    """Changes within the block only count requests."""
    token = COUNTS_ALONE.set(True)
    try:
        yield
    finally:
        COUNTS_ALONE.reset(token)
