from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_list, assert_openai_error
from support.forms import END, FORM_TYPE, field, file_part, form, overhead, pieces, send, simple_form, upload, uploaded
from support.projects import usage_of
from support.raw_http import Connection
from support.stored import assert_nothing_left_behind, blob_files
from support.tenants import NewTenant, Tenant
from support.wire import answer_to, bearer, parsed_head, received_head, refusal_before_the_body, request_head

LARGEST = 200_000
LARGEST_BATCH = 100_000
QUOTA = 300_000


def body_of(size: int, purpose: str, order: str) -> bytes:
    parts = [field("purpose", purpose), file_part(bytes(size))]
    return form(*(parts if order == "purpose first" else reversed(parts)))


def stored_bytes(tenant: Tenant) -> int:
    return usage_of(tenant.server.data_dir, tenant.key.project_id).stored_bytes


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("order", ["purpose first", "file first"])
@pytest.mark.parametrize(
    ("purpose", "limit", "setting"), [("user_data", LARGEST, "max_file_bytes"), ("batch", LARGEST_BATCH, "max_batch_file_bytes")]
)
def test_a_file_may_be_as_large_as_its_purpose_allows_and_not_a_byte_larger(
    tight: Tenant, purpose: str, limit: int, setting: str, order: str, framing: str
):
    def attempt(size: int) -> httpx2.Response:
        body = body_of(size, purpose, order)
        return send(tight.client, body if framing == "length" else pieces(body, 8_192))

    before = blob_files(tight.server.data_dir)
    message = assert_openai_error(attempt(limit + 1), 413, "file_too_large", param="file")
    assert str(limit) in message
    assert setting in message
    assert_nothing_left_behind(tight.server.data_dir, before)
    assert stored_bytes(tight) == 0
    assert_file(attempt(limit), bytes=limit)
    assert stored_bytes(tight) == limit


def test_the_limit_of_batch_files_is_not_that_of_others(tight: Tenant):
    assert_file(upload(tight.client, bytes(LARGEST_BATCH + 1), purpose="fine-tune"))


def test_a_declared_length_beyond_the_limit_is_refused_before_the_body(tight: Tenant):
    for extra in ((), (("Expect", "100-continue"),)):
        with Connection(tight.server) as connection:
            length = ("Content-Length", str(LARGEST + 10_001))
            connection.send(request_head("POST", "/v1/files", bearer(tight.key.plain), ("Content-Type", FORM_TYPE), length, *extra))
            response = answer_to(connection) if extra else refusal_before_the_body(connection)
            assert str(LARGEST) in assert_openai_error(response, 413, "file_too_large", param="file")


def test_an_upload_that_exceeds_its_limit_halfway_is_answered_although_it_goes_on(tight: Tenant):
    def endless_enough() -> object:
        yield body_of(0, "user_data", "purpose first").removesuffix(b"\r\n" + END)
        for _ in range(64):
            yield bytes(65_536)

    assert_openai_error(send(tight.client, endless_enough()), 413, "file_too_large", param="file")


def test_a_project_may_fill_its_quota_to_the_byte(tight: Tenant):
    uploaded(tight.client, bytes(LARGEST))
    uploaded(tight.client, bytes(QUOTA - LARGEST))
    assert stored_bytes(tight) == QUOTA
    assert_openai_error(upload(tight.client, b"x"), 400, "storage_quota_exceeded", param="file")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("order", ["purpose first", "file first"])
def test_an_upload_beyond_the_quota_leaves_nothing_and_changes_no_count(tight: Tenant, order: str, framing: str):
    kept = [uploaded(tight.client, bytes(LARGEST)), uploaded(tight.client, bytes(50_000))]
    before = blob_files(tight.server.data_dir)
    for size in (50_001, 199_999):
        body = body_of(size, "user_data", order)
        response = send(tight.client, body if framing == "length" else pieces(body, 8_192))
        message = assert_openai_error(response, 400, "storage_quota_exceeded", param="file")
        assert str(QUOTA) in message
    assert_nothing_left_behind(tight.server.data_dir, before)
    assert stored_bytes(tight) == 250_000
    assert_list(tight.client.get("/files", params={"order": "asc"}), sorted(file["id"] for file in kept), total=2)
    assert_file(send(tight.client, body_of(50_000, "user_data", order)), bytes=50_000)


def test_deleted_files_count_against_the_quota_until_their_room_is_needed(tight: Tenant):
    first, second = (uploaded(tight.client, bytes(size)) for size in (LARGEST, QUOTA - LARGEST))
    assert_openai_error(upload(tight.client, bytes(1)), 400, "storage_quota_exceeded", param="file")
    for file in (second, first):
        assert_deleted(tight.client.delete(f"/files/{file['id']}"), file["id"])
    assert_list(tight.client.get("/files"), [], total=0)
    assert stored_bytes(tight) == QUOTA
    third = uploaded(tight.client, bytes(1))
    assert stored_bytes(tight) < QUOTA
    assert_list(tight.client.get("/files"), [third["id"]], total=1)


def test_a_declared_length_beyond_the_quota_is_refused_before_the_body(tight: Tenant):
    uploaded(tight.client, bytes(LARGEST))
    with Connection(tight.server) as connection:
        length = ("Content-Length", str(QUOTA - LARGEST + 10_001))
        connection.send(request_head("POST", "/v1/files", bearer(tight.key.plain), ("Content-Type", FORM_TYPE), length))
        assert_openai_error(refusal_before_the_body(connection), 400, "storage_quota_exceeded", param="file")


def test_the_quota_of_one_project_is_not_that_of_another(tight: Tenant, new_tenant: NewTenant, tight_server: object):
    uploaded(tight.client, bytes(LARGEST))
    uploaded(tight.client, bytes(QUOTA - LARGEST))
    other = new_tenant(tight_server)
    assert_file(upload(other.client, bytes(LARGEST)))


def test_of_two_uploads_that_only_fit_one_at_a_time_the_later_is_refused_and_leaves_nothing(tight: Tenant):
    body = simple_form(bytes(160_000))
    almost, rest = body[: -len(END)], END
    head = request_head(
        "POST",
        "/v1/files",
        bearer(tight.key.plain),
        ("Content-Type", FORM_TYPE),
        ("Content-Length", str(len(body))),
        ("Expect", "100-continue"),
    )
    with Connection(tight.server) as winner, Connection(tight.server) as loser:
        for connection in (winner, loser):
            connection.send(head)
            # The leave to continue comes once the quota has been looked at, so that both have passed that check.
            assert parsed_head(received_head(connection)[0])[0] == 100
            connection.send(almost)
        winner.send(rest)
        assert_file(answer_to(winner), bytes=160_000)
        before = {name for name in blob_files(tight.server.data_dir) if not name.startswith("tmp/")}
        loser.send(rest)
        assert_openai_error(answer_to(loser), 400, "storage_quota_exceeded", param="file")
    assert_nothing_left_behind(tight.server.data_dir, before)
    assert stored_bytes(tight) == 160_000


def test_the_form_around_a_file_has_a_limit_of_its_own(tight: Tenant):
    name = "x" * 200
    spare = 10_000 - overhead(filename=name)
    assert_file(send(tight.client, simple_form(bytes(1_000), filename=name) + b"x" * spare))
    assert_openai_error(send(tight.client, simple_form(bytes(1_000), filename=name) + b"x" * (spare + 1)), 400, "invalid_multipart")


def test_a_list_may_be_as_long_as_the_operator_lets_it(tight: Tenant):
    ids = sorted(uploaded(tight.client, b"x")["id"] for _ in range(9))
    assert_list(tight.client.get("/files", params={"order": "asc"}), ids[:7], has_more=True, total=9)
    assert_list(tight.client.get("/files", params={"order": "asc", "limit": 7}), ids[:7], has_more=True, total=9)
    assert_openai_error(tight.client.get("/files", params={"limit": 8}), 400, "integer_above_max_value", param="limit")


def test_a_declared_length_alone_gives_nothing_up(tight: Tenant):
    file = uploaded(tight.client, bytes(QUOTA - LARGEST))
    assert_deleted(tight.client.delete(f"/files/{file['id']}"), file["id"])
    uploaded(tight.client, bytes(50_000))
    with Connection(tight.server) as connection:
        length = ("Content-Length", str(LARGEST))
        expectation = ("Expect", "100-continue")
        connection.send(request_head("POST", "/v1/files", bearer(tight.key.plain), ("Content-Type", FORM_TYPE), length, expectation))
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 100 ")
    assert tight.client.post(f"/files/{file['id']}/restore").status_code == 200


def test_uploads_that_race_for_room_are_all_given_what_deleted_files_keep(tight: Tenant):
    live = uploaded(tight.client, bytes(QUOTA - LARGEST - 20_000))
    deleted = uploaded(tight.client, bytes(LARGEST))
    assert_deleted(tight.client.delete(f"/files/{deleted['id']}"), deleted["id"])
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: upload(tight.client, bytes(LARGEST // 2)), range(2)))
    assert_list(tight.client.get("/files"), sorted([live["id"], *(assert_file(answer)["id"] for answer in answers)], reverse=True), total=3)


def test_a_used_key_opens_no_way_around_the_quota(tight: Tenant):
    first = uploaded(tight.client, bytes(LARGEST))
    keyed = {"content-type": FORM_TYPE, "idempotency-key": "one"}
    small = tight.client.post("/files", content=simple_form(b"small"), headers=keyed)
    assert_file(small)
    uploaded(tight.client, bytes(QUOTA - LARGEST - 5))
    refused = tight.client.post("/files", content=simple_form(bytes(LARGEST)), headers=keyed)
    assert_openai_error(refused, 409, "idempotency_conflict", param="idempotency-key", definitive=True)
    assert assert_file(tight.client.post("/files", content=simple_form(b"small"), headers=keyed)) == small.json()
    assert_file(tight.client.get(f"/files/{first['id']}"))
