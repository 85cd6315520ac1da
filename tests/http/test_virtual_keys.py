"""The calls on virtual keys, providers and integrations: shapes, refusals, pages, and who may do what."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from support.expect import assert_openai_error
from support.server import RunningServer
from support.tenants import NewTenant, Tenant

BODY = {"name": "Mine", "provider": "openai", "key": "sk-canary-http-1a2b3c"}
SECRET = BODY["key"]


def make(api: httpx2.Client, **given: Any) -> str:
    response = api.post("/virtual-keys", json=BODY | given)
    assert response.status_code == 200, response.text
    saved = response.json()
    assert saved["success"] is True
    assert saved["data"] == {"id": saved["id"], "slug": saved["slug"], "object": "virtual-key"}
    return str(saved["slug"])


def test_a_virtual_key_has_portkeys_shape_and_no_secret(tenant: Tenant) -> None:
    slug = make(
        tenant.client, note="why", openai_project="proj-1", model_config={"openaiOrganization": "org-1"}, custom_host="https://a.example/v1"
    )
    shown = tenant.client.get(f"/virtual-keys/{slug}").json()
    assert {name: shown[name] for name in shown if name not in {"id", "created_at", "last_updated_at"}} == {
        "object": "virtual-key",
        "slug": slug,
        "name": "Mine",
        "note": "why",
        "status": "active",
        "provider": "openai",
        "ai_provider_name": "openai",
        "masked_api_key": "********",
        "model_config": {"openaiProject": "proj-1", "openaiOrganization": "org-1", "customHost": "https://a.example/v1"},
        "custom_host": "https://a.example/v1",
        "sharing": "project",
        "keep_copy": False,
        "integration_id": None,
        "references": {},
        "workspace_id": tenant.key.project_id,
        "workspace_ids": [tenant.key.project_id],
        "usage_limits": None,
        "rate_limits": None,
        "reset_usage": None,
        "expires_at": None,
    }
    assert shown["created_at"].endswith(".000Z")
    assert tenant.client.get("/virtual-keys").json() == {"object": "list", "total": 1, "data": [shown]}


def test_one_record_is_a_virtual_key_a_provider_and_an_integration(tenant: Tenant) -> None:
    api = tenant.client
    made = api.post(
        "/integrations",
        json={
            "name": "Production",
            "ai_provider_id": "bedrock",
            "description": "what for",
            "configurations": {
                "aws_access_key_id": "canary-id",
                "aws_secret_access_key": SECRET,
                "aws_region": "us-east-1",
                "aws_s3_bucket": "my-files",
            },
        },
    ).json()
    slug = made["slug"]
    integration = api.get(f"/integrations/{slug}").json()
    assert integration["configurations"] == {
        "aws_region": "us-east-1",
        "aws_s3_bucket": "my-files",
        "masked_aws_access_key_id": "********",
        "masked_aws_secret_access_key": "********",
    }
    assert (integration["ai_provider_id"], integration["description"], integration["masked_key"]) == ("bedrock", "what for", None)
    assert api.get(f"/providers/{slug}").json()["integration_id"] == slug
    assert api.get(f"/virtual-keys/{slug}").json()["note"] == "what for"
    assert api.put(f"/integrations/{slug}", json={"description": "another"}).status_code == 200
    assert api.get(f"/providers/{slug}").json()["note"] == "another"

    provider = api.post("/providers", json={"name": "Team", "integration_id": slug, "expires_at": "2100-01-01T00:00:00Z"}).json()["slug"]
    shown = api.get(f"/providers/{provider}").json()
    assert (shown["integration_id"], shown["expires_at"], shown["status"]) == (slug, "2100-01-01T00:00:00.000Z", "active")
    assert_openai_error(api.get(f"/integrations/{provider}"), 404, None, param="slug")
    in_use = assert_openai_error(api.delete(f"/integrations/{slug}"), 409, "in_use", param="slug", definitive=True)
    assert f"virtual key {provider}" in in_use
    for path in (f"/providers/{provider}", f"/integrations/{slug}"):
        assert api.delete(path).json() == {}
        assert_openai_error(api.delete(path), 404, None, param="slug")


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("/virtual-keys", {"name": "x"}, "missing_required_parameter", "provider"),
        ("/virtual-keys", {"provider": "openai"}, "missing_required_parameter", "name"),
        ("/virtual-keys", BODY | {"nonsense": SECRET}, "unknown_parameter", "nonsense"),
        ("/virtual-keys", BODY | {"model_config": {"nonsense": SECRET}}, "unknown_parameter", "model_config.nonsense"),
        ("/virtual-keys", BODY | {"usage_limits": {"credit_limit": 1}}, "invalid_value", "usage_limits"),
        ("/virtual-keys", BODY | {"note": 5}, "invalid_value", "note"),
        ("/virtual-keys", BODY | {"apiKey": SECRET}, "invalid_value", "key"),
        ("/virtual-keys", BODY | {"key": {"secret": SECRET}}, "invalid_value", "key"),
        ("/virtual-keys", BODY | {"key": "********"}, "invalid_value", "key"),
        ("/virtual-keys", BODY | {"slug": "pc-mine"}, "invalid_value", "slug"),
        ("/virtual-keys", [SECRET], "invalid_value", "body"),
        ("/providers", {"name": "x"}, "missing_required_parameter", "integration_id"),
        ("/providers", {"name": "x", "integration_id": "unknown"}, "invalid_value", "integration_id"),
        ("/providers", {"name": "x", "integration_id": "unknown", "key": SECRET}, "unknown_parameter", "key"),
        ("/integrations", {"name": "x", "ai_provider_id": "openai"}, "missing_required_parameter", "key"),
        (
            "/integrations",
            {"name": "x", "ai_provider_id": "openai", "key": SECRET, "pricing_adjustments": {}},
            "invalid_value",
            "pricing_adjustments",
        ),
        (
            "/integrations",
            {"name": "x", "ai_provider_id": "openai", "key": SECRET, "create_default_provider": False},
            "invalid_value",
            None,
        ),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_made(tenant: Tenant, path: str, body: object, code: str, param: str | None) -> None:
    response = tenant.client.post(path, json=body)
    assert_openai_error(response, 400, code, param=param or "create_default_provider")
    assert SECRET not in response.text
    assert tenant.client.get("/virtual-keys").json()["total"] == 0


def test_a_slug_of_another_project_is_taken_and_nothing_more_is_told(new_tenant: NewTenant) -> None:
    one, other = new_tenant(), new_tenant()
    slug = make(other.client, slug=f"taken-{other.key.id}")
    response = one.client.post("/virtual-keys", json=BODY | {"slug": slug})
    assert_openai_error(response, 409, "slug_taken", param="slug", definitive=True)
    assert other.key.project_id not in response.text
    assert one.client.get("/virtual-keys").json()["total"] == 0


def test_the_organisation_shares_and_a_project_uses(new_tenant: NewTenant, server: RunningServer) -> None:
    one, other = new_tenant(), new_tenant()
    ids = sorted([one.key.project_id, other.key.project_id])
    with server.client() as organisation:
        slug = make(organisation, project_ids=ids, name="Shared")
        assert organisation.get(f"/virtual-keys/{slug}").json()["workspace_ids"] == ids
        assert [key["slug"] for key in organisation.get("/virtual-keys", params={"workspace_id": ids[0]}).json()["data"]] == [slug]
        shown = one.client.get(f"/virtual-keys/{slug}").json()
        assert (shown["workspace_ids"], other.key.project_id in str(shown)) == ([one.key.project_id], False)
        for refused in (
            one.client.put(f"/virtual-keys/{slug}", json={"name": "mine"}),
            one.client.delete(f"/virtual-keys/{slug}"),
            one.client.post("/virtual-keys", json=BODY | {"workspace_id": other.key.project_id}),
            one.client.get("/virtual-keys", params={"workspace_id": other.key.project_id}),
            one.client.post("/virtual-keys", json=BODY | {"key": "env:HOME"}),
        ):
            assert_openai_error(refused, 403, "organisation_key_needed", type="permission_error", param=refused.json()["error"]["param"])
        access = f"/integrations/{slug}/workspaces"
        assert [entry["id"] for entry in organisation.get(access).json()["workspaces"]] == ids
        change = {"workspaces": [{"id": other.key.project_id, "enabled": False}], "global_workspace_access": {"enabled": False}}
        assert organisation.put(access, json=change).json() == {}
        assert one.client.get(access).json()["total"] == 1
        assert_openai_error(other.client.get(f"/virtual-keys/{slug}"), 404, None, param="slug")
        for wrong, param in (
            ({"global_workspace_access": {"enabled": True}}, "global_workspace_access.enabled"),
            ({"workspaces": [{"id": "x", "enabled": True, "usage_limits": [{}]}]}, "workspaces[0].usage_limits"),
            ({"workspaces": [{"id": "nowhere", "enabled": True}]}, "workspaces[0].id"),
            ({"default_provider_slug": "x"}, "default_provider_slug"),
            ({"override_existing_workspace_access": True}, "override_existing_workspace_access"),
        ):
            assert_openai_error(organisation.put(access, json=wrong), 400, "invalid_value", param=param)


def test_a_credential_for_another_host_has_to_be_sent_again(tenant: Tenant) -> None:
    slug = make(tenant.client)
    refused = tenant.client.put(f"/virtual-keys/{slug}", json={"custom_host": "https://elsewhere.example/v1"})
    assert_openai_error(refused, 400, "missing_required_parameter", param="key")
    again = {"custom_host": "https://elsewhere.example/v1", "key": "sk-new"}
    assert tenant.client.put(f"/virtual-keys/{slug}", json=again).status_code == 200


def test_lists_come_in_pages_if_they_are_asked_for(tenant: Tenant) -> None:
    slugs = [make(tenant.client, name=f"key {number}") for number in range(3)]
    for path in ("/virtual-keys", "/providers", "/integrations"):
        pages = [tenant.client.get(path, params={"page_size": 2, "current_page": number}).json() for number in (0, 1, 2)]
        assert [page["total"] for page in pages] == [3, 3, 3]
        assert [len(page["data"]) for page in pages] == [2, 1, 0]
        assert {key["slug"] for page in pages for key in page["data"]} == set(slugs)
        assert_openai_error(tenant.client.get(path, params={"page_size": 0}), 400, "integer_below_min_value", param="page_size")
        assert_openai_error(tenant.client.get(path, params={"limit": 1}), 400, "unknown_parameter", param="limit")
    assert tenant.client.get("/integrations", params={"type": "organisation"}).json()["total"] == 0
    assert tenant.client.get("/integrations", params={"type": "workspace"}).json()["total"] == 3
