from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_list, assert_openai_error
from support.forms import upload, uploaded
from support.part_uploads import complete, create, created, send_part, sent
from support.timed_app import TimedApp, timed_app

HOUR = 3_600


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedApp]:
    """The application on a clock that stands still; no server offers to turn its own."""
    with timed_app(tmp_path_factory.mktemp("expiry") / "data", project_quota_bytes=1_000) as app:
        yield app


@pytest.fixture
def api(app: TimedApp) -> Iterator[httpx2.Client]:
    with app.client(app.new_key().plain) as client:
        yield client


def assert_does_not_exist(api: httpx2.Client, file_id: str) -> None:
    path = f"/files/{file_id}"
    for method, target, headers in (
        ("GET", path, {}),
        ("GET", f"{path}/content", {}),
        ("GET", f"{path}/content", {"range": "bytes=0-0"}),
        ("GET", f"{path}/content", {"if-none-match": "*"}),
        ("DELETE", path, {}),
    ):
        assert_openai_error(api.request(method, target, headers=headers), 404, None, param="id")
    head = api.head(f"{path}/content")
    assert (head.status_code, head.content) == (404, b"")
    assert file_id not in api.get("/files").text


def test_a_file_exists_until_the_second_it_expires_and_not_after(app: TimedApp, api: httpx2.Client):
    file = assert_file(upload(api, b"content", expires_after=HOUR), created_at=app.clock.now, expires_at=app.clock.now + HOUR)
    app.clock.advance(HOUR - 1)
    assert_file(api.get(f"/files/{file['id']}"), **file)
    assert api.get(f"/files/{file['id']}/content").content == b"content"
    assert_list(api.get("/files"), [file["id"]], total=1)
    app.clock.advance(1)
    assert_does_not_exist(api, file["id"])
    assert_list(api.get("/files"), [], total=0)
    app.clock.advance(30 * 24 * HOUR)
    assert_does_not_exist(api, file["id"])


def test_an_expired_file_is_answered_as_one_that_never_was(app: TimedApp, api: httpx2.Client):
    expired = uploaded(api, expires_after=HOUR)["id"]
    deleted = uploaded(api)["id"]
    api.delete(f"/files/{deleted}")
    app.clock.advance(HOUR)
    unknown = "01900000-0000-7000-8000-000000000000"
    answers = {file_id: api.get(f"/files/{file_id}").text.replace(file_id, "") for file_id in (expired, deleted, unknown)}
    assert len(set(answers.values())) == 1


def test_a_batch_file_expires_by_itself_after_thirty_days(app: TimedApp, api: httpx2.Client):
    batch, kept = uploaded(api, purpose="batch"), uploaded(api)
    app.clock.advance(30 * 24 * HOUR - 1)
    assert_file(api.get(f"/files/{batch['id']}"), **batch)
    app.clock.advance(1)
    assert_does_not_exist(api, batch["id"])
    assert_list(api.get("/files"), [kept["id"]], total=1)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_lists_totals_and_cursors_pass_over_what_has_expired(app: TimedApp, api: httpx2.Client, order: str):
    ids = []
    for number in range(8):
        ids.append(uploaded(api, b"x", purpose="evals", expires_after=HOUR if number % 2 else None)["id"])
        app.clock.advance(1)
    uploaded(api, b"x", purpose="vision", expires_after=HOUR)
    app.clock.advance(HOUR)
    live = ids[::2] if order == "asc" else ids[::2][::-1]
    for purpose in ({}, {"purpose": "evals"}):
        query = {"order": order, "limit": 2, **purpose}
        assert_list(api.get("/files", params=query), live[:2], has_more=True, total=4)
        assert_list(api.get("/files", params=query | {"offset": 1}), live[1:3], has_more=True, total=4)
        assert_list(api.get("/files", params=query | {"offset": 2}), live[2:], total=4)
        after = ids[3]
        rest = ids[4::2] if order == "asc" else ids[2::-2]
        assert_list(api.get("/files", params=query | {"after": after}), rest[:2], has_more=len(rest) > 2, total=4)
    assert_list(api.get("/files", params={"purpose": "vision"}), [], total=0)


def test_a_file_deleted_before_it_expires_is_subtracted_once(app: TimedApp, api: httpx2.Client):
    kept, doomed = uploaded(api), uploaded(api, expires_after=HOUR)
    assert_deleted(api.delete(f"/files/{doomed['id']}"), doomed["id"])
    app.clock.advance(HOUR)
    assert_list(api.get("/files"), [kept["id"]], total=1)


def test_an_expired_file_gives_its_room_to_the_first_that_needs_it(app: TimedApp, api: httpx2.Client):
    uploaded(api, bytes(900), expires_after=HOUR)
    assert_openai_error(upload(api, bytes(101)), 400, "storage_quota_exceeded", param="file")
    app.clock.advance(2 * HOUR)
    whole = assert_file(upload(api, bytes(1_000)))
    assert_list(api.get("/files"), [whole["id"]], total=1)
    assert_openai_error(upload(api, bytes(1)), 400, "storage_quota_exceeded", param="file")


def test_files_of_one_millisecond_are_listed_in_one_order_from_both_ends(api: httpx2.Client):
    ids = sorted(uploaded(api, b"x")["id"] for _ in range(20))
    seen: list[str] = []
    for _ in range(7):
        cursor = {"after": seen[-1]} if seen else {}
        seen += [file["id"] for file in api.get("/files", params={"order": "asc", "limit": 3, **cursor}).json()["data"]]
    assert seen == ids
    assert_list(api.get("/files"), ids[::-1], total=20)


def test_a_key_stops_working_the_second_it_expires_although_it_was_just_used(app: TimedApp):
    with app.client(app.new_key(expires_at=app.clock.now + HOUR).plain) as api:
        uploaded(api)
        app.clock.advance(HOUR - 1)
        assert api.get("/files").json()["total"] == 1
        app.clock.advance(1)
        assert "expired" in assert_openai_error(api.get("/files"), 401, "invalid_api_key")


def test_a_clock_that_is_set_back_loses_no_file(app: TimedApp, api: httpx2.Client):
    later = uploaded(api)
    app.clock.advance(-HOUR)
    earlier = uploaded(api, expires_after=HOUR)
    assert earlier["created_at"] == later["created_at"] - HOUR
    assert_list(api.get("/files"), [later["id"], earlier["id"]], total=2)
    assert_list(api.get("/files", params={"after": later["id"]}), [earlier["id"]], total=2)
    app.clock.advance(HOUR)
    assert_list(api.get("/files"), [later["id"]], total=1)


def test_an_upload_in_parts_expires_to_the_second_and_its_room_is_free_after_the_next_pass(app: TimedApp, api: httpx2.Client):
    upload_id = created(api, 900)
    part_id = sent(api, upload_id, b"x" * 900)
    app.clock.advance(HOUR - 1)
    assert api.get(f"/uploads/{upload_id}").json()["status"] == "pending"
    app.clock.advance(1)
    shown = api.get(f"/uploads/{upload_id}").json()
    assert (shown["status"], shown["parts"], shown["file"]) == ("expired", [], None)
    for late in (send_part(api, upload_id, b"x"), complete(api, upload_id, [part_id]), api.post(f"/uploads/{upload_id}/cancel")):
        assert_openai_error(late, 400, "upload_not_pending", param="id")
    assert_openai_error(create(api, 900), 400, "storage_quota_exceeded", param="file")
    done = app.collect()
    assert done is not None
    assert (done.uploads, done.parts, done.part_bytes) == (1, 1, 900)
    assert create(api, 900).status_code == 200
