from __future__ import annotations

from collections import defaultdict

import httpx2
import pytest

from fileplane.http.routes import OPERATIONS
from support.expect import REQUEST_ID, assert_file, assert_openai_error
from support.forms import upload, uploaded
from support.path_values import filled, unknown
from support.server import RunningServer
from support.stored import blob_files
from support.tenants import Tenant
from support.wire import ask, bearer, request_head

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get", "M" * 300)


def methods_by_path() -> dict[str, set[str]]:
    """What each path has; where there is GET there is HEAD."""
    methods: dict[str, set[str]] = defaultdict(set)
    for operation in OPERATIONS:
        methods[operation.path] |= {operation.method, "HEAD"} if operation.method == "GET" else {operation.method}
    return methods


@pytest.mark.parametrize("with_key", [True, False], ids=["with a key", "without"])
@pytest.mark.parametrize("path", sorted(methods_by_path()))
def test_every_other_method_is_refused_with_those_that_are_allowed(server: RunningServer, path: str, with_key: bool):
    allowed = methods_by_path()[path]
    headers = [bearer(server.api_key)] if with_key else []
    for method in METHODS:
        if method in allowed:
            continue
        response = ask(server, request_head(method, filled(path, unknown(path)), *headers), method=method)
        assert {name.strip() for name in response.headers["allow"].split(",")} == allowed
        if method == "HEAD":
            assert (response.status_code, response.content) == (405, b"")
        else:
            message = assert_openai_error(response, 405, "method_not_allowed")
            assert all(name in message for name in allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/files/",
        "/v1//files",
        "//v1/files",
        "/V1/files",
        "/v1/FILES",
        "/v1/file",
        "/files",
        "/v2/files",
        "/v1/files/x/y",
        "/v1/files/x/content/",
        "/v1/files/x/content/y",
        "/v1/files//content",
        "/v1/upload",
        "/v1/%66iles",
        "/v1%2Ffiles",
        "/v1/../v1/files",
        "/./v1/files",
        "/favicon.ico",
        "/.env",
        "/v1/chat/completions",
        "/healthz/",
        "/" + "x" * 5_000,
        "/%00",
        "/%F0%9F%94%A5",
        "*",
    ],
    ids=lambda path: path[:40],
)
def test_every_other_path_is_not_found_whatever_the_method(server: RunningServer, path: str):
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for headers in ((), (bearer(server.api_key),)):
            assert_openai_error(ask(server, request_head(method, path, *headers)), 404, "unknown_url")


@pytest.mark.parametrize("path", [path for path, methods in methods_by_path().items() if {"HEAD", "GET"} <= set(methods)])
def test_head_is_answered_as_get_without_its_body(tenant: Tenant, path: str):
    file = uploaded(tenant.client)
    for file_id in (file["id"], "unknown"):
        target = filled(path, unknown(path) | {"file_id": file_id})
        got = ask(tenant.server, request_head("GET", target, bearer(tenant.key.plain)))
        head = ask(tenant.server, request_head("HEAD", target, bearer(tenant.key.plain)), method="HEAD")
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert REQUEST_ID.fullmatch(head.headers["x-request-id"])
        assert {name for name in head.headers if name != "connection"} == {name for name in got.headers if name != "connection"}
        assert head.headers["content-length"] == got.headers["content-length"]


def remove_blob(tenant: Tenant, before: set[str]) -> None:
    (name,) = blob_files(tenant.server.data_dir) - before
    (tenant.server.data_dir / "blobs" / name).unlink()


def shorten_blob(tenant: Tenant, before: set[str]) -> None:
    (name,) = blob_files(tenant.server.data_dir) - before
    path = tenant.server.data_dir / "blobs" / name
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [remove_blob, shorten_blob])
@pytest.mark.parametrize("asked", [{}, {"range": "bytes=0-0"}], ids=["whole", "range"])
def test_missing_or_damaged_bytes_are_told_definitively_and_the_record_is_kept(tenant: Tenant, damage: object, asked: dict[str, str]):
    before = blob_files(tenant.server.data_dir)
    file = uploaded(tenant.client)
    damage(tenant, before)
    for _ in range(2):
        response = tenant.client.get(f"/files/{file['id']}/content", headers=asked)
        message = assert_openai_error(response, 500, "storage_integrity_error", type="server_error", definitive=True)
        assert file["id"] in message
    assert_file(tenant.client.get(f"/files/{file['id']}"), **file)
    assert tenant.client.get("/files").json()["total"] == 1


def test_refusals_say_nothing_of_the_inside(tenant: Tenant):
    api = tenant.client
    responses = [
        api.get("/files/x"),
        api.get("/nowhere"),
        api.put("/files"),
        api.get("/files", params={"limit": "x"}),
        api.get("/files", params={"after": "x"}),
        upload(api, purpose="x"),
        api.post("/files", content=b"x"),
        httpx2.get(f"{tenant.server.base_url}/files", trust_env=False),
    ]
    for response in responses:
        assert response.status_code >= 400
        shown = f"{response.text} {response.headers}".lower()
        for inside in ("traceback", "fileplane.", ".py", "sqlite", "apsw", "starlette", "select ", str(tenant.server.data_dir), "/blobs/"):
            assert inside not in shown
