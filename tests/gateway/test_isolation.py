"""Two projects that share a provider's credential see nothing of each other."""

from __future__ import annotations

import pytest

from gateway.conftest import Project


@pytest.fixture
def shared(project: Project, neighbour: Project) -> tuple[str, str]:
    """A virtual key of each project, for the same credential."""
    return project.virtual_key("shared-one-" + project.credential[3:11]), neighbour.virtual_key("shared-two-" + project.credential[3:11])


def test_files_of_another_project_do_not_exist(project: Project, neighbour: Project, shared: tuple[str, str]) -> None:
    mine, theirs = ({"x-portkey-virtual-key": slug} for slug in shared)
    file_id = project.upload(mine).json()["id"]
    unknown = neighbour.client.get("/files/file-000000000000", headers=theirs)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = neighbour.client.request(method, f"/files/{file_id}{path}", headers=theirs)
        assert (answer.status_code, answer.text) == (404, unknown.text.replace("file-000000000000", file_id))
    page = neighbour.client.get("/files", headers=theirs).json()
    assert (page["data"], page["total"], page["has_more"]) == ([], 0, False)
    assert neighbour.client.get("/files", params={"after": file_id}, headers=theirs).status_code == 400
    assert [file["id"] for file in project.client.get("/files", headers=mine).json()["data"]] == [file_id]


def test_a_virtual_key_of_another_project_does_not_exist(project: Project, neighbour: Project) -> None:
    slug = project.virtual_key()
    answer = neighbour.client.get("/files", headers={"x-portkey-virtual-key": slug})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-portkey-virtual-key")
    missing = neighbour.client.get("/files", headers={"x-portkey-virtual-key": "no-such-key"})
    assert answer.text.replace(slug, "no-such-key") == missing.text


def test_an_account_that_is_shared_is_seen_whole(project: Project) -> None:
    made = project.upload(project.own).json()["id"]
    slug = project.virtual_key(sharing="account")
    page = project.client.get("/files", headers={"x-portkey-virtual-key": slug}).json()
    assert [file["id"] for file in page["data"]] == [made]
    assert "total" not in page


def test_a_file_that_the_provider_has_forgotten_is_closed_when_that_is_found_out(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers).json()["id"]
    project.client.delete(f"/files/{file_id}", headers=project.own)
    assert project.client.get("/files", headers=headers).json()["total"] == 1
    assert project.client.get(f"/files/{file_id}", headers=headers).status_code == 404
    assert project.client.get("/files", headers=headers).json()["total"] == 0


def test_an_upload_is_repeated_once_only_with_an_idempotency_key(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key(), "idempotency-key": "once"}
    first, second = project.upload(headers), project.upload(headers)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert len(project.fake.files(project.credential)) == 1
    assert project.upload(headers, b"other").status_code == 409
    assert project.upload({**project.own, "idempotency-key": "once"}).status_code == 501


def test_nobody_is_told_to_take_a_new_idempotency_key_for_an_upload_that_may_have_arrived(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key(), "idempotency-key": "perhaps"}
    project.fake.plan("close_response_at", "upload", at=-1)
    assert project.upload(headers).json()["error"]["code"] == "upstream_outcome_unknown"
    answer = project.upload(headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert "Use a new key" not in answer.json()["error"]["message"]
    assert "same key again" in answer.json()["error"]["message"]
    assert len(project.fake.files(project.credential)) == 1


def test_the_catalogs_list_is_paged_as_the_native_one(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    ids = [project.upload(headers, name=f"{number}.jsonl").json()["id"] for number in range(5)]
    page = project.client.get("/files", params={"limit": 2, "order": "asc"}, headers=headers).json()
    assert ([file["id"] for file in page["data"]], page["has_more"], page["total"]) == (ids[:2], True, 5)
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[1])
    rest = project.client.get("/files", params={"limit": 9, "order": "asc", "after": page["last_id"]}, headers=headers).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == (ids[2:], False)
    assert [file["id"] for file in project.client.get("/files", params={"offset": 4}, headers=headers).json()["data"]] == ids[:1]
