from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx2
import pytest

from fileplane.ids import openai_style, uuid7
from support.expect import assert_deleted, assert_list, assert_openai_error
from support.forms import uploaded
from support.tenants import NewTenant, Tenant


def upload_many(api: httpx2.Client, count: int, purpose: str = "user_data") -> list[str]:
    """The ids in the total order, oldest first."""
    files = [uploaded(api, b"x", purpose=purpose) for _ in range(count)]
    return [str(file["id"]) for file in sorted(files, key=lambda file: (file["created_at"], file["id"]))]


def test_an_empty_project_has_an_empty_list(api: httpx2.Client):
    assert api.get("/files").json() == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False, "total": 0}


def test_files_are_listed_newest_first_unless_asked_otherwise(api: httpx2.Client):
    ids = upload_many(api, 5)
    assert_list(api.get("/files"), ids[::-1], total=5)
    assert_list(api.get("/files", params={"order": "desc"}), ids[::-1], total=5)
    assert_list(api.get("/files", params={"order": "asc"}), ids, total=5)


def test_each_listed_file_is_the_one_that_was_uploaded(api: httpx2.Client):
    files = {
        file["id"]: file
        for file in (
            uploaded(api, b"1", filename="a.txt"),
            uploaded(api, b"22", filename="b.txt", purpose="batch"),
            uploaded(api, b"", filename="c.txt", purpose="evals", expires_after=3_600),
        )
    }
    assert {file["id"]: file for file in api.get("/files").json()["data"]} == files


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 10_000])
def test_paging_by_cursor_or_offset_gives_every_file_once(api: httpx2.Client, order: str, limit: int):
    ids = upload_many(api, 7)
    wanted = ids if order == "asc" else ids[::-1]
    for start in range(0, 7, limit):
        page = wanted[start : start + limit]
        common = {"order": order, "limit": limit}
        cursor = {"after": wanted[start - 1]} if start else {}
        more = start + limit < 7
        assert_list(api.get("/files", params=common | cursor), page, has_more=more, total=7)
        assert_list(api.get("/files", params=common | {"offset": start}), page, has_more=more, total=7)
    assert_list(api.get("/files", params={"order": order, "limit": limit, "after": wanted[-1]}), [], total=7)
    assert_list(api.get("/files", params={"order": order, "limit": limit, "offset": 7}), [], total=7)


def test_an_offset_beyond_the_end_gives_an_empty_page_with_the_true_total(api: httpx2.Client):
    upload_many(api, 2)
    for offset in (2, 3, 10**6, 2**53):
        assert_list(api.get("/files", params={"offset": offset}), [], total=2)


def test_a_page_has_a_hundred_files_unless_asked_otherwise(api: httpx2.Client):
    ids = upload_many(api, 102)
    assert_list(api.get("/files"), ids[:1:-1], has_more=True, total=102)
    assert_list(api.get("/files", params={"after": ids[2]}), ids[1::-1], total=102)
    assert_list(api.get("/files", params={"limit": 102}), ids[::-1], total=102)


def test_a_purpose_selects_its_files_and_their_total(api: httpx2.Client):
    evals, batches = upload_many(api, 3, "evals"), upload_many(api, 2, "batch")
    assert_list(api.get("/files", params={"purpose": "evals", "order": "asc"}), evals, total=3)
    assert_list(api.get("/files", params={"purpose": "evals", "limit": 2}), evals[:0:-1], has_more=True, total=3)
    assert_list(api.get("/files", params={"purpose": "evals", "limit": 1, "offset": 1}), [evals[1]], has_more=True, total=3)
    assert_list(api.get("/files", params={"purpose": "evals", "after": evals[1]}), [evals[0]], total=3)
    assert_list(api.get("/files", params={"purpose": "batch"}), batches[::-1], total=2)
    assert api.get("/files").json()["total"] == 5


def test_a_cursor_of_another_purpose_still_marks_its_place(api: httpx2.Client):
    files = [uploaded(api, purpose=purpose) for purpose in ("evals", "batch", "evals", "batch", "evals")]
    files.sort(key=lambda file: (file["created_at"], file["id"]))
    for number, cursor in enumerate(files):
        older = [file["id"] for file in reversed(files[:number]) if file["purpose"] == "evals"]
        assert_list(api.get("/files", params={"purpose": "evals", "after": cursor["id"]}), older, total=3)


@pytest.mark.parametrize(
    "purpose", ["fine-tune", "nonsense", "batch_output", "' OR 1=1 --", "\u0443ser_data", "x" * 5_000, "%", "_vals", "EVALS"]
)
def test_an_unknown_purpose_gives_an_empty_list(api: httpx2.Client, purpose: str):
    upload_many(api, 1, "evals")
    assert_list(api.get("/files", params={"purpose": purpose}), [], total=0)


def test_an_empty_purpose_or_cursor_counts_as_none(api: httpx2.Client):
    ids = upload_many(api, 2)
    assert_list(api.get("/files", params={"purpose": "", "after": ""}), ids[::-1], total=2)


WRONG_NUMBERS = [
    ("limit", "0", "integer_below_min_value"),
    ("limit", "-1", "integer_below_min_value"),
    ("limit", "10001", "integer_above_max_value"),
    ("limit", "9" * 40, "integer_above_max_value"),
    ("limit", "9" * 100, "invalid_value"),
    ("limit", "abc", "invalid_value"),
    ("limit", "", "invalid_value"),
    ("limit", "1.0", "invalid_value"),
    ("limit", "+1", "invalid_value"),
    ("limit", " 1", "invalid_value"),
    ("limit", "1e2", "invalid_value"),
    ("limit", "0x10", "invalid_value"),
    ("limit", "\uff11\uff10", "invalid_value"),
    ("limit", "1;DROP TABLE files", "invalid_value"),
    ("offset", "-1", "integer_below_min_value"),
    ("offset", "9007199254740993", "integer_above_max_value"),
    ("offset", "abc", "invalid_value"),
    ("offset", "", "invalid_value"),
    ("order", "sideways", "invalid_value"),
    ("order", "ASC", "invalid_value"),
    ("order", "", "invalid_value"),
    ("order", "created_at", "invalid_value"),
]


@pytest.mark.parametrize(("name", "value", "code"), WRONG_NUMBERS)
def test_a_parameter_with_a_wrong_value_is_refused_by_its_name(api: httpx2.Client, name: str, value: str, code: str):
    assert f"'{name}'" in assert_openai_error(api.get("/files", params={name: value}), 400, code, param=name)


@pytest.mark.parametrize(("name", "value"), [("limit", "1"), ("limit", "10000"), ("offset", "0"), ("offset", "007"), ("order", "asc")])
def test_a_parameter_at_its_bound_is_taken(api: httpx2.Client, name: str, value: str):
    assert_list(api.get("/files", params={name: value}), [], total=0)


@pytest.mark.parametrize("offset", ["0", "1"])
def test_a_cursor_and_an_offset_cannot_be_combined(api: httpx2.Client, offset: str):
    (only,) = upload_many(api, 1)
    message = assert_openai_error(api.get("/files", params={"after": only, "offset": offset}), 400, "invalid_value", param="after")
    assert "'offset'" in message


def wrong_cursors() -> Iterator[str]:
    yield uuid7(1_800_000_000_000)
    yield openai_style(uuid7(1_800_000_000_000))
    yield "00000000-0000-0000-0000-000000000000"
    yield from ("abc", "file-abc", "0", "null", "' OR 1=1 --", "x" * 5_000, "\0", "../..", "%00", "🔥", "01a2-")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_unknown_malformed_or_foreign_cursor_is_refused_without_telling_which(api: httpx2.Client, new_tenant: NewTenant, order: str):
    foreign = upload_many(new_tenant().client, 1)[0]
    upload_many(api, 1)
    messages = {
        assert_openai_error(api.get("/files", params={"after": cursor, "order": order}), 400, "invalid_value", param="after")
        for cursor in (foreign, openai_style(foreign), *wrong_cursors())
    }
    assert len(messages) == 1


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_cursor_of_a_file_that_was_deleted_since_still_works(api: httpx2.Client, order: str):
    ids = upload_many(api, 4)
    wanted = ids if order == "asc" else ids[::-1]
    assert_deleted(api.delete(f"/files/{wanted[1]}"), wanted[1])
    assert_list(api.get("/files", params={"order": order, "after": wanted[1]}), wanted[2:], total=3)
    assert_list(api.get("/files", params={"order": order, "after": wanted[1], "limit": 1}), wanted[2:3], has_more=True, total=3)


def test_a_cursor_is_taken_in_both_forms_and_any_case(api: httpx2.Client):
    ids = upload_many(api, 3)
    for cursor in (ids[1], openai_style(ids[1]), ids[1].upper()):
        assert_list(api.get("/files", params={"after": cursor}), [ids[0]], total=3)


def test_pages_neither_skip_nor_repeat_while_files_come_and_go(api: httpx2.Client):
    ids = upload_many(api, 9)
    seen: list[str] = []
    doomed = ids[4]
    more = True
    while more and len(seen) <= 12:
        cursor = {"after": seen[-1]} if seen else {}
        page = api.get("/files", params={"limit": 2, "order": "asc", **cursor}).json()
        seen += [file["id"] for file in page["data"]]
        if len(seen) == 4:
            assert_deleted(api.delete(f"/files/{doomed}"), doomed)
            assert_deleted(api.delete(f"/files/{seen[-1]}"), seen[-1])
        if len(seen) < 8:
            uploaded(api)
        more = page["has_more"]
    assert len(seen) == len(set(seen))
    assert [file_id for file_id in seen if file_id in ids] == [file_id for file_id in ids if file_id != doomed]


@pytest.mark.parametrize(
    "query", ["before=x", "Deleted=true", "limit[]=1", "Limit=1", "limit%00=1", "%F0%9F%94%A5=1", "=1", f"{'x' * 500}=1"]
)
def test_an_unknown_parameter_is_refused_with_those_that_are_known(api: httpx2.Client, query: str):
    response = api.get(f"/files?{query}")
    param = response.json()["error"]["param"]
    message = assert_openai_error(response, 400, "unknown_parameter", param=param)
    assert len(param) <= 80
    assert all(known in message for known in ("purpose", "limit", "order", "after", "offset"))


@pytest.mark.parametrize("name", ["limit", "offset", "order", "after", "purpose"])
def test_a_parameter_that_is_given_twice_is_refused(api: httpx2.Client, name: str):
    values = {"limit": "1", "offset": "1", "order": "asc", "after": secrets.token_hex(16), "purpose": "evals"}
    response = api.get(f"/files?{name}={values[name]}&{name}={values[name]}")
    assert_openai_error(response, 400, "invalid_value", param=name)


@pytest.mark.parametrize(
    "query", ["purpose=%FF%FE", "%FF=1", "after=%ED%A0%80", "&".join(["limit=1"] * 200)], ids=["value", "name", "surrogate", "many"]
)
def test_a_query_that_cannot_be_read_is_refused(api: httpx2.Client, query: str):
    assert_openai_error(api.get(f"/files?{query}"), 400, "invalid_value", param="query")


def test_the_list_of_a_server_that_prints_openai_ids_pages_by_either_form(loose: Tenant):
    ids = sorted(str(uploaded(loose.client)["id"]) for _ in range(3))
    assert all(file_id.startswith("file-") for file_id in ids)
    page = loose.client.get("/files", params={"order": "asc", "limit": 2}).json()
    assert ([file["id"] for file in page["data"]], page["first_id"], page["last_id"]) == (ids[:2], ids[0], ids[1])
    digits = ids[1].removeprefix("file-")
    canonical = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    for cursor in (ids[1], canonical):
        assert [file["id"] for file in loose.client.get("/files", params={"order": "asc", "after": cursor}).json()["data"]] == ids[2:]
