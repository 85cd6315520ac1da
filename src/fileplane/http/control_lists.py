"""The query parameters of the control plane's lists, and their pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from fileplane.http.call import Call
from fileplane.http.parameters import Parameter, parse_query
from fileplane.settings import Settings

LARGEST_PAGE: Final = 1_000
_WORKSPACE: Final = Parameter("workspace_id", "Only what this project may use, by its id or slug.", {"type": "string"})
_PAGES: Final = (
    Parameter("current_page", "The page, from 0.", {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0}),
    Parameter(
        "page_size", "Records in one page. Without it, all are in the first.", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE}
    ),
)
_TYPE: Final = Parameter(
    "type",
    "Only those of a single project, or only the others.",
    {"type": "string", "enum": ["workspace", "organisation", "all"], "default": "all"},
)

T = TypeVar("T")


def workspace_parameter(_: Settings) -> tuple[Parameter, ...]:
    """Of a call on one record, or of a list that has no pages."""
    return (_WORKSPACE,)


def page_parameters(_: Settings) -> tuple[Parameter, ...]:
    """Of a list of virtual keys or providers."""
    return (_WORKSPACE, *_PAGES)


def integration_parameters(_: Settings) -> tuple[Parameter, ...]:
    """Of a list of integrations."""
    return (_WORKSPACE, *_PAGES, _TYPE)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which part of a list is asked for; ``size`` is None for all."""

    workspace: str | None
    page: int
    size: int | None
    kind: str

    def page_of(self, records: Sequence[T]) -> Sequence[T]:
        """The records of the page."""
        return records if self.size is None else records[self.page * self.size : (self.page + 1) * self.size]


def read_query(call: Call, parameters: tuple[Parameter, ...]) -> ListQuery:
    """Raises an :class:`~fileplane.errors.InvalidRequest` that names the parameter."""
    given = parse_query(call.request.scope["query_string"], parameters, "This call")
    whole = {one.name: one.whole(given[one.name]) for one in _PAGES if one.name in given}
    page, size = whole.get("current_page", 0), whole.get("page_size")
    if page and size is None:
        size = LARGEST_PAGE
    return ListQuery(given.get("workspace_id") or None, page, size, _TYPE.choice(given.get("type", "all")))
