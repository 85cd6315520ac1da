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


async def walked(answer: Any, query: RemoteQuery, dialect: Dialect = CURSOR) -> list[str]:
    """The ids of all pages, one after another, of which there may be a dozen."""
    found: list[str] = []
    for _ in range(12):
        page = await listed(answer, query, dialect)
        found += ids(page)
        if not page.has_more:
            return found
        query = replace(query, after=page.next_cursor)
    raise AssertionError("the list does not end")


async def test_a_server_that_does_not_heed_after_or_limit_is_paged_here():
    assert await walked({"object": "list", "data": ROWS}, RemoteQuery(limit=3)) == [row["id"] for row in ROWS]


async def test_a_server_that_heeds_after_but_never_says_whether_there_is_more_comes_to_an_end():
    def answer(asked: Mapping[str, str]) -> Any:
        start = next((index + 1 for index, row in enumerate(ROWS) if row["id"] == asked.get("after")), 0)
        return {"data": ROWS[start : start + int(asked["limit"])]}

    assert await walked(answer, RemoteQuery(limit=5)) == [row["id"] for row in ROWS]


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
    assert await walked(answer, RemoteQuery(limit=2, newest_first=order is not ListOrder.OLDEST_FIRST), dialect) == shown


@pytest.mark.parametrize("paging", list(Paging))
@pytest.mark.parametrize("order", list(ListOrder))
@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("odd", [{0}, {0, 1, 2, 5, 9}, {4, 8, 9}])
async def test_a_file_whose_id_no_call_could_name_hides_no_other(paging: Paging, order: ListOrder, limit: int, odd: set[int]):
    rows = [{**row, "id": f"../{row['id']}"} if number in odd else row for number, row in enumerate(ROWS)]

    def answer(asked: Mapping[str, str]) -> Any:
        size = int(asked.get("limit") or asked.get("page_size") or len(rows))
        token = asked.get("pagination_token")
        behind = next((index + 1 for index, row in enumerate(rows) if row["id"] == asked.get("after")), int(asked.get("page", 0)) * size)
        start = behind if token is None else int(token)
        return {"data": rows[start : start + size], "has_more": start + size < len(rows), "total": len(rows)} | (
            {"pagination_token": str(start + size) if start + size < len(rows) else None} if paging is Paging.TOKEN else {}
        )

    dialect = replace(CURSOR, order=order, capabilities=replace(CURSOR.capabilities, paging=paging, max_list_limit=4))
    assert await walked(answer, RemoteQuery(limit=limit, newest_first=order is not ListOrder.OLDEST_FIRST), dialect) == [
        row["id"] for number, row in enumerate(ROWS) if number not in odd
    ]


@pytest.mark.parametrize("order", [ListOrder.ASKED, ListOrder.NEWEST_FIRST])
async def test_a_list_that_cannot_be_gone_on_with_behind_such_files_does_not_pretend_to_end(order: ListOrder):
    dialect = replace(CURSOR, order=order)
    with pytest.raises(UpstreamAnswerInvalid, match="behind 3 files"):
        await listed({"data": [{"id": f"../{number}"} for number in range(3)], "has_more": True}, RemoteQuery(limit=3), dialect)
    assert ids(await listed({"data": [{"id": "../x"}], "has_more": False}, RemoteQuery(limit=3), dialect)) == []


async def test_more_of_nothing_is_not_more():
    page = await listed({"data": [], "has_more": True}, RemoteQuery())
    assert (page.has_more, page.next_cursor) == (False, None)


async def test_a_server_that_says_there_is_more_but_repeats_itself_is_not_believed():
    with pytest.raises(UpstreamAnswerInvalid):
        await listed({"data": ROWS, "has_more": True}, RemoteQuery(limit=10, after="file-3"))


async def test_a_file_that_is_shown_twice_is_shown_once_and_one_that_is_being_deleted_not_at_all():
    rows = [ROWS[0], ROWS[0], {**ROWS[1], "status": "deleted"}, {**ROWS[2], "status": "deleting"}, ROWS[3]]
    assert ids(await listed({"data": rows, "has_more": False}, RemoteQuery())) == ["file-0", "file-3"]


@pytest.mark.parametrize("answer", [None, 1, "x", [], {}, {"data": None}, {"data": {}}, {"data": [1]}, {"data": [{"id": 1}]}], ids=repr)
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
    if paging is not Paging.CURSOR:
        with pytest.raises(UnsupportedProviderOperation):
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
    with pytest.raises(UnsupportedProviderOperation):
        await listed(answer, RemoteQuery(), dialect)
    assert len(asked) == 1_000
    assert asked[:3] == ["", "page_1", "page_2"]
    with pytest.raises(UnsupportedProviderOperation):
        await listed(answer, RemoteQuery(newest_first=False), dialect)


MANY = [{"id": f"file-{number:06}", "created_at": 1, "purpose": "assistants"} for number in range(MOST_WALKED + 2_345)]
PLACES = {row["id"]: place for place, row in enumerate(MANY)}


def paged(asked: Mapping[str, str], most: int = 1_000) -> Any:
    """Of :data:`MANY`, however a page of it is asked for."""
    size = min(most, int(asked.get("limit") or asked["page_size"]))
    start = PLACES[asked["after"]] + 1 if "after" in asked else int(asked.get("pagination_token") or int(asked.get("page", 0)) * size)
    more = start + size < len(MANY)
    token = str(start + size) if more else None
    return {"data": MANY[start : start + size], "has_more": more, "total": len(MANY), "pagination_token": token}


def oldest_first(paging: Paging) -> Dialect:
    return replace(CURSOR, order=ListOrder.OLDEST_FIRST, capabilities=Capabilities(paging=paging, max_list_limit=1_000))


@pytest.mark.parametrize("paging", [Paging.TOKEN, Paging.PAGES])
async def test_a_list_that_is_only_looked_through_so_far_does_not_say_that_it_ends_there(paging: Paging):
    query = RemoteQuery(limit=1_000, after=MANY[MOST_WALKED - 500]["id"], newest_first=False)
    with pytest.raises(UnsupportedProviderOperation, match="more than 10000 files") as caught:
        await listed(paged, query, oldest_first(paging))
    assert caught.value.param == "after"


async def test_a_list_with_cursors_is_paged_to_its_end_however_long_it_is():
    calls: list[Mapping[str, str]] = []

    def answer(asked: Mapping[str, str]) -> Any:
        calls.append(asked)
        return paged(asked)

    found: list[str] = []
    query = RemoteQuery(limit=999, newest_first=False)
    while True:
        page = await listed(answer, query, oldest_first(Paging.CURSOR))
        found += ids(page)
        if not page.has_more:
            break
        query = replace(query, after=page.next_cursor)
    assert found == [row["id"] for row in MANY]
    assert len(calls) < 2 * len(MANY) // 999 + 5


@pytest.mark.parametrize("without", [0, MOST_WALKED - 1, MOST_WALKED, len(MANY) - 1])
async def test_a_list_of_one_purpose_is_paged_to_its_end_however_long_the_provider_s_is(without: int):
    purposed = {MANY[place]["id"] for place in {0, MOST_WALKED - 1, MOST_WALKED, MOST_WALKED + 1, len(MANY) - 1} - {without}}
    calls = 0

    def answer(asked: Mapping[str, str]) -> Any:
        nonlocal calls
        calls += 1
        page = paged(asked)
        data = [row | {"purpose": "batch"} if row["id"] in purposed else row for row in page["data"]]
        return {"data": data, "has_more": page["has_more"]}

    found: list[str] = []
    query = RemoteQuery(limit=2, purpose="batch", newest_first=False)
    dialect = replace(oldest_first(Paging.CURSOR), filters_purpose=False)
    for _ in range(6):
        page = await listed(answer, query, dialect)
        found += ids(page)
        if not page.has_more:
            break
        query = replace(query, after=page.next_cursor)
    assert (set(found), len(found), page.has_more) == (purposed, len(purposed), False)
    assert calls < 60


async def test_nothing_follows_the_last_file_of_a_list_that_is_too_long_to_be_walked_from_its_beginning():
    after = MANY[-2]["id"]
    query = RemoteQuery(limit=2, purpose="batch", after=after, newest_first=False)
    page = await listed(paged, query, replace(oldest_first(Paging.CURSOR), filters_purpose=False))
    assert (page.files, page.has_more) == ((), False)


async def test_an_unknown_cursor_that_a_provider_takes_for_none_is_told_and_repeats_no_row():
    def answer(asked: Mapping[str, str]) -> Any:
        start = next((index + 1 for index, row in enumerate(ROWS) if row["id"] == asked.get("after")), 0)
        return {"data": ROWS[start : start + int(asked["limit"])], "has_more": start + int(asked["limit"]) < len(ROWS)}

    dialect = oldest_first(Paging.CURSOR)
    assert ids(await listed(answer, RemoteQuery(after="file-7", newest_first=False), dialect)) == ["file-8", "file-9"]
    with pytest.raises(InvalidValue):
        await listed(answer, RemoteQuery(after="file-gone", limit=2, newest_first=False), dialect)


async def test_an_unknown_cursor_that_a_provider_takes_for_the_end_is_told():
    def answer(asked: Mapping[str, str]) -> Any:
        return {"data": [] if "after" in asked else ROWS, "has_more": False}

    dialect = oldest_first(Paging.CURSOR)
    assert (await listed(answer, RemoteQuery(after="file-9", newest_first=False), dialect)).files == ()
    with pytest.raises(InvalidValue):
        await listed(answer, RemoteQuery(after="file-none", newest_first=False), dialect)


async def test_a_file_beyond_what_is_looked_through_is_not_said_to_be_gone():
    async def fetch(asked: Mapping[str, str]) -> Any:
        return paged(asked)

    dialect = oldest_first(Paging.CURSOR)
    listing = Listing(dialect, dialect.capabilities, fetch)
    assert await listing.find(MANY[MOST_WALKED - 1]["id"]) is not None
    with pytest.raises(UnsupportedProviderOperation) as caught:
        await listing.find(MANY[-1]["id"])
    assert caught.value.param == "id"


@pytest.mark.parametrize(("most", "calls", "last"), [(1_000, 11, MOST_WALKED), (1, 100, 99)])
async def test_one_list_of_a_purpose_that_no_file_has_makes_few_calls_and_says_where_to_go_on(most: int, calls: int, last: int):
    asked: list[Mapping[str, str]] = []

    def answer(query: Mapping[str, str]) -> Any:
        asked.append(query)
        return paged(query, most)

    with pytest.raises(UnsupportedProviderOperation) as caught:
        await listed(answer, RemoteQuery(limit=1, purpose="batch"))
    assert len(asked) == calls
    assert [query["limit"] for query in asked[:3]] == ["1", "1000", "1000"]
    assert f"after={MANY[last]['id']}." in caught.value.message


async def test_a_page_found_after_empty_ones_has_no_more_than_was_asked_for():
    rows = [{**row, "purpose": "batch" if number >= 5 else "assistants"} for number, row in enumerate(ROWS)]

    def answer(asked: Mapping[str, str]) -> Any:
        start = next((index + 1 for index, row in enumerate(rows) if row["id"] == asked.get("after")), 0)
        return {"data": rows[start : start + int(asked["limit"])], "has_more": start + int(asked["limit"]) < len(rows)}

    page = await listed(answer, RemoteQuery(limit=2, purpose="batch"))
    assert (ids(page), page.has_more, page.next_cursor) == (["file-5", "file-6"], True, "file-6")
