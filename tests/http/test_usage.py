"""GET /v1/usage: what is counted, who sees it, and what is left of limits."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta

import pytest

from fileplane.access import FILE_SCOPES, Limits
from support.expect import assert_openai_error
from support.forms import overhead, upload, uploaded
from support.limited import limited_key
from support.server import RunningServer
from support.tenants import NewTenant, Tenant


def usage_of(tenant: Tenant, **parameters: object) -> dict[str, object]:
    """The one project of a page."""
    page = tenant.client.get("/usage", params=parameters).json()
    assert (page["object"], page["has_more"], page["total"], len(page["data"])) == ("list", False, 1, 1)
    return page["data"][0]


def today() -> str:
    return datetime.fromtimestamp(time.time(), UTC).date().isoformat()


NO_LIMIT = {"limit": None, "used": None, "left": None}


def test_a_project_s_key_sees_what_its_own_project_uses(tenant: Tenant):
    day = today()
    assert usage_of(tenant)["by_purpose"] == usage_of(tenant)["by_day"] == []
    kept, deleted = uploaded(tenant.client, b"kept"), uploaded(tenant.client, b"deleted", purpose="evals")
    tenant.client.delete(f"/files/{deleted['id']}")
    assert_openai_error(upload(tenant.client, b"bad", purpose="nonsense"), 400, "invalid_value", param="purpose")
    usage = usage_of(tenant)
    assert {name: usage[name] for name in ("project_id", "live_files", "stored_bytes", "deleted_files", "deleted_bytes")} == {
        "project_id": tenant.key.project_id,
        "live_files": 1,
        "stored_bytes": 11,
        "deleted_files": 1,
        "deleted_bytes": 7,
    }
    assert usage["by_purpose"] == [
        {"purpose": "evals", "live_files": 0, "stored_bytes": 7, "deleted_files": 1, "deleted_bytes": 7},
        {"purpose": "user_data", "live_files": 1, "stored_bytes": 4, "deleted_files": 0, "deleted_bytes": 0},
    ]
    received = 11 + overhead() + overhead(purpose="evals") + overhead(purpose="nonsense") + 3
    if today() == day:
        assert usage["by_day"] == [{"day": day, "uploads": 2, "received_bytes": received, "stored_bytes": 11}]
    assert usage["uploads_in_progress"] is None
    assert usage["key"]["id"] == tenant.key.id
    assert usage["key"]["limits"]["storage_bytes"] == {"limit": None, "used": 4, "left": None}
    assert tenant.client.get(f"/files/{kept['id']}").status_code == 200


def test_what_is_left_of_every_limit_is_told(server: RunningServer, new_tenant: NewTenant):
    limits = Limits(storage_bytes=100, files=5, file_bytes=50, requests_per_minute=600, upload_bytes_per_day=10_000, concurrent_uploads=2)
    tenant = new_tenant()
    tenant.key = limited_key(server.data_dir, project=limits, key=Limits(files=1))
    tenant.client.headers["Authorization"] = f"Bearer {tenant.key.plain}"
    uploaded(tenant.client, bytes(30))
    usage = usage_of(tenant)
    left = usage["limits"]
    received = 30 + overhead()
    assert left["storage_bytes"] == {"limit": 100, "used": 30, "left": 70}
    assert left["files"] == {"limit": 5, "used": 1, "left": 4}
    assert left["file_bytes"] == 50
    assert left["upload_bytes_per_day"] == {"limit": 10_000, "used": received, "left": 10_000 - received}
    assert left["concurrent_uploads"] == {"limit": 2, "used": 0, "left": 2}
    assert left["requests_per_minute"]["limit"] == 600
    assert left["requests_per_minute"]["used"] + left["requests_per_minute"]["left"] == 600
    assert usage["key"]["limits"]["files"] == {"limit": 1, "used": 1, "left": 0}
    assert usage["key"]["limits"]["requests_per_minute"] == NO_LIMIT


def test_another_project_is_told_from_none_by_nothing(tenant: Tenant, new_tenant: NewTenant):
    other = new_tenant()
    answers = [
        tenant.client.get("/usage", params={name: value})
        for name, value in (("project_id", other.key.project_id), ("project_id", "no-such"))
    ]
    messages = [assert_openai_error(answer, 404, None, param="project_id") for answer in answers]
    assert messages[0].replace(other.key.project_id, "no-such") == messages[1]
    own = usage_of(tenant)
    for name in ("project_id", "workspace_id"):
        assert usage_of(tenant, **{name: tenant.key.project_id})["project_id"] == own["project_id"]
        assert usage_of(tenant, **{name: own["project"]})["project_id"] == own["project_id"]


def test_an_organisation_s_key_sees_any_project_and_all_of_them_in_pages(server: RunningServer, tenant: Tenant):
    uploaded(tenant.client, b"bytes")
    with server.client() as client:
        (only,) = client.get("/usage", params={"workspace_id": tenant.key.project_id}).json()["data"]
        assert (only["stored_bytes"], only["key"]) == (5, None)
        first = client.get("/usage", params={"page_size": 1}).json()
        assert first["has_more"]
        assert first["data"][0]["project"] == "default"
        assert first["data"][0]["key"] is not None
        seen, page = [], 0
        while True:
            answer = client.get("/usage", params={"page_size": 100, "current_page": page}).json()
            seen += [entry["project_id"] for entry in answer["data"]]
            page += 1
            if not answer["has_more"]:
                break
        assert tenant.key.project_id in seen
        assert len(seen) == len(set(seen)) == answer["total"]
        assert_openai_error(client.get("/usage", params={"project_id": "no-such"}), 404, None, param="project_id")


def test_days_are_those_that_are_asked_for(tenant: Tenant):
    uploaded(tenant.client, b"x")
    now = date.fromisoformat(today())
    tomorrow, earlier = (now + timedelta(days=1)).isoformat(), (now - timedelta(days=5)).isoformat()
    assert len(usage_of(tenant, start_day=earlier, end_day=tomorrow)["by_day"]) == 1
    assert usage_of(tenant, start_day=earlier, end_day=earlier)["by_day"] == []
    assert usage_of(tenant, end_day=earlier)["by_day"] == []


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({"start_day": "yesterday"}, "invalid_value", "start_day"),
        ({"start_day": ""}, "invalid_value", "start_day"),
        ({"end_day": "20260131"}, "invalid_value", "end_day"),
        ({"end_day": "2026-02-30"}, "invalid_value", "end_day"),
        ({"start_day": "2026-02-02", "end_day": "2026-02-01"}, "invalid_value", "start_day"),
        ({"start_day": "2020-01-01", "end_day": "2026-01-01"}, "invalid_value", "start_day"),
        ({"page_size": "0"}, "integer_below_min_value", "page_size"),
        ({"page_size": "101"}, "integer_above_max_value", "page_size"),
        ({"nonsense": "1"}, "unknown_parameter", "nonsense"),
        ({"project_id": "a", "workspace_id": "b"}, "invalid_value", "workspace_id"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(tenant: Tenant, parameters: dict[str, str], code: str, param: str):
    assert_openai_error(tenant.client.get("/usage", params=parameters), 400, code, param=param)


def test_it_takes_the_scope_of_usage(new_tenant: NewTenant):
    tenant = new_tenant(scopes=FILE_SCOPES)
    assert_openai_error(tenant.client.get("/usage"), 403, "missing_scope", type="permission_error")
