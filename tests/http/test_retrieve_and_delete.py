from __future__ import annotations

import httpx2
import pytest

from fileplane.ids import openai_style
from support.expect import assert_deleted, assert_file, assert_list, assert_openai_error
from support.forms import upload, uploaded
from support.stored import blob_files
from support.tenants import Tenant


def assert_gone(api: httpx2.Client, file_id: str) -> None:
    """No call shows the file any more."""
    for response in (api.get(f"/files/{file_id}"), api.get(f"/files/{file_id}/content"), api.delete(f"/files/{file_id}")):
        message = assert_openai_error(response, 404, None, param="id")
        assert message == f"No such File object: {file_id}"
    assert file_id not in api.get("/files").text


def test_a_file_is_retrieved_as_it_was_answered_at_upload(api: httpx2.Client):
    file = uploaded(api, b"12345", filename="naïve.pdf", purpose="assistants", expires_after=3_600)
    assert assert_file(api.get(f"/files/{file['id']}")) == file


def printed_forms(file_id: str) -> list[str]:
    return [file_id, openai_style(file_id), file_id.upper(), openai_style(file_id).upper(), file_id.replace("-", "%2D")]


@pytest.mark.parametrize("number", range(5))
def test_an_id_is_taken_in_both_forms_and_any_case(api: httpx2.Client, number: int):
    file = uploaded(api, b"content")
    form = printed_forms(str(file["id"]))[number]
    assert_file(api.get(f"/files/{form}"), **file)
    assert api.get(f"/files/{form}/content").content == b"content"
    assert_deleted(api.delete(f"/files/{form}"), str(file["id"]))
    assert_gone(api, str(file["id"]))


def test_a_deleted_file_is_gone_for_good_and_for_every_call(api: httpx2.Client):
    kept, doomed = uploaded(api), uploaded(api)
    assert_deleted(api.delete(f"/files/{doomed['id']}"), doomed["id"])
    for _ in range(2):
        assert_gone(api, doomed["id"])
    assert_list(api.get("/files"), [kept["id"]], total=1)
    assert_file(api.get(f"/files/{kept['id']}"), **kept)


def test_deleting_keeps_the_bytes_until_they_are_collected(tenant: Tenant):
    file = uploaded(tenant.client, b"kept for now")
    before = blob_files(tenant.server.data_dir)
    assert_deleted(tenant.client.delete(f"/files/{file['id']}"), file["id"])
    assert blob_files(tenant.server.data_dir) == before


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"])
def test_the_total_of_a_purpose_falls_with_a_deletion(api: httpx2.Client, purpose: str):
    file, _ = uploaded(api, purpose=purpose), uploaded(api, purpose=purpose)
    assert api.get("/files", params={"purpose": purpose}).json()["total"] == 2
    api.delete(f"/files/{file['id']}")
    assert api.get("/files", params={"purpose": purpose}).json()["total"] == 1


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"content-type": "application/json"}, b""),
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "application/json"}, b"{not json"),
        ({"content-type": "text/plain"}, b"x" * 100_000),
    ],
    ids=["plain", "typed", "empty object", "broken", "large"],
)
def test_a_deletion_reads_no_body_whatever_the_sdk_sends(api: httpx2.Client, headers: dict[str, str], body: bytes):
    file = uploaded(api)
    for _ in range(2):
        response = api.request("DELETE", f"/files/{file['id']}", headers=headers, content=body)
        if response.status_code == 200:
            assert_deleted(response, file["id"])
        assert_list(api.get("/files"), [], total=0)
    assert_openai_error(response, 404, None, param="id")


def test_a_get_with_a_content_type_or_a_body_is_answered_as_without(api: httpx2.Client):
    file = uploaded(api)
    for body in (b"", b"{}"):
        response = api.request("GET", f"/files/{file['id']}", headers={"content-type": "application/json"}, content=body)
        assert_file(response, **file)


@pytest.mark.parametrize(
    "file_id",
    [
        "abc",
        "file-",
        "file-abc",
        "0",
        "-1",
        "undefined",
        "null",
        "a" * 32,
        "x" * 500,
        "018bcfe5-6800-7bf2-b270-6322ef9d9ffd",
        "not a uuid",
        "<b>",
        "🔥",
    ],
)
def test_an_unknown_id_is_answered_with_the_id_and_no_more(api: httpx2.Client, file_id: str):
    for response in (api.get(f"/files/{file_id}"), api.get(f"/files/{file_id}/content"), api.delete(f"/files/{file_id}")):
        assert assert_openai_error(response, 404, None, param="id") == f"No such File object: {file_id[:80]}"


def test_a_server_that_prints_openai_ids_prints_them_everywhere_and_takes_both(loose: Tenant):
    api = loose.client
    file = upload(api, b"content").json()
    digits = str(file["id"]).removeprefix("file-")
    assert (len(digits), int(digits, 16) > 0) == (32, True)
    canonical = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    for form in (file["id"], canonical):
        assert api.get(f"/files/{form}").json() == file
        assert api.get(f"/files/{form}/content").content == b"content"
    assert_deleted(api.delete(f"/files/{canonical}"), file["id"])
    for form in (file["id"], canonical):
        message = assert_openai_error(api.get(f"/files/{form}"), 404, None, param="id")
        assert message == f"No such File object: {form}"
