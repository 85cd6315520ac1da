"""How commands reach the server: TLS, proxies, and what the environment says of them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from cli.command_line import CommandLine
from cli.conftest import CANARY
from cli.odd_server import OddServer, json_answer
from support.server import RunningServer, running_server

TLS = Path(__file__).parents[1] / "support" / "tls"
CONTENT = bytes(range(256)) * 32_768


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    arguments = ("--tls-cert", str(TLS / "cert.pem"), "--tls-key", str(TLS / "key.pem"))
    with running_server(tmp_path_factory.mktemp("tls") / "data", scheme="https", arguments=arguments) as running:
        yield running


@pytest.fixture
def tls_cli(tls_server: RunningServer, directory: Path) -> CommandLine:
    environment = {"FILEPLANE_BASE_URL": tls_server.base_url, "FILEPLANE_API_KEY": tls_server.api_key}
    return CommandLine(directory, environment | {"SSL_CERT_FILE": str(TLS / "cert.pem")})


def test_files_go_both_ways_over_tls(tls_cli: CommandLine) -> None:
    (tls_cli.directory / "large").write_bytes(CONTENT)
    file_id = tls_cli.succeed("upload", "large", "--purpose", "user_data").partition(" ")[0]
    tls_cli.succeed("get", file_id, "--force")
    assert (tls_cli.directory / "large").read_bytes() == CONTENT


def test_a_refusal_during_an_upload_is_heard_over_tls(tls_cli: CommandLine) -> None:
    (tls_cli.directory / "large").write_bytes(CONTENT)
    assert "Incorrect API key" in tls_cli.where(FILEPLANE_API_KEY=CANARY).fail(4, "upload", "large", "--purpose", "user_data")


def test_a_server_that_no_authority_vouches_for_is_sent_nothing(tls_server: RunningServer, tls_cli: CommandLine) -> None:
    complaint = tls_cli.where(SSL_CERT_FILE="").fail(6, "ls")
    assert "certificate" in complaint.lower()
    with httpx2.Client(verify=ssl.create_default_context(cafile=TLS / "cert.pem"), trust_env=False) as client:
        assert client.get(f"{tls_server.url}/healthz").status_code == 200


def test_the_environments_proxy_is_used(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(json_answer("200 OK", {"data": []}))
    proxy = f"http://127.0.0.1:{odd_server.port}"
    odd_cli.where(FILEPLANE_BASE_URL="http://files.example.com/v1", HTTP_PROXY=proxy).succeed("ls")
    assert odd_server.heads[0].startswith(b"GET http://files.example.com/v1/files HTTP/1.1\r\n")


def test_a_host_that_needs_no_proxy_is_reached_directly(cli: CommandLine, odd_server: OddServer) -> None:
    cli.where(HTTP_PROXY=f"http://127.0.0.1:{odd_server.port}", NO_PROXY="127.0.0.1").succeed("ls")
    assert odd_server.heads == []
