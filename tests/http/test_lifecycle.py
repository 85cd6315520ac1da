from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_hold, assert_list, assert_openai_error
from support.forms import uploaded
from support.projects import usage_of
from support.stored import blob_files
from support.tenants import NewTenant, Tenant
from support.timed_app import TimedApp, timed_app

HOUR = 3_600
RETENTION = 7 * 24 * HOUR
QUOTA = 1_000


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lifecycle") / "data"


@pytest.fixture(scope="module")
def app(data_dir: Path) -> Iterator[TimedApp]:
    with timed_app(data_dir, project_quota_bytes=QUOTA) as app:
        yield app


@pytest.fixture
def timed(app: TimedApp) -> Iterator[httpx2.Client]:
    """A client of an empty project, on a clock that the test moves."""
    with app.client(app.new_key().plain) as client:
        yield client


def delete(client: httpx2.Client, file_id: str, **parameters: str) -> None:
    assert_deleted(client.delete(f"/files/{file_id}", params=parameters), file_id)


def hold(client: httpx2.Client, file_id: str, **body: object) -> str:
    expected = {"reason": body.setdefault("reason", "in use")}
    return str(assert_hold(client.post(f"/files/{file_id}/holds", json=body), file_id, **expected)["id"])


def test_a_restored_file_is_what_it_was(api: httpx2.Client):
    file = uploaded(api, b"content")
    delete(api, file["id"])
    assert assert_file(api.post(f"/files/{file['id']}/restore")) == file
    assert assert_file(api.get(f"/files/{file['id']}")) == file
    assert api.get(f"/files/{file['id']}/content").content == b"content"
    assert_list(api.get("/files"), [file["id"]], total=1)
    assert_list(api.get("/files?deleted=true"), [], total=0)


@pytest.mark.parametrize("body", [b"", b"{}", b"anything"])
def test_what_is_sent_along_with_a_restoration_means_nothing(api: httpx2.Client, body: bytes):
    file = uploaded(api)
    delete(api, file["id"])
    assert_file(api.post(f"/files/{file['id']}/restore", content=body))
    assert api.get("/files").status_code == 200


def test_deleted_files_can_be_listed_until_they_can_no_longer_be_restored(app: TimedApp, timed: httpx2.Client):
    kept, early, late = (uploaded(timed)["id"] for _ in range(3))
    delete(timed, early)
    app.clock.advance(HOUR)
    delete(timed, late)
    page = assert_list(timed.get("/files?deleted=true&order=asc"), sorted([early, late]), total=2, deleted=True)
    shown = {file["id"]: file for file in page["data"]}
    assert shown[early]["deleted_at"] == shown[late]["deleted_at"] - HOUR == app.clock.now - HOUR
    assert shown[late]["restorable_until"] == app.clock.now + RETENTION
    app.clock.advance(RETENTION - HOUR)
    assert_list(timed.get("/files?deleted=true"), [late], total=1, deleted=True)
    assert_openai_error(timed.post(f"/files/{early}/restore"), 404, None, param="id")
    assert_file(timed.post(f"/files/{late}/restore"))
    assert_list(timed.get("/files?deleted=false&order=asc"), sorted([kept, late]), total=2)


@pytest.mark.parametrize("value", ["yes", "1", "True", ""])
def test_a_flag_is_true_or_false(api: httpx2.Client, value: str):
    assert_openai_error(api.get(f"/files?deleted={value}"), 400, "invalid_value", param="deleted")
    file = uploaded(api)
    assert_openai_error(api.delete(f"/files/{file['id']}?purge={value}"), 400, "invalid_value", param="purge")
    assert_openai_error(api.delete(f"/files/{file['id']}?force=true"), 400, "unknown_parameter", param="force")
    assert_file(api.get(f"/files/{file['id']}"))


def test_a_purged_file_is_gone_for_good_and_its_room_is_free_at_once(tenant: Tenant):
    api, data_dir = tenant.client, tenant.server.data_dir
    live, deleted = uploaded(api), uploaded(api)
    delete(api, deleted["id"])
    before = blob_files(data_dir)
    for file in (live, deleted):
        delete(api, file["id"], purge="true")
        assert_openai_error(api.delete(f"/files/{file['id']}?purge=true"), 404, None, param="id")
        assert_openai_error(api.post(f"/files/{file['id']}/restore"), 404, None, param="id")
    assert_list(api.get("/files?deleted=true"), [], total=0)
    assert usage_of(data_dir, tenant.key.project_id).stored_bytes == 0
    assert len(before - blob_files(data_dir)) == 2


def test_a_purge_takes_the_scope_to_purge(new_tenant: NewTenant):
    owner = new_tenant()
    deleter = new_tenant(project_id=owner.key.project_id, scopes=frozenset({"files.delete"}))
    file = uploaded(owner.client)
    response = deleter.client.delete(f"/files/{file['id']}?purge=true")
    assert "files.purge" in assert_openai_error(response, 403, "missing_scope", type="permission_error")
    delete(deleter.client, file["id"])


def test_a_restoration_needs_the_room_that_the_file_takes(app: TimedApp, timed: httpx2.Client):
    file = uploaded(timed, bytes(600))
    delete(timed, file["id"])
    assert_file(timed.post(f"/files/{file['id']}/restore"))
    delete(timed, file["id"])
    other = uploaded(timed, bytes(500))
    assert_openai_error(timed.post(f"/files/{file['id']}/restore"), 404, None, param="id")
    assert_list(timed.get("/files"), [other["id"]], total=1)
    assert app.collect() is not None


def test_the_oldest_deleted_files_go_first_and_only_as_many_as_need_be(app: TimedApp, timed: httpx2.Client):
    made = []
    for _ in range(3):
        made.append(uploaded(timed, bytes(300))["id"])
        delete(timed, made[-1])
        app.clock.advance(1)
    new = uploaded(timed, bytes(200))
    assert_list(timed.get("/files"), [new["id"]], total=1)
    assert_list(timed.get("/files?deleted=true&order=asc"), sorted(made[1:]), total=2, deleted=True)
    assert_file(timed.post(f"/files/{made[1]}/restore"))


def test_live_files_are_never_given_up_for_room(timed: httpx2.Client):
    files = [uploaded(timed, bytes(300))["id"] for _ in range(3)]
    delete(timed, files[0])
    from_quota = timed.post("/files", data={"purpose": "user_data"}, files={"file": ("big.bin", bytes(401))})
    assert_openai_error(from_quota, 400, "storage_quota_exceeded", param="file")
    assert_list(timed.get("/files?order=asc"), sorted(files[1:]), total=2)


def test_a_held_file_can_be_neither_deleted_nor_purged_and_the_refusal_names_its_holds(api: httpx2.Client):
    file_id = uploaded(api)["id"]
    holds = {hold(api, file_id, reason="batch 17"): "batch 17", hold(api, file_id, reason="training", expires_in=60): "training"}
    for parameters in ({}, {"purge": "true"}):
        response = api.delete(f"/files/{file_id}", params=parameters)
        message = assert_openai_error(response, 409, "file_in_use", param="id", definitive=True)
        assert all(f"{hold_id} ({reason})" in message for hold_id, reason in holds.items())
    listed = api.get(f"/files/{file_id}/holds").json()
    assert [entry["id"] for entry in listed["data"]] == list(holds)
    assert (listed["object"], listed["has_more"], listed["total"]) == ("list", False, 2)
    for hold_id in holds:
        released = api.delete(f"/files/{file_id}/holds/{hold_id}")
        assert released.json() == {"id": hold_id, "object": "file.hold", "deleted": True}
        assert_openai_error(api.delete(f"/files/{file_id}/holds/{hold_id}"), 404, None, param="hold_id")
    delete(api, file_id)


def test_a_hold_ends_by_itself(app: TimedApp, timed: httpx2.Client):
    file_id = uploaded(timed)["id"]
    made = assert_hold(timed.post(f"/files/{file_id}/holds", json={"reason": "for a minute", "expires_in": 60}), file_id)
    assert made["expires_at"] == app.clock.now + 60
    app.clock.advance(60)
    assert timed.get(f"/files/{file_id}/holds").json()["data"] == []
    delete(timed, file_id)


def test_expiry_waits_for_holds(app: TimedApp, timed: httpx2.Client):
    file = uploaded(timed, expires_after=HOUR)
    hold_id = hold(timed, file["id"])
    app.clock.advance(2 * HOUR)
    app.collect()
    assert assert_file(timed.get(f"/files/{file['id']}")) == file
    assert timed.get(f"/files/{file['id']}/content").content == b"content"
    timed.delete(f"/files/{file['id']}/holds/{hold_id}")
    assert_openai_error(timed.get(f"/files/{file['id']}"), 404, None, param="id")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "reason"),
        ({"reason": ""}, "invalid_value", "reason"),
        ({"reason": "x" * 501}, "invalid_value", "reason"),
        ({"reason": None}, "invalid_value", "reason"),
        ({"reason": "x", "expires_in": 0}, "invalid_value", "expires_in"),
        ({"reason": "x", "expires_in": "60"}, "invalid_value", "expires_in"),
        ({"reason": "x", "expires_in": 10**12}, "invalid_value", "expires_in"),
        ({"reason": "x", "extra": 1}, "unknown_parameter", "extra"),
        ([], "invalid_value", "body"),
        ("reason", "invalid_value", "body"),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused_with_the_field_at_fault(api: httpx2.Client, body: object, code: str, param: str):
    file_id = uploaded(api)["id"]
    assert_openai_error(api.post(f"/files/{file_id}/holds", json=body), 400, code, param=param)
    assert api.get(f"/files/{file_id}/holds").json()["data"] == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"reason": "\\ud800"}', b"[" * 10_000, b'{"reason": "x"}' + b" " * 70_000])
def test_a_body_that_is_no_json_is_refused(api: httpx2.Client, content: bytes):
    file_id = uploaded(api)["id"]
    response = api.post(f"/files/{file_id}/holds", content=content, headers={"content-type": "application/json"})
    assert_openai_error(response, 400, "invalid_value", param="body")


def test_a_hold_is_sent_as_json(api: httpx2.Client):
    file_id = uploaded(api)["id"]
    response = api.post(f"/files/{file_id}/holds", data={"reason": "x"})
    assert_openai_error(response, 415, "unsupported_media_type", param="content-type")
    encoded = {"content-type": "application/json", "content-encoding": "gzip"}
    response = api.post(f"/files/{file_id}/holds", content=b"{}", headers=encoded)
    assert_openai_error(response, 415, "unsupported_media_type", param="content-encoding")


def test_the_reason_of_a_hold_is_kept_to_the_letter(api: httpx2.Client):
    file_id = uploaded(api)["id"]
    for reason in ("訓練 № 5", "a\nb", "<script>", "'; DROP TABLE holds; --", "x" * 500):
        hold(api, file_id, reason=reason)


def test_a_file_in_openai_style_has_its_holds_in_that_style(loose: Tenant):
    file_id = str(uploaded(loose.client)["id"])
    assert file_id.startswith("file-")
    hold(loose.client, file_id)
    (shown,) = loose.client.get(f"/files/{file_id}/holds").json()["data"]
    assert shown["file_id"] == file_id
