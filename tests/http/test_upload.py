from __future__ import annotations

import hashlib
import itertools
import time

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileplane.model import INPUT_PURPOSES
from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import BOUNDARY, END, field, file_part, form, part, pieces, send, simple_form, upload, uploaded
from support.stored import assert_nothing_left_behind, blob_files
from support.tenants import NewTenant, Tenant

PURPOSE = field("purpose", "user_data")
ANCHOR = field("expires_after[anchor]", "created_at")
SECONDS = field("expires_after[seconds]", "3600")
FILE = file_part(b"content", filename="data.bin")


def test_an_upload_is_answered_with_the_whole_file_object(api: httpx2.Client):
    before = int(time.time())
    file = assert_file(
        upload(api, b"12345", filename="notes.txt", purpose="assistants"),
        bytes=5,
        expires_at=None,
        filename="notes.txt",
        purpose="assistants",
        status="processed",
        status_details=None,
    )
    assert before <= file["created_at"] <= int(time.time())


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_fields_are_taken_in_any_order(api: httpx2.Client, order: tuple[int, ...]):
    parts = [PURPOSE, ANCHOR, SECONDS, FILE]
    file = assert_file(send(api, form(*(parts[number] for number in order))), bytes=7, purpose="user_data", filename="data.bin")
    assert file["expires_at"] == file["created_at"] + 3_600


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_a_chunked_body_is_taken_as_one_with_a_length(api: httpx2.Client, size: int):
    body = simple_form(b"chunked content")
    file = assert_file(send(api, pieces(body, size)), bytes=15)
    assert api.get(f"/files/{file['id']}/content").content == b"chunked content"


@pytest.mark.parametrize("position", ["first", "last"])
def test_an_empty_file_is_kept(api: httpx2.Client, position: str):
    empty = file_part(b"", filename="empty.txt")
    file = assert_file(send(api, form(empty, PURPOSE) if position == "first" else form(PURPOSE, empty)), bytes=0, filename="empty.txt")
    content = api.get(f"/files/{file['id']}/content")
    assert (content.status_code, content.content, content.headers["content-length"]) == (200, b"", "0")
    assert content.headers["etag"] == f'"{hashlib.sha256(b"").hexdigest()}"'


def test_the_same_bytes_twice_are_two_files(api: httpx2.Client):
    first, second = uploaded(api), uploaded(api)
    assert first["id"] != second["id"]
    assert_list(api.get("/files", params={"order": "asc"}), sorted([first["id"], second["id"]]), total=2)


FRAGMENTS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"--",
    b"-",
    b"\r\n--",
    b"\0",
    b"a",
    BOUNDARY,
    BOUNDARY[:-1],
    b"\r\n--" + BOUNDARY[:5],
    b"\r\n--" + BOUNDARY[:-1],
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)).filter(
        lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content
    ),
    size=st.integers(1, 80),
)
def test_whatever_the_file_holds_and_however_it_is_cut_the_bytes_come_back(api: httpx2.Client, content: bytes, size: int):
    file = assert_file(send(api, pieces(simple_form(content), size)), bytes=len(content))
    assert api.get(f"/files/{file['id']}/content").content == content


@pytest.mark.parametrize("purpose", INPUT_PURPOSES)
def test_each_input_purpose_can_be_uploaded(api: httpx2.Client, purpose: str):
    assert_file(upload(api, purpose=purpose), purpose=purpose)


@pytest.mark.parametrize("purpose", ["assistants_output", "batch_output", "fine-tune-results"])
@pytest.mark.parametrize("order", ["purpose first", "file first"])
def test_an_output_purpose_takes_the_scope_for_it(new_tenant: NewTenant, purpose: str, order: str):
    without = new_tenant(scopes=frozenset({"files.read", "files.write", "files.delete"}))
    with_it = new_tenant(scopes=frozenset({"files.write", "files.write_output"}))
    parts = [field("purpose", purpose), FILE]
    body = form(*(parts if order == "purpose first" else reversed(parts)))
    before = blob_files(without.server.data_dir)
    message = assert_openai_error(send(without.client, body), 403, "missing_scope", type="permission_error", param="purpose")
    assert "files.write_output" in message
    assert_nothing_left_behind(without.server.data_dir, before)
    assert_list(without.client.get("/files"), [], total=0)
    assert_file(send(with_it.client, body), purpose=purpose)


@pytest.mark.parametrize(
    "purpose", ["vector_store", "", " user_data", "user_data ", "USER_DATA", "user_data\n", "*", "\u0443ser_data", "x" * 500]
)
def test_an_unknown_purpose_is_refused_with_the_ones_that_are_known(api: httpx2.Client, purpose: str):
    message = assert_openai_error(upload(api, purpose=purpose), 400, "invalid_value", param="purpose")
    assert all(known in message for known in INPUT_PURPOSES)
    assert_list(api.get("/files"), [], total=0)


@pytest.mark.parametrize(("purpose", "accepted"), [("distillation", True), ("user_data_v2", True), ("user_data", True), ("other", False)])
def test_the_operator_can_add_purposes(tight: Tenant, purpose: str, accepted: bool):
    response = upload(tight.client, purpose=purpose)
    if accepted:
        assert_file(response, purpose=purpose)
    else:
        assert "distillation" in assert_openai_error(response, 400, "invalid_value", param="purpose")


@pytest.mark.parametrize("purpose", ["research.v1", "x", "A-b_c.9", "x" * 64])
def test_the_operator_can_leave_the_purpose_free(loose: Tenant, purpose: str):
    assert upload(loose.client, purpose=purpose).json()["purpose"] == purpose


@pytest.mark.parametrize("purpose", ["", "two words", "x" * 65, "<script>", "ünicode", "a\nb"])
def test_a_free_purpose_is_still_a_plain_name(loose: Tenant, purpose: str):
    assert_openai_error(upload(loose.client, purpose=purpose), 400, "invalid_value", param="purpose")


BAD_FORMS = {
    "no purpose": (form(FILE), "missing_required_parameter", "purpose"),
    "no file": (form(PURPOSE), "missing_required_parameter", "file"),
    "nothing": (END, "missing_required_parameter", "purpose"),
    "two purposes": (form(PURPOSE, FILE, PURPOSE), "invalid_value", "purpose"),
    "two different purposes": (form(PURPOSE, field("purpose", "batch"), FILE), "invalid_value", "purpose"),
    "two anchors": (form(PURPOSE, ANCHOR, ANCHOR, SECONDS, FILE), "invalid_value", "expires_after[anchor]"),
    "two expiries": (form(PURPOSE, ANCHOR, SECONDS, SECONDS, FILE), "invalid_value", "expires_after[seconds]"),
    "two files": (form(PURPOSE, FILE, FILE), "invalid_value", "file"),
    "two files, the purpose last": (form(FILE, FILE, PURPOSE), "invalid_value", "file"),
    "two files, the first empty": (form(PURPOSE, file_part(b""), FILE), "invalid_value", "file"),
    "an unknown field": (form(PURPOSE, field("model", "gpt"), FILE), "unknown_parameter", "model"),
    "an unknown file": (form(PURPOSE, part(b'name="data"; filename="x"', b"x"), FILE), "unknown_parameter", "data"),
    "a field without a name": (form(PURPOSE, field("", "x"), FILE), "unknown_parameter", ""),
    "an unknown expiry member": (form(PURPOSE, field("expires_after[minutes]", "1"), FILE), "unknown_parameter", "expires_after[minutes]"),
    "a very long unknown field": (form(PURPOSE, field("x" * 500, "x"), FILE), "unknown_parameter", "x" * 80),
    "a file without a file name": (form(PURPOSE, field("file", "content")), "invalid_value", "file"),
    "a field that is too long": (form(field("purpose", "x" * 5_000), FILE), "invalid_value", "purpose"),
    "a field that is not UTF-8": (form(field("purpose", b"\xff\xfe"), FILE), "invalid_value", "purpose"),
}


@pytest.mark.parametrize(("body", "code", "param"), BAD_FORMS.values(), ids=BAD_FORMS)
def test_a_form_with_a_wrong_field_is_refused_by_its_name_and_leaves_nothing(tenant: Tenant, body: bytes, code: str, param: str):
    before = blob_files(tenant.server.data_dir)
    assert_openai_error(send(tenant.client, body), 400, code, param=param)
    assert_openai_error(send(tenant.client, pieces(body, 50)), 400, code, param=param)
    assert_nothing_left_behind(tenant.server.data_dir, before)
    assert_list(tenant.client.get("/files"), [], total=0)


def test_a_refusal_while_the_file_is_still_coming_leaves_nothing(tenant: Tenant):
    before = blob_files(tenant.server.data_dir)
    body = form(file_part(bytes(5_000_000)), field("purpose", "nonsense"), file_part(bytes(1_000_000)))
    assert_openai_error(send(tenant.client, body), 400, "invalid_value", param="purpose")
    assert_nothing_left_behind(tenant.server.data_dir, before)


def test_a_refused_client_can_go_on_with_its_connection_or_a_new_one(api: httpx2.Client):
    for _ in range(3):
        assert_openai_error(send(api, form(FILE)), 400, "missing_required_parameter", param="purpose")
        assert_file(upload(api))
