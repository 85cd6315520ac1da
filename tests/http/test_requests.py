from __future__ import annotations

import json
import re

import httpx2
import pytest

from support.expect import REQUEST_ID, assert_file, assert_list, assert_openai_error
from support.forms import FORM_TYPE, send, simple_form, upload, uploaded
from support.polling import eventually
from support.raw_http import Connection
from support.server import RunningServer
from support.tenants import Tenant
from support.wire import answer_to, ask, bearer, request_head

SANE = ["x", "abc-123", "req_0123456789abcdef", "a.b_c:d-e", "A" * 128, "0"]
HOSTILE = [
    b"",
    b"A" * 129,
    b"two words",
    b"a,b",
    b"a;b",
    b"<script>",
    b"a\tb",
    b'"quoted"',
    b"{json}",
    b"a/b",
    b"%0D%0A",
    b"\xff\xfe",
    "ü".encode(),
    b"'; DROP TABLE files; --",
]
CASES = [
    ("GET", "/v1/files", True, 200),
    ("GET", "/v1/files", False, 401),
    ("GET", "/v1/files/unknown", True, 404),
    ("GET", "/v1/files?limit=0", True, 400),
    ("PUT", "/v1/files", True, 405),
    ("GET", "/nowhere", False, 404),
    ("HEAD", "/v1/files", True, 200),
    ("GET", "/healthz", False, 200),
    ("GET", "/openapi.json", False, 200),
]


def ask_case(server: RunningServer, case: tuple[str, str, bool, int], *headers: tuple[str, str | bytes]) -> httpx2.Response:
    method, target, with_key, status = case
    key = [bearer(server.api_key)] if with_key else []
    response = ask(server, request_head(method, target, *key, *headers), method=method)
    assert response.status_code == status
    return response


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]} {case[3]}")
def test_every_answer_has_one_request_id_the_callers_own_when_it_is_sane(server: RunningServer, case: tuple[str, str, bool, int]):
    for sane in SANE:
        assert ask_case(server, case, ("x-request-id", sane)).headers.get_list("x-request-id") == [sane]
    made = [ask_case(server, case).headers["x-request-id"] for _ in range(2)]
    for hostile in HOSTILE:
        made += ask_case(server, case, ("X-Request-Id", hostile)).headers.get_list("x-request-id")
    assert all(REQUEST_ID.fullmatch(request_id) for request_id in made)
    assert len(set(made)) == 2 + len(HOSTILE)


def test_a_refused_upload_has_the_callers_request_id_too(api: httpx2.Client):
    assert upload(api).headers["x-request-id"].startswith("req_")
    response = send(api, b"x" * 1_000_000, x_request_id="my-upload")
    assert_openai_error(response, 400, "invalid_multipart")
    assert response.headers["x-request-id"] == "my-upload"


def test_each_request_is_one_access_line_with_its_id_and_without_its_query(tenant: Tenant):
    file = uploaded(tenant.client, b"12345")
    content = tenant.client.get(f"/files/{file['id']}/content", headers={"x-request-id": "downloading-1"})
    refused = tenant.client.get("/files", params={"after": "hidden-from-the-log"}, headers={"x-request-id": "listing-1"})
    wanted = {"downloading-1": (content, f"/v1/files/{file['id']}/content"), "listing-1": (refused, "/v1/files")}

    def lines() -> dict[str, dict[str, object]]:
        parsed = [json.loads(line) for line in tenant.server.log.splitlines() if '"event":"request"' in line]
        return {line["request_id"]: line for line in parsed if line["request_id"] in wanted}

    eventually(lambda: lines().keys() == wanted.keys(), "both access lines")
    for request_id, (response, path) in wanted.items():
        line = lines()[request_id]
        assert (line["method"], line["path"], line["status"]) == ("GET", path, response.status_code)
        assert (line["bytes_in"], line["bytes_out"]) == (0, len(response.content))
        assert (line["project_id"], line["key_id"]) == (tenant.key.project_id, tenant.key.id)
        assert re.fullmatch(r"[0-9.]+", str(line["client"]))
        assert line["duration_ms"] >= 0
        assert tenant.server.log.count(f'"request_id":"{request_id}"') == 1
    assert "hidden-from-the-log" not in tenant.server.log


REFUSALS = {"invalid_value", "missing_required_parameter"}
NATIVE = ("x-portkey-provider", "fileplane")
ELSEWHERE = [
    ("x-portkey-provider", "openai"),
    ("x-portkey-provider", "@my-provider"),
    ("x-portkey-provider", "fileplane-x"),
    ("x-portkey-provider", ""),
    ("X-Portkey-Provider", "AZURE-OPENAI"),
    ("x-portkey-virtual-key", "my-key"),
    ("x-portkey-virtual-key", ""),
    ("x-portkey-config", "pc-1234"),
    ("x-portkey-config", '{"provider":"openai"}'),
    ("x-portkey-custom-host", "https://example.com/v1"),
]
BESIDE = [one for one in ELSEWHERE if one[0].lower() != NATIVE[0]]


@pytest.mark.parametrize("header", ELSEWHERE, ids=": ".join)
def test_a_client_that_names_a_provider_with_every_call_can_use_the_control_plane(tenant: Tenant, header: tuple[str, str]):
    for path in ("/virtual-keys", "/configs", "/api-keys", "/usage", "/audit-logs", "/admin/workspaces"):
        assert tenant.client.get(path, headers=dict([header])).status_code == 200, path


@pytest.mark.parametrize("header", ELSEWHERE, ids=": ".join)
def test_a_request_that_names_a_provider_is_never_served_from_here(tenant: Tenant, header: tuple[str, str]):
    _assert_never_served_from_here(tenant, [header])


@pytest.mark.parametrize("header", [one for one in ELSEWHERE if one[0].lower() == NATIVE[0]], ids=": ".join)
@pytest.mark.parametrize("order", [1, -1], ids=["before fileplane", "after fileplane"])
def test_a_request_that_names_two_providers_is_never_served_from_here(tenant: Tenant, header: tuple[str, str], order: int):
    _assert_never_served_from_here(tenant, [header, NATIVE][::order])


@pytest.mark.parametrize("header", [one for one in BESIDE if one[1]], ids=": ".join)
@pytest.mark.parametrize("order", [1, -1], ids=["before fileplane", "after fileplane"])
def test_a_provider_header_that_says_fileplane_goes_before_every_other(tenant: Tenant, header: tuple[str, str], order: int):
    named = [bearer(tenant.key.plain), *[header, NATIVE][::order]]
    body = simple_form()
    form = [("Content-Type", FORM_TYPE), ("Content-Length", str(len(body)))]
    with Connection(tenant.server) as connection:
        connection.send(request_head("POST", "/v1/files", *named, *form) + body)
        response = answer_to(connection, "POST")
    file = assert_file(response)
    assert not [name for name in response.headers if name.startswith("x-portkey-")]
    assert_list(ask(tenant.server, request_head("GET", "/v1/files", *named)), [file["id"]], total=1)
    assert_file(ask(tenant.server, request_head("GET", f"/v1/files/{file['id']}", *named)), **file)
    assert_list(tenant.client.get("/files"), [file["id"]], total=1)


@pytest.mark.parametrize("header", [one for one in BESIDE if not one[1]], ids=": ".join)
@pytest.mark.parametrize("order", [1, -1], ids=["before fileplane", "after fileplane"])
def test_an_empty_header_is_refused_also_beside_fileplane(tenant: Tenant, header: tuple[str, str], order: int):
    _assert_never_served_from_here(tenant, [header, NATIVE][::order])


def _assert_never_served_from_here(tenant: Tenant, named: list[tuple[str, str]]) -> None:
    file = uploaded(tenant.client)
    headers = [bearer(tenant.key.plain), *named]
    body = simple_form()
    form = [("Content-Type", FORM_TYPE), ("Content-Length", str(len(body)))]
    for method, target, extra, content in (
        ("POST", "/v1/files", form, body),
        ("GET", "/v1/files", [], b""),
        ("GET", f"/v1/files/{file['id']}", [], b""),
        ("GET", f"/v1/files/{file['id']}/content", [], b""),
        ("DELETE", f"/v1/files/{file['id']}", [], b""),
    ):
        with Connection(tenant.server) as connection:
            connection.send(request_head(method, target, *headers, *extra) + content)
            response = answer_to(connection, method)
        error = response.json()["error"]
        assert (response.status_code, error["type"], error["code"] in REFUSALS) == (400, "invalid_request_error", True), error
        assert error["param"] in {*(name.lower() for name, _ in named), "x-portkey-provider", "x-portkey-virtual-key", "authorization"}
    assert_list(tenant.client.get("/files"), [file["id"]], total=1)


@pytest.mark.parametrize("provider", ["fileplane", "Fileplane", "FILEPLANE"])
def test_a_request_that_names_fileplane_is_served_from_here(api: httpx2.Client, provider: str):
    file = assert_file(send(api, simple_form(), x_portkey_provider=provider))
    assert_list(api.get("/files", headers={"x-portkey-provider": provider}), [file["id"]], total=1)


def test_other_portkey_headers_change_nothing(api: httpx2.Client):
    headers = {
        "x-portkey-strict-open-ai-compliance": "false",
        "x-portkey-package-version": "portkey-2.3.4",
        "x-portkey-runtime": "cpython",
        "x-portkey-trace-id": "trace",
        "x-portkey-metadata": '{"user":"me"}',
        "OpenAI-Organization": "org",
        "OpenAI-Project": "proj",
        "x-stainless-retry-count": "0",
    }
    assert_list(api.get("/files", headers=headers), [], total=0)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:99999", "", "a b", "[::1]", "localhost/../..", "x" * 1_000])
def test_the_host_header_changes_nothing(tenant: Tenant, host: str):
    file = uploaded(tenant.client)
    head = request_head("GET", f"/v1/files/{file['id']}", bearer(tenant.key.plain)).replace(b"localhost", host.encode())
    response = ask(tenant.server, head)
    assert_file(response, **file)
    assert len(host) < 5 or host not in str(response.headers)


def test_a_target_in_absolute_form_is_its_path(tenant: Tenant):
    file = uploaded(tenant.client)
    for authority in (f"127.0.0.1:{tenant.server.port}", "evil.example"):
        assert_file(ask(tenant.server, request_head("GET", f"http://{authority}/v1/files/{file['id']}", bearer(tenant.key.plain))), **file)


def test_a_connection_goes_on_after_refusals(tenant: Tenant):
    with Connection(tenant.server) as connection:
        for target, status in (("/v1/files/unknown", 404), ("/v1/files?limit=0", 400), ("/nowhere", 404), ("/v1/files", 200)):
            connection.send(request_head("GET", target, bearer(tenant.key.plain)))
            assert answer_to(connection).status_code == status


def test_the_health_checks_say_ok_and_no_more(server: RunningServer):
    for path in ("/healthz", "/readyz"):
        response = httpx2.get(f"{server.url}{path}", trust_env=False, verify=False)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


BEFORE_THE_APPLICATION = {
    "no request line": (b"GARBAGE\r\n\r\n", 400),
    "another version": (b"GET /v1/files HTTP/3.9\r\nHost: x\r\n\r\n", 400),
    "bytes beyond ASCII in the target": (b"GET /v1/files/\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a negative length": (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "a length that is no number": (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", 400),
    "two lengths": (b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a header with a null": (b"GET /v1/files HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", 400),
    "a target too long": (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "too many headers": (b"GET /v1/files HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 1_000 + b"\r\n", 431),
}


@pytest.mark.parametrize(("request_bytes", "status"), BEFORE_THE_APPLICATION.values(), ids=BEFORE_THE_APPLICATION)
def test_what_is_no_request_is_refused_by_the_server_and_it_goes_on(tenant: Tenant, request_bytes: bytes, status: int):
    assert ask(tenant.server, request_bytes).status_code == status
    assert_list(tenant.client.get("/files"), [], total=0)
