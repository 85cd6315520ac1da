from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from fileplane import errors
from fileplane.http.routes import OPERATIONS, Operation
from fileplane.model import LONGEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS
from support.contract import Contract
from support.forms import field, file_part, form, part, send, upload, uploaded
from support.server import RunningServer
from support.tenants import Tenant

# What OpenAI publishes of its components: the fields that must be there, and what they are.
UNIX_TIME = {"type": "integer"}
OPENAI_FILE = {
    "type": "object",
    "required": ["id", "object", "bytes", "created_at", "filename", "purpose", "status"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "file"},
        "bytes": {"type": "integer"},
        "created_at": UNIX_TIME,
        "expires_at": {"anyOf": [UNIX_TIME, {"type": "null"}]},
        "filename": {"type": "string"},
        "purpose": {
            "enum": [
                "assistants",
                "assistants_output",
                "batch",
                "batch_output",
                "fine-tune",
                "fine-tune-results",
                "vision",
                "user_data",
                "evals",
            ]
        },
        "status": {"enum": ["uploaded", "processed", "error"]},
        "status_details": {"type": ["string", "null"]},
    },
}
OPENAI_LIST = {
    "type": "object",
    "required": ["object", "data", "first_id", "last_id", "has_more"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": OPENAI_FILE},
        "first_id": {"type": ["string", "null"]},
        "last_id": {"type": ["string", "null"]},
        "has_more": {"type": "boolean"},
    },
}
OPENAI_DELETION = {
    "type": "object",
    "required": ["id", "object", "deleted"],
    "properties": {"id": {"type": "string"}, "object": {"const": "file"}, "deleted": {"const": True}},
}
OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
COMPONENTS = {"FileObject": OPENAI_FILE, "FileList": OPENAI_LIST, "FileDeletion": OPENAI_DELETION, "ErrorEnvelope": OPENAI_ERROR}


@pytest.fixture
def document(server: RunningServer) -> dict[str, Any]:
    response = httpx2.get(f"{server.url}/openapi.json", trust_env=False, verify=False)
    assert response.headers["content-type"] == "application/json"
    return response.json()


def operation_in(document: dict[str, Any], operation: Operation) -> dict[str, Any]:
    return document["paths"][operation.path][operation.method.lower()]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_document_has_exactly_the_operations_of_the_route_table(document: dict[str, Any]):
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert documented == {(operation.method, operation.path) for operation in OPERATIONS}
    assert document["openapi"].startswith("3.1.")


def test_operation_ids_are_unique(document: dict[str, Any]):
    ids = [described["operationId"] for item in document["paths"].values() for described in item.values()]
    assert len(set(ids)) == len(ids)


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]):
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', httpx2.Response(200, json=document).text))
    assert references == set(document["components"]["schemas"])


def test_every_schema_in_the_document_is_one(document: dict[str, Any]):
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
def test_each_operation_tells_who_may_call_it_and_how_it_fails(document: dict[str, Any], operation: Operation):
    described = operation_in(document, operation)
    assert ("security" in described) is (operation.scope is not None)
    if operation.scope is not None:
        assert described["security"] == [{"bearer": []}, {"portkey": []}]
        assert all(f"`{scope.value}`" in described["description"] for scope in operation.scopes)
        assert {"401", "403", "501"} <= described["responses"].keys()
    for failure in operation.fails_with:
        described_failure = described["responses"][str(failure.status)]
        assert failure.code is None or f"`{failure.code}`" in described_failure["description"]
    assert ("default" in described["responses"]) is (errors.ProviderRefused in operation.fails_with), "a provider refuses with any status"
    for response in described["responses"].values():
        assert "x-request-id" in response["headers"]


@pytest.mark.parametrize("operation", [entry for entry in OPERATIONS if "{file_id}" in entry.path], ids=named)
def test_each_operation_on_a_file_may_not_find_it(document: dict[str, Any], operation: Operation):
    described = operation_in(document, operation)
    assert "404" in described["responses"]
    assert {"name": "file_id", "in": "path", "required": True, "schema": {"type": "string"}} in described["parameters"]


def test_the_document_shows_the_bounds_that_hold(document: dict[str, Any]):
    parameters = {entry["name"]: entry["schema"] for entry in document["paths"]["/v1/files"]["get"]["parameters"]}
    assert set(parameters) == {"purpose", "limit", "order", "after", "offset", "deleted"}
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"], parameters["limit"]["default"]) == (1, 10_000, 100)
    assert (parameters["order"]["enum"], parameters["order"]["default"]) == (["asc", "desc"], "desc")
    assert (parameters["offset"]["minimum"], parameters["offset"]["default"]) == (0, 0)


def test_the_document_shows_the_bounds_of_this_server(tight: Tenant):
    document = httpx2.get(f"{tight.server.url}/openapi.json", trust_env=False, verify=False).json()
    (limit,) = [entry["schema"] for entry in document["paths"]["/v1/files"]["get"]["parameters"] if entry["name"] == "limit"]
    assert (limit["maximum"], limit["default"]) == (7, 7)


def test_the_document_shows_the_fields_of_an_upload(document: dict[str, Any]):
    body = document["paths"]["/v1/files"]["post"]["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert body["required"] is True
    assert set(schema["required"]) == {"file", "purpose"}
    assert set(schema["properties"]) == {"file", "purpose", "expires_after", "expires_after[anchor]", "expires_after[seconds]"}
    seconds = schema["properties"]["expires_after[seconds]"]
    assert (seconds["minimum"], seconds["maximum"]) == (SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS)


def test_every_error_that_can_be_answered_is_shown_for_some_operation_or_path():
    shown = {failure for operation in OPERATIONS for failure in operation.fails_with}
    everywhere = {errors.RouteNotFound, errors.MethodNotAllowed, errors.NotProvided}
    assert set(errors.answerable_errors()) == shown | everywhere


@pytest.mark.parametrize("name", COMPONENTS)
def test_each_component_requires_what_openais_does(document: dict[str, Any], name: str):
    assert set(COMPONENTS[name]["required"]) <= set(document["components"]["schemas"][name]["required"])
    assert set(COMPONENTS[name]["properties"]) <= set(document["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals", "batch_output"])
def test_real_answers_are_what_openais_components_and_our_own_describe(tenant: Tenant, document: dict[str, Any], purpose: str):
    contract, api = Contract(document), tenant.client
    file = upload(api, purpose=purpose, expires_after=3_600).json()
    answers = [
        (file, "FileObject"),
        (api.get(f"/files/{file['id']}").json(), "FileObject"),
        (api.get("/files").json(), "FileList"),
        (api.delete(f"/files/{file['id']}").json(), "FileDeletion"),
        (api.get("/files").json(), "FileList"),
        (api.get(f"/files/{file['id']}").json(), "ErrorEnvelope"),
    ]
    for answer, name in answers:
        Draft202012Validator(COMPONENTS[name]).validate(answer)
        contract.validate(answer, {"$ref": f"#/components/schemas/{name}"})


def test_every_kind_of_answer_is_in_the_document(tenant: Tenant):
    # The tenant's client holds each against the document; the other tests of this folder do the same for theirs.
    api = tenant.client
    file = uploaded(api, b"0123456789")
    path = f"/files/{file['id']}"
    etag = api.get(f"{path}/content").headers["etag"]
    purpose = field("purpose", "user_data")
    exchanges = [
        (200, api.get(f"{path}/content")),
        (206, api.get(f"{path}/content", headers={"range": "bytes=0-1"})),
        (304, api.get(f"{path}/content", headers={"if-none-match": etag})),
        (400, api.get(f"{path}/content", headers={"range": "lines=0-1"})),
        (416, api.get(f"{path}/content", headers={"range": "bytes=10-"})),
        (200, api.head(f"{path}/content")),
        (304, api.head(f"{path}/content", headers={"if-none-match": etag})),
        (401, api.head(f"{path}/content", headers={"authorization": "none"})),
        (501, api.head(f"{path}/content", headers={"x-portkey-provider": "databricks"})),
        (200, api.head(path)),
        (400, send(api, form(purpose))),
        (400, send(api, form(part(b'name="file"', b"x")))),
        (400, send(api, form(purpose, field("purpose", "batch"), file_part()))),
        (415, send(api, b"{}", content_type="application/json")),
        (401, api.get("/files", headers={"authorization": "Bearer wrong"})),
        (400, api.get("/files", headers={"x-portkey-config": "pc-1"})),
        (400, api.get("/files", params={"limit": 0})),
        (405, api.put("/files")),
        (404, api.get("/nowhere")),
        (404, api.get("/files/unknown")),
        (200, api.get(f"{tenant.server.url}/healthz")),
        (200, api.get(f"{tenant.server.url}/readyz")),
        (200, api.get(f"{tenant.server.url}/openapi.json")),
        (200, api.delete(path)),
        (404, api.delete(path)),
    ]
    assert [response.status_code for _, response in exchanges] == [status for status, _ in exchanges]
