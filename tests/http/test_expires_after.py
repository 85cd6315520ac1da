from __future__ import annotations

import json

import httpx2
import pytest

from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import field, file_part, form, send, upload
from support.tenants import Tenant

PURPOSE = field("purpose", "user_data")
FILE = file_part()
ANCHOR = "expires_after[anchor]"
SECONDS = "expires_after[seconds]"
AS_JSON = "expires_after"
THIRTY_DAYS = 2_592_000


def send_fields(api: httpx2.Client, **fields: str) -> httpx2.Response:
    return send(api, form(PURPOSE, *(field(name, value) for name, value in fields.items()), FILE))


@pytest.mark.parametrize("seconds", [3_600, 86_400, THIRTY_DAYS])
@pytest.mark.parametrize("spelling", ["brackets", "json", "json with a text"])
def test_an_expiry_counts_from_creation_in_either_spelling(api: httpx2.Client, spelling: str, seconds: int):
    shown = str(seconds) if spelling == "json with a text" else seconds
    fields = {ANCHOR: "created_at", SECONDS: str(seconds)}
    if spelling != "brackets":
        fields = {AS_JSON: json.dumps({"anchor": "created_at", "seconds": shown})}
    file = assert_file(send_fields(api, **fields))
    assert file["expires_at"] == file["created_at"] + seconds
    assert_file(api.get(f"/files/{file['id']}"), **file)
    assert api.get("/files").json()["data"] == [file]


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        ("3599", "integer_below_min_value"),
        ("0", "integer_below_min_value"),
        ("-1", "integer_below_min_value"),
        ("2592001", "integer_above_max_value"),
        ("9" * 40, "integer_above_max_value"),
    ],
)
@pytest.mark.parametrize("spelling", ["brackets", "json"])
def test_an_expiry_beyond_its_bounds_is_refused_with_the_bound(api: httpx2.Client, spelling: str, seconds: str, code: str):
    fields = {ANCHOR: "created_at", SECONDS: seconds}
    if spelling == "json":
        fields = {AS_JSON: f'{{"anchor": "created_at", "seconds": {seconds}}}'}
    message = assert_openai_error(send_fields(api, **fields), 400, code, param=SECONDS)
    assert ("3600" if "below" in code else "2592000") in message
    assert_list(api.get("/files"), [], total=0)


@pytest.mark.parametrize("seconds", ["", "abc", "3600.5", "3600.0", " 3600", "+3600", "36e2", "0x1000", "٣٦٠٠", "9" * 400])
def test_an_expiry_that_is_no_whole_number_is_refused(api: httpx2.Client, seconds: str):
    assert_openai_error(send_fields(api, **{ANCHOR: "created_at", SECONDS: seconds}), 400, "invalid_value", param=SECONDS)


@pytest.mark.parametrize("seconds", ["true", "3600.0", '"abc"', "[]", "{}", "1e4", "9" * 400])
def test_an_expiry_in_json_that_is_no_whole_number_is_refused(api: httpx2.Client, seconds: str):
    fields = {AS_JSON: f'{{"anchor": "created_at", "seconds": {seconds}}}'}
    assert_openai_error(send_fields(api, **fields), 400, "invalid_value", param=SECONDS)


MISSING = {
    "no seconds": ({ANCHOR: "created_at"}, "missing_required_parameter", SECONDS),
    "no anchor": ({SECONDS: "3600"}, "missing_required_parameter", ANCHOR),
    "another anchor": ({ANCHOR: "last_active_at", SECONDS: "3600"}, "invalid_value", ANCHOR),
    "an empty anchor": ({ANCHOR: "", SECONDS: "3600"}, "invalid_value", ANCHOR),
    "json without seconds": ({AS_JSON: '{"anchor": "created_at"}'}, "missing_required_parameter", SECONDS),
    "json without an anchor": ({AS_JSON: '{"seconds": 3600}'}, "missing_required_parameter", ANCHOR),
    "json with another anchor": ({AS_JSON: '{"anchor": 1, "seconds": 3600}'}, "invalid_value", ANCHOR),
    "empty json": ({AS_JSON: "{}"}, "missing_required_parameter", ANCHOR),
    "both spellings": ({AS_JSON: '{"anchor": "created_at", "seconds": 3600}', SECONDS: "3600"}, "invalid_value", AS_JSON),
    "half json": ({AS_JSON: '{"anchor": "created_at"'}, "invalid_value", AS_JSON),
    "no json": ({AS_JSON: "3600s"}, "invalid_value", AS_JSON),
    "a list": ({AS_JSON: '["created_at", 3600]'}, "invalid_value", AS_JSON),
    "null": ({AS_JSON: "null"}, "invalid_value", AS_JSON),
    "a number": ({AS_JSON: "3600"}, "invalid_value", AS_JSON),
    "nothing": ({AS_JSON: ""}, "invalid_value", AS_JSON),
    "too deep": ({AS_JSON: "[" * 4_000}, "invalid_value", AS_JSON),
    "a number of thousands of digits": ({AS_JSON: "9" * 4_090}, "invalid_value", AS_JSON),
    "an unknown member": ({AS_JSON: '{"anchor": "created_at", "seconds": 3600, "minutes": 1}'}, "unknown_parameter", AS_JSON),
    "an unknown member that no text can hold": ({AS_JSON: '{"\\ud800": 1}'}, "unknown_parameter", AS_JSON),
}


@pytest.mark.parametrize(("fields", "code", "param"), MISSING.values(), ids=MISSING)
def test_an_incomplete_or_malformed_expiry_is_refused_by_the_name_of_what_is_wrong(
    api: httpx2.Client, fields: dict[str, str], code: str, param: str
):
    assert_openai_error(send_fields(api, **fields), 400, code, param=param)
    assert_list(api.get("/files"), [], total=0)


def test_a_batch_file_expires_after_thirty_days_unless_it_says_otherwise(api: httpx2.Client):
    default = assert_file(upload(api, purpose="batch"))
    assert default["expires_at"] == default["created_at"] + THIRTY_DAYS
    own = assert_file(upload(api, purpose="batch", expires_after=7_200))
    assert own["expires_at"] == own["created_at"] + 7_200


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune", "vision", "user_data", "evals"])
def test_a_file_of_another_purpose_does_not_expire_by_itself(api: httpx2.Client, purpose: str):
    assert_file(upload(api, purpose=purpose), expires_at=None)


def test_the_operator_can_shorten_or_end_the_expiry_of_batch_files(tight: Tenant, loose: Tenant):
    shortened = upload(tight.client, purpose="batch").json()
    assert shortened["expires_at"] == shortened["created_at"] + 7_200
    assert upload(loose.client, purpose="batch").json()["expires_at"] is None
