from __future__ import annotations

import json
import secrets
from pathlib import Path

import httpx2
import pytest

from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES, Scope
from fileplane.errors import NotProvided
from fileplane.http.routes import OPERATIONS, Operation
from fileplane.http.tus_handlers import TUS
from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import FORM_TYPE, field, file_part, form, send, simple_form, uploaded
from support.path_values import filled, ids_of, is_of_providers, unknown
from support.polling import eventually
from support.server import RunningServer, running_server
from support.tenants import NewTenant, Tenant
from support.tus import headers_of as tus_headers_of
from support.wire import ask, request_head

GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]
OPEN = [operation for operation in OPERATIONS if operation.scope is None]
PLACEHOLDERS = ["OPENAI_API_KEY", "DUMMY-KEY"]
HOSTILE_KEYS = [
    "x",
    "fpk_",
    "null",
    "undefined",
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE api_keys; --",
    "x' UNION SELECT * FROM api_keys --",
    "%",
    "fpk_%",
    "*",
    "../../etc/passwd",
    "${jndi:ldap://x}",
    "fpk_" + "A" * 43,
    "fpk_" + "A" * 20_000,
]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def call(server: RunningServer, operation: Operation, headers: dict[str, str], file_id: str = "unknown") -> httpx2.Response:
    url = server.url + filled(operation.path, unknown(operation.path) | {"file_id": file_id})
    body: dict[str, object] = {"headers": headers}
    if operation.takes is not None:
        body = {"json": {}, "headers": headers}
    elif operation.path.startswith(TUS):
        body = {"headers": {**headers, **tus_headers_of(operation.method)}}
    elif operation.method == "POST":
        body = {"content": simple_form(), "headers": {"content-type": FORM_TYPE, **headers}}
    return httpx2.request(operation.method, url, trust_env=False, verify=False, **body)


def assert_no_key(response: httpx2.Response) -> None:
    message = assert_openai_error(response, 401, None)
    assert message.startswith("You didn't provide an API key.")
    assert response.headers["www-authenticate"] == "Bearer"


def assert_wrong_key(response: httpx2.Response) -> None:
    assert_openai_error(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("operation", GUARDED, ids=named)
def test_each_file_call_needs_a_key(server: RunningServer, operation: Operation):
    missing, wrong = (call(server, operation, headers) for headers in ({}, {"Authorization": "Bearer fpk_wrong"}))
    if operation.method == "HEAD":
        assert [(response.status_code, response.content) for response in (missing, wrong)] == [(401, b"")] * 2
        return
    assert_no_key(missing)
    assert_wrong_key(wrong)


@pytest.mark.parametrize("operation", OPEN, ids=named)
def test_the_health_checks_and_the_document_need_none(server: RunningServer, operation: Operation):
    assert call(server, operation, {}).status_code == operation.status
    assert call(server, operation, {"Authorization": "Bearer fpk_wrong"}).status_code == operation.status


def statuses_of_an_unknown(operation: Operation) -> set[int]:
    """What :func:`call` is answered with by whoever may do it: it names nothing that exists, and its body may lack everything."""
    if NotProvided in operation.fails_with or is_of_providers(operation.path):
        return {501}
    if operation.takes is not None:
        return {200, 400, 404}
    return {404} if ids_of(operation.path) else {operation.status}


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES))
def test_a_key_with_one_scope_may_do_what_that_scope_allows_and_nothing_else(new_tenant: NewTenant, scope: str):
    tenant = new_tenant(scopes=frozenset({scope}))
    for operation in GUARDED:
        assert_let_in_by(scope, operation, call(tenant.server, operation, tenant.headers))


def assert_let_in_by(scope: str, operation: Operation, response: httpx2.Response) -> None:
    if scope in operation.scopes and scope not in ORGANISATION_SCOPES:
        assert response.status_code in statuses_of_an_unknown(operation), operation.path
    elif operation.method == "HEAD":
        assert (response.status_code, response.content) == (403, b"")
    else:
        message = assert_openai_error(response, 403, "missing_scope", type="permission_error")
        assert f"'{operation.scope}'" in message


def test_a_key_without_any_scope_may_do_nothing(new_tenant: NewTenant):
    tenant = new_tenant(scopes=frozenset())
    for operation in GUARDED:
        assert call(tenant.server, operation, tenant.headers).status_code == 403


def test_a_key_may_read_the_files_that_another_key_of_its_project_has_written(new_tenant: NewTenant):
    writer = new_tenant(scopes=frozenset({Scope.FILES_WRITE.value}))
    reader = new_tenant(project_id=writer.key.project_id, scopes=frozenset({Scope.FILES_READ.value}))
    file = uploaded(writer.client, b"shared")
    assert_file(reader.client.get(f"/files/{file['id']}"), **file)
    assert reader.client.get(f"/files/{file['id']}/content").content == b"shared"
    assert_openai_error(reader.client.delete(f"/files/{file['id']}"), 403, "missing_scope", type="permission_error")
    assert_openai_error(writer.client.get("/files"), 403, "missing_scope", type="permission_error")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_taken_in_any_case(tenant: Tenant, scheme: str):
    response = httpx2.get(f"{tenant.server.base_url}/files", headers={"Authorization": f"{scheme} {tenant.key.plain}"}, trust_env=False)
    assert_list(response, [], total=0)


@pytest.mark.parametrize(
    "authorization", ["Basic {key}", "Token {key}", "{key}", "Bearer", "Bearer ", "Bearer\t", "Bearer:{key}", "Digest x"]
)
def test_another_scheme_is_no_key(tenant: Tenant, authorization: str):
    value = authorization.format(key=tenant.key.plain)
    assert_no_key(ask(tenant.server, request_head("GET", "/v1/files", ("Authorization", value))))


@pytest.mark.parametrize(
    "authorization", [None, *(f"Bearer {name}" for name in PLACEHOLDERS), "Bearer sk-provider-key", "Basic eA==", "same"]
)
def test_the_portkey_header_is_the_key_whatever_authorization_holds(tenant: Tenant, authorization: str | None):
    headers = {"x-portkey-api-key": tenant.key.plain}
    if authorization is not None:
        headers["Authorization"] = f"Bearer {tenant.key.plain}" if authorization == "same" else authorization
    assert_list(httpx2.get(f"{tenant.server.base_url}/files", headers=headers, trust_env=False), [], total=0)


def test_a_wrong_portkey_header_is_not_mended_by_a_good_authorization(tenant: Tenant):
    headers = tenant.headers | {"x-portkey-api-key": "fpk_wrong"}
    assert_wrong_key(httpx2.get(f"{tenant.server.base_url}/files", headers=headers, trust_env=False))


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_no_key(server: RunningServer, placeholder: str):
    response = httpx2.get(f"{server.base_url}/files", headers={"Authorization": f"Bearer {placeholder}"}, trust_env=False)
    assert_wrong_key(response)


@pytest.mark.parametrize("header", ["Authorization", "x-portkey-api-key"])
@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: key[:30])
def test_a_hostile_key_is_a_wrong_key(server: RunningServer, client: httpx2.Client, header: str, key: str):
    value = f"Bearer {key}" if header == "Authorization" else key
    response = httpx2.get(f"{server.base_url}/files", headers={header: value}, trust_env=False)
    assert_wrong_key(response)
    assert len(key) < 10 or key not in response.text
    assert client.get("/files", params={"limit": 1}).status_code == 200


@pytest.mark.parametrize("key", [b"\xff\xfe\xfd", "ключ".encode(), "🔑".encode(), b"fpk_\xe9", b"a b", b"a\tb", b"\x80" * 43])
def test_a_key_of_other_than_ascii_bytes_is_a_wrong_key(server: RunningServer, key: bytes):
    for header in (("Authorization", b"Bearer " + key), ("x-portkey-api-key", key)):
        assert_wrong_key(ask(server, request_head("GET", "/v1/files", header)))


def test_a_key_is_compared_to_the_last_character(tenant: Tenant):
    key = tenant.key.plain
    for other in (key[:-1], key + "x", key[:-1] + ("a" if key[-1] != "a" else "b"), key.upper(), key.removeprefix("fpk_"), f'"{key}"'):
        assert_wrong_key(ask(tenant.server, request_head("GET", "/v1/files", ("Authorization", f"Bearer {other}"))))


@pytest.mark.parametrize("order", [1, -1], ids=["good first", "good last"])
def test_of_two_different_keys_neither_counts(tenant: Tenant, order: int):
    for header, prefix in (("Authorization", "Bearer "), ("x-portkey-api-key", "")):
        pair = [(header, prefix + key) for key in (tenant.key.plain, "fpk_wrong")][::order]
        assert_wrong_key(ask(tenant.server, request_head("GET", "/v1/files", *pair)))


def test_a_key_in_the_query_or_a_cookie_is_no_key(tenant: Tenant):
    key = tenant.key.plain
    assert_no_key(httpx2.get(f"{tenant.server.base_url}/files?api_key={key}&key={key}", trust_env=False))
    assert_no_key(httpx2.get(f"{tenant.server.base_url}/files", headers={"cookie": f"Authorization=Bearer {key}"}, trust_env=False))


def test_an_expired_key_does_not_work(new_tenant: NewTenant):
    expired = new_tenant(expires_in=-1)
    for operation in GUARDED:
        assert call(expired.server, operation, expired.headers).status_code == 401
    assert "expired" in assert_openai_error(expired.client.get("/files"), 401, "invalid_api_key")


def test_a_key_of_one_project_sees_nothing_of_another(new_tenant: NewTenant):
    one, other = new_tenant(), new_tenant()
    file = uploaded(one.client)
    assert_openai_error(other.client.get(f"/files/{file['id']}"), 404, None, param="id")
    assert_list(other.client.get("/files"), [], total=0)


def test_a_refused_upload_is_not_kept_for_whoever_sent_it(new_tenant: NewTenant):
    reader = new_tenant(scopes=frozenset({"files.read"}))
    body = form(field("purpose", "user_data"), file_part(secrets.token_bytes(2_000_000)))
    assert_openai_error(send(reader.client, body), 403, "missing_scope", type="permission_error")
    assert_list(reader.client.get("/files"), [], total=0)


def test_a_revoked_key_stops_working_on_every_worker_within_five_seconds(tmp_path: Path):
    workers, attempts = 2, 24
    with running_server(tmp_path / "data", workers=workers) as server:
        doomed = json.loads(server.run("key", "create", "--name", "doomed", "--json").stdout)
        key = {"Authorization": f"Bearer {doomed['key']}"}

        def statuses() -> set[int]:
            # A connection each, so that the kernel spreads them over the workers.
            return {httpx2.get(f"{server.base_url}/files", headers=key, trust_env=False, verify=False).status_code for _ in range(attempts)}

        assert statuses() == {200}
        assert server.run("key", "revoke", doomed["id"]).returncode == 0
        eventually(lambda: statuses() == {401}, "the key stops working", seconds=5)
        assert "revoked" in assert_openai_error(
            httpx2.get(f"{server.base_url}/files", headers=key, trust_env=False), 401, "invalid_api_key"
        )
