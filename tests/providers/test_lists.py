"""Lists of providers that cannot page, or lie about it, are still true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fileplane.errors import InvalidValue, UnsupportedProviderOperation, UpstreamAnswerInvalid
from fileplane.providers.base import Capabilities, Paging, RemotePage, RemoteQuery
from fileplane.providers.dialects import Dialect, ListOrder
from fileplane.providers.listing import MOST_WALKED, Listing
from fileplane.providers.near import NEAR

CURSOR = Dialect("x", "X", "https://x.example", Capabilities(max_list_limit=1_000))
ROWS = [{"id": f"file-{number}", "object": "file", "created_at": 100 - number, "purpose": "batch", "bytes": 1} for number in range(10)]


async def listed(answer: Any, query: RemoteQuery, dialect: Dialect = CURSOR) -> RemotePage:
    async def fetch(asked: Mapping[str, str]) -> Any:
        return answer(asked) if callable(answer) else answer

    return await Listing(dialect, dialect.capabilities, fetch).page(query)


def ids(page: RemotePage) -> list[str]:
    return [file.id for file in page.files]


async def test_a_server_that_does_not_heed_after_or_limit_is_paged_here():
    found: list[str] = []
    query = RemoteQuery(limit=3)
    while True:
        page = await listed({"object": "list", "data": ROWS}, query)
        found += ids(page)
        if not page.has_more:
            break
        query = replace(query, after=page.next_cursor)
    assert found == [row["id"] for row in ROWS]


async def test_a_server_that_heeds_after_but_never_says_whether_there_is_more_comes_to_an_end():
    def answer(asked: Mapping[str, str]) -> Any:
        start = next((index + 1 for index, row in enumerate(ROWS) if row["id"] == asked.get("after")), 0)
        return {"data": ROWS[start : start + int(asked["limit"])]}

    found: list[str] = []
    query = RemoteQuery(limit=5)
    for _ in range(10):
        page = await listed(answer, query)
        found += ids(page)
        if not page.has_more:
            break
        query = replace(query, after=page.next_cursor)
    assert not page.has_more
    assert found == [row["id"] for row in ROWS]


@pytest.mark.parametrize("paging", [Paging.CURSOR, Paging.PAGES])
@pytest.mark.parametrize("order", list(ListOrder))
@pytest.mark.parametrize("says", [True, False])
async def test_a_page_of_which_nothing_is_shown_is_not_the_end_of_the_list(paging: Paging, order: ListOrder, says: bool):
    rows = [row | ({"deleted": True} if number in {0, 1, 4, 5, 6, 7} else {}) for number, row in enumerate(ROWS)]
    shown = [row["id"] for row in rows if "deleted" not in row]

    def answer(asked: Mapping[str, str]) -> Any:
        size = int(asked.get("limit") or asked["page_size"])
        start = next((index + 1 for index, row in enumerate(rows) if row["id"] == asked.get("after")), int(asked.get("page", 0)) * size)
        return {"data": rows[start : start + size]} | ({"has_more": start + size < len(rows), "total": len(rows)} if says else {})

    dialect = replace(CURSOR, order=order, capabilities=replace(CURSOR.capabilities, paging=paging, max_list_limit=2))
    found: list[str] = []
    query = RemoteQuery(limit=2, newest_first=order is not ListOrder.OLDEST_FIRST)
    for _ in range(10):
        page = await listed(answer, query, dialect)
        found += ids(page)
        if not page.has_more:
            break
        query = replace(query, after=page.next_cursor)
    assert found == shown


async def test_more_of_nothing_is_not_more():
    page = await listed({"data": [], "has_more": True}, RemoteQuery())
    assert (page.has_more, page.next_cursor) == (False, None)


async def test_a_server_that_says_there_is_more_but_repeats_itself_is_not_believed():
    with pytest.raises(UpstreamAnswerInvalid):
        await listed({"data": ROWS, "has_more": True}, RemoteQuery(limit=10, after="file-3"))


async def test_a_file_that_is_shown_twice_is_shown_once_and_one_that_is_being_deleted_not_at_all():
    rows = [ROWS[0], ROWS[0], {**ROWS[1], "status": "deleted"}, {**ROWS[2], "status": "deleting"}, ROWS[3]]
    assert ids(await listed({"data": rows, "has_more": False}, RemoteQuery())) == ["file-0", "file-3"]


@pytest.mark.parametrize(
    "answer", [None, 1, "x", [], {}, {"data": None}, {"data": {}}, {"data": [1]}, {"data": [{"id": "../x"}]}], ids=repr
)
async def test_what_is_no_list_of_files_is_refused(answer: Any):
    if answer == []:
        assert ids(await listed(answer, RemoteQuery())) == []
        return
    with pytest.raises(UpstreamAnswerInvalid):
        await listed(answer, RemoteQuery())


@pytest.mark.parametrize("paging", [Paging.TOKEN, Paging.PAGES, Paging.CURSOR])
async def test_pages_that_never_end_are_walked_within_a_bound(paging: Paging):
    calls = 0

    def answer(_: Mapping[str, str]) -> Any:
        nonlocal calls
        calls += 1
        rows = [{"id": f"file-{calls}-{number}", "created_at": 1} for number in range(1_000)]
        return {"data": rows, "pagination_token": str(calls), "total": 1 << 60, "has_more": True}

    dialect = replace(CURSOR, order=ListOrder.OLDEST_FIRST, capabilities=Capabilities(paging=paging, max_list_limit=1_000))
    with pytest.raises(UnsupportedProviderOperation):
        await listed(answer, RemoteQuery(limit=10), dialect)
    assert calls <= MOST_WALKED // 1_000
    with pytest.raises(InvalidValue):
        await listed(answer, RemoteQuery(limit=10, after="file-none", newest_first=False), dialect)


@pytest.mark.parametrize("paging", [Paging.TOKEN, Paging.PAGES, Paging.CURSOR])
async def test_pages_that_repeat_themselves_end(paging: Paging):
    dialect = replace(CURSOR, order=ListOrder.OLDEST_FIRST, capabilities=Capabilities(paging=paging, max_list_limit=10))
    answer = {"data": ROWS, "pagination_token": "again", "total": 1 << 60, "has_more": True}
    page = await listed(answer, RemoteQuery(limit=100, newest_first=False), dialect)
    assert (len(page.files), page.has_more) == (10, False)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("moonshot", "file-extract", ("user_data", "assistants", "file-extract")),
        ("dashscope", "file-extract", ("user_data", "assistants", "file-extract")),
        ("mistral-ai", "ocr", ("user_data", "ocr")),
        ("voyage", "batch-error", ("batch_output",)),
    ],
)
async def test_a_file_is_found_by_every_word_of_ours_that_its_provider_has_one_word_for(name: str, theirs: str, ours: tuple[str, ...]):
    rows = [{"id": "file-1", "purpose": theirs, "created_at": 2}, {"id": "file-2", "purpose": "batch", "created_at": 1}]
    answer = {"object": "list", "data": rows, "has_more": False, "total": 2}
    page = await listed(answer, RemoteQuery(), NEAR[name])
    assert [file.purpose for file in page.files] == [ours[0], "batch"]
    for purpose in ours:
        page = await listed(answer, RemoteQuery(purpose=purpose), NEAR[name])
        assert [(file.id, file.purpose) for file in page.files] == [("file-1", purpose)]


async def test_tokens_that_never_end_are_followed_within_a_bound():
    asked: list[str] = []

    def answer(query: Mapping[str, str]) -> Any:
        asked.append(query.get("page", ""))
        return {"data": [], "next_page": f"page_{len(asked)}"}

    tokens = Capabilities(max_list_limit=1_000, paging=Paging.TOKEN)
    dialect = Dialect("x", "X", "https://x.example", tokens, order=ListOrder.NEWEST_FIRST, page_token=("page", "next_page"))
    assert (await listed(answer, RemoteQuery(), dialect)).files == ()
    assert len(asked) == 1_000
    assert asked[:3] == ["", "page_1", "page_2"]
    with pytest.raises(UnsupportedProviderOperation):
        await listed(answer, RemoteQuery(newest_first=False), dialect)
