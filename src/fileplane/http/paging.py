"""Pages by number, as the lists of the control plane have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from fileplane.http.parameters import Parameter

_LARGEST_PAGE: Final = 1_000
_USUAL_PAGE: Final = 100
T = TypeVar("T")

PAGING: Final = (
    Parameter("page_size", "Entries in one page.", {"type": "integer", "minimum": 1, "maximum": _LARGEST_PAGE, "default": _USUAL_PAGE}),
    Parameter("current_page", "The page, from 0.", {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0}),
)


def page_of(everything: Sequence[T], given: Mapping[str, str]) -> Sequence[T]:
    """The page that the parameters ask for. Raises an :class:`~fileplane.errors.InvalidRequest` that names the parameter."""
    size, page = (parameter.whole(given.get(parameter.name, str(parameter.schema["default"]))) for parameter in PAGING)
    return everything[page * size : (page + 1) * size]
