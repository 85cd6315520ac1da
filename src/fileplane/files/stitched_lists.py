"""Several lists as one: one after another, each in its own order, with cursors that are nothing but ids.

A row belongs to the first list that has it, were it only as one that is gone. Its cursor leads into that list and on into the ones behind,
and the later ones leave it out: two credentials of one account show the same, and a page that ended on such a row would lead back into the
earlier list, for ever. Where it cannot be said which list has a row, nothing is shown: every guess would lose rows or repeat them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from fileplane.errors import FileplaneError, InvalidValue, ProviderRefused, StorageUnavailable, UnsupportedProviderOperation
from fileplane.files.remote_route import RemoteTarget
from fileplane.files.together import together

Row = TypeVar("Row")

_MOST_PAGES: Final = 100
"""Of one list that are fetched for one page of the whole, because earlier lists have what is on them."""
_LARGER_PAGE: Final = 100
_NOT_THERE: Final = frozenset({400, 404, 422})
"""How providers refuse an id that they have not, or that has not the form of theirs."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A part of a list, in its order."""

    rows: Sequence[Row]
    has_more: bool


class Section(Protocol[Row]):
    """A list that has an order and cursors of its own."""

    @property
    def of_an_account(self) -> bool:
        """Whether it has all of an account, so that a list of which it has a whole page is the same one."""
        ...

    @property
    def provider(self) -> str | None:
        """Whose list it is, where it is one provider's: those of two providers have nothing in common."""
        ...

    async def has(self, row_id: str) -> bool:
        """Whether it has this row, or a page of it can begin behind it although it is gone. May raise FileplaneError."""
        ...

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        """Which of these, the rows of another's page in their order, it has, as :meth:`has` says it. May raise FileplaneError."""
        ...

    async def page(self, limit: int, after: str | None) -> Page[Row]:
        """One page of it."""
        ...


async def stitched(
    sections: Sequence[Section[Row]], id_of: Callable[[Row], str], limit: int, after: str | None, unknown: InvalidValue
) -> Page[Row]:
    """One page of all. Raises ``unknown`` for a cursor that none of them has."""
    start = 0 if after is None else await _place(sections, after, unknown)
    rows: list[Row] = []
    for number in range(start, len(sections)):
        room = limit - len(rows)
        # With no room left, it is only asked whether there is anything.
        page = await _unseen(sections[: number + 1], id_of, max(room, 1), after)
        after = None
        if not room:
            if page.rows:
                return Page(rows, has_more=True)
            continue
        rows += page.rows
        if page.has_more:
            return Page(rows, has_more=True)
    return Page(rows, has_more=False)


async def _place(sections: Sequence[Section[Row]], after: str, unknown: InvalidValue) -> int:
    """The number of the section that a cursor leads into. One that cannot be asked says nothing of a cursor that another provider has."""
    failures: list[tuple[Section[Row], FileplaneError]] = []
    for number, section in enumerate(sections):
        try:
            found = await section.has(after)
        except StorageUnavailable:
            raise
        except FileplaneError as error:
            failures.append((section, error))
            continue
        if found:
            failures = [(one, error) for one, error in failures if _may_share(one, section)]
            if not failures:
                return number
            break
    raise failures[0][1] if failures else unknown


def _may_share(one: Section[Row], other: Section[Row]) -> bool:
    """Whether two sections may have rows in common."""
    return one.provider is None or other.provider is None or one.provider == other.provider


async def _unseen(sections: Sequence[Section[Row]], id_of: Callable[[Row], str], limit: int, after: str | None) -> Page[Row]:
    """A page of the last of these sections, without what the others have."""
    *earlier, section = sections
    alike = [one for one in earlier if _may_share(one, section)]
    rows: list[Row] = []
    size = limit
    for _ in range(_MOST_PAGES):
        page = await section.page(size, after)
        ids = [id_of(row) for row in page.rows]
        had: set[str] = set()
        for one in alike if ids else ():
            found = set(await one.has_of(ids))
            if one.of_an_account and len(found) == len(ids):
                return Page(rows, has_more=False)
            had |= found
        rows += [row for row, row_id in zip(page.rows, ids, strict=True) if row_id not in had]
        if not had or not page.has_more or len(rows) >= limit:
            return Page(rows[:limit], page.has_more or len(rows) > limit)
        after, size = ids[-1], max(limit, _LARGER_PAGE)
    if rows:
        return Page(rows, has_more=True)
    raise UnsupportedProviderOperation(
        "The lists of these targets have too much in common to be shown as one. List each by itself.", param="x-portkey-config"
    )


async def asked_for(row_id: str, ask: Callable[[str], Awaitable[object]], unknown: type[FileplaneError]) -> bool:
    """Whether a provider that is asked for a row has it. Raises where it does not say so."""
    try:
        await ask(row_id)
    except unknown:
        return False
    except ProviderRefused as error:
        if error.status not in _NOT_THERE:
            raise
        return False
    return True


async def asked_for_each(row_ids: Sequence[str], has: Callable[[str], Awaitable[bool]]) -> Collection[str]:
    """Which of the rows of another's page a provider has, with two calls where it has neither the first nor the last, or both.

    Of two credentials each sees the whole of its account, so that who has both ends has what is between them. Raises what the first
    question raises that cannot be answered, and asks no further ones then.
    """
    ends = list(dict.fromkeys([row_ids[0], row_ids[-1]]))
    found = await together(has, ends)
    if not any(found):
        return ()
    if all(found):
        return row_ids
    between = [row_id for row_id in row_ids if row_id not in ends]
    answers = await together(has, between)
    return [row_id for row_id, had in zip([*ends, *between], [*found, *answers], strict=True) if had]


def same_account(one: RemoteTarget, other: RemoteTarget) -> bool:
    """Whether two targets show the same lists, however they are called."""
    return all(
        mine == theirs
        for mine, theirs in (
            (one.provider.name, other.provider.name),
            (one.target.custom_host, other.target.custom_host),
            (one.target.secrets, other.target.secrets),
            (one.target.fields, other.target.fields),
        )
    )
