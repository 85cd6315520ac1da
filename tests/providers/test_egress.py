"""The only way out: pinned addresses, credentials that stay where they belong, redirects, proxies, deadlines."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fileplane.errors import FileplaneError, InvalidValue, UpstreamAnswerInvalid, UpstreamTimeout, UpstreamUnreachable
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.request_body import RequestBody
from fileplane.secrets.values import Secret
from fileplane.settings import Settings, SettingsError
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider
from fileplane.testing.provider_world import SECRET, assert_tells_no_secret
from support.listening import listening
from support.polling import eventually_async
from support.ports import free_port

KEY = {"Authorization": Secret(f"Bearer {SECRET}")}
ALLOWED = ("127.0.0.1",)


class HostileResolver:
    """Answers each question with the next of its answers, and the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@asynccontextmanager
async def new_egress(*, resolver: HostileResolver | None = None, **settings: Any) -> AsyncIterator[Egress]:
    egress = Egress(Settings(**{"egress_allow": ALLOWED, **settings}), lookup=resolver)
    try:
        yield egress
    finally:
        await egress.close()


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as running:
        yield running


async def get(egress: Egress, url: str, **fields: Any) -> tuple[int, bytes]:
    async with egress.call(EgressRequest("GET", url, **{"secret_headers": KEY, **fields})) as response:
        return response.status, await response.read(1 << 20)


async def test_a_name_is_resolved_once_a_connection_and_the_connection_goes_to_what_was_checked(fake: FakeProvider):
    resolver = HostileResolver(["127.0.0.1"], ["127.0.0.2"])
    async with new_egress(resolver=resolver) as egress:
        url = f"http://rebinding.example.com:{fake.port}/v1/files"
        assert (await get(egress, url))[0] == 200
        assert resolver.asked == [("rebinding.example.com", fake.port)]
        assert (await get(egress, url))[0] == 200, "the connection is kept, so nobody is asked again"
        assert len(resolver.asked) == 1
        with pytest.raises(InvalidValue, match="egress_allow"):
            await get(egress, url, secret_headers={"Authorization": Secret("Bearer other")})
        assert len(resolver.asked) == 2
    assert fake.connections == 1
    assert fake.requests[0].headers["host"] == f"rebinding.example.com:{fake.port}"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1", "10.0.0.1"],
        ["10.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "::1"],
        ["127.0.0.1", "::ffff:10.0.0.1"],
        ["127.0.0.1", "0.0.0.0"],
    ],
    ids=str,
)
async def test_one_address_that_is_not_allowed_spoils_them_all(fake: FakeProvider, addresses: list[str]):
    async with new_egress(resolver=HostileResolver(addresses)) as egress:
        with pytest.raises(InvalidValue, match="egress_allow"):
            await get(egress, f"http://mixed.example.com:{fake.port}/v1/files")
    assert fake.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433", "0x7f.1", "127.1", "0"])
async def test_nothing_of_this_machine_is_reached_unless_it_is_named(fake: FakeProvider, host: str):
    async with new_egress(egress_allow=()) as egress:
        for scheme in ("http", "https"):
            with pytest.raises(InvalidValue):
                await get(egress, f"{scheme}://{host}:{fake.port}/v1/files")
    assert fake.connections == 0


async def test_plain_http_to_a_public_address_is_refused_also_when_only_the_resolver_knows_it():
    async with new_egress(resolver=HostileResolver(["93.184.215.14"])) as egress:
        with pytest.raises(InvalidValue, match="HTTPS"):
            await get(egress, "http://plain.example.com/v1/files")


async def test_a_host_that_is_named_may_be_anywhere_but_at_a_metadata_service(fake: FakeProvider):
    async with new_egress(egress_allow=("llm.internal",), resolver=HostileResolver(["127.0.0.1"], ["169.254.169.254"])) as egress:
        assert (await get(egress, f"http://llm.internal:{fake.port}/v1/files"))[0] == 200
        with pytest.raises(InvalidValue):
            await get(egress, f"http://llm.internal:{fake.port}/v1/files", secret_headers={})


async def test_a_name_that_does_not_exist_or_a_port_that_nobody_listens_on_is_unreachable():
    class Nobody(HostileResolver):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            raise OSError(f"no such host: {host}:{port}")

    async with new_egress(resolver=Nobody([])) as egress:
        with pytest.raises(UpstreamUnreachable) as caught:
            await get(egress, "https://nobody.example.com/v1/files")
        assert_tells_no_secret(caught.value)
    async with new_egress() as egress:
        with pytest.raises(UpstreamUnreachable) as caught:
            await get(egress, f"http://127.0.0.1:{free_port()}/v1/files")
        assert "127.0.0.1" not in caught.value.message


async def test_a_resolver_that_hangs_ends_by_the_deadline():
    class Hanging(HostileResolver):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return [host, str(port)]

    async with new_egress(resolver=Hanging([]), egress_connect_seconds=0.1) as egress:
        with pytest.raises(UpstreamTimeout):
            await get(egress, "https://slow.example.com/v1/files")


async def test_connections_are_kept_and_shared_only_by_the_same_credential(fake: FakeProvider):
    async with new_egress() as egress:
        url = f"{fake.base_url}/files"
        for name in ("one", "two", "one", "two", "one"):
            await get(egress, url, secret_headers={"Authorization": Secret(f"Bearer {name}")})
        assert fake.connections == 2
        by_connection = {request.connection: set() for request in fake.requests}
        for request in fake.requests:
            by_connection[request.connection].add(request.headers["authorization"])
        assert all(len(credentials) == 1 for credentials in by_connection.values())


async def test_cookies_are_neither_kept_nor_sent(fake: FakeProvider):
    fake.plan(Fault("refuse", status=200, headers={"set-cookie": "session=1; Path=/"}))
    async with new_egress() as egress:
        await get(egress, f"{fake.base_url}/files")
        await get(egress, f"{fake.base_url}/files")
    assert all("cookie" not in request.headers for request in fake.requests)


async def test_the_environment_s_proxies_are_not_read(fake: FakeProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login forged password forged\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with fake_provider() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with new_egress() as egress:
            assert (await get(egress, f"{fake.base_url}/files", secret_headers={}))[0] == 401
        assert proxy.connections == 0
    assert "authorization" not in fake.requests[0].headers


async def test_with_a_proxy_of_the_settings_calls_go_through_it_with_its_user():
    seen: list[bytes] = []

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    settings = {"resolver": HostileResolver(["127.0.0.1"]), "egress_allow": ("a.example",)}
    async with listening(proxied) as port, new_egress(egress_proxy=f"http://user:pass%40@127.0.0.1:{port}", **settings) as egress:
        assert await get(egress, "http://a.example/v1/files") == (200, b"ok")
        assert seen[0].startswith(b"GET http://a.example/v1/files HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNzQA==\r\n" in seen[0]
        for url in ("http://127.0.0.1:1/", "https://169.254.169.254/", "http://b.example/"):
            with pytest.raises(InvalidValue):
                await get(egress, url)
    assert len(seen) == 1


async def test_a_proxy_is_not_asked_for_what_is_not_allowed_also_where_only_it_knows_the_name():
    seen: list[bytes] = []

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    class Unknown(HostileResolver):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            raise OSError(f"no such host: {host}:{port}")

    async with listening(proxied) as port:
        proxy = f"http://127.0.0.1:{port}"
        async with new_egress(egress_proxy=proxy, resolver=Unknown([]), egress_allow=("10.0.0.0/8", "*.named.example")) as egress:
            assert (await get(egress, "http://a.named.example/"))[0] == 200
            with pytest.raises(InvalidValue):
                await get(egress, "http://a.other.example/")
        async with new_egress(egress_proxy=proxy, resolver=HostileResolver(["10.0.0.1"]), egress_allow=()) as egress:
            with pytest.raises(InvalidValue):
                await get(egress, "https://inside.example/")
    assert len(seen) == 1


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://127.0.0.2/", "http://0x7f.1/", "//[::1]/", "file:///etc/passwd",
     "http://user@127.0.0.1/", "", "gopher://127.0.0.1:25/", "https://[oops/x", "//["],
)  # fmt: skip
async def test_a_redirect_to_where_calls_are_not_allowed_is_not_followed(fake: FakeProvider, location: str):
    fake.plan(Fault("redirect", location=location))
    async with new_egress() as egress:
        with pytest.raises(UpstreamAnswerInvalid):
            await get(egress, f"{fake.base_url}/files/x/content", follow_redirects=True)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\x00b", "\x7f", "é", " a", "a ", "x" * 9_000], ids=repr)
async def test_nothing_ends_a_header_before_its_time(fake: FakeProvider, value: str):
    async with new_egress() as egress:
        url = f"{fake.base_url}/files"
        for fields in ({"headers": {"x-mine": value}}, {"secret_headers": {"Authorization": Secret(value)}}, {"headers": {value: "x"}}):
            with pytest.raises(InvalidValue) as caught:
                await get(egress, url, **fields)
            assert len(value) < 3 or value not in caught.value.message
    assert fake.connections == 0


async def test_a_path_that_holds_line_breaks_is_no_url(fake: FakeProvider):
    async with new_egress() as egress:
        for path in ("/v1/files\r\nX: 1", "/v1/files HTTP/1.1\r\n\r\n", "/v1/\x00"):
            with pytest.raises(InvalidValue):
                await get(egress, fake.url + path)
    assert fake.connections == 0


@pytest.mark.parametrize("fault", [Fault("huge_headers", at=20_000), Fault("many_headers", at=500)], ids=lambda fault: fault.kind)
async def test_the_head_of_an_answer_is_bounded(fake: FakeProvider, fault: Fault):
    fake.plan(fault)
    async with new_egress() as egress:
        with pytest.raises(UpstreamAnswerInvalid):
            await get(egress, f"{fake.base_url}/files")


async def test_a_head_that_never_ends_does_not_fill_the_memory():
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        while sent < 1 << 30:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async with listening(endless) as port, new_egress() as egress:
        with pytest.raises(FileplaneError):
            await get(egress, f"http://127.0.0.1:{port}/")
        assert sent < 64 << 20


async def test_a_slow_drip_ends_with_the_whole_call(fake: FakeProvider):
    fake.plan(Fault("drip", bytes_per_second=100))
    async with new_egress(egress_total_seconds=0.5, egress_idle_seconds=10) as egress:
        with pytest.raises(UpstreamTimeout):
            fake.plan(Fault("refuse", status=200, body="x" * 10_000))
            await get(egress, f"{fake.base_url}/files")


async def test_what_a_source_takes_its_time_for_is_not_held_against_the_provider(fake: FakeProvider):
    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(0.6)
        yield b"last"

    async with new_egress(egress_idle_seconds=0.2, egress_first_byte_seconds=0.3, egress_connect_seconds=0.3) as egress:
        request = EgressRequest("POST", f"{fake.base_url}/nothing", secret_headers=KEY, body=RequestBody(source()))
        async with egress.call(request) as response:
            assert response.status == 404
    assert fake.requests[0].body_bytes == 9


async def test_the_wait_for_an_answer_begins_once_there_is_a_connection(fake: FakeProvider):
    fake.plan(Fault("hang_before"))
    async with new_egress(egress_first_byte_seconds=0.3, egress_connect_seconds=600) as egress, asyncio.timeout(60):
        with pytest.raises(UpstreamTimeout):
            await get(egress, f"{fake.base_url}/files")


async def test_connections_are_bounded_and_those_that_wait_are_served(fake: FakeProvider):
    async with new_egress(egress_connections=8) as egress:
        answers = await asyncio.gather(*[get(egress, f"{fake.base_url}/files") for _ in range(30)])
    assert {status for status, _ in answers} == {200}
    assert fake.connections <= 2, "a host gets a quarter of them"


async def test_a_cancelled_call_closes_its_connection(fake: FakeProvider):
    fake.plan(Fault("hang_before"))
    async with new_egress() as egress:
        task = asyncio.ensure_future(get(egress, f"{fake.base_url}/files"))
        await eventually_async(lambda: fake.requests, "the request has arrived")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually_async(lambda: fake.open_connections == 0, "the connection is closed")


async def test_certificates_are_checked_against_the_system_and_the_setting():
    folder = Path(__file__).parents[1] / "support" / "tls"
    certificate, key = next(folder.glob("*cert*")), next(folder.glob("*key*"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    async with listening(answer, ssl=context) as port:
        url = f"https://127.0.0.1:{port}/"
        async with new_egress() as egress:
            with pytest.raises(UpstreamUnreachable, match="trusted"):
                await get(egress, url)
        async with new_egress(egress_ca=certificate, resolver=HostileResolver(["127.0.0.1"])) as egress:
            assert await get(egress, url) == (200, b"ok")
            with pytest.raises(UpstreamUnreachable):
                await get(egress, url.replace("127.0.0.1", "wrong.example"))


def test_authorities_that_cannot_be_read_keep_the_server_from_starting(tmp_path: Path):
    with pytest.raises(SettingsError, match="egress_ca"):
        Egress(Settings(egress_ca=tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(SettingsError, match="egress_ca"):
        Egress(Settings(egress_ca=tmp_path / "empty.pem"))


async def test_of_headers_that_differ_in_case_alone_one_is_sent(fake: FakeProvider):
    async with new_egress() as egress:
        headers = {"x-mine": "1", "X-Mine": "2", "authorization": "Bearer forged", "accept": "text/plain"}
        await get(egress, f"{fake.base_url}/files", headers=headers)
    names = [name.lower() for name, _ in fake.requests[0].pairs]
    assert len(names) == len(set(names))
    assert fake.requests[0].headers["x-mine"] == "2"
    assert fake.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert fake.requests[0].headers["accept"] == "text/plain"


async def test_through_a_proxy_an_encrypted_call_stays_encrypted_and_shows_the_proxy_no_credential():
    folder = Path(__file__).parents[1] / "support" / "tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    heads: list[bytes] = []

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there, out = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, out), copy(there, writer))

    settings = {"resolver": HostileResolver(["127.0.0.1"]), "egress_ca": folder / "cert.pem", "egress_allow": ("localhost",)}
    async with (
        listening(origin, ssl=context) as port,
        listening(proxied) as proxy_port,
        new_egress(egress_proxy=f"http://user:pass@127.0.0.1:{proxy_port}", **settings) as egress,
    ):
        assert await get(egress, "https://localhost/v1/files") == (200, b"ok")
    assert heads[0].startswith(b"CONNECT localhost:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in heads[0]
    assert SECRET.encode() not in heads[0]
    assert SECRET.encode() in heads[1]
    assert b"Proxy-Authorization" not in heads[1]


async def test_once_an_answer_has_begun_nothing_more_is_sent():
    taken = 0

    async def lingering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n")
        with suppress(TimeoutError):
            while await asyncio.wait_for(reader.read(1 << 16), 0.3):
                pass
        writer.write(b"no")
        await writer.drain()

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            await asyncio.sleep(0.001)
            taken += 1 << 12
            yield bytes(1 << 12)

    async with listening(lingering) as port, new_egress() as egress:
        request = EgressRequest("POST", f"http://127.0.0.1:{port}/", body=RequestBody(source()))
        async with egress.call(request) as response:
            assert (response.status, await response.read(10)) == (413, b"no")
    assert taken < 1 << 20


@pytest.mark.parametrize("comes_whole", [True, False], ids=["whole with its head", "in two pieces"])
async def test_an_answer_is_read_up_to_a_bound_however_it_comes(comes_whole: bool):
    asked_for_the_rest = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + (b"0123456789" if comes_whole else b"01234"))
        if not comes_whole:
            await asked_for_the_rest.wait()
            writer.write(b"56789")
        await writer.drain()

    async with listening(answer) as port, new_egress() as egress:
        for most in (10, 9):
            asked_for_the_rest.clear()
            async with egress.call(EgressRequest("GET", f"http://127.0.0.1:{port}/")) as response:
                reading = asyncio.create_task(response.read(most))
                await asyncio.sleep(0)
                asked_for_the_rest.set()
                if most == 10:
                    assert await reading == b"0123456789"
                    continue
                with pytest.raises(UpstreamAnswerInvalid, match="too large"):
                    await reading
