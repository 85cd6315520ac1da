"""API keys over HTTP, in Portkey's words."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx2
import pytest

from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES
from fileplane.ids import uuid7
from support.expect import assert_openai_error
from support.polling import eventually, eventually_equal
from support.server import RunningServer, running_server
from support.tenants import NewTenant, Tenant

SERVICE, USER, ORGANISATION = "/api-keys/workspace/service", "/api-keys/workspace/user", "/api-keys/organisation/service"
NEW = {"name": "made", "scopes": ["files.read"]}


@pytest.fixture
def root(server: RunningServer) -> Iterator[httpx2.Client]:
    """The organisation's key."""
    with server.client() as client:
        yield client


def made(client: httpx2.Client, path: str = SERVICE, **values: object) -> dict[str, str]:
    response = client.post(path, json=NEW | values)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    assert set(response.json()) == {"id", "key", "object"}
    return response.json()


def status_with(tenant_or_server: RunningServer, plain: str, path: str = "/files") -> int:
    headers = {"Authorization": f"Bearer {plain}"}
    return httpx2.get(f"{tenant_or_server.base_url}{path}", headers=headers, trust_env=False, verify=False).status_code


def test_a_key_has_what_it_was_made_with_and_is_shown_once(tenant: Tenant):
    new = made(
        tenant.client,
        USER,
        name="Größe",
        description="for tests",
        user_id="ada",
        scopes=["files.read", "prompts.render"],
        expires_at="2099-01-31T12:00:00+02:00",
        defaults={"metadata": {"team": "ä"}, "config_id": None},
        limits={"files": 5},
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 9}],
        usage_limits={},
        rotation_policy=None,
        alert_emails=[],
        type="workspace",
        **{"sub-type": "user"},
    )
    shown = tenant.client.get(f"/api-keys/{new['id']}").json()
    assert shown["key"] == f"********{new['key'][-4:]}"
    assert {name: shown[name] for name in ("object", "name", "type", "user_id", "status", "scopes", "expires_at", "workspace_id")} == {
        "object": "api-key",
        "name": "Größe",
        "type": "workspace-user",
        "user_id": "ada",
        "status": "active",
        "scopes": ["files.read", "prompts.render"],
        "expires_at": "2099-01-31T10:00:00Z",
        "workspace_id": tenant.key.project_id,
    }
    assert (shown["limits"]["files"], shown["rate_limits"]) == (5, [{"type": "requests", "unit": "rpm", "value": 9}])
    assert status_with(tenant.server, new["key"]) == 200
    assert status_with(tenant.server, new["key"], "/prompts") == 501
    listed = tenant.client.get("/api-keys", params={"workspace_id": tenant.key.project_id}).json()
    assert [entry["id"] for entry in listed["data"]] == [tenant.key.id, new["id"]]
    assert new["key"] not in f"{listed} {shown} {tenant.server.log}"


@pytest.mark.parametrize("name", ["a\0b", "a\r\nb", "\t"])
def test_a_name_is_in_one_line(tenant: Tenant, name: str):
    path = f"/api-keys/{made(tenant.client)['id']}"
    before = tenant.client.get(path).json()
    wanted = {"name": name, "scopes": ["files.read"]}
    for answer in (tenant.client.post(SERVICE, json=wanted), tenant.client.put(path, json=wanted)):
        assert_openai_error(answer, 400, "invalid_value", param="name")
    assert tenant.client.get(path).json() == before


def test_what_an_update_does_not_name_stays_and_what_it_names_holds_within_five_seconds(tenant: Tenant):
    new = made(tenant.client, description="before", limits={"files": 1})
    before = tenant.client.get(f"/api-keys/{new['id']}").json()
    assert status_with(tenant.server, new["key"]) == 200
    answer = tenant.client.put(f"/api-keys/{new['id']}", json={"id": new["id"], "scopes": ["files.write"], "limits": {"file_bytes": 2}})
    changed = {
        "scopes": ["files.write"],
        "limits": before["limits"] | {"file_bytes": 2},
        "last_updated_at": answer.json()["last_updated_at"],
    }
    assert answer.json() | {"last_used_at": None} == before | changed | {"last_used_at": None}
    eventually_equal(lambda: status_with(tenant.server, new["key"]), 403, seconds=5)
    assert tenant.client.put(f"/api-keys/{new['id']}", json={"description": None, "limits": None}).json()["description"] is None


def test_a_rotated_key_works_in_both_forms_and_then_in_one(tenant: Tenant):
    new = made(tenant.client)
    answer = tenant.client.post(f"/api-keys/{new['id']}/rotate", json={"key_transition_period_ms": 1_500})
    rotated = answer.json()
    assert (rotated["id"], answer.headers["cache-control"]) == (new["id"], "no-store")
    ends = datetime.fromisoformat(rotated["key_transition_expires_at"]).timestamp()
    assert ends - time.time() < 3
    assert status_with(tenant.server, rotated["key"]) == 200
    eventually_equal(lambda: status_with(tenant.server, new["key"]), 401, seconds=8)
    assert status_with(tenant.server, rotated["key"]) == 200


@pytest.mark.parametrize("body", [None, {}, {"key_transition_period_ms": None}])
def test_without_a_period_the_former_form_works_for_an_hour(tenant: Tenant, body: object):
    new = made(tenant.client)
    path = f"/api-keys/{new['id']}/rotate"
    rotated = (tenant.client.post(path) if body is None else tenant.client.post(path, json=body)).json()
    assert 3_590 < datetime.fromisoformat(rotated["key_transition_expires_at"]).timestamp() - time.time() < 3_601
    assert [status_with(tenant.server, plain) for plain in (new["key"], rotated["key"])] == [200, 200]


@pytest.mark.parametrize(
    ("period", "code"),
    [(-1, "integer_below_min_value"), (30 * 86_400_000 + 1, "integer_above_max_value"), ("1", "invalid_value"), (1.5, "invalid_value")],
)
def test_a_period_that_is_none_is_refused(tenant: Tenant, period: object, code: str):
    new = made(tenant.client)
    refused = tenant.client.post(f"/api-keys/{new['id']}/rotate", json={"key_transition_period_ms": period})
    assert_openai_error(refused, 400, code, param="key_transition_period_ms")
    assert status_with(tenant.server, new["key"]) == 200


def test_a_deleted_key_is_gone(tenant: Tenant):
    new = made(tenant.client)
    rotated = tenant.client.post(f"/api-keys/{new['id']}/rotate").json()
    assert tenant.client.request("DELETE", f"/api-keys/{new['id']}", json={"id": new["id"]}).json() == {
        "id": new["id"],
        "object": "api-key",
        "deleted": True,
    }
    for answer in (
        tenant.client.get(f"/api-keys/{new['id']}"),
        tenant.client.put(f"/api-keys/{new['id']}", json={"name": "x"}),
        tenant.client.post(f"/api-keys/{new['id']}/rotate"),
        tenant.client.delete(f"/api-keys/{new['id']}"),
    ):
        assert_openai_error(answer, 404, None, param="id")
    assert new["id"] not in tenant.client.get("/api-keys").text
    for plain in (new["key"], rotated["key"]):
        eventually_equal(lambda plain=plain: status_with(tenant.server, plain), 401, seconds=5)


BAD = [
    ({"name": "x"}, "missing_required_parameter", "scopes"),
    ({"scopes": []}, "missing_required_parameter", "name"),
    (NEW | {"scopes": "files.read"}, "invalid_value", "scopes"),
    (NEW | {"scopes": ["files.read", 1]}, "invalid_value", "scopes[1]"),
    (NEW | {"scopes": ["files.read", "files.read"]}, "invalid_value", "scopes"),
    (NEW | {"scopes": ["everything"]}, "invalid_value", "scopes"),
    (NEW | {"scopes": ["Files.read"]}, "invalid_value", "scopes"),
    (NEW | {"scopes": ["files.read "]}, "invalid_value", "scopes"),
    (NEW | {"scopes": ["a." + "b" * 100]}, "invalid_value", "scopes[0]"),
    (NEW | {"scopes": ["workspaces.create"]}, "invalid_value", "scopes"),
    (NEW | {"expires_at": "soon"}, "invalid_value", "expires_at"),
    (NEW | {"expires_at": 1_900_000_000}, "invalid_value", "expires_at"),
    (NEW | {"expires_at": "2001-01-01"}, "invalid_value", "expires_at"),
    (NEW | {"usage_limits": {"credit_limit": 1}}, "invalid_value", "usage_limits"),
    (NEW | {"rotation_policy": {"rotation_period": "weekly"}}, "invalid_value", "rotation_policy"),
    (NEW | {"alert_emails": ["a@b.c"]}, "invalid_value", "alert_emails"),
    (NEW | {"organisation_id": "another"}, "invalid_value", "organisation_id"),
    (NEW | {"type": "organisation"}, "invalid_value", "type"),
    (NEW | {"sub-type": "user"}, "invalid_value", "sub-type"),
    (NEW | {"defaults": {"config_id": "pc-unknown"}}, "invalid_value", "defaults.config_id"),
    (NEW | {"user_id": ""}, "invalid_value", "user_id"),
    (NEW | {"nonsense": 1}, "unknown_parameter", "nonsense"),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD)
def test_a_key_that_makes_no_sense_is_refused_with_the_field_at_fault(tenant: Tenant, body: object, code: str, param: str):
    assert_openai_error(tenant.client.post(SERVICE, json=body), 400, code, param=param)
    assert tenant.client.get("/api-keys").json()["total"] == 1


@pytest.mark.parametrize(("path", "param"), [("team/service", "type"), ("workspace/robot", "sub-type"), ("organisation/user", "sub-type")])
def test_another_kind_of_key_is_refused(root: httpx2.Client, path: str, param: str):
    assert_openai_error(root.post(f"/api-keys/{path}", json=NEW), 400, "invalid_value", param=param)


def test_a_users_key_says_whose_it_is(tenant: Tenant):
    assert_openai_error(tenant.client.post(USER, json=NEW), 400, "missing_required_parameter", param="user_id")


def test_a_key_gives_no_scope_that_it_has_not_itself(new_tenant: NewTenant):
    manager = new_tenant(scopes=frozenset({"workspace_service_api_keys.create", "workspace_service_api_keys.update", "files.read"}))
    stronger = new_tenant(project_id=manager.key.project_id, scopes=frozenset({"files.read", "files.write"}))
    weaker = new_tenant(project_id=manager.key.project_id, scopes=frozenset({"files.read"}))
    refused = manager.client.post(SERVICE, json=NEW | {"scopes": ["files.read", "files.write"]})
    message = assert_openai_error(refused, 403, "missing_scope", type="permission_error", param="scopes")
    assert "'files.write'" in message
    for answer in (
        manager.client.post(f"/api-keys/{stronger.key.id}/rotate"),
        manager.client.put(f"/api-keys/{stronger.key.id}", json={"scopes": ["files.read"]}),
    ):
        assert "'files.write'" in assert_openai_error(answer, 403, "beyond_own_rights", type="permission_error", param="id")
    raised = manager.client.put(f"/api-keys/{weaker.key.id}", json={"scopes": ["files.write"]})
    assert_openai_error(raised, 403, "missing_scope", type="permission_error", param="scopes")
    assert manager.client.post(f"/api-keys/{weaker.key.id}/rotate").status_code == 200
    assert_openai_error(manager.client.delete(f"/api-keys/{weaker.key.id}"), 403, "missing_scope", type="permission_error")


def test_each_kind_of_key_has_scopes_of_its_own(new_tenant: NewTenant, tenant: Tenant):
    users = {f"workspace_user_api_keys.{verb}" for verb in ("create", "read", "update", "delete", "list")}
    clerk = new_tenant(project_id=tenant.key.project_id, scopes=frozenset(users | {"files.read"}))
    service, user = made(tenant.client), made(tenant.client, USER, user_id="ada")
    assert [entry["id"] for entry in clerk.client.get("/api-keys").json()["data"]] == [user["id"]]
    assert clerk.client.get(f"/api-keys/{user['id']}").status_code == 200
    message = assert_openai_error(clerk.client.get(f"/api-keys/{service['id']}"), 403, "missing_scope", type="permission_error")
    assert "'workspace_service_api_keys.read'" in message
    assert clerk.client.post(SERVICE, json=NEW).status_code == 403
    made(clerk.client, USER, user_id="bea")


def test_only_the_organisation_names_another_workspace(root: httpx2.Client, tenant: Tenant, new_tenant: NewTenant):
    other = new_tenant()
    told = set()
    for named in (other.key.project_id, uuid7(1)):
        for answer in (
            tenant.client.post(SERVICE, json=NEW | {"workspace_id": named}),
            tenant.client.get("/api-keys", params={"workspace_id": named}),
        ):
            told.add(assert_openai_error(answer, 404, None, param="workspace_id").replace(named, "…"))
    assert len(told) == 1
    new = made(root, workspace_id=other.key.project_id)
    assert new["id"] in other.client.get("/api-keys").text
    assert root.get(f"/api-keys/{new['id']}").json()["workspace_id"] == other.key.project_id
    organisations = made(root, ORGANISATION, workspace_id=other.key.project_id, scopes=sorted(ORGANISATION_SCOPES))
    assert organisations["id"] not in other.client.get("/api-keys").text
    assert_openai_error(other.client.get(f"/api-keys/{organisations['id']}"), 404, None, param="id")
    assert status_with(tenant.server, organisations["key"], "/api-keys") == 200


def test_a_list_has_pages(tenant: Tenant):
    ids = [tenant.key.id, *(made(tenant.client)["id"] for _ in range(4))]
    page = tenant.client.get("/api-keys", params={"page_size": 2, "current_page": 1}).json()
    assert ([entry["id"] for entry in page["data"]], page["total"]) == (ids[2:4], 5)


def test_no_key_is_in_the_database_or_the_log(tmp_path: Path):
    with running_server(tmp_path / "data", log_level="debug") as server, server.client() as root:
        new = made(root)
        rotated = root.post(f"/api-keys/{new['id']}/rotate").json()
        assert status_with(server, rotated["key"]) == 200
        kept = b"".join(path.read_bytes() for path in server.data_dir.glob("fileplane.db*"))
        for plain in (new["key"], rotated["key"]):
            assert plain.encode() not in kept
            assert plain not in server.log


def test_a_change_reaches_every_worker_and_the_last_use_is_recorded(tmp_path: Path):
    with running_server(tmp_path / "data", workers=2) as server:
        with server.client() as root:
            new = made(root)

            def statuses() -> set[int]:
                # A connection each, so that the kernel spreads them over the workers.
                return {status_with(server, new["key"]) for _ in range(24)}

            assert statuses() == {200}
            root.put(f"/api-keys/{new['id']}", json={"scopes": []})
            eventually(lambda: statuses() == {403}, "the scope is gone", seconds=5)
        assert server.terminate() == 0
        listed = server.run("key", "show", new["id"], "--json").stdout
    assert f'"last_used_at": {int(time.time()) // 1_000}' in listed


def test_names_of_scopes_that_mean_nothing_grant_nothing(tenant: Tenant):
    new = made(tenant.client, scopes=["logs.list", "virtual_keys.copy", f"x.{'a' * 20}"])
    assert status_with(tenant.server, new["key"]) == 403
    assert len(tenant.client.get(f"/api-keys/{new['id']}").json()["scopes"]) == 3


def test_every_scope_can_be_written_on_a_key_of_the_organisation(root: httpx2.Client):
    new = made(root, ORGANISATION, scopes=sorted(ALL_SCOPES), name=secrets.token_hex(4))
    assert set(root.get(f"/api-keys/{new['id']}").json()["scopes"]) == ALL_SCOPES
    root.delete(f"/api-keys/{new['id']}")
