"""Uploads in parts for providers that have none: put together here, and sent as one file."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import httpx2
import pytest

from gateway.conftest import Project, as_header
from support.part_uploads import complete, create, created, send_part, sent
from support.stored import assert_nothing_left_behind, assert_nowhere_in, blob_files

PIECES = (b'{"a": 1}\n' * 40_000, b'{"b": 2}\n')
MD5 = hashlib.md5(b"".join(PIECES), usedforsecurity=False).hexdigest()
SIZE = sum(map(len, PIECES))
BATCH: dict[str, Any] = {"purpose": "batch", "filename": "lines.jsonl"}


def own_at(project: Project, provider: str = "groq") -> dict[str, str]:
    return project.own | {"x-portkey-provider": provider}


@pytest.fixture(params=["a virtual key", "an own credential"])
def client(request: pytest.FixtureRequest, project: Project) -> httpx2.Client:
    keyed = request.param == "a virtual key"
    headers = {"x-portkey-virtual-key": project.virtual_key(provider="groq")} if keyed else own_at(project)
    project.client.headers.update(headers)
    return project.client


@pytest.fixture
def keyed(project: Project) -> httpx2.Client:
    """Through a virtual key."""
    project.client.headers["x-portkey-virtual-key"] = project.virtual_key(provider="groq")
    return project.client


def uploaded(client: httpx2.Client) -> tuple[str, list[str]]:
    """An upload with both parts, which came in the other order; they are named in the right one."""
    upload_id = created(client, SIZE, **BATCH)
    second = sent(client, upload_id, PIECES[1])
    return upload_id, [sent(client, upload_id, PIECES[0]), second]


def test_parts_are_put_together_and_sent_once(project: Project, client: httpx2.Client) -> None:
    upload_id, part_ids = uploaded(client)
    shown = client.get(f"/uploads/{upload_id}").json()
    assert (shown["status"], {part["id"] for part in shown["parts"]}) == ("pending", set(part_ids))
    assert project.fake.requests() == []
    done = complete(client, upload_id, part_ids, md5=MD5)
    assert done.status_code == 200, done.text
    file = done.json()["file"]
    assert (file["bytes"], file["filename"], file["purpose"]) == (SIZE, "lines.jsonl", "batch")
    [request] = project.fake.requests("upload")
    assert request["headers"]["content-length"] == str(request["body_bytes"])
    assert project.fake.content(project.credential, file["id"]) == b"".join(PIECES)
    assert client.get(f"/files/{file['id']}/content").content == b"".join(PIECES)
    shown = client.get(f"/uploads/{upload_id}").json()
    assert (shown["status"], shown["file"]["id"], shown["parts"]) == ("completed", file["id"], [])
    assert [one["file"]["id"] for one in client.get("/uploads").json()["data"]] == [file["id"]]
    headers = {"x-portkey-provider": "fileplane"}
    assert client.get("/uploads", headers=headers).json()["data"] == []
    assert client.get("/files", headers=headers).json()["data"] == []


def test_a_repeated_completion_makes_no_second_file(project: Project, client: httpx2.Client) -> None:
    upload_id, part_ids = uploaded(client)
    first = complete(client, upload_id, part_ids)
    assert complete(client, upload_id, part_ids).json()["file"]["id"] == first.json()["file"]["id"]
    assert complete(client, upload_id, part_ids[::-1]).json()["error"]["code"] == "upload_not_pending"
    assert len(project.fake.requests("upload")) == 1


def test_what_does_not_fit_is_refused_before_anything_is_sent(project: Project, client: httpx2.Client) -> None:
    upload_id, part_ids = uploaded(client)
    for wanted, more, field in ((part_ids[:1], {}, "part_ids"), (part_ids[::-1], {"md5": MD5}, "md5"), (part_ids, {"md5": "x"}, "md5")):
        refused = complete(client, upload_id, wanted, **more)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    assert project.fake.requests() == []
    assert complete(client, upload_id, part_ids, md5=MD5).status_code == 200


def test_what_the_provider_does_not_take_is_refused_when_it_is_announced(project: Project, client: httpx2.Client) -> None:
    too_large = create(client, 1 << 40, **BATCH)
    assert (too_large.status_code, too_large.json()["error"]["param"]) == (413, "bytes")
    purpose = create(client, 3, purpose="vision")
    assert (purpose.status_code, purpose.json()["error"]["param"]) == (400, "purpose")
    assert project.fake.requests() == []


def test_a_send_that_fails_can_be_tried_again(project: Project, client: httpx2.Client) -> None:
    upload_id, part_ids = uploaded(client)
    project.fake.plan("refuse", "upload", status=503)
    assert complete(client, upload_id, part_ids).status_code == 503
    assert complete(client, upload_id, part_ids).status_code == 200
    assert len(project.fake.files(project.credential)) == 1


def test_a_send_of_unknown_outcome_is_not_repeated(project: Project, client: httpx2.Client) -> None:
    upload_id, part_ids = uploaded(client)
    project.fake.plan("close_response_at", "upload", at=-1)
    lost = complete(client, upload_id, part_ids)
    assert (lost.status_code, lost.json()["error"]["code"]) == (502, "upstream_outcome_unknown")
    again = complete(client, upload_id, part_ids)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "upload_unresolved")
    assert len(project.fake.requests("upload")) == 1


def test_retry_and_fallback_send_what_is_kept_here_again(project: Project) -> None:
    first = project.virtual_key("first-of-two", provider="groq")
    second = project.virtual_key("second-of-two", "sk-the-second-of-two", provider="groq")
    document = {
        "strategy": {"mode": "fallback"},
        "retry": {"attempts": 1, "on_status_codes": [429]},
        "targets": [{"virtual_key": first}, {"virtual_key": second}],
    }
    client = project.client
    client.headers.update(as_header(document))
    upload_id, part_ids = uploaded(client)
    project.fake.plan("refuse", "upload", status=429, times=2, headers={"retry-after": "0"})
    done = complete(client, upload_id, part_ids)
    assert (done.status_code, done.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]")
    assert len(project.fake.requests("upload")) == 3
    assert project.fake.files(project.credential) == []
    assert len(project.fake.files("sk-the-second-of-two")) == 1
    assert complete(client, upload_id, part_ids).json()["file"] == done.json()["file"]


def test_parts_that_are_sent_or_cancelled_are_kept_no_longer(project: Project, client: httpx2.Client) -> None:
    before = blob_files(project.server.data_dir)
    upload_id, part_ids = uploaded(client)
    cancelled = uploaded(client)[0]
    assert len(blob_files(project.server.data_dir)) == len(before) + 4
    assert complete(client, upload_id, part_ids).status_code == 200
    assert client.post(f"/uploads/{cancelled}/cancel").json()["status"] == "cancelled"
    assert_nothing_left_behind(project.server.data_dir, before)


def test_with_an_own_credential_the_target_must_be_the_one_of_the_creation(project: Project) -> None:
    client = project.client
    client.headers.update(own_at(project))
    upload_id, part_ids = uploaded(client)
    for headers in ({"x-portkey-provider": "together-ai"}, {"x-portkey-custom-host": project.fake.base_url.replace("/v1", "/v2")}):
        assert complete_with(client, headers, upload_id, part_ids).status_code == 404
        assert client.get(f"/uploads/{upload_id}", headers=headers).status_code == 404
    other = {"authorization": "Bearer sk-somebody-elses-credential"}
    done = complete_with(client, other, upload_id, part_ids)
    assert done.status_code == 200
    assert len(project.fake.files("sk-somebody-elses-credential")) == 1


def complete_with(client: httpx2.Client, headers: dict[str, str], upload_id: str, part_ids: list[str]) -> httpx2.Response:
    return client.post(f"/uploads/{upload_id}/complete", json={"part_ids": part_ids}, headers=headers)


def test_no_credential_is_kept_with_an_upload(project: Project) -> None:
    project.client.headers.update(own_at(project))
    uploaded(project.client)
    assert_nowhere_in(project.server.data_dir, project.credential)


def test_a_damaged_part_never_reaches_the_provider(project: Project, keyed: httpx2.Client) -> None:
    upload_id = created(keyed, 300_000, **BATCH)
    before = blob_files(project.server.data_dir)
    part_id = sent(keyed, upload_id, os.urandom(300_000))
    [name] = blob_files(project.server.data_dir) - before
    blob = project.server.data_dir / "blobs" / name
    blob.chmod(0o600)
    content = blob.read_bytes()
    blob.write_bytes(content[:150_000] + bytes([content[150_000] ^ 1]) + content[150_001:])
    broken = complete(keyed, upload_id, [part_id])
    assert (broken.status_code, broken.json()["error"]["code"]) == (500, "storage_integrity_error")
    assert project.fake.requests() == []
    blob.write_bytes(content)
    assert complete(keyed, upload_id, [part_id]).status_code == 200


def test_a_part_that_exceeds_the_servers_limit_is_refused_as_ever(client: httpx2.Client) -> None:
    upload_id = created(client, 10, **BATCH)
    empty = send_part(client, upload_id, b"")
    assert (empty.status_code, empty.json()["error"]["param"]) == (400, "data")


def test_where_a_copy_is_kept_here_parts_are_put_together_here_too(project: Project) -> None:
    client = project.client
    client.headers["x-portkey-virtual-key"] = project.virtual_key(keep_copy=True)
    upload_id, part_ids = uploaded(client)
    done = complete(client, upload_id, part_ids, md5=MD5)
    assert done.status_code == 200, done.text
    assert project.fake.requests("uploads.create") == []
    assert project.fake.content(project.credential, done.json()["file"]["id"]) == b"".join(PIECES)
    assert client.get(f"/files/{done.json()['file']['id']}/content").content == b"".join(PIECES)
