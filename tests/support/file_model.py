"""What a project's files are supposed to be: a dictionary, and the answers that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

RETENTION = 604_800


@dataclass
class ModelFile:
    """A file as its upload was answered, and what has become of it."""

    shown: dict[str, object]
    content: bytes
    deleted_at: int | None = None
    purged: bool = False
    holds: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.shown["id"])

    @property
    def position(self) -> tuple[int, str]:
        """Its place in the total order."""
        return int(str(self.shown["created_at"])), self.id

    @property
    def expires_at(self) -> float:
        expires_at = self.shown["expires_at"]
        return math.inf if expires_at is None else int(str(expires_at))

    @property
    def restorable_until(self) -> float:
        assert self.deleted_at is not None
        return min(self.deleted_at + RETENTION, self.expires_at)

    def is_live(self, now: int) -> bool:
        return self.deleted_at is None and (bool(self.holds) or self.expires_at > now)

    def is_restorable(self, now: int) -> bool:
        return self.deleted_at is not None and not self.purged and self.restorable_until > now

    @property
    def shown_now(self) -> dict[str, object]:
        """As it is shown in its present state."""
        if self.deleted_at is None:
            return self.shown
        return {**self.shown, "deleted_at": self.deleted_at, "restorable_until": self.restorable_until}


@dataclass(frozen=True)
class Query:
    """A list call. ``after`` is the id of a file that the project has, live or not."""

    order: str = "desc"
    purpose: str | None = None
    limit: int = 10_000
    after: str | None = None
    offset: int | None = None
    deleted: str | None = None

    @property
    def parameters(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def admits(self, file: ModelFile, now: int) -> bool:
        in_state = file.is_restorable(now) if self.deleted == "true" else file.is_live(now)
        return in_state and self.purpose in {None, file.shown["purpose"]}


@dataclass
class ModelProject:
    """``now`` tells the time by which files expire."""

    now: Callable[[], int]
    files: dict[str, ModelFile] = field(default_factory=dict)

    def live(self, query: Query = Query()) -> list[ModelFile]:
        """All that the query's purpose admits, in its order."""
        admitted = (file for file in self.files.values() if query.admits(file, self.now()))
        return sorted(admitted, key=lambda file: file.position, reverse=query.order == "desc")

    def usage(self) -> dict[str, int]:
        """What is counted of the project's live files, as the key's that has uploaded them all."""
        live = self.live()
        return {"files": len(live), "storage_bytes": sum(len(file.content) for file in live)}

    def page(self, query: Query) -> dict[str, object]:
        """The answer to a list call, to the letter."""
        live = self.live(query)
        rest = live[query.offset or 0 :]
        if query.after is not None:
            cursor = self.files[query.after].position
            rest = [file for file in live if (file.position < cursor if query.order == "desc" else file.position > cursor)]
        shown = [file.shown_now for file in rest[: query.limit]]
        return {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": len(rest) > query.limit,
            "total": len(live),
        }
