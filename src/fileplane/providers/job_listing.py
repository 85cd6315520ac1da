"""Pages of jobs and of their records that truly say whether there is more, made of whatever lists a provider has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from fileplane.errors import InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.job_objects import with_seconds
from fileplane.providers.listing import Fetch
from fileplane.providers.remote_jobs import RemoteJobQuery

Row: TypeAlias = Mapping[str, Any]

DEFAULT_LIMIT: Final = 20
"""Of a page that is cut here; where the provider cuts it, its default is its own."""
MOST_ROWS: Final = 100
"""That OpenAI gives a page. A larger limit is asked for as this one."""


async def page_of(fetch: Fetch, query: RemoteJobQuery, *, paged: bool) -> tuple[Sequence[Row], bool]:
    """One page, newest first, and whether there is more; ``paged`` where the provider heeds ``limit`` and ``after``.

    A list that says nothing of it is asked whether there is a row behind the page. One that proves not to heed ``after`` is cut here when
    it is there whole. Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for what is no list or cannot be paged, and
    :class:`~fileplane.errors.InvalidValue` for a cursor that is not in a whole list.
    """
    if not paged:
        return _cut(_newest_first(_rows(await fetch({}))), query)
    answer = await fetch(_asked(query.limit, query.after))
    rows, more = _rows(answer), _says_more(answer)
    if query.after is not None and any(row.get("id") == query.after for row in rows):
        if more is True:
            raise UpstreamAnswerInvalid("The provider's list cannot be paged: it does not heed 'after'.")
        return _cut(rows, query)
    if query.limit is not None and len(rows) > query.limit:
        return rows[: query.limit], True
    if not rows:
        return rows, False
    return rows, await _goes_on(fetch, rows) if more is None else more


async def _goes_on(fetch: Fetch, rows: Sequence[Row]) -> bool:
    last = rows[-1].get("id")
    if not isinstance(last, str):
        return False
    shown = {row.get("id") for row in rows}
    return any(row.get("id") not in shown for row in _rows(await fetch(_asked(1, last))))


def _asked(limit: int | None, after: str | None) -> dict[str, str]:
    asked = {} if limit is None else {"limit": str(min(limit, MOST_ROWS))}
    return asked if after is None else {**asked, "after": after}


def _says_more(answer: Any) -> bool | None:
    said = answer.get("has_more") if isinstance(answer, dict) else None
    return said if isinstance(said, bool) else None


def _rows(answer: Any) -> list[Row]:
    """Each once: of those that have an id, the last that has it."""
    rows = answer.get("data") if isinstance(answer, dict) else answer
    if isinstance(rows, dict):
        rows = rows.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UpstreamAnswerInvalid("The provider's answer is no list.")
    return list({row["id"] if isinstance(row.get("id"), str) else number: row for number, row in enumerate(rows)}.values())


def _newest_first(rows: list[Row]) -> list[Row]:
    def created_at(row: Row) -> int:
        found = with_seconds(row).get("created_at")
        return found if isinstance(found, int) else 0

    return sorted(rows, key=created_at, reverse=True)


def _cut(rows: Sequence[Row], query: RemoteJobQuery) -> tuple[Sequence[Row], bool]:
    """The page of a list that is there whole."""
    start = 0
    if query.after is not None:
        start = next((place + 1 for place, row in enumerate(rows) if row.get("id") == query.after), 0)
        if not start:
            raise unknown_cursor()
    end = start + (query.limit or DEFAULT_LIMIT)
    return rows[start:end], end < len(rows)


def unknown_cursor() -> InvalidValue:
    """The refusal of an ``after`` that no page can begin behind."""
    return InvalidValue("'after' is nothing of this list. Use the id of the last one of the page before.", param="after")
