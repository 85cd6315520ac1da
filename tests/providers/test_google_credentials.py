"""How Google is authenticated with: tokens, service accounts, and the identities of machines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fileplane.errors import CredentialUnavailable, InvalidValue, ProviderRefused, UnsupportedProviderOperation, UpstreamTimeout
from fileplane.providers.base import Provider, RemoteQuery, RemoteUpload, Target
from fileplane.providers.egress import Egress
from fileplane.providers.google_assertions import SCOPE, TOKEN_URI
from fileplane.providers.google_credentials import GoogleTokens
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider
from fileplane.testing.fake_provider.gcs import BUCKET
from fileplane.testing.provider_world import eventually
from support.server import fileplane_environment

FIELDS = {"vertex_storage_bucket_name": BUCKET, "file_purpose": "upload"}
EMAIL = "files@project.iam.gserviceaccount.com"
REFUSED = Fault("refuse", status=401, body={"error": {"code": 401, "message": "Invalid Credentials"}})


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider("vertex-ai") as running:
        yield running


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(Settings(egress_allow=("127.0.0.1",), egress_first_byte_seconds=0.5, egress_connect_seconds=0.5))
    yield egress
    await egress.close()


def adapter_of(egress: Egress, clock: Clock | None = None) -> Provider:
    return Registry(egress, google=GoogleTokens(egress, now=clock or Clock())).get("vertex-ai")


def account_target(fake: FakeProvider, document: str | None = None, **members: object) -> Target:
    document = document or fake.google.service_account(f"{fake.url}/token", **members)
    return Target("vertex-ai", {"vertex_service_account_json": Secret(document)}, FIELDS, custom_host=fake.base_url)


def machine_target(fake: FakeProvider) -> Target:
    return Target("vertex-ai", {}, {**FIELDS, "vertex_auth_mode": "machine"}, custom_host=fake.base_url, stored=True)


def upload() -> RemoteUpload:
    async def content() -> AsyncIterator[bytes]:
        yield b"{}\n"

    return RemoteUpload("batch", "a.jsonl", "application/jsonl", content(), length=3)


async def test_an_access_token_is_sent_as_it_is(fake: FakeProvider, egress: Egress):
    await adapter_of(egress).list(Target("vertex-ai", {"api_key": Secret("ya29.own")}, FIELDS, custom_host=fake.base_url), RemoteQuery())
    assert [request.headers["authorization"] for request in fake.requests] == ["Bearer ya29.own"]


async def test_a_service_account_s_signature_is_exchanged_for_a_token_of_cloud_storage_alone(fake: FakeProvider, egress: Egress):
    await adapter_of(egress).list(account_target(fake), RemoteQuery())
    asked, listed = fake.requests
    assert (asked.document["iss"], asked.document["scope"], asked.document["aud"]) == (EMAIL, SCOPE, f"{fake.url}/token")
    assert "authorization" not in asked.headers
    assert listed.headers["authorization"] == f"Bearer token-1-of-{EMAIL}"


async def test_a_signature_by_another_key_gives_no_token(fake: FakeProvider, egress: Egress):
    stale = fake.google.service_account(f"{fake.url}/token")
    fake.google.service_account(f"{fake.url}/token")
    with pytest.raises(ProviderRefused, match="Invalid JWT Signature") as caught:
        await adapter_of(egress).list(account_target(fake, stale), RemoteQuery())
    assert caught.value.status == 400
    told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert json.loads(stale)["private_key"][60:100] not in told
    assert fake.requests_for("list") == []


async def test_a_token_is_fetched_once_for_all_who_want_it_and_again_before_it_expires(fake: FakeProvider, egress: Egress):
    clock = Clock()
    adapter, target = adapter_of(egress, clock), account_target(fake)
    await asyncio.gather(*[adapter.list(target, RemoteQuery()) for _ in range(10)])
    assert fake.tokens_issued == 1
    clock.now += 3_599 - 226
    await adapter.list(target, RemoteQuery())
    assert fake.tokens_issued == 1
    clock.now += 2
    await adapter.list(target, RemoteQuery())
    assert fake.tokens_issued == 2
    await adapter.list(account_target(fake, email="other@project.iam.gserviceaccount.com"), RemoteQuery())
    assert fake.tokens_issued == 3


@pytest.mark.parametrize("operation", ["list", "get", "content", "delete"])
async def test_a_kept_token_that_is_refused_is_replaced_and_the_call_made_once_more(fake: FakeProvider, egress: Egress, operation: str):
    adapter, target = adapter_of(egress), account_target(fake)
    file_id = (await adapter.upload(target, upload())).id
    fake.plan(replace(REFUSED, operation=operation))
    await call(adapter, target, operation, file_id)
    sent = [request.headers["authorization"] for request in fake.requests_for(operation)]
    assert sent == [f"Bearer token-1-of-{EMAIL}", f"Bearer token-2-of-{EMAIL}"]


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


async def test_an_upload_is_not_sent_again_but_the_next_one_has_a_new_token(fake: FakeProvider, egress: Egress):
    adapter, target = adapter_of(egress), account_target(fake)
    await adapter.list(target, RemoteQuery())
    fake.plan(replace(REFUSED, operation="upload"))
    with pytest.raises(ProviderRefused):
        await adapter.upload(target, upload())
    assert len(fake.requests_for("upload")) == 1
    await adapter.upload(target, upload())
    assert fake.tokens_issued == 2


async def test_a_token_endpoint_that_does_not_answer_is_no_upload_in_doubt(fake: FakeProvider, egress: Egress):
    fake.plan(Fault("hang_before", operation="token"))
    with pytest.raises(UpstreamTimeout):
        await adapter_of(egress).upload(account_target(fake), upload())
    assert fake.requests_for("upload") == []


@pytest.mark.parametrize(
    "token_uri",
    [
        "https://evil.example/token",
        "https://oauth2.googleapis.com.evil.example/token",
        "https://oauth2.googleapis.com/token?x=1",
        "https://oauth2.googleapis.com@evil.example/token",
        "http://oauth2.googleapis.com/token",
        "http://169.254.169.254/computeMetadata/v1/",
        "https://93.184.215.14/token",
        "file:///etc/passwd",
        "",
    ],
)
async def test_an_assertion_goes_to_google_alone_unless_the_operator_names_another_host(fake: FakeProvider, egress: Egress, token_uri: str):
    with pytest.raises(InvalidValue) as caught:
        await adapter_of(egress).list(account_target(fake, token_uri=token_uri), RemoteQuery())
    assert "private" not in caught.value.message
    assert fake.requests == []


async def test_a_key_that_names_no_endpoint_is_google_s_own(fake: FakeProvider):
    asked = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    egress = Egress(Settings(), lookup=lookup)
    try:
        with pytest.raises(InvalidValue):  # an address inside
            await adapter_of(egress).list(account_target(fake, token_uri=None), RemoteQuery())
    finally:
        await egress.close()
    assert asked == [("oauth2.googleapis.com", 443)]
    assert TOKEN_URI == "https://oauth2.googleapis.com/token"


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"client_email": "a"}',
        '{"client_email": 1, "private_key": "k"}',
        '{"client_email": "a", "private_key": "not PEM"}',
        '{"client_email": "a", "private_key": "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n"}',
        "[" * 50_000,
    ],
    ids=["empty", "a list", "an object", "no key", "a number", "no PEM", "a broken PEM", "deeply nested"],
)
async def test_a_service_account_that_is_none_is_refused_before_anything_is_sent(fake: FakeProvider, egress: Egress, document: str):
    secrets = {"vertex_service_account_json": Secret(document)}
    with pytest.raises(InvalidValue) as caught:
        await adapter_of(egress).list(Target("vertex-ai", secrets, FIELDS, custom_host=fake.base_url), RemoteQuery())
    assert caught.value.param == "x-portkey-vertex-service-account-json"
    assert fake.requests == []


async def test_all_who_wait_for_a_token_that_does_not_come_are_told_so_together(fake: FakeProvider, egress: Egress):
    adapter, target = adapter_of(egress), account_target(fake)
    fake.plan(Fault("hang", operation="token", times=100))
    calls = (adapter.list(target, RemoteQuery()) for _ in range(5))
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [UpstreamTimeout] * 5
    assert len(fake.requests_for("token")) == 1
    fake.reset()
    await adapter.list(target, RemoteQuery())


async def test_one_who_gives_up_waiting_for_a_token_leaves_it_to_the_others(fake: FakeProvider, egress: Egress):
    adapter, target = adapter_of(egress), account_target(fake)
    fake.plan(Fault("hang", operation="token"))
    first, second = (asyncio.ensure_future(adapter.list(target, RemoteQuery())) for _ in range(2))
    await eventually(lambda: fake.requests_for("token"), "the token is asked for")
    first.cancel()
    assert (await second).files == ()


async def test_the_target_s_timeout_holds_for_the_token_too(fake: FakeProvider):
    patient = Egress(Settings(egress_allow=("127.0.0.1",), egress_first_byte_seconds=600, egress_connect_seconds=600))
    fake.plan(Fault("hang", operation="token"))
    hasty = replace(account_target(fake), request_timeout_seconds=0.2)
    with pytest.raises(UpstreamTimeout):
        await adapter_of(patient).list(hasty, RemoteQuery())
    await patient.close()


async def test_a_key_whose_numbers_are_too_large_is_refused_before_it_is_looked_at(fake: FakeProvider, egress: Egress):
    document = account_document((1 << 9_689) - 1, (1 << 9_941) - 1)
    with pytest.raises(InvalidValue, match="no RSA key"):
        await adapter_of(egress).list(account_target(fake, document), RemoteQuery())
    assert fake.requests == []


def account_document(p: int, q: int, token_uri: str = TOKEN_URI) -> str:
    """A service account of these two primes."""
    d = pow(65_537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65_537, p * q))
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return json.dumps({"client_email": EMAIL, "private_key": pem, "token_uri": token_uri})


@pytest.mark.parametrize("secrets", [{}, {"api_key": Secret("k")}])
async def test_no_request_has_the_machine_s_identity_for_a_credential_of_its_own(
    fake: FakeProvider, egress: Egress, secrets: dict[str, Secret]
):
    with pytest.raises(InvalidValue):
        await adapter_of(egress).list(replace(machine_target(fake), secrets=secrets, stored=False), RemoteQuery())
    assert fake.requests == []


async def test_a_workload_identity_federation_is_used_where_the_environment_has_one(
    fake: FakeProvider, egress: Egress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "subject").write_text("subject-of-the-pod")
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{fake.url}/v1/token",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    (tmp_path / "adc.json").write_text(json.dumps(document))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    adapter, target = adapter_of(egress), machine_target(fake)
    await asyncio.gather(*[adapter.list(target, RemoteQuery()) for _ in range(5)])
    assert fake.tokens_issued == 1
    assert {request.headers["authorization"] for request in fake.requests_for("list")} == {"Bearer token-1-of-subject-of-the-pod"}
    assert dict(fake.requests_for("token")[0].fields)["scope"] == SCOPE


async def test_a_machine_at_google_asks_its_metadata_server(fake: FakeProvider):
    """In a process of its own: google-auth reads where that server is when it is imported."""
    place = fake.url.removeprefix("http://")
    environment = {
        **fileplane_environment(),
        "GCE_METADATA_HOST": place,
        "GCE_METADATA_IP": place,
        "HOME": "/nonexistent",
        "GOOGLE_APPLICATION_CREDENTIALS": "",
    }
    code = "from fileplane.providers.google_machine import machine_token; print(*machine_token())"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    token, lifetime = done.stdout.split()
    assert token.endswith("-of-machine")
    assert 3_000 < float(lifetime) < 3_700
    assert {request.headers["metadata-flavor"] for request in fake.requests} == {"Google"}


async def test_a_machine_without_an_identity_says_so_and_not_where_it_looked(
    fake: FakeProvider, egress: Egress, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/at/all.json")
    with pytest.raises(CredentialUnavailable) as caught:
        await adapter_of(egress).list(machine_target(fake), RemoteQuery())
    assert "/nowhere" not in caught.value.message


async def test_without_google_auth_the_machine_s_identity_is_honestly_missing_and_service_accounts_work(
    fake: FakeProvider, egress: Egress, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name == "google.auth" or name.startswith("google.auth.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(UnsupportedProviderOperation, match=r"pip install fileplane\[gcs\]") as caught:
        await adapter_of(egress).list(machine_target(fake), RemoteQuery())
    assert caught.value.status == 501
    await adapter_of(egress).list(account_target(fake), RemoteQuery())


async def test_the_event_loop_goes_on_while_keys_are_read_and_machines_are_asked(fake: FakeProvider, egress: Egress):
    """As many signatures as would take the loop seconds do not keep it from what else there is."""
    documents = [fake.google.service_account(f"{fake.url}/token", f"a{number}@x.iam.gserviceaccount.com") for number in range(3)]
    adapter, loop = adapter_of(egress), asyncio.get_running_loop()
    threads: list[int] = []

    def watched(executor: object, function: object, *arguments: object) -> asyncio.Future[object]:
        threads.append(1)
        return original(executor, function, *arguments)

    original = loop.run_in_executor
    loop.run_in_executor = watched  # type: ignore[method-assign,assignment]
    await asyncio.gather(*[adapter.list(account_target(fake, document), RemoteQuery()) for document in documents])
    assert len(threads) == 3
