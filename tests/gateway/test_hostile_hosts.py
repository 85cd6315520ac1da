"""No header, field or resolver leads a call to where it must not go: the whole HTTP API over a resolver that lies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import httpx2
import pytest

from fileplane.providers.egress import Egress
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider
from support import in_process as in_process_module
from support.in_process import InProcess, in_process, pieces

FORM = b"multipart/form-data; boundary=b"
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--b--\r\n'
)
CALLS = {
    "upload": ("POST", "/v1/files"),
    "list": ("GET", "/v1/files"),
    "retrieve": ("GET", "/v1/files/file-some"),
    "content": ("GET", "/v1/files/file-some/content"),
    "head": ("HEAD", "/v1/files/file-some/content"),
    "delete": ("DELETE", "/v1/files/file-some"),
}
INSIDE = [
    "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "0.0.0.0", "0.1.2.3", "192.0.0.192", "198.18.0.1", "192.0.2.1", "224.0.0.251", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001:0:a00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "2001:db8::1",
]  # fmt: skip
HOSTS = [
    "http://localhost", "https://localhost.", "https://metadata.google.internal/computeMetadata/v1", "https://instance-data.local",
    "https://127.0.0.1", "https://127.1", "https://0x7f000001", "https://2130706433", "https://017700000001", "https://0", "https://[::1]",
    "https://[::ffff:7f00:1]", "https://[::ffff:169.254.169.254]", "https://[64:ff9b::7f00:1]", "https://[fe80::1%25eth0]",
    "https://169.254.169.254", "http://public.example", "https://user@public.example", "https://user:secret@public.example",
    "https://public.example@127.0.0.1", "https://public.example#@127.0.0.1", "https://public.example\\@127.0.0.1",
    "https://127.0.0.1\\.public.example", "https://public.example?x=/v1", "https://public.example/#", "https://public.example/v1/../..",
    "https://public.example/%2e%2e/", "https://public.example/%2f", "https://127.0.0.1%2epublic.example", "https://%31%32%37.0.0.1",
    "https://public.example:0", "https://public.example:99999", "https://public.example:22x", "https://public.example:", "https://:443",
    "https://127。0。0。1", "https://①②⑦.0.0.1", "https://public.example\u2024internal", "https://xn--", "https://a..b",
    "https://public.example /v1", "https://public.example\t", "file:///etc/passwd", "gopher://127.0.0.1:25/", "ftp://public.example",
    "//public.example", "public.example", "https:/public.example", "https:///public.example", "javascript:alert(1)", "unix:/run/x.sock",
]  # fmt: skip
RESOURCES = [
    "evil.example#",
    "evil.example/",
    "evil.example?",
    "a@evil.example",
    "a/../b",
    "a\\b",
    "a%2eb",
    "a.b",
    "a:443",
    "-a",
    "a-",
    "a。b",
    "..",
    "a b",
]


class Hostile:
    """Resolves every name to the next of its answers, and the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Sequence[str]] = [[]]
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError(f"no such host: {host}:{port}")
        return found


@pytest.fixture(scope="module")
def resolver() -> Hostile:
    return Hostile()


@asynccontextmanager
async def gateway(directory: Path, resolver: Hostile, **settings: object) -> AsyncIterator[InProcess]:
    made: list[Egress] = []

    def hostile(chosen: Settings) -> Egress:
        made.append(Egress(chosen, lookup=resolver))
        return made[-1]

    with patch.object(in_process_module, "Egress", hostile):
        async with in_process(directory, egress_connect_seconds=0.2, egress_breaker_failures=0, **settings) as place:
            try:
                yield place
            finally:
                for egress in made:
                    await egress.close()


async def call(place: InProcess, name: str, headers: dict[str, str]) -> httpx2.Response:
    method, path = CALLS[name]
    sent = {"x-portkey-api-key": in_process_module.KEY, "authorization": "Bearer sk-caller-own", "x-portkey-provider": "openai", **headers}
    raw = [(key.encode(), value.encode("utf-8")) for key, value in sent.items()]
    if name == "upload":
        raw += [(b"content-type", FORM), (b"content-length", str(len(BODY)).encode())]
    return await place.request(method, path, pieces(BODY) if name == "upload" else pieces(), raw)


def _assert_refused(answer: httpx2.Response, name: str, status: int = 400) -> None:
    assert answer.status_code == status, answer.text
    if name != "head":
        assert answer.json()["error"]["type"] in {"invalid_request_error", "upstream_error"}
        assert "169.254" not in answer.text
        assert "10.0.0." not in answer.text


@pytest.mark.parametrize("name", CALLS)
async def test_no_call_goes_to_an_address_inside_whatever_name_leads_there(tmp_path: Path, resolver: Hostile, name: str) -> None:
    async with gateway(tmp_path / "data", resolver) as place:
        for address in INSIDE:
            for answers in ([address], ["93.184.215.14", address], [address, "93.184.215.14"]):
                resolver.answers = [answers]
                _assert_refused(await call(place, name, {"x-portkey-custom-host": "https://public.example/v1"}), name)


@pytest.mark.parametrize("name", ["upload", "list"])
async def test_no_spelling_of_a_custom_host_leads_inside_or_is_read_in_two_ways(tmp_path: Path, resolver: Hostile, name: str) -> None:
    resolver.answers = [["127.0.0.1"]]
    async with gateway(tmp_path / "data", resolver) as place:
        for host in HOSTS:
            _assert_refused(await call(place, name, {"x-portkey-custom-host": host}), name)
            config = json.dumps({"provider": "openai", "api_key": "sk-x", "custom_host": host})
            _assert_refused(await call(place, name, {"x-portkey-config": config, "x-portkey-provider": "openai"}), name)


@pytest.mark.parametrize("field", ["azure-resource-name", "azure-entra-tenant-id", "azure-api-version"])
async def test_no_field_that_forms_a_url_leads_elsewhere(tmp_path: Path, resolver: Hostile, field: str) -> None:
    resolver.answers = [["127.0.0.1"]]
    async with gateway(tmp_path / "data", resolver) as place:
        entra = {f"x-portkey-azure-entra-{name}": "good" for name in ("tenant-id", "client-id", "client-secret")}
        base = {"x-portkey-provider": "azure-openai", "x-portkey-azure-resource-name": "good"}
        if field == "azure-entra-tenant-id":
            base |= {**entra, "x-portkey-azure-auth-mode": "entra"}
        resolver.asked.clear()
        for value in RESOURCES:
            if field == "azure-entra-tenant-id" and value == "a.b":
                continue  # a domain name is a tenant
            _assert_refused(await call(place, "list", {**base, f"x-portkey-{field}": value}), "list")
        assert resolver.asked == []


@pytest.mark.parametrize("given", ["file-some/../../x", "..", "file%2fsome", "a?b", "a#b", "a\\b", "a\r\nb"])
async def test_no_id_forms_another_url(tmp_path: Path, resolver: Hostile, given: str) -> None:
    resolver.answers = [["93.184.215.14"]]
    async with gateway(tmp_path / "data", resolver) as place:
        quoted = "".join(f"%{byte:02x}" for byte in given.encode())
        resolver.asked.clear()
        with patch.dict(CALLS, {"retrieve": ("GET", f"/v1/files/{quoted}"), "content": ("GET", f"/v1/files/{quoted}/content")}):
            for name in ("retrieve", "content"):
                answer = await call(place, name, {"x-portkey-custom-host": "https://public.example/v1"})
                assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id")
        assert resolver.asked == []


@asynccontextmanager
async def allowed(directory: Path, resolver: Hostile) -> AsyncIterator[tuple[InProcess, FakeProvider, dict[str, str]]]:
    """A gateway and a provider at a name that resolves to this machine, which the operator allows."""
    async with fake_provider() as fake, gateway(directory, resolver, egress_allow=("127.0.0.1",)) as place:
        yield place, fake, {"x-portkey-custom-host": f"http://public.example:{fake.port}/v1"}


async def test_a_name_that_changes_its_mind_between_two_calls_is_followed_to_neither_metadata_nor_inside(
    tmp_path: Path, resolver: Hostile
) -> None:
    async with allowed(tmp_path / "data", resolver) as (place, fake, headers):
        for second in ("169.254.169.254", "10.0.0.1", "::1", "127.0.0.2"):
            resolver.answers = [["127.0.0.1"], [second]]
            assert (await call(place, "upload", headers)).status_code == 200
            # An upload has a connection of its own, so its name is asked for again.
            _assert_refused(await call(place, "upload", headers), "upload")
        assert len(fake.requests_for("upload")) == 4


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "http://inside.example/", "https://[fd00:ec2::254]/", "file:///x"]
)
async def test_a_redirect_inside_is_not_followed_and_no_other_is_with_credentials(tmp_path: Path, resolver: Hostile, location: str) -> None:
    async with allowed(tmp_path / "data", resolver) as (place, fake, headers):
        for name in CALLS:
            resolver.answers = [["127.0.0.1"], ["10.0.0.1"]]
            fake.plan(Fault("redirect", location=location))
            answer = await call(place, name, headers)
            _assert_refused(answer, name, 502)
            fake.faults.clear()
        assert {request.headers["host"] for request in fake.requests} == {f"public.example:{fake.port}"}


async def test_the_environments_proxies_are_not_used(tmp_path: Path, resolver: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_provider() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with allowed(tmp_path / "data", resolver) as (place, fake, headers):
            resolver.answers = [["127.0.0.1"]]
            assert (await call(place, "list", headers)).status_code == 200
            assert len(fake.requests) == 1
        assert proxy.connections == 0
