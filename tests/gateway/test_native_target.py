"""The native store as one target of a config among providers."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fileplane.access import Limits
from gateway.conftest import Fake, Project, as_header
from support.expect import UUID7, assert_list
from support.limited import change_limits
from support.projects import new_key
from support.server import RunningServer

NATIVE = {"provider": "fileplane"}
CONTENT = os.urandom(2_500_000)


def _target(project: Project, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": project.credential, "custom_host": project.fake.base_url, **more}


def _fallback(*targets: dict[str, Any], **strategy: Any) -> dict[str, str]:
    return as_header({"strategy": {"mode": "fallback", **strategy}, "targets": list(targets)})


def _spread(*targets: dict[str, Any]) -> dict[str, str]:
    return as_header({"strategy": {"mode": "loadbalance"}, "targets": list(targets)})


def test_what_a_provider_refuses_is_kept_here(project: Project, fake: Fake) -> None:
    headers = _fallback(_target(project), NATIVE)
    fake.plan("close_request_at", "upload", at=len(CONTENT) * 9 // 10, reset=True)
    made = project.client.post(
        "/files",
        headers=headers,
        data={"purpose": "user_data", "expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"},
        files={"file": ("a%2522, b.bin", CONTENT)},
    )
    assert made.status_code == 200, made.text
    file = made.json()
    assert UUID7.fullmatch(file["id"])
    assert file["expires_at"] - file["created_at"] == 7200
    told = {name: made.headers[f"x-portkey-{name}"] for name in ("provider", "last-used-option-index", "retry-attempt-count")}
    assert told == {"provider": "fileplane", "last-used-option-index": "config.targets[1]", "retry-attempt-count": "0"}
    assert fake.files(project.credential) == []
    direct = project.upload({}, b"x", "a%2522, b.bin", purpose="user_data").json()
    assert file["filename"] == direct["filename"], "a name is read once, as if the form had come here at first"
    assert project.client.get(f"/files/{file['id']}").json() == file
    assert project.client.get(f"/files/{file['id']}/content", headers=headers).content == CONTENT
    assert list((project.server.data_dir / "spool").iterdir()) == []


def test_what_has_no_room_here_goes_to_the_provider(gateway: RunningServer, fake: Fake) -> None:
    key = new_key(gateway.data_dir)
    change_limits(gateway.data_dir, key.project_id, Limits(storage_bytes=1_000_000))
    made = Project(gateway, fake, key.plain, f"sk-full-{key.id}")
    with made.client:
        answer = made.upload(_fallback(NATIVE, _target(made)), CONTENT, "a.bin", purpose="user_data")
        assert (answer.status_code, answer.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[1]"), answer.text
        [file] = fake.files(made.credential)
        assert (file["id"], fake.content(made.credential, file["id"])) == (answer.json()["id"], CONTENT)
        assert_list(made.client.get("/files"), [], total=0)


def test_a_fallback_that_begins_here_stays_here_when_nothing_is_wrong(project: Project, fake: Fake) -> None:
    made = project.upload(_fallback(NATIVE, _target(project)), CONTENT, "a.bin", purpose="user_data")
    assert (made.status_code, made.headers["x-portkey-last-used-option-index"]) == (200, "config.targets[0]")
    assert fake.requests() == []
    assert_list(project.client.get("/files"), [made.json()["id"]], total=1)


def test_the_native_stores_own_error_is_told_when_it_is_the_last(project: Project, fake: Fake) -> None:
    fake.plan("refuse", "upload", status=503)
    answer = project.upload(_fallback(_target(project), NATIVE), b"x", purpose="nonsense")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")
    assert answer.headers["x-portkey-provider"] == "fileplane"
    assert_list(project.client.get("/files"), [], total=0)
    fake.plan("refuse", "upload", status=503)
    stays = project.upload(_fallback(_target(project), NATIVE, on_status_codes=[429]), b"x")
    assert (stays.status_code, stays.headers["x-portkey-provider"]) == (503, "openai")


@pytest.mark.parametrize("order", [1, -1], ids=["native first", "native last"])
def test_ids_and_lists_reach_both(project: Project, order: int) -> None:
    slug = project.virtual_key(credential=project.credential + "-stored")
    both = [NATIVE, _target(project), {"virtual_key": slug}][::order]
    ways = ({}, project.own, {"x-portkey-virtual-key": slug})
    ids = [project.upload(headers, b"%d" % number).json()["id"] for number in range(2) for headers in ways]
    for headers in (_fallback(*both), _spread(*both)):
        for file_id in ids:
            assert project.client.get(f"/files/{file_id}", headers=headers).json()["id"] == file_id
        for limit in (1, 2, 4, 100):
            seen: list[str] = []
            while True:
                page = project.client.get("/files", params={"limit": limit} | ({"after": seen[-1]} if seen else {}), headers=headers).json()
                assert len(page["data"]) <= limit
                assert "total" not in page
                seen += [file["id"] for file in page["data"]]
                if not page["has_more"]:
                    break
                assert page["last_id"] == seen[-1]
            assert sorted(seen) == sorted(ids)
    for file_id in ids:
        assert project.client.delete(f"/files/{file_id}", headers=_spread(*both)).status_code == 200
    assert project.client.get("/files", headers=_spread(*both)).json()["data"] == []


@pytest.mark.parametrize(
    "given", ["942ea2c6-a05e-4ed5-9909-ff9c257a0353", "01a202ee-425e-73c4-88e5-08a81976a2a8", "file-f13a58f6d57e455e8ae2e3c9a5e4c1a0"]
)
@pytest.mark.parametrize("stored", [True, False], ids=["virtual key", "own credential"])
def test_a_providers_file_is_reached_also_where_its_id_looks_like_one_of_the_native_store(
    project: Project, fake: Fake, given: str, stored: bool
) -> None:
    target = {"virtual_key": project.virtual_key()} if stored else _target(project)
    fake.plan("odd_id", "upload", body=given)
    headers = _fallback(target, NATIVE)
    file = project.upload(headers, b"at the provider").json()
    assert file["id"] == given
    assert project.client.get(f"/files/{given}", headers=headers).json() == file
    assert project.client.head(f"/files/{given}/content", headers=headers).headers["content-length"] == "15"
    content = project.client.get(f"/files/{given}/content", headers=headers)
    assert (content.content, content.headers["x-portkey-last-used-option-index"]) == (b"at the provider", "config.targets[0]")
    assert project.client.get(f"/files/{given}/holds", headers=headers).status_code == 404
    assert project.client.delete(f"/files/{given}", headers=headers).status_code == 200
    assert fake.files(project.credential) == []
    assert project.client.get(f"/files/{given}", headers=headers).status_code == 404


def test_an_idempotency_key_does_not_hold_for_a_fallback_between_stores(project: Project, fake: Fake) -> None:
    slug = project.virtual_key()
    for targets in ((NATIVE, {"virtual_key": slug}), ({"virtual_key": slug}, NATIVE)):
        answer = project.upload({**_fallback(*targets), "idempotency-key": "once"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (501, "idempotency-key")
    assert fake.requests() == []
    assert_list(project.client.get("/files"), [], total=0)


def test_limits_hold_once_for_an_upload_that_ends_here(gateway: RunningServer, fake: Fake) -> None:
    key = new_key(gateway.data_dir)
    change_limits(gateway.data_dir, key.project_id, Limits(concurrent_uploads=1, upload_bytes_per_day=len(CONTENT) + 10_000))
    made = Project(gateway, fake, key.plain, f"sk-limited-{key.id}")
    with made.client:
        fake.plan("refuse", "upload", status=503)
        answer = made.upload(_fallback(_target(made), NATIVE), CONTENT, "a.bin", purpose="user_data")
        assert (answer.status_code, answer.headers["x-portkey-provider"]) == (200, "fileplane"), answer.text
        assert made.upload({}, b"x" * 5_000, purpose="user_data").status_code == 200
        assert made.upload({}, b"x" * 10_000, purpose="user_data").status_code == 429
