"""One assertion helper for each shape of answer."""

from __future__ import annotations

import re

import httpx2

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
FILE_FIELDS = {"id", "object", "bytes", "created_at", "expires_at", "filename", "purpose", "status", "status_details"}
HOLD_FIELDS = {"id", "object", "file_id", "reason", "created_at", "expires_at"}
SDK_RETRIES = {408, 409, 429}


def assert_openai_error(
    response: httpx2.Response,
    status: int,
    code: str | None,
    *,
    type: str = "invalid_request_error",
    param: str | None = None,
    definitive: bool = False,
) -> str:
    """The one envelope, exactly; returns the message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert REQUEST_ID.fullmatch(response.headers["x-request-id"])
    body = response.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == (type, code, param), error
    assert error["message"]
    assert response.headers.get("x-should-retry") == ("false" if definitive else None)
    return error["message"]


def assert_file(response: httpx2.Response, **expected: object) -> dict[str, object]:
    """A File object with these values; returns it."""
    assert response.status_code == 200, response.text
    file = response.json()
    assert_file_object(file, **expected)
    return file


def assert_file_object(file: dict[str, object], *, deleted: bool = False, **expected: object) -> None:
    assert set(file) == FILE_FIELDS | ({"deleted_at", "restorable_until"} if deleted else set())
    assert UUID7.fullmatch(str(file["id"]))
    assert file["object"] == "file"
    assert isinstance(file["bytes"], int)
    assert isinstance(file["created_at"], int)
    assert file["expires_at"] is None or isinstance(file["expires_at"], int)
    assert {name: file[name] for name in expected} == expected


def assert_list(
    response: httpx2.Response, ids: list[str], *, has_more: bool = False, total: int | None = None, deleted: bool = False
) -> dict[str, object]:
    """A page with exactly these ids in this order; returns it."""
    assert response.status_code == 200, response.text
    page = response.json()
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more", "total"}
    assert page["object"] == "list"
    for file in page["data"]:
        assert_file_object(file, deleted=deleted)
    assert [file["id"] for file in page["data"]] == ids
    assert page["first_id"] == (ids[0] if ids else None)
    assert page["last_id"] == (ids[-1] if ids else None)
    assert page["has_more"] is has_more
    assert type(page["total"]) is int
    assert total is None or page["total"] == total
    return page


def assert_hold(response: httpx2.Response, file_id: str, **expected: object) -> dict[str, object]:
    """A hold of this file with these values; returns it."""
    assert response.status_code == 200, response.text
    hold = response.json()
    assert set(hold) == HOLD_FIELDS
    assert (hold["object"], hold["file_id"]) == ("file.hold", file_id)
    assert {name: hold[name] for name in expected} == expected
    return hold


def assert_deleted(response: httpx2.Response, file_id: str) -> None:
    assert response.status_code == 200, response.text
    assert response.json() == {"id": file_id, "object": "file", "deleted": True}
