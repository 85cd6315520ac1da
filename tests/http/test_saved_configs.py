"""The calls on saved configs."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from support.expect import assert_openai_error
from support.server import RunningServer
from support.tenants import NewTenant, Tenant

SECRET = "sk-canary-config-http-4d5e"
DOCUMENT = {"provider": "openai", "api_key": SECRET, "retry": {"attempts": 2}}
SHOWN = DOCUMENT | {"api_key": "********"}


def save(api: httpx2.Client, config: object = DOCUMENT, **given: Any) -> str:
    response = api.post("/configs", json={"name": "Nightly", "config": config} | given)
    assert response.status_code == 200, response.text
    saved = response.json()
    assert saved["success"] is True
    assert saved["data"] == {name: saved[name] for name in ("id", "slug", "version_id", "object")}
    return str(saved["slug"])


def test_a_config_has_portkeys_shape_twice_and_no_secret(tenant: Tenant) -> None:
    slug = save(tenant.client)
    assert slug.startswith("pc-nightl-")
    shown = tenant.client.get(f"/configs/{slug}").json()
    assert (shown["config"], shown["data"]["config"], shown["success"]) == (SHOWN, SHOWN, True)
    assert (shown["is_default"], shown["status"], shown["workspace_id"]) == (0, "active", tenant.key.project_id)
    assert shown["owner_id"] == shown["updated_by"] == tenant.key.id
    listed = tenant.client.get("/configs").json()
    assert (listed["success"], listed["object"], listed["total"]) == (True, "list", 1)
    assert listed["data"] == [{name: value for name, value in shown["data"].items() if name not in {"config", "format", "type"}}]

    changed = tenant.client.put(
        f"/configs/{slug}", json={"config": json.dumps({"provider": "fileplane"}), "slug": slug, "status": "active"}
    ).json()
    assert changed["version_id"] == changed["data"]["version_id"] != shown["version_id"]
    versions = tenant.client.get(f"/configs/{slug}/versions").json()
    assert [json.loads(one["config"]) for one in versions["data"]] == [{"provider": "fileplane"}, SHOWN]
    assert [(one["version"], one["version_id"]) for one in versions["data"]] == [(2, changed["version_id"]), (1, shown["version_id"])]
    assert tenant.client.delete(f"/configs/{slug}").json() == {}
    assert_openai_error(tenant.client.get(f"/configs/{slug}"), 404, None, param="slug")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"config": {}}, "missing_required_parameter", "name"),
        ({"name": "x"}, "missing_required_parameter", "config"),
        ({"name": "x", "config": None}, "missing_required_parameter", "config"),
        ({"name": "x", "config": {}, "nonsense": SECRET}, "unknown_parameter", "nonsense"),
        ({"name": "x", "config": SECRET}, "invalid_value", "config"),
        ({"name": "x", "config": {"targets": [{"provider": "openai", "weight": SECRET}]}}, "invalid_value", "targets[0].weight"),
        ({"name": "x", "config": {"virtual_key": "nobody"}}, "invalid_value", "virtual_key"),
        ({"name": "x", "config": {"provider": "openai", "api_key": "********"}}, "invalid_value", "api_key"),
        ({"name": "x", "config": {}, "status": "archived"}, "invalid_value", "status"),
        ({"name": "x", "config": {}, "isDefault": 3}, "invalid_value", "isDefault"),
        ({"name": "x", "config": {}, "slug": "mine"}, "invalid_value", "slug"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_saved(tenant: Tenant, body: dict[str, Any], code: str, param: str) -> None:
    response = tenant.client.post("/configs", json=body)
    assert_openai_error(response, 400, code, param=param)
    assert SECRET not in response.text
    assert tenant.client.get("/configs").json()["total"] == 0


def test_a_name_that_is_twice_in_a_document_is_seen(tenant: Tenant) -> None:
    body = b'{"name": "x", "config": {"provider": "fileplane", "provider": "openai"}}'
    response = tenant.client.post("/configs", content=body, headers={"content-type": "application/json"})
    assert_openai_error(response, 400, "invalid_value", param="provider")


def test_configs_are_their_projects_own(new_tenant: NewTenant, server: RunningServer) -> None:
    one, other = new_tenant(), new_tenant()
    slug = save(other.client, {"provider": "fileplane"}, isDefault=1)
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/versions", None),
        ("PUT", "", {"name": "mine"}),
        ("DELETE", "", None),
    ):
        refused = one.client.request(method, f"/configs/{slug}{path}", json=body)
        assert_openai_error(refused, 404, None, param="slug")
    assert_openai_error(other.client.delete(f"/configs/{slug}"), 409, "in_use", param="slug", definitive=True)
    with server.client() as organisation:
        assert organisation.get(f"/configs/{slug}").json()["is_default"] == 1
        assert [one["slug"] for one in organisation.get("/configs", params={"workspace_id": other.key.project_id}).json()["data"]] == [slug]
        assert organisation.put(f"/configs/{slug}", json={"is_default": 0}).status_code == 200
    assert other.client.delete(f"/configs/{slug}").status_code == 200
