"""Limits in the form that callers send and see: ours, by name, and Portkey's ``rate_limits``, of which one kind means something here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fileplane.access import Limits
from fileplane.control.changes import LimitChanges
from fileplane.errors import InvalidValue
from fileplane.unset import UnsetType

REQUESTS: Final = "requests"
A_MINUTE: Final = "rpm"
_REQUESTS_PER_MINUTE: Final = "requests_per_minute"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """An entry of ``rate_limits``."""

    type: str
    unit: str
    value: int


def limit_changes(limits: Mapping[str, int | None] | UnsetType | None, rate_limits: Sequence[RateLimit] | UnsetType | None) -> LimitChanges:
    """What a caller wants of limits. None and an empty list lift what they stand for.

    Raises :class:`~fileplane.errors.InvalidValue` for a rate that Fileplane does not keep to, and for two that differ.
    """
    values: dict[str, int | None] = {} if isinstance(limits, UnsetType) or limits is None else dict(limits)
    if not isinstance(rate_limits, UnsetType):
        rate = _requests_per_minute(rate_limits or ())
        if values.setdefault(_REQUESTS_PER_MINUTE, rate) != rate:
            raise InvalidValue(f"'rate_limits' and 'limits.{_REQUESTS_PER_MINUTE}' differ. Send one of them.", param="rate_limits")
    return LimitChanges(values, anew=limits is None)


def rate_limits_of(limits: Limits) -> list[RateLimit]:
    """As Portkey shows them."""
    rate = limits.requests_per_minute
    return [] if rate is None else [RateLimit(REQUESTS, A_MINUTE, rate)]


def _requests_per_minute(rate_limits: Sequence[RateLimit]) -> int | None:
    for number, entry in enumerate(rate_limits):
        if entry.type != REQUESTS:
            raise InvalidValue("Fileplane limits requests only: 'type' must be 'requests'.", param=f"rate_limits[{number}].type")
        if entry.unit != A_MINUTE:
            raise InvalidValue("Fileplane limits requests by the minute: 'unit' must be 'rpm'.", param=f"rate_limits[{number}].unit")
        if number:
            raise InvalidValue("The rate of requests was given twice. Give it once.", param=f"rate_limits[{number}]")
    return rate_limits[0].value if rate_limits else None
