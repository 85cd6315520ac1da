"""Several lists as one: every row once, whatever they have in common, and every cursor leads on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.errors import FileNotFound, InvalidValue, ProviderRefused, StorageUnavailable, UnsupportedProviderOperation, UpstreamTimeout
from fileplane.files.stitched_lists import Page, asked_for, asked_for_each, stitched

UNKNOWN = InvalidValue("There is no such row.", param="after")


@dataclass
class Rows:
    """A list in memory: of an account, as a provider shows it, or of a catalog, which can tell of every row."""

    rows: list[str]
    of_an_account: bool = False
    provider: str | None = None
    gone: list[str] = field(default_factory=list)
    failure: Exception | None = None
    asked: list[str] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)

    async def has(self, row_id: str) -> bool:
        self.asked.append(row_id)
        if self.failure is not None:
            raise self.failure
        return row_id in self.rows or row_id in self.gone

    async def has_of(self, row_ids: Sequence[str]) -> Collection[str]:
        if self.of_an_account:
            return await asked_for_each(row_ids, self.has)
        return [row_id for row_id in row_ids if row_id in self.rows or row_id in self.gone]

    async def page(self, limit: int, after: str | None) -> Page[str]:
        self.pages.append(limit)
        start = self._behind(after)
        return Page(self.rows[start : start + limit], start + limit < len(self.rows))

    def _behind(self, after: str | None) -> int:
        if after is None:
            return 0
        return sum(row < after for row in self.rows) if after in self.gone else self.rows.index(after) + 1


def named(*numbers: int) -> list[str]:
    return [f"row-{number:05}" for number in numbers]


async def walked(sections: Sequence[Rows], limit: int) -> list[str]:
    """All pages, one after another, as an SDK asks for them."""
    rows: list[str] = []
    most = sum(len(section.rows) for section in sections)
    for _ in range(most + 1):
        page = await stitched(sections, lambda row: row, limit, rows[-1] if rows else None, UNKNOWN)
        assert len(page.rows) <= limit
        rows += page.rows
        if not page.has_more:
            return rows
    raise AssertionError("there is always more")


LISTS = st.lists(st.lists(st.integers(0, 40), unique=True, max_size=30), min_size=1, max_size=4)


@given(LISTS, st.integers(1, 12))
async def test_every_row_is_shown_once_where_it_is_first_whatever_lists_have_in_common(lists: list[list[int]], limit: int):
    sections = [Rows(named(*numbers)) for numbers in lists]
    assert await walked(sections, limit) == list(dict.fromkeys(row for section in sections for row in section.rows))


@given(LISTS, st.integers(1, 12))
async def test_lists_of_accounts_come_to_an_end_whatever_they_have_in_common(lists: list[list[int]], limit: int):
    sections = [Rows(named(*numbers), of_an_account=True) for numbers in lists]
    shown = await walked(sections, limit)
    assert shown[: len(sections[0].rows)] == sections[0].rows


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_two_credentials_of_one_account_are_one_list_and_few_calls(limit: int):
    first, second = (Rows(named(*range(250)), of_an_account=True) for _ in range(2))
    assert await walked([first, second], limit) == first.rows
    assert len(first.asked) <= 250 // limit + 6
    assert len(second.pages) <= 3


@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_a_catalog_beside_its_own_account_adds_only_what_it_has_not(limit: int):
    catalog, account = Rows(named(*range(3_000))), Rows(named(*range(3_003)), of_an_account=True)
    first = await stitched([catalog, account], lambda row: row, limit, catalog.rows[-1], UNKNOWN)
    assert (first.rows, first.has_more) == (account.rows[3_000 : 3_000 + limit], limit < 3)
    assert len(account.pages) <= 32


async def test_lists_that_have_more_in_common_than_is_looked_through_are_not_shown_as_one():
    catalog, account = Rows(named(*range(12_000))), Rows(named(*range(12_001)), of_an_account=True)
    with pytest.raises(UnsupportedProviderOperation):
        await stitched([catalog, account], lambda row: row, 100, catalog.rows[-1], UNKNOWN)


async def test_a_cursor_whose_row_is_gone_leads_on_where_its_list_remembers_it():
    first, second = Rows(named(0, 2, 3), gone=named(1)), Rows(named(7, 8))
    page = await stitched([first, second], lambda row: row, 3, "row-00001", UNKNOWN)
    assert (page.rows, page.has_more) == (named(2, 3, 7), True)


async def test_a_row_that_is_gone_from_its_list_is_in_no_later_one_and_leads_on_in_its_own():
    catalog, account = Rows(named(0, 2, 4), gone=named(1, 3)), Rows(named(*range(6)), of_an_account=True)
    assert await walked([catalog, account], 2) == named(0, 2, 4, 5)
    assert (await stitched([catalog, account], lambda row: row, 2, "row-00001", UNKNOWN)).rows == named(2, 4)


@given(LISTS, st.lists(st.integers(0, 40), unique=True), st.integers(1, 12))
async def test_a_walk_ends_whatever_becomes_of_rows_while_a_provider_still_lists_them(lists: list[list[int]], gone: list[int], limit: int):
    catalog = Rows(named(*sorted(set(lists[0]) - set(gone))), gone=named(*gone))
    sections = [catalog, *(Rows(named(*numbers)) for numbers in lists)]
    shown = dict.fromkeys(row for section in sections for row in section.rows)
    assert await walked(sections, limit) == [row for row in shown if row not in catalog.gone]


async def test_a_provider_is_not_asked_for_the_rows_of_another_provider():
    first = Rows(named(1), of_an_account=True, provider="openai", failure=UpstreamTimeout("No."))
    for provider, asked in (("mistral", []), ("openai", named(5))):
        second = Rows(named(5, 6), of_an_account=True, provider=provider)
        first.asked.clear()
        walk = stitched([first, second], lambda row: row, 3, None, UNKNOWN)
        if asked:
            with pytest.raises(UpstreamTimeout):
                await walk
        else:
            assert (await walk).rows == named(1, 5, 6)
        assert first.asked[:1] == asked


async def test_where_it_cannot_be_said_whose_rows_they_are_nothing_more_is_asked_or_shown():
    account = Rows(named(*range(100)), of_an_account=True, failure=UpstreamTimeout("No."))
    with pytest.raises(UpstreamTimeout):
        await account.has_of(named(*range(100)))
    assert len(account.asked) <= 2


async def test_a_list_that_cannot_be_asked_says_nothing_of_a_cursor_that_another_provider_has():
    closed = Rows(named(1), of_an_account=True, provider="openai", failure=UpstreamTimeout("No."))
    good = Rows(named(5, 6), of_an_account=True, provider="mistral")
    assert (await stitched([closed, good], lambda row: row, 3, "row-00005", UNKNOWN)).rows == named(6)
    with pytest.raises(UpstreamTimeout):
        await stitched([closed, good], lambda row: row, 3, "row-00009", UNKNOWN)
    with pytest.raises(UpstreamTimeout):
        await stitched([closed, replace(good, provider="openai")], lambda row: row, 3, "row-00005", UNKNOWN)
    with pytest.raises(InvalidValue):
        await stitched([good, good], lambda row: row, 3, "row-00009", UNKNOWN)


async def test_a_database_that_fails_is_not_taken_for_a_list_without_the_row():
    broken = Rows(named(1), of_an_account=True, failure=StorageUnavailable("No."))
    with pytest.raises(StorageUnavailable):
        await stitched([broken, Rows(named(5, 6))], lambda row: row, 3, "row-00005", UNKNOWN)
    with pytest.raises(StorageUnavailable):
        await broken.has_of(named(5, 6))


async def test_only_rows_between_those_that_are_had_are_asked_for_one_by_one():
    account = Rows(named(1, 3, 5), of_an_account=True)
    for page, found, calls in (
        (named(6, 7, 8, 9), [], 2),
        (named(1, 2, 3, 4), ["row-00001", "row-00003"], 4),
        (named(1, 2, 5), named(1, 2, 5), 2),
        (named(3), named(3), 1),
    ):
        account.asked.clear()
        assert sorted(await account.has_of(page)) == found
        assert len(account.asked) == calls


@pytest.mark.parametrize(("status", "there"), [(400, False), (404, False), (422, False), (401, None), (500, None)])
async def test_a_provider_that_refuses_an_id_has_it_not_and_one_that_refuses_the_caller_says_nothing(status: int, there: bool | None):
    async def refuses(_: str) -> None:
        raise ProviderRefused("No.", status=status)

    if there is None:
        with pytest.raises(ProviderRefused):
            await asked_for("row", refuses, FileNotFound)
    else:
        assert await asked_for("row", refuses, FileNotFound) is there
