"""How the client reaches a server: TLS, proxies, and what it believes and tells nobody."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fileplane.client import Client, ClientError, MissingKey, NotConfigured, Unavailable
from support.meddler import Meddler, sha256
from support.ports import free_port
from support.server import RunningServer, running_server

TLS = Path(__file__).parents[1] / "support" / "tls"
CONTENT = random.Random(9).randbytes(1_000_000)
CANARY = "fpk_canary0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    arguments = ("--tls-cert", str(TLS / "cert.pem"), "--tls-key", str(TLS / "key.pem"))
    directory = tmp_path_factory.mktemp("tls") / "data"
    with pytest.MonkeyPatch.context() as patch, running_server(directory, scheme="https", arguments=arguments) as running:
        patch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
        yield running


@pytest.fixture
def tunnels() -> Iterator[list[bytes]]:
    """A proxy for what is named by CONNECT; the heads of what it was asked, of which the first entry is its port."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        heads.append(str(listener.getsockname()[1]).encode())
        thread = threading.Thread(target=accept, args=(listener, heads))
        thread.start()
        yield heads
        socket.create_connection(listener.getsockname()).close()
        thread.join(30)


def accept(listener: socket.socket, heads: list[bytes]) -> None:
    carriers: list[threading.Thread] = []
    while True:
        near, _ = listener.accept()
        head = near.recv(65_536)
        if not head:
            near.close()
            break
        heads.append(head)
        host, port = head.split()[1].decode().split(":")
        far = socket.create_connection((host, int(port)))
        near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        carriers.append(threading.Thread(target=carry_both, args=(near, far)))
        carriers[-1].start()
    for carrier in carriers:
        carrier.join(30)


def carry_both(near: socket.socket, far: socket.socket) -> None:
    back = threading.Thread(target=carry, args=(far, near))
    with near, far:
        back.start()
        carry(near, far)
        back.join(30)


def carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def both_ways(server: RunningServer, directory: Path) -> None:
    source = directory / "source"
    source.write_bytes(CONTENT)
    with Client(server.base_url, server.api_key, part_bytes=100_000, parallel_from=1, state_directory=directory) as client:
        file = client.upload(source, purpose="user_data", settle_seconds=60)
        assert client.download(file.id, directory / "copy").verified
    assert file.sha256 == sha256((directory / "copy").read_bytes()) == sha256(CONTENT)


def test_parts_and_ranges_go_over_tls(tls_server: RunningServer, tmp_path: Path) -> None:
    both_ways(tls_server, tmp_path)


def test_tls_goes_through_the_environments_proxy_which_gets_its_own_credentials_and_no_key(
    tls_server: RunningServer, tunnels: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{tunnels[0].decode()}")
    both_ways(tls_server, tmp_path)
    assert len(tunnels) > 2
    for head in tunnels[1:]:
        assert head.startswith(f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.".encode())
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in head
        assert tls_server.api_key.encode() not in head


def test_a_server_that_nobody_vouches_for_is_sent_nothing_and_not_asked_again(
    tls_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    with pytest.raises(Unavailable, match="certificate") as caught:
        both_ways(tls_server, tmp_path)
    assert not caught.value.passing


def test_a_proxy_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(NotConfigured) as caught:
        Client("https://files.example.com/v1", CANARY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["files.example.com", "ftp://a/v1", "http://u:secret@a/v1", "http://", "http://a:99999", "http://a /v1", "http://a/\n"]
)
def test_what_is_no_server_is_refused(base_url: str) -> None:
    with pytest.raises(NotConfigured, match="base_url"):
        Client(base_url, CANARY)


@pytest.mark.parametrize("key", ["a\nb", "ä", "a b"])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        Client("http://127.0.0.1/v1", key)
    assert key not in str(caught.value)


def test_without_a_key_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FILEPLANE_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingKey, match="FILEPLANE_API_KEY"):
        Client("http://127.0.0.1/v1")


def test_server_and_key_come_from_the_environment(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", server.api_key)
    (tmp_path / "x").write_bytes(b"x")
    with Client() as client:
        assert client.upload(tmp_path / "x", purpose="user_data").bytes == 1


def test_neither_key_nor_credentials_are_told_by_what_a_server_says(proxy: Meddler, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    provider = "sk-provider0123456789"
    headers = {
        "x-portkey-provider": "openai",
        "authorization": f"Bearer {provider}",
        "x-portkey-custom-host": f"http://{provider}.invalid/v1",
    }
    with Client(proxy.base_url, CANARY, headers=headers) as client, pytest.raises(ClientError) as caught:
        client.upload(tmp_path / "x", purpose="user_data")
    assert CANARY not in str(caught.value)
    assert provider not in str(caught.value)


def test_a_server_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    with Client(base_url, CANARY) as client, pytest.raises(Unavailable, match="cannot be reached"):
        client.upload(tmp_path / "x", purpose="user_data")
