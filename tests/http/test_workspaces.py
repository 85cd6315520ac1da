"""Projects over HTTP, in Portkey's words."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import httpx2
import pytest

from fileplane.ids import uuid7
from support.expect import UUID7, assert_openai_error
from support.forms import uploaded
from support.polling import eventually_equal
from support.server import RunningServer
from support.tenants import NewTenant, Tenant

NO_LIMITS = dict.fromkeys(("storage_bytes", "files", "file_bytes", "requests_per_minute", "upload_bytes_per_day", "concurrent_uploads"))


@pytest.fixture
def root(server: RunningServer) -> Iterator[httpx2.Client]:
    """The organisation's key."""
    with server.client() as client:
        yield client


def made(root: httpx2.Client, **values: object) -> dict[str, object]:
    response = root.post("/admin/workspaces", json={"name": f"made {secrets.token_hex(4)}", **values})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_workspace_has_what_it_was_made_with(root: httpx2.Client):
    slug = f"own-{secrets.token_hex(6)}"
    workspace = made(
        root,
        name="Größe",
        slug=slug,
        description="for tests",
        defaults={"metadata": {"team": "ä"}, "allow_config_override": False},
        limits={"storage_bytes": 5, "files": 0},
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 9}],
        usage_limits=None,
        users=[],
    )
    assert UUID7.fullmatch(str(workspace["id"]))
    assert {name: workspace[name] for name in ("slug", "object", "name", "description", "defaults", "limits", "rate_limits")} == {
        "slug": slug,
        "object": "workspace",
        "name": "Größe",
        "description": "for tests",
        "defaults": {"metadata": {"team": "ä"}, "config_id": None, "allow_config_override": False},
        "limits": NO_LIMITS | {"storage_bytes": 5, "files": 0, "requests_per_minute": 9},
        "rate_limits": [{"type": "requests", "unit": "rpm", "value": 9}],
    }
    for named in (workspace["id"], slug):
        assert root.get(f"/admin/workspaces/{named}").json() == workspace


def test_a_slug_is_made_from_the_name_and_is_nobody_elses(root: httpx2.Client):
    first, second = (made(root, name="Nightly Builds") for _ in range(2))
    for workspace in (first, second):
        assert re.fullmatch(r"ws-nightl-[0-9a-f]{6}", str(workspace["slug"]))
    assert first["slug"] != second["slug"]
    taken = root.post("/admin/workspaces", json={"name": "x", "slug": first["slug"]})
    assert_openai_error(taken, 409, "slug_taken", param="slug", definitive=True)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "a\x1b[31mb", "a\u2028b", "a\u202eb", "   "])
def test_a_name_is_in_one_line(root: httpx2.Client, name: str):
    workspace = made(root, name="as it was, \N{MAN}\N{ZERO WIDTH JOINER}\N{GIRL}")
    path = f"/admin/workspaces/{workspace['slug']}"
    for answer in (root.post("/admin/workspaces", json={"name": name}), root.put(path, json={"name": name})):
        assert_openai_error(answer, 400, "invalid_value", param="name")
    assert root.get(path).json() == workspace


def test_what_an_update_does_not_name_stays(root: httpx2.Client):
    workspace = made(root, description="before", limits={"files": 1, "storage_bytes": 2}, defaults={"metadata": {"a": "b"}})
    path = f"/admin/workspaces/{workspace['slug']}"
    for change, expected in (
        ({"name": "after"}, {"name": "after", "description": "before"}),
        ({"limits": {"files": None, "file_bytes": 3}}, {"limits": NO_LIMITS | {"storage_bytes": 2, "file_bytes": 3}}),
        (
            {"rate_limits": [{"type": "requests", "unit": "rpm", "value": 4}]},
            {"rate_limits": [{"type": "requests", "unit": "rpm", "value": 4}]},
        ),
        ({"rate_limits": []}, {"rate_limits": [], "limits": NO_LIMITS | {"storage_bytes": 2, "file_bytes": 3}}),
        (
            {"defaults": {"allow_config_override": False}},
            {"defaults": {"metadata": {"a": "b"}, "config_id": None, "allow_config_override": False}},
        ),
        ({"defaults": None}, {"defaults": {"metadata": {}, "config_id": None, "allow_config_override": True}}),
        ({"limits": None, "description": None}, {"limits": NO_LIMITS, "description": None, "name": "after"}),
        ({"workspace_id": workspace["id"], "name": "last"}, {"name": "last", "slug": workspace["slug"]}),
    ):
        answer = root.put(path, json=change)
        assert answer.status_code == 200, answer.text
        assert expected.items() <= answer.json().items()
        assert root.get(path).json() == answer.json()


BAD = [
    ({}, "missing_required_parameter", "name"),
    ({"name": ""}, "invalid_value", "name"),
    ({"name": "x" * 101}, "invalid_value", "name"),
    ({"name": 1}, "invalid_value", "name"),
    ({"name": "x", "description": "x" * 1001}, "invalid_value", "description"),
    ({"name": "x", "slug": "No"}, "invalid_value", "slug"),
    ({"name": "x", "slug": uuid7(1)}, "invalid_value", "slug"),
    ({"name": "x", "slug": ""}, "invalid_value", "slug"),
    ({"name": "x", "limits": {"files": -1}}, "invalid_value", "limits.files"),
    ({"name": "x", "limits": {"files": "1"}}, "invalid_value", "limits.files"),
    ({"name": "x", "limits": {"files": 2**53 + 1}}, "invalid_value", "limits.files"),
    ({"name": "x", "limits": {"requests_per_minute": 0}}, "invalid_value", "limits.requests_per_minute"),
    ({"name": "x", "limits": {"tokens": 1}}, "unknown_parameter", "limits.tokens"),
    ({"name": "x", "rate_limits": [{"type": "tokens", "unit": "rpm", "value": 1}]}, "invalid_value", "rate_limits[0].type"),
    ({"name": "x", "rate_limits": [{"type": "requests", "unit": "rpd", "value": 1}]}, "invalid_value", "rate_limits[0].unit"),
    ({"name": "x", "rate_limits": [{"type": "requests", "unit": "rpm"}]}, "missing_required_parameter", "rate_limits[0].value"),
    ({"name": "x", "rate_limits": [{"type": "requests", "unit": "rpm", "value": 1}] * 2}, "invalid_value", "rate_limits[1]"),
    (
        {"name": "x", "limits": {"requests_per_minute": 2}, "rate_limits": [{"type": "requests", "unit": "rpm", "value": 1}]},
        "invalid_value",
        "rate_limits",
    ),
    ({"name": "x", "defaults": {"metadata": {"a": 1}}}, "invalid_value", "defaults.metadata[...]"),
    ({"name": "x", "defaults": {"metadata": {"a" * 129: "b"}}}, "invalid_value", "defaults.metadata"),
    ({"name": "x", "defaults": {"config_id": "pc-unknown"}}, "invalid_value", "defaults.config_id"),
    ({"name": "x", "defaults": {"input_guardrails": ["g"]}}, "invalid_value", "defaults.input_guardrails"),
    ({"name": "x", "usage_limits": [{"credit_limit": 1}]}, "invalid_value", "usage_limits"),
    ({"name": "x", "users": ["ada"]}, "invalid_value", "users"),
    ({"name": "x", "nonsense": 1}, "unknown_parameter", "nonsense"),
    ([], "invalid_value", "body"),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD)
def test_a_workspace_that_makes_no_sense_is_refused_with_the_field_at_fault(root: httpx2.Client, body: object, code: str, param: str):
    before = root.get("/admin/workspaces").json()["total"]
    assert_openai_error(root.post("/admin/workspaces", json=body), 400, code, param=param)
    assert root.get("/admin/workspaces").json()["total"] == before
    if isinstance(body, dict) and param not in {"slug", "users"} and body:
        path = f"/admin/workspaces/{made(root)['id']}"
        assert_openai_error(root.put(path, json=body), 400, code, param=param)


def test_a_field_that_is_given_twice_is_refused(root: httpx2.Client):
    twice = b'{"name": "x", "limits": {"files": 1, "files": 2}}'
    response = root.post("/admin/workspaces", content=twice, headers={"content-type": "application/json"})
    assert_openai_error(response, 400, "invalid_value", param="files")


def test_workspaces_are_listed_in_pages_and_filtered(root: httpx2.Client):
    mark = secrets.token_hex(6)
    workspaces = [made(root, name=f"{mark} {number}") for number in range(5)]
    page = root.get("/admin/workspaces", params={"name": mark, "page_size": 2, "current_page": 1}).json()
    assert (page["object"], page["total"], page["data"]) == ("list", 5, workspaces[2:4])
    same = root.get("/admin/workspaces", params={"name": mark, "pageSize": 2, "currentPage": 1}).json()
    assert same == page
    for params, total in (
        ({"exact_name": f"{mark} 3"}, 1),
        ({"exact_name": mark}, 0),
        ({"name": mark.upper() + "x"}, 0),
        ({"name": mark, "status": "active,archived"}, 5),
        ({"name": mark, "status": "archived"}, 0),
        ({"name": mark, "status": ""}, 5),
    ):
        assert root.get("/admin/workspaces", params=params).json()["total"] == total
    for params, param in (
        ({"page_size": 0}, "page_size"),
        ({"page_size": 1, "pageSize": 1}, "pageSize"),
        ({"status": "sleeping"}, "status"),
        ({"nonsense": 1}, "nonsense"),
    ):
        refused = root.get("/admin/workspaces", params=params)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_a_workspace_in_use_is_not_removed_and_it_is_said_by_what(root: httpx2.Client, new_tenant: NewTenant):
    tenant = new_tenant()
    path = f"/admin/workspaces/{tenant.key.project_id}"
    file = uploaded(tenant.client)
    message = assert_openai_error(root.delete(path), 409, "in_use", param="workspace_id", definitive=True)
    assert "1 file, 1 API key" in message
    refused = root.request("DELETE", path, json={"force_delete": True})
    assert "1 file" in assert_openai_error(refused, 409, "in_use", param="workspace_id", definitive=True)
    tenant.client.delete(f"/files/{file['id']}")
    assert_openai_error(root.request("DELETE", path, json={"name": "another"}), 400, "invalid_value", param="name")
    assert_openai_error(root.request("DELETE", path, json={"workspaceId": "another"}), 400, "invalid_value", param="workspaceId")
    removed = root.request("DELETE", path, json={"force_delete": True, "workspace_id": tenant.key.project_id})
    assert removed.json() == {"id": tenant.key.project_id, "object": "workspace", "deleted": True}
    assert_openai_error(root.get(path), 404, None, param="workspace_id")
    eventually_equal(
        lambda: httpx2.get(f"{tenant.server.base_url}/files", headers=tenant.headers, trust_env=False).status_code, 401, seconds=5
    )


def test_a_projects_key_sees_its_own_project_and_no_other(root: httpx2.Client, tenant: Tenant, new_tenant: NewTenant):
    own = root.get(f"/admin/workspaces/{tenant.key.project_id}").json()
    assert tenant.client.get("/admin/workspaces").json() == {"object": "list", "total": 1, "data": [own]}
    assert tenant.client.get(f"/admin/workspaces/{own['slug']}").json() == own
    other = root.get(f"/admin/workspaces/{new_tenant().key.project_id}").json()
    told = []
    for named in (other["id"], other["slug"], uuid7(1), "ws-unknown-000000"):
        message = assert_openai_error(tenant.client.get(f"/admin/workspaces/{named}"), 404, None, param="workspace_id")
        told.append(message.replace(str(named), "…"))
    assert len(set(told)) == 1
    assert_openai_error(
        tenant.client.put(f"/admin/workspaces/{own['id']}", json={"limits": None}), 403, "missing_scope", type="permission_error"
    )
