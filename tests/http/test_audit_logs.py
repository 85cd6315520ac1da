from __future__ import annotations

from typing import Any

import httpx2
import pytest

from support.expect import assert_openai_error
from support.forms import send, simple_form, upload, uploaded
from support.tenants import NewTenant, Tenant


def records(client: httpx2.Client, **parameters: object) -> list[dict[str, Any]]:
    response = client.get("/audit-logs", params={"resource_type": "files"} | parameters)
    assert response.status_code == 200, response.text
    page = response.json()
    assert set(page) == {"object", "records", "total"}
    assert page["object"] == "analytics-graph"
    return page["records"]


def actions(client: httpx2.Client, **parameters: object) -> list[tuple[str, str]]:
    return [(record["action"], record["resource_id"]) for record in records(client, **parameters)]


def test_every_change_tells_who_did_what_when_and_from_where(tenant: Tenant):
    api = tenant.client
    response = send(api, simple_form(), x_request_id="my-upload-1")
    file_id = response.json()["id"]
    (record,) = records(api)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "action": "create",
        "resource_type": "files",
        "resource_id": file_id,
        "organisation_id": "default",
        "workspace_id": tenant.key.project_id,
        "response_status_code": 200,
        "method": "POST",
        "uri": "/v1/files",
        "request_id": response.headers["x-request-id"],
        "user_id": tenant.key.id,
        "user_type": "api_key",
        "client_ip": "127.0.0.1",
    }


def test_the_whole_life_of_a_file_is_told_and_reading_is_not(api: httpx2.Client):
    file_id = str(uploaded(api)["id"])
    hold_id = api.post(f"/files/{file_id}/holds", json={"reason": "in use"}).json()["id"]
    api.delete(f"/files/{file_id}")
    api.delete(f"/files/{file_id}/holds/{hold_id}")
    api.delete(f"/files/{file_id}")
    api.post(f"/files/{file_id}/restore")
    for path in ("", f"/{file_id}", f"/{file_id}/content", f"/{file_id}/holds"):
        assert api.get(f"/files{path}").status_code == 200
    assert upload(api, purpose="nonsense").status_code == 400
    api.delete(f"/files/{file_id}?purge=true")
    seen = [action for action, resource in actions(api) if resource == file_id]
    assert sorted(seen) == ["create", "delete", "hold", "purge", "release", "restore"]
    assert len(records(api)) == len(seen)


def test_the_log_is_filtered_and_paged(tenant: Tenant):
    api = tenant.client
    ids = [str(uploaded(api)["id"]) for _ in range(5)]
    api.delete(f"/files/{ids[0]}")
    assert actions(api, action="delete") == [("delete", ids[0])]
    assert actions(api, method="DELETE") == [("delete", ids[0])]
    assert actions(api, uri=f"/v1/files/{ids[0]}") == [("delete", ids[0])]
    assert len(records(api, resource_id=ids[0])) == 2
    for admits_all in (
        {"user_id": tenant.key.id},
        {"user_type": "api_key"},
        {"client_ip": "127.0.0.1"},
        {"resource_type": "files"},
        {"response_status_code": 200},
        {"organisation_id": "default", "start_time": "2020-01-01T00:00:00Z", "end_time": "2100-01-01"},
        {"workspace_id": tenant.key.project_id},
        {"action": "", "user_id": "", "resource_id": ""},
    ):
        assert len(records(api, **admits_all)) == 6
    for admits_none in (
        {"user_id": "nobody"},
        {"user_type": "user"},
        {"country": "CH"},
        {"response_status_code": 404},
        {"organisation_id": "another"},
        {"end_time": "2020-01-01T00:00:00+02:00"},
        {"request_id": "unknown"},
    ):
        assert records(api, **admits_none) == []
    pages = [actions(api, page_size=4, current_page=page) for page in range(3)]
    assert [len(page) for page in pages] == [4, 2, 0]
    assert sorted(pages[0] + pages[1]) == sorted(actions(api))
    assert api.get("/audit-logs?page_size=4&resource_type=files").json()["total"] == 6


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("page_size=101", "integer_above_max_value", "page_size"),
        ("page_size=0", "integer_below_min_value", "page_size"),
        ("current_page=-1", "integer_below_min_value", "current_page"),
        ("start_time=yesterday", "invalid_value", "start_time"),
        ("end_time=9999999999999", "invalid_value", "end_time"),
        ("method=GET", "invalid_value", "method"),
        ("method=", "invalid_value", "method"),
        ("page_size=", "invalid_value", "page_size"),
        ("start_time=", "invalid_value", "start_time"),
        ("user_type=robot", "invalid_value", "user_type"),
        ("response_status_code=ok", "invalid_value", "response_status_code"),
        ("limit=1", "unknown_parameter", "limit"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(api: httpx2.Client, query: str, code: str, param: str):
    assert_openai_error(api.get(f"/audit-logs?{query}"), 400, code, param=param)


def test_a_project_sees_its_own_changes_and_the_organisation_those_of_all(new_tenant: NewTenant, client: httpx2.Client):
    one, two = new_tenant(), new_tenant()
    mine, theirs = (str(uploaded(tenant.client)["id"]) for tenant in (one, two))
    assert actions(one.client) == [("create", mine)]
    assert records(one.client, workspace_id=two.key.project_id) == []
    assert records(one.client, resource_id=theirs) == []
    assert actions(client, resource_id=theirs) == [("create", theirs)]
    assert actions(client, workspace_id=one.key.project_id) == [("create", mine)]
