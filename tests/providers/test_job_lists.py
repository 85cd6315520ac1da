"""Lists of jobs at providers that cannot page, or lie about it, are still true."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest

from fileplane.errors import InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.job_listing import page_of
from fileplane.providers.remote_jobs import RemoteJobQuery

ROWS = [{"id": f"batch_{number}", "created_at": 100 - number} for number in range(10)]
IDS = [row["id"] for row in ROWS]


class Server:
    """Answers with ``answer``, and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, str]] = []

    async def fetch(self, asked: Mapping[str, str]) -> Any:
        self.asked.append(dict(asked))
        return self.answer(asked) if callable(self.answer) else self.answer


async def listed(answer: Any, query: RemoteJobQuery, *, paged: bool = True) -> tuple[list[Any], bool]:
    rows, more = await page_of(Server(answer).fetch, query, paged=paged)
    return [row["id"] for row in rows], more


async def every_page(answer: Any, limit: int, *, paged: bool = True) -> list[list[Any]]:
    pages, after = [], None
    for _ in range(20):
        page, more = await listed(answer, RemoteJobQuery(limit, after), paged=paged)
        pages.append(page)
        if not more:
            return pages
        after = page[-1]
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
async def test_a_server_that_heeds_neither_limit_nor_cursor_is_paged_here(limit: int):
    for answer in ({"data": ROWS}, {"data": ROWS, "has_more": False}, ROWS):
        pages = await every_page(answer, limit)
        assert list(chain(*pages)) == IDS
        assert len(pages) == -(-10 // limit)


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
async def test_a_server_that_never_says_whether_there_is_more_is_asked(limit: int):
    def answer(asked: Mapping[str, str]) -> Any:
        start = IDS.index(asked["after"]) + 1 if "after" in asked else 0
        return {"data": ROWS[start : start + int(asked["limit"])]}

    pages = await every_page(answer, limit)
    assert list(chain(*pages)) == IDS
    assert len(pages) == -(-10 // limit)


@pytest.mark.parametrize("limit", [1, 4, 10])
async def test_a_list_in_no_order_is_shown_newest_first(limit: int):
    shuffled = {"data": [ROWS[place] for place in (3, 9, 0, 5, 7, 1, 2, 8, 6, 4)]}
    assert list(chain(*await every_page(shuffled, limit, paged=False))) == IDS


async def test_a_whole_list_is_asked_for_without_a_query_and_cut_at_twenty():
    server = Server({"data": [{"id": f"batch_{number}"} for number in range(30)]})
    rows, more = await page_of(server.fetch, RemoteJobQuery(), paged=False)
    assert (len(rows), more, server.asked) == (20, True, [{}])


async def test_a_limit_beyond_the_provider_s_is_asked_for_as_the_provider_s():
    server = Server({"data": ROWS, "has_more": True})
    assert await page_of(server.fetch, RemoteJobQuery(5_000), paged=True) == (ROWS, True)
    assert server.asked == [{"limit": "100"}]


async def test_more_of_nothing_is_not_more():
    assert await listed({"data": [], "has_more": True}, RemoteJobQuery()) == ([], False)


async def test_a_server_that_says_there_is_more_but_repeats_itself_is_not_believed():
    with pytest.raises(UpstreamAnswerInvalid):
        await listed({"data": ROWS, "has_more": True}, RemoteJobQuery(10, "batch_3"))


async def test_a_job_that_is_shown_twice_is_shown_once():
    assert await listed({"data": [ROWS[0], ROWS[0], ROWS[1]], "has_more": False}, RemoteJobQuery()) == (IDS[:2], False)


async def test_a_cursor_that_is_not_in_a_whole_list_is_refused():
    with pytest.raises(InvalidValue):
        await listed({"data": ROWS}, RemoteJobQuery(after="batch_none"), paged=False)


@pytest.mark.parametrize("answer", [None, 1, "x", {}, {"data": None}, {"data": {}}, {"data": [1]}, [None]], ids=repr)
@pytest.mark.parametrize("paged", [True, False])
async def test_what_is_no_list_is_refused(answer: Any, *, paged: bool):
    with pytest.raises(UpstreamAnswerInvalid):
        await listed(answer, RemoteJobQuery(), paged=paged)
