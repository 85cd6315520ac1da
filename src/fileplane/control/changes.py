"""Partial changes: what is not named stays, null removes; and the repetition of a change that somebody else came before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from fileplane import errors
from fileplane.access import UNLIMITED, Defaults, Limits
from fileplane.metadata.control import RecordChanged
from fileplane.unset import UNSET, UnsetType

T = TypeVar("T")
ATTEMPTS: Final = 5
"""How often a change is tried again when somebody else has changed the same record meanwhile, or a slug made at random is taken."""


@dataclass(frozen=True, slots=True)
class LimitChanges:
    """``values`` by the names of :class:`Limits`; None lifts a limit. With ``anew``, those that are not named are lifted too."""

    values: Mapping[str, int | None] = field(default_factory=dict)
    anew: bool = False

    def applied(self, before: Limits) -> Limits:
        """The limits after the change."""
        return replace(UNLIMITED if self.anew else before, **self.values)


@dataclass(frozen=True, slots=True)
class DefaultChanges:
    """What is to become of :class:`Defaults`. With ``anew``, what is not named goes back to what it is without any."""

    config: str | UnsetType | None = UNSET
    allow_override: bool | UnsetType = UNSET
    metadata: Mapping[str, str] | UnsetType = UNSET
    anew: bool = False

    def applied(self, before: Defaults) -> Defaults:
        """The defaults after the change."""
        kept = Defaults() if self.anew else before
        return Defaults(
            either(self.config, kept.config), either(self.allow_override, kept.allow_override), either(self.metadata, kept.metadata)
        )


def either(value: T | UnsetType, kept: T) -> T:
    """``value``, or what was there before when it was not given."""
    return kept if isinstance(value, UnsetType) else value


async def repeated(kind: str, change: Callable[[], Awaitable[T]]) -> T:
    """What ``change`` returns, which reads, decides and writes, and does so again when somebody else has written in between.

    Raises :class:`fileplane.errors.RecordChanged` when that happens again and again; ``kind`` is the thing as callers know it.
    """
    for _ in range(ATTEMPTS):
        try:
            return await change()
        except RecordChanged:
            continue
    raise errors.RecordChanged(kind)
