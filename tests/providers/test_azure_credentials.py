"""How Azure OpenAI is authenticated with, and where it is."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from fileplane.catalog import JobKind
from fileplane.errors import (
    CredentialUnavailable,
    InvalidValue,
    ProviderRefused,
    UpstreamAnswerInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.azure_openai import azure_openai, dialect_of
from fileplane.providers.base import Provider, RemoteQuery, RemoteUpload, Target
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.entra import DEFAULT_SCOPE, EntraTokens
from fileplane.providers.machine_identity import ManagedIdentity, managed_request
from fileplane.providers.remote_jobs import JobAction, RemoteJobQuery
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider

CLIENT_SECRET = "client-canary-0123456789"
ASSERTION = "assertion-canary-0123456789"
CLIENT = {"azure_entra_tenant_id": "contoso.com", "azure_entra_client_id": "00000000-0000-0000-0000-000000000000"}


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider("azure") as running:
        yield running


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(Settings(egress_allow=("127.0.0.1",), egress_first_byte_seconds=0.5, egress_connect_seconds=0.5))
    yield egress
    await egress.close()


def client_target(fake: FakeProvider, secret: str = CLIENT_SECRET) -> Target:
    return Target("azure-openai", {"azure_entra_client_secret": Secret(secret)}, CLIENT, custom_host=fake.base_url)


@pytest.mark.parametrize(
    ("secrets", "header", "value"),
    [
        ({"api_key": Secret("key-1")}, "api-key", "key-1"),
        ({"azure_ad_token": Secret("token-1")}, "authorization", "Bearer token-1"),
        ({"azure_ad_token": Secret("token-1"), "api_key": Secret("key-1")}, "authorization", "Bearer token-1"),
    ],
    ids=["a key", "a token", "a token rather than a key"],
)
async def test_a_key_and_a_token_each_have_their_header(
    fake: FakeProvider, egress: Egress, secrets: dict[str, Secret], header: str, value: str
):
    await azure_openai(egress).list(Target("azure-openai", secrets, custom_host=fake.base_url), RemoteQuery())
    [request] = fake.requests
    assert request.headers[header] == value
    assert len({"api-key", "authorization"} & set(request.headers)) == 1
    assert request.query == {"api-version": "2024-10-21"}


async def test_a_token_is_fetched_once_for_all_who_want_it_and_again_before_it_expires(fake: FakeProvider, egress: Egress):
    clock = Clock()
    adapter = azure_openai(egress, EntraTokens(egress, authority=fake.url, now=clock))
    target = client_target(fake)
    await asyncio.gather(*[adapter.list(target, RemoteQuery()) for _ in range(10)])
    assert fake.tokens_issued == 1
    assert dict(fake.requests_for("token")[0].fields)["scope"] == "https://cognitiveservices.azure.com/.default"
    clock.now += 3_599 - 301
    await adapter.list(target, RemoteQuery())
    assert fake.tokens_issued == 1
    clock.now += 2
    await adapter.list(target, RemoteQuery())
    assert fake.tokens_issued == 2
    await adapter.list(client_target(fake, "another-secret"), RemoteQuery())
    assert fake.tokens_issued == 3
    assert {request.headers["authorization"].split("-of-")[0] for request in fake.requests_for("list")} == {
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-3",
    }


async def test_a_client_secret_that_is_refused_is_not_told_and_nothing_is_kept(fake: FakeProvider, egress: Egress):
    adapter = azure_openai(egress, EntraTokens(egress, authority=fake.url))
    with pytest.raises(ProviderRefused) as caught:
        await adapter.list(client_target(fake, "bad-" + CLIENT_SECRET), RemoteQuery())
    assert (caught.value.status, "AADSTS7000215" in caught.value.message) == (401, True)
    assert CLIENT_SECRET not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    await adapter.list(client_target(fake), RemoteQuery())


async def test_a_token_endpoint_that_does_not_answer_is_no_upload_in_doubt(fake: FakeProvider, egress: Egress):
    fake.plan(Fault("hang_before", operation="token"))
    adapter = azure_openai(egress, EntraTokens(egress, authority=fake.url))
    with pytest.raises(UpstreamTimeout):
        await adapter.list(client_target(fake), RemoteQuery())


@pytest.fixture
def at_azure(fake: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """What Azure puts into the environment of its machines, with the fake in the place of its services."""
    (tmp_path / "assertion").write_text(f"{ASSERTION}\n", "ascii")
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": fake.url,
        "AZURE_AUTHORITY_HOST": fake.url + "/",
        "AZURE_TENANT_ID": "contoso.com",
        "AZURE_CLIENT_ID": "of-the-environment",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "assertion"),
    }.items():
        monkeypatch.setenv(name, value)
    return fake


def machine_target(fake: FakeProvider, mode: str, **fields: str) -> Target:
    return Target("azure-openai", {}, {"azure_auth_mode": mode, **fields}, custom_host=fake.base_url, stored=True)


async def test_a_managed_identity_asks_the_metadata_service_past_policy_and_proxy(at_azure: FakeProvider):
    # A port on which nobody listens: whatever would go through the proxy fails.
    egress = Egress(Settings(egress_allow=("127.0.0.1",), egress_proxy="http://127.0.0.1:9"))
    try:
        assert await EntraTokens(egress).token(ManagedIdentity("client-1", DEFAULT_SCOPE))
    finally:
        await egress.close()
    [request] = at_azure.requests
    assert (request.method, request.path, request.headers["metadata"]) == ("GET", "/metadata/identity/oauth2/token", "true")
    assert request.query == {
        "api-version": "2018-02-01", "resource": "https://cognitiveservices.azure.com", "client_id": "client-1",
    }  # fmt: skip


async def test_a_managed_identity_is_used_and_its_token_kept(at_azure: FakeProvider, egress: Egress):
    adapter, target = azure_openai(egress), machine_target(at_azure, "managed")
    await asyncio.gather(*[adapter.list(target, RemoteQuery()) for _ in range(5)])
    assert "client_id" not in at_azure.requests_for("token")[0].query
    assert {request.headers["authorization"] for request in at_azure.requests_for("list")} == {"Bearer token-1-of-0"}
    await adapter.list(machine_target(at_azure, "managed", azure_managed_client_id="another"), RemoteQuery())
    assert at_azure.tokens_issued == 2


async def test_app_service_has_an_identity_service_of_its_own(at_azure: FakeProvider, egress: Egress, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{at_azure.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header-canary")
    adapter, target = azure_openai(egress), machine_target(at_azure, "managed")
    await adapter.list(target, RemoteQuery())
    await adapter.list(target, RemoteQuery())
    [request] = at_azure.requests_for("token")
    assert (request.path, request.headers["x-identity-header"], "metadata" in request.headers) == ("/msi/token", "header-canary", False)
    assert request.query["api-version"] == "2019-08-01"


async def test_a_workload_identity_exchanges_the_assertion_of_its_file(at_azure: FakeProvider, egress: Egress, tmp_path: Path):
    adapter = azure_openai(egress)
    await adapter.list(machine_target(at_azure, "workload"), RemoteQuery())
    [request] = at_azure.requests_for("token")
    assert request.path == "/contoso.com/oauth2/v2.0/token"
    fields = dict(request.fields)
    assert (fields["client_id"], fields["grant_type"], fields["scope"]) == ("of-the-environment", "client_credentials", DEFAULT_SCOPE)
    assert at_azure.requests_for("list")[0].headers["authorization"] == f"Bearer token-1-of-{len(ASSERTION)}"
    (tmp_path / "assertion").write_text("replaced-meanwhile", "ascii")
    target = machine_target(at_azure, "workload", azure_workload_client_id="own", azure_entra_tenant_id="fabrikam.com")
    await adapter.list(target, RemoteQuery())
    request = at_azure.requests_for("token")[1]
    assert (request.path, dict(request.fields)["client_id"]) == ("/fabrikam.com/oauth2/v2.0/token", "own")
    assert at_azure.requests_for("list")[1].headers["authorization"] == "Bearer token-2-of-18"


@pytest.mark.parametrize(("missing", "mode"), [("AZURE_TENANT_ID", "workload"), ("AZURE_FEDERATED_TOKEN_FILE", "workload")])
async def test_a_machine_without_the_identity_says_so(
    at_azure: FakeProvider, egress: Egress, monkeypatch: pytest.MonkeyPatch, missing: str, mode: str
):
    monkeypatch.delenv(missing)
    with pytest.raises(CredentialUnavailable, match=missing):
        await azure_openai(egress).list(machine_target(at_azure, mode), RemoteQuery())
    monkeypatch.setenv(missing, "/nowhere/at/all")
    with pytest.raises((CredentialUnavailable, InvalidValue)) as caught:
        await azure_openai(egress).list(machine_target(at_azure, mode), RemoteQuery())
    assert "/nowhere" not in caught.value.message
    assert at_azure.requests_for("list") == []


async def test_an_identity_that_the_machine_has_not_is_told_as_the_service_says(at_azure: FakeProvider, egress: Egress):
    with pytest.raises(CredentialUnavailable, match="Identity not found"):
        await azure_openai(egress).list(machine_target(at_azure, "managed", azure_managed_client_id="bad"), RemoteQuery())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("redirect", operation="token", location="http://127.0.0.1:9/elsewhere"), CredentialUnavailable),
        (Fault("bomb", operation="token", at=1 << 22), UpstreamAnswerInvalid),
        (Fault("garbage", operation="token"), UpstreamAnswerInvalid),
        (Fault("close_response_at", operation="token", at=-1, times=2), UpstreamUnreachable),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
async def test_an_identity_service_that_misbehaves_leads_nowhere(
    at_azure: FakeProvider, egress: Egress, fault: Fault, expected: type[Exception]
):
    at_azure.plan(fault)
    adapter, target = azure_openai(egress), machine_target(at_azure, "managed")
    with pytest.raises(expected):
        await adapter.list(target, RemoteQuery())
    assert {request.operation for request in at_azure.requests} == {"token"}
    await adapter.list(target, RemoteQuery())


@pytest.mark.parametrize("mode", ["managed", "workload"])
async def test_no_request_has_the_machine_s_identity_for_a_credential_of_its_own(at_azure: FakeProvider, egress: Egress, mode: str):
    for secrets in ({}, {"api_key": Secret("k")}):
        target = replace(machine_target(at_azure, mode), secrets=secrets, stored=False)
        with pytest.raises(InvalidValue):
            await azure_openai(egress).list(target, RemoteQuery())
    assert at_azure.requests == []


@pytest.mark.parametrize("path", ["/metadata/identity/oauth2/token", "/msi/token", "/"])
async def test_nothing_else_gets_to_the_metadata_service(path: str):
    egress = Egress(Settings(egress_allow=("*.example", "169.254.0.0/16"), egress_connect_seconds=0.2))
    try:
        for host in ("169.254.169.254", "[::ffff:169.254.169.254]"):
            with pytest.raises(InvalidValue):
                async with egress.call(EgressRequest("GET", f"http://{host}{path}")):
                    raise AssertionError("unreachable")
    finally:
        await egress.close()


def test_where_a_managed_identity_is_asked_for_is_not_a_request_s_to_say():
    hostile = "x&resource=evil#@evil.example/"
    url, headers = managed_request(ManagedIdentity(hostile, hostile), {})
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("http", "169.254.169.254", "/metadata/identity/oauth2/token", "")
    assert dict(parse_qsl(parts.query)) == {"api-version": "2018-02-01", "resource": hostile, "client_id": hostile}
    assert headers == {"Metadata": "true"}
    with pytest.raises(CredentialUnavailable, match="IDENTITY_ENDPOINT"):
        managed_request(ManagedIdentity(None, DEFAULT_SCOPE), {"IDENTITY_ENDPOINT": "file:///etc/passwd", "IDENTITY_HEADER": "h"})


REFUSED = Fault("refuse", status=401, body={"error": {"code": "401", "message": "Token expired."}})


@pytest.mark.parametrize("operation", ["list", "get", "content", "delete"])
async def test_a_kept_token_that_is_refused_is_replaced_and_the_call_made_once_more(fake: FakeProvider, egress: Egress, operation: str):
    adapter, target = azure_openai(egress, EntraTokens(egress, authority=fake.url)), client_target(fake)
    file_id = (await adapter.upload(target, upload())).id
    fake.plan(replace(REFUSED, operation=operation))
    await call(adapter, target, operation, file_id)
    assert fake.tokens_issued == 2
    sent = [request.headers["authorization"].split("-of-")[0] for request in fake.requests_for(operation)]
    assert sent == ["Bearer token-1", "Bearer token-2"]
    if operation != "delete":
        fake.plan(replace(REFUSED, operation=operation, times=2))
        with pytest.raises(ProviderRefused):
            await call(adapter, target, operation, file_id)
        assert len(fake.requests_for(operation)) == 4


async def call(adapter: Provider, target: Target, operation: str, file_id: str) -> None:
    if operation == "list":
        await adapter.list(target, RemoteQuery())
    elif operation == "get":
        await adapter.get(target, file_id)
    elif operation == "delete":
        await adapter.delete(target, file_id)
    else:
        async with adapter.open(target, file_id) as content:
            assert b"".join([piece async for piece in content]) == b"{}\n"


async def test_a_job_is_begun_and_cancelled_with_a_new_token_when_a_kept_one_is_refused(fake: FakeProvider, egress: Egress):
    adapter, target = azure_openai(egress, EntraTokens(egress, authority=fake.url)), client_target(fake)
    document = {"input_file_id": (await adapter.upload(target, upload())).id, "endpoint": "/v1/chat/completions"}
    fake.plan(replace(REFUSED, operation="batches.create"))
    job = await adapter.create_job(target, JobKind.BATCH, document)
    fake.plan(replace(REFUSED, operation="batches.cancel"))
    await adapter.act_on_job(target, JobKind.BATCH, job.id, JobAction.CANCEL)
    assert fake.tokens_issued == 3
    assert [one.id for one in (await adapter.list_jobs(target, JobKind.BATCH, RemoteJobQuery())).jobs] == [job.id]


def upload() -> RemoteUpload:
    async def content() -> AsyncIterator[bytes]:
        yield b"{}\n"

    return RemoteUpload("batch", "a.jsonl", "application/jsonl", content(), length=3)


async def test_an_upload_is_not_sent_again_but_the_next_one_has_a_new_token(fake: FakeProvider, egress: Egress):
    adapter, target = azure_openai(egress, EntraTokens(egress, authority=fake.url)), client_target(fake)
    await adapter.list(target, RemoteQuery())
    fake.plan(replace(REFUSED, operation="upload"))
    with pytest.raises(ProviderRefused):
        await adapter.upload(target, upload())
    assert len(fake.requests_for("upload")) == 1
    await adapter.upload(target, upload())
    assert fake.tokens_issued == 2


async def test_a_fresh_token_or_a_key_that_is_refused_is_not_tried_again(fake: FakeProvider, egress: Egress):
    adapter = azure_openai(egress, EntraTokens(egress, authority=fake.url))
    for target in (client_target(fake), Target("azure-openai", {"api_key": Secret("k")}, custom_host=fake.base_url)):
        fake.plan(replace(REFUSED, operation="list"))
        with pytest.raises(ProviderRefused):
            await adapter.list(target, RemoteQuery())
    assert (fake.tokens_issued, len(fake.requests_for("list"))) == (1, 2)


@pytest.mark.parametrize("resource", ["", "host#", "/?", "a.b", "a/b", "a@b", "x" * 64, "-a", "evil.example/"])
async def test_a_resource_name_never_changes_where_a_call_goes(egress: Egress, resource: str):
    target = Target("azure-openai", {"api_key": Secret("k")}, {"azure_resource_name": resource})
    with pytest.raises(InvalidValue):
        await azure_openai(egress).list(target, RemoteQuery())


def test_the_version_says_which_api_is_meant():
    target = Target("azure-openai")
    assert dialect_of(target).capabilities.expiry is None
    assert dialect_of(replace(target, fields={"azure_api_version": "2024-10-21"})).capabilities.expiry is None
    assert dialect_of(replace(target, fields={"azure_api_version": "v1"})).capabilities.expiry is not None
    for version in ("", "v2", "2024-10-21&x=1", "latest"):
        with pytest.raises(InvalidValue):
            dialect_of(replace(target, fields={"azure_api_version": version}))
