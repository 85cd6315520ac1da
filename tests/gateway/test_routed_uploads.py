"""Uploads in parts at a provider that has them: passed on as they come, and the project's alone."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import Any

import pytest

from fileplane.ids import parse_upload_id
from fileplane.metadata.sqlite_engine import connect
from fileplane.opening import DATABASE_NAME
from fileplane.uploads import MOST_PARTS
from gateway.conftest import Project, as_header
from support.part_uploads import complete, create, created, send_part, sent
from support.stored import blob_files

MD5_OF_ABC = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()


def through(project: Project, headers: dict[str, str]) -> Any:
    """The project's client with these headers in every call."""
    project.client.headers.update(headers)
    return project.client


@pytest.fixture(params=["a virtual key", "an own credential"])
def client(request: pytest.FixtureRequest, project: Project) -> Any:
    keyed = request.param == "a virtual key"
    return through(project, {"x-portkey-virtual-key": project.virtual_key()} if keyed else project.own)


def test_parts_are_passed_on_and_become_one_file_at_the_provider(project: Project, client: Any) -> None:
    pieces = [os.urandom(300_000), b"second\n", os.urandom(70_000)]
    upload_id = created(client, sum(map(len, pieces)), filename="süß.jsonl", expires_after={"anchor": "created_at", "seconds": 7_200})
    third = sent(client, upload_id, pieces[2])
    part_ids = [sent(client, upload_id, pieces[0]), sent(client, upload_id, pieces[1]), third]
    md5 = hashlib.md5(b"".join(pieces), usedforsecurity=False)
    done = complete(client, upload_id, part_ids, md5=md5.hexdigest())
    assert done.status_code == 200, done.text
    upload, file = done.json(), done.json()["file"]
    assert (upload["id"], upload["status"], upload["bytes"]) == (upload_id, "completed", sum(map(len, pieces)))
    assert (file["filename"], file["bytes"], file["purpose"]) == ("süß.jsonl", sum(map(len, pieces)), "user_data")
    assert file["expires_at"] - file["created_at"] == 7_200
    assert client.get(f"/files/{file['id']}/content").content == b"".join(pieces)
    assert [one["id"] for one in client.get("/files").json()["data"]] == [file["id"]]
    assert [one["id"] for one in project.fake.files(project.credential)] == [file["id"]]
    assert project.fake.requests("upload") == []


def test_a_part_without_a_file_name_is_taken(client: Any) -> None:
    upload_id = created(client, 3)
    part = send_part(client, upload_id, b"abc", disposition=b'name="data"')
    assert part.status_code == 200, part.text
    assert part.json()["bytes"] == 3
    assert part.json()["upload_id"] == upload_id
    assert complete(client, upload_id, [part.json()["id"]], md5=MD5_OF_ABC).status_code == 200


def test_a_cancelled_upload_is_cancelled_at_the_provider_too(project: Project, client: Any) -> None:
    upload_id = created(client, 3)
    part_id = sent(client, upload_id, b"abc")
    cancelled = client.post(f"/uploads/{upload_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert len(project.fake.requests("uploads.cancel")) == 1
    assert send_part(client, upload_id, b"abc").status_code == 400
    assert complete(client, upload_id, [part_id]).status_code == 400
    assert project.fake.files(project.credential) == []


def test_what_the_provider_refuses_is_told_with_its_reason(project: Project, client: Any) -> None:
    project.fake.plan("refuse", "uploads.part", status=400, body={"error": {"message": "Not this part.", "code": "no"}})
    upload_id = created(client, 3)
    refused = send_part(client, upload_id, b"abc")
    assert refused.status_code == 400
    assert "Not this part." in refused.json()["error"]["message"]
    assert refused.headers["x-portkey-provider"] == "openai"


@pytest.mark.parametrize("status", [["pending"], {}, None, "unheard of"])
def test_an_answer_whose_status_is_none_is_told_as_such(project: Project, client: Any, status: Any) -> None:
    strange = {"id": "upload_strange", "object": "upload", "status": status, "file": {"id": "file-strange", "bytes": 3}}
    project.fake.plan("refuse", "uploads.create", status=200, body=strange)
    assert (create(client, 3).status_code, create(client, 3).status_code) == (502, 200)
    upload_id = created(client, 3)
    part_id = sent(client, upload_id, b"abc")
    project.fake.plan("refuse", "uploads.complete", status=200, body=strange)
    unknown = complete(client, upload_id, [part_id])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (502, "upstream_outcome_unknown")


@pytest.mark.parametrize("status", [["deleted"], {}])
def test_a_file_whose_status_is_none_is_shown_without_one(project: Project, status: Any) -> None:
    body = {"id": "file-strange", "object": "file", "bytes": 3, "created_at": 1, "filename": "a", "purpose": "batch", "status": status}
    for operation, path, shown in (("get", "/files/file-strange", body), ("list", "/files", {"data": [body]})):
        project.fake.plan("refuse", operation, status=200, body=shown)
        answer = project.client.get(path, headers=project.own)
        assert (answer.status_code, "file-strange" in answer.text) == (200, True)


def test_an_upload_that_nobody_has_is_not_found(client: Any) -> None:
    for upload_id in ("upload_00000000000000000000000000000000", "upload_0", "..%2Ffiles"):
        assert send_part(client, upload_id, b"abc").status_code == 404
        assert complete(client, upload_id, ["part_00000000000000000000000000000000"]).status_code in {400, 404}
        assert client.post(f"/uploads/{upload_id}/cancel").status_code == 404


def test_through_a_virtual_key_uploads_are_listed_with_their_parts(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    first, second = created(client, 3), created(client, 5)
    part_id = sent(client, first, b"abc")
    listed = client.get("/uploads", params={"order": "asc"}).json()
    assert [one["id"] for one in listed["data"]] == [first, second]
    shown = client.get(f"/uploads/{first}").json()
    assert (shown["status"], [part["id"] for part in shown["parts"]]) == ("pending", [part_id])
    file = complete(client, first, [part_id]).json()["file"]
    shown = client.get(f"/uploads/{first}").json()
    assert (shown["status"], shown["file"], shown["parts"]) == ("completed", file, [])
    assert client.get("/uploads", params={"limit": 1, "order": "asc"}).json()["data"][0]["file"] == file


def test_with_an_own_credential_nothing_is_known_of_uploads_and_that_is_said(project: Project) -> None:
    client = through(project, project.own)
    upload_id = created(client, 3)
    for path in ("/uploads", f"/uploads/{upload_id}"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "unsupported_provider_operation")


def test_an_upload_of_another_project_does_not_exist(project: Project, neighbour: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    other = through(neighbour, {"x-portkey-virtual-key": neighbour.virtual_key("neighbours")})
    upload_id, others = created(client, 3), created(other, 3)
    part_id = sent(client, upload_id, b"abc")
    unknown = "upload_0190" + "0" * 28
    for name in (upload_id, unknown):
        answers = [
            send_part(other, name, b"abc"),
            complete(other, name, [part_id]),
            other.post(f"/uploads/{name}/cancel"),
            other.get(f"/uploads/{name}"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 4
        assert {answer.json()["error"]["message"].replace(name, "") for answer in answers} == {
            other.get(f"/uploads/{unknown}").json()["error"]["message"].replace(unknown, "")
        }
    foreign_part = complete(other, others, [part_id])
    assert foreign_part.status_code == 400
    assert foreign_part.json()["error"]["param"] == "part_ids"
    assert [one["id"] for one in other.get("/uploads").json()["data"]] == [others]
    assert complete(client, upload_id, [part_id]).status_code == 200


def test_neither_the_native_store_nor_another_virtual_key_knows_the_upload(project: Project) -> None:
    slug = project.virtual_key()
    headers, elsewhere = (
        {"x-portkey-virtual-key": slug},
        {"x-portkey-virtual-key": project.virtual_key("elsewhere", "sk-another-credential")},
    )
    upload_id = project.client.post(
        "/uploads", json={"filename": "a", "purpose": "user_data", "bytes": 3, "mime_type": "text/plain"}, headers=headers
    ).json()["id"]
    for others in ({}, elsewhere):
        assert project.client.get(f"/uploads/{upload_id}", headers=others).status_code == 404
        assert project.client.post(f"/uploads/{upload_id}/cancel", headers=others).status_code == 404
        assert project.client.get("/uploads", headers=others).json()["data"] == []
    assert project.client.get(f"/uploads/{upload_id}", headers=headers).status_code == 200


def test_counts_and_parts_that_do_not_fit_are_refused_here_and_the_upload_goes_on(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    upload_id = created(client, 6)
    one, two = sent(client, upload_id, b"abc"), sent(client, upload_id, b"def")
    for part_ids in ([one], [one, one], [one, "part_" + "0" * 32]):
        refused = complete(client, upload_id, part_ids)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "part_ids")
    wrong = complete(client, upload_id, [one, two], md5=MD5_OF_ABC)
    assert wrong.status_code == 400
    done = complete(client, upload_id, [two, one])
    assert client.get(f"/files/{done.json()['file']['id']}/content").content == b"defabc"


def test_a_part_too_many_is_refused_before_anything_is_sent_to_the_provider(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    upload_id = created(client, 6)
    sent(client, upload_id, b"abc")
    with closing(connect(project.server.data_dir / DATABASE_NAME)) as database:
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO routed_parts (project_id, id, upload_id, provider_part_id, bytes, sha256, created_at) "
            "SELECT project_id, id || i, upload_id, 'part_' || i, 0, '', 0 FROM routed_parts, n WHERE upload_id = ?",
            (MOST_PARTS, parse_upload_id(upload_id)),
        )
    refused = send_part(client, upload_id, b"def")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "too_many_parts")
    assert len(project.fake.requests("uploads.part")) == 1


def test_a_completion_may_be_repeated_and_makes_no_second_file(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    upload_id = created(client, 6)
    one, two = sent(client, upload_id, b"abc"), sent(client, upload_id, b"def")
    first = complete(client, upload_id, [one, two])
    assert complete(client, upload_id, [one, two]).json()["file"] == first.json()["file"]
    assert complete(client, upload_id, [two, one]).json()["error"]["code"] == "upload_not_pending"
    assert len(project.fake.requests("uploads.complete")) == 1


def test_a_completion_whose_answer_is_lost_is_not_sent_again(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    upload_id = created(client, 3)
    part_id = sent(client, upload_id, b"abc")
    project.fake.plan("close_response_at", "uploads.complete", at=-1)
    lost = complete(client, upload_id, [part_id])
    assert (lost.status_code, lost.json()["error"]["code"]) == (502, "upstream_outcome_unknown")
    for again in (complete(client, upload_id, [part_id]), client.post(f"/uploads/{upload_id}/cancel")):
        assert (again.status_code, again.json()["error"]["code"]) == (409, "upload_unresolved")
        assert again.headers["x-should-retry"] == "false"
    assert len(project.fake.requests("uploads.complete")) == 1
    assert client.get(f"/uploads/{upload_id}").json()["file"] is None


def test_a_completion_that_is_refused_can_be_tried_again(project: Project) -> None:
    client = through(project, {"x-portkey-virtual-key": project.virtual_key()})
    upload_id = created(client, 3)
    part_id = sent(client, upload_id, b"abc")
    project.fake.plan("refuse", "uploads.complete", status=503)
    assert complete(client, upload_id, [part_id]).status_code == 503
    assert complete(client, upload_id, [part_id]).status_code == 200
    assert len(project.fake.files(project.credential)) == 1


def test_a_part_is_sent_again_only_where_the_config_says_so(project: Project) -> None:
    slug = project.virtual_key()
    client = through(project, {"x-portkey-virtual-key": slug})
    upload_id = created(client, 300_003)
    project.fake.plan("refuse", "uploads.part", status=429, headers={"retry-after": "0"})
    assert send_part(client, upload_id, os.urandom(300_000)).status_code == 429
    del client.headers["x-portkey-virtual-key"]
    client.headers.update(as_header({"virtual_key": slug, "retry": {"attempts": 1, "on_status_codes": [429]}}))
    project.fake.plan("refuse", "uploads.part", status=429, headers={"retry-after": "0"})
    large = send_part(client, upload_id, os.urandom(300_000))
    assert (large.status_code, large.headers["x-portkey-retry-attempt-count"]) == (200, "1")
    assert complete(client, upload_id, [large.json()["id"], sent(client, upload_id, b"abc")]).status_code == 200


def test_an_upload_stays_at_the_target_that_took_it(project: Project) -> None:
    first, second = project.virtual_key("first-target"), project.virtual_key("second-target", "sk-of-the-second-target")
    document = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": first}, {"virtual_key": second}]}
    client = through(project, as_header(document))
    project.fake.plan("refuse", "uploads.create", status=500)
    made = create(client, 3)
    assert (made.status_code, made.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")
    upload_id = made.json()["id"]
    part = send_part(client, upload_id, b"abc")
    assert part.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert complete(client, upload_id, [part.json()["id"]]).status_code == 200
    assert project.fake.files(project.credential) == []
    assert len(project.fake.files("sk-of-the-second-target")) == 1


def test_with_the_native_store_as_a_target_its_uploads_go_on_there(project: Project) -> None:
    slug = project.virtual_key()
    document = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": slug}, {"provider": "fileplane"}]}
    client = through(project, as_header(document))
    project.fake.plan("refuse", "uploads.create", status=500)
    upload_id, there = created(client, 3), created(client, 3)
    assert {one["id"] for one in client.get("/uploads").json()["data"]} == {upload_id, there}
    done = complete(client, upload_id, [sent(client, upload_id, b"abc")])
    assert (done.status_code, done.json()["file"]["bytes"]) == (200, 3)
    assert project.fake.files(project.credential) == []
    assert complete(client, there, [sent(client, there, b"abc")]).status_code == 200
    assert len(project.fake.files(project.credential)) == 1


def test_a_copy_that_is_wished_for_only_when_the_parts_are_at_the_provider_is_none_rather_than_empty(project: Project) -> None:
    slug = project.virtual_key()
    client = through(project, {"x-portkey-virtual-key": slug})
    upload_id = created(client, 3)
    part_id = sent(client, upload_id, b"abc")
    before = blob_files(project.server.data_dir)
    assert client.put(f"/virtual-keys/{slug}", json={"keep_copy": True}).status_code == 200
    done = complete(client, upload_id, [part_id])
    assert done.status_code == 200, done.text
    assert blob_files(project.server.data_dir) == before
    assert client.get(f"/files/{done.json()['file']['id']}/content").content == b"abc"


def test_the_limit_of_a_project_on_a_file_holds(project: Project) -> None:
    client = through(project, project.own)
    project.virtual_key()
    refused = create(client, 5, purpose="no such/purpose")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "purpose")
    assert project.fake.requests("uploads.create") == []
