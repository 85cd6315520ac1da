from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_list, assert_openai_error
from support.forms import field, file_part, form, send, simple_form, upload, uploaded
from support.projects import usage_of
from support.stored import blob_files
from support.tenants import NewTenant, Tenant
from support.timed_app import TimedApp, timed_app

DAY = 86_400


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedApp]:
    with timed_app(tmp_path_factory.mktemp("idempotency") / "data", project_quota_bytes=1_000) as app:
        yield app


@pytest.fixture
def timed(app: TimedApp) -> Iterator[httpx2.Client]:
    with app.client(app.new_key().plain) as client:
        yield client


def keyed(client: httpx2.Client, key: str, content: bytes = b"content", **options: str) -> httpx2.Response:
    return send(client, simple_form(content, **options), idempotency_key=key)


def test_the_same_upload_with_the_same_key_is_the_first_file(tenant: Tenant):
    first = keyed(tenant.client, "one")
    assert "idempotent-replayed" not in first.headers
    blobs = blob_files(tenant.server.data_dir)
    again = keyed(tenant.client, "one")
    assert assert_file(again) == assert_file(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert_list(tenant.client.get("/files"), [first.json()["id"]], total=1)
    assert usage_of(tenant.server.data_dir, tenant.key.project_id).stored_bytes == len(b"content")
    assert blob_files(tenant.server.data_dir) == blobs


def test_without_a_key_or_with_another_each_upload_is_a_file(api: httpx2.Client):
    ids = {uploaded(api)["id"], uploaded(api)["id"], keyed(api, "one").json()["id"], keyed(api, "two").json()["id"]}
    assert len(ids) == 4


@pytest.mark.parametrize(
    "body",
    [
        simple_form(b"other bytes"),
        simple_form(purpose="evals"),
        simple_form(filename="other.bin"),
        form(field("purpose", "user_data"), field("expires_after", json.dumps({"anchor": "created_at", "seconds": 3_600})), file_part()),
    ],
    ids=["bytes", "purpose", "name", "expiry"],
)
def test_the_same_key_for_something_else_is_a_conflict_that_is_not_sent_again(tenant: Tenant, body: bytes):
    first = assert_file(keyed(tenant.client, "one"))
    blobs = blob_files(tenant.server.data_dir)
    refusal = send(tenant.client, body, idempotency_key="one")
    assert_openai_error(refusal, 409, "idempotency_conflict", param="idempotency-key", definitive=True)
    assert_list(tenant.client.get("/files"), [first["id"]], total=1)
    assert blob_files(tenant.server.data_dir) == blobs


def test_a_key_whose_file_was_deleted_since_is_a_conflict(api: httpx2.Client):
    first = assert_file(keyed(api, "one"))
    assert_deleted(api.delete(f"/files/{first['id']}"), first["id"])
    assert_openai_error(keyed(api, "one"), 409, "idempotency_conflict", param="idempotency-key", definitive=True)
    api.post(f"/files/{first['id']}/restore")
    assert assert_file(keyed(api, "one")) == first


def test_a_key_means_something_for_a_day(app: TimedApp, timed: httpx2.Client):
    first = assert_file(keyed(timed, "one"))
    app.clock.advance(DAY - 1)
    assert assert_file(keyed(timed, "one")) == first
    app.clock.advance(1)
    assert assert_file(keyed(timed, "one", b"other"))["id"] != first["id"]


def test_a_key_is_that_of_one_project(new_tenant: NewTenant):
    one, two = new_tenant(), new_tenant()
    assert keyed(one.client, "shared").json()["id"] != keyed(two.client, "shared", b"other").json()["id"]
    assert "idempotent-replayed" not in keyed(two.client, "another").headers


def test_a_repeated_upload_is_answered_although_the_first_filled_the_quota(timed: httpx2.Client):
    first = assert_file(keyed(timed, "one", bytes(1_000)))
    assert_openai_error(upload(timed, b"x"), 400, "storage_quota_exceeded", param="file")
    assert assert_file(keyed(timed, "one", bytes(1_000))) == first


def test_a_repeated_upload_is_answered_although_the_first_filled_the_quota_just_now(
    app: TimedApp, timed: httpx2.Client, monkeypatch: pytest.MonkeyPatch
):
    first = assert_file(keyed(timed, "one", bytes(1_000)))
    repeated_upload_bytes = app.metadata.repeated_upload_bytes

    async def a_moment_before(*_arguments: object) -> None:
        monkeypatch.setattr(app.metadata, "repeated_upload_bytes", repeated_upload_bytes)

    monkeypatch.setattr(app.metadata, "repeated_upload_bytes", a_moment_before)
    assert assert_file(keyed(timed, "one", bytes(1_000))) == first


def test_an_upload_that_was_refused_leaves_its_key_free(api: httpx2.Client):
    assert_openai_error(keyed(api, "one", purpose="nonsense"), 400, "invalid_value", param="purpose")
    assert_file(keyed(api, "one"))


def test_racing_uploads_with_one_key_are_one_file(tenant: Tenant):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: keyed(tenant.client, "one", bytes(200_000)), range(16)))
    assert len({assert_file(answer)["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 15
    assert usage_of(tenant.server.data_dir, tenant.key.project_id).stored_bytes == 200_000


def test_a_key_may_be_any_printable_text_of_its_length(api: httpx2.Client):
    assert_file(keyed(api, "x" * 255))
    assert_file(keyed(api, "a key, with: (all) {kinds} of '\"signs\"' & spaces"))
    for key in ("x" * 256, "a\tb", b"\xe9"):
        response = api.post(
            "/files",
            content=simple_form(),
            headers=[("content-type", "multipart/form-data; boundary=form-boundary"), ("idempotency-key", key)],
        )
        assert_openai_error(response, 400, "invalid_value", param="idempotency-key")
    assert "idempotent-replayed" not in keyed(api, "").headers
    assert "idempotent-replayed" not in keyed(api, "").headers
