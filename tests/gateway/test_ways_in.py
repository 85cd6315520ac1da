"""Every way of saying where a file call goes, and as whom."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from gateway.conftest import Fake, Project
from support.expect import UUID7
from support.polling import eventually
from support.projects import new_tenant_key


def _five_calls(project: Project, headers: dict[str, str]) -> None:
    made = project.upload(headers, b'{"a": 1}\n')
    assert made.status_code == 200, made.text
    file_id = made.json()["id"]
    assert [file["id"] for file in project.fake.files(project.credential)] == [file_id]
    client = project.client
    assert [file["id"] for file in client.get("/files", headers=headers).json()["data"]] == [file_id]
    assert client.get(f"/files/{file_id}", headers=headers).json() == made.json()
    assert client.get(f"/files/{file_id}/content", headers=headers).content == b'{"a": 1}\n'
    assert client.head(f"/files/{file_id}/content", headers=headers).headers["content-length"] == "9"
    assert client.delete(f"/files/{file_id}", headers=headers).json() == {"id": file_id, "object": "file", "deleted": True}
    assert project.fake.files(project.credential) == []
    assert client.get(f"/files/{file_id}", headers=headers).status_code == 404


def test_a_virtual_key(project: Project) -> None:
    _five_calls(project, {"x-portkey-virtual-key": project.virtual_key()})


@pytest.mark.parametrize("beside", ["Bearer sk-not-this-one", "Bearer OPENAI_API_KEY", "Bearer DUMMY-KEY"])
def test_a_slug_as_provider_whatever_authorization_stands_beside_it(project: Project, beside: str) -> None:
    _five_calls(project, {"x-portkey-provider": f"@{project.virtual_key()}", "authorization": beside})


def test_the_callers_own_credential_and_host(project: Project) -> None:
    _five_calls(project, project.own)


def test_an_inline_config_with_a_virtual_key(project: Project) -> None:
    _five_calls(project, {"x-portkey-config": json.dumps({"virtual_key": project.virtual_key()})})


def test_an_inline_config_with_a_credential_of_its_own(project: Project) -> None:
    document = {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url}
    _five_calls(project, {"x-portkey-config": json.dumps(document)})


def test_a_config_that_is_completed_from_the_headers(project: Project) -> None:
    _five_calls(project, {**project.own, "x-portkey-config": json.dumps({"retry": {"attempts": 1}})})


def _saved(project: Project, document: dict[str, Any], **fields: Any) -> str:
    answer = project.client.post("/configs", json={"name": "saved", "config": document, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["slug"]


def test_a_saved_config(project: Project) -> None:
    _five_calls(project, {"x-portkey-config": _saved(project, {"virtual_key": project.virtual_key()})})


def test_the_projects_default_config_and_no_header_at_all(project: Project) -> None:
    _saved(project, {"virtual_key": project.virtual_key()}, is_default=1)
    _wait_for_default(project)
    _five_calls(project, {})


def test_the_native_store_is_reached_beside_a_default_config(project: Project) -> None:
    _saved(project, {"virtual_key": project.virtual_key()}, is_default=1)
    _wait_for_default(project)
    made = project.upload({"x-portkey-provider": "Fileplane"}).json()
    assert UUID7.fullmatch(made["id"])
    assert project.fake.requests("upload") == []


def _wait_for_default(project: Project) -> None:
    eventually(lambda: "x-portkey-provider" in project.client.get("/files").headers, 15)


def test_only_the_gateways_key_in_authorization_with_a_virtual_key(project: Project) -> None:
    slug = project.virtual_key()
    headers = {"authorization": f"Bearer {project.key}", "x-portkey-virtual-key": slug}
    answer = httpx2.get(f"{project.server.base_url}/files", headers=headers, trust_env=False)
    assert answer.json()["data"] == []
    assert answer.headers["x-portkey-provider"] == "openai"


def test_nothing_of_the_gateways_own_headers_reaches_the_provider(project: Project, fake: Fake) -> None:
    project.upload({**project.own, "cookie": "session=1", "x-portkey-metadata": '{"a": "b"}', "x-portkey-trace-id": "t"})
    [sent] = fake.requests("upload")
    assert sent["headers"]["authorization"] == f"Bearer {project.credential}"
    assert not [name for name in sent["headers"] if name.startswith("x-portkey") or name == "cookie"]
    assert project.key not in json.dumps(fake.requests())


def test_answers_tell_their_way(project: Project) -> None:
    answer = project.upload({**project.own, "x-portkey-trace-id": "trace-7"})
    told = {name: answer.headers[f"x-portkey-{name}"] for name in ("provider", "trace-id", "last-used-option-index", "retry-attempt-count")}
    assert told == {"provider": "openai", "trace-id": "trace-7", "last-used-option-index": "config", "retry-attempt-count": "0"}


@pytest.mark.parametrize("path", ["/virtual-keys", "/configs", "/audit-logs", "/usage"])
def test_calls_about_fileplane_itself_go_nowhere_else(project: Project, path: str) -> None:
    answer = project.client.get(path, headers={**project.own, "x-portkey-config": "pc-nowhere", "x-portkey-virtual-key": "nowhere"})
    assert answer.status_code in {200, 400, 403}, answer.text
    assert answer.status_code == project.client.get(path).status_code


@pytest.mark.parametrize(("method", "path"), [("POST", "/restore"), ("GET", "/validation"), ("GET", "/holds")])
def test_what_only_the_native_store_can_do_is_unsupported(project: Project, method: str, path: str) -> None:
    answer = project.client.request(method, f"/files/file-1{path}", headers=project.own)
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "unsupported_provider_operation")
    assert answer.headers["x-should-retry"] == "false"


def test_fileplane_in_front_of_fileplane_in_front_of_fileplane(project: Project, neighbour: Project) -> None:
    last = new_tenant_key(project.server.data_dir).plain
    slug = neighbour.virtual_key("next-" + project.credential[3:11], credential=last, custom_host=project.server.base_url)
    _saved(neighbour, {"virtual_key": slug}, is_default=1)
    _wait_for_default(neighbour)
    first = {
        "x-portkey-provider": "openai",
        "authorization": f"Bearer {neighbour.key}",
        "x-portkey-custom-host": project.server.base_url,
    }
    made = project.upload(first, b"through three\n", "a.bin", purpose="user_data")
    assert made.status_code == 200, made.text
    file_id = made.json()["id"]
    assert UUID7.fullmatch(file_id)
    assert project.client.get(f"/files/{file_id}/content", headers=first).content == b"through three\n"
    kept = httpx2.get(f"{project.server.base_url}/files", headers={"authorization": f"Bearer {last}"}, trust_env=False).json()
    assert [file["id"] for file in kept["data"]] == [file_id]
    assert project.client.get("/files").json()["data"] == []
    assert project.client.delete(f"/files/{file_id}", headers=first).status_code == 200
    assert project.client.get(f"/files/{file_id}", headers=first).status_code == 404
