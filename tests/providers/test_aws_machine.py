"""The identities that AWS gives a machine, by a web identity or by the instance: found and exchanged by AWS's own library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from fileplane.errors import CredentialUnavailable
from fileplane.providers.aws_credentials import MachineKeys
from fileplane.providers.aws_identities import AwsKeys
from fileplane.secrets.values import Secret

ROLE = "arn:aws:iam::123456789012:role/pod"
TOKEN_PATH = "/latest/api/token"
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
XML = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAPOD</AccessKeyId><SecretAccessKey>pod</SecretAccessKey><SessionToken>of-pod</SessionToken>
<Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>"""


class Handler(BaseHTTPRequestHandler):
    """A token service that knows one token, and an instance's metadata that is shown to those alone who have asked for a token."""

    server: Amazon

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        assert form["Action"] == ["AssumeRoleWithWebIdentity"]
        assert "authorization" not in self.headers
        known = form["WebIdentityToken"] == ["token-of-pod"] and form["RoleArn"] == [ROLE]
        self._answer(200 if known else 403, (XML.format(ends=ends()) if known else REFUSAL).encode(), "text/xml")

    def do_PUT(self) -> None:
        assert self.path == TOKEN_PATH
        self._answer(200, b"of-metadata")

    def do_GET(self) -> None:
        if self.headers["x-aws-ec2-metadata-token"] != "of-metadata":
            self._answer(401, b"")
        elif self.path == ROLES_PATH:
            self._answer(200, b"machine")
        else:
            assert self.path == f"{ROLES_PATH}machine"
            members = {"Code": "Success", "AccessKeyId": "ASIAEC2", "SecretAccessKey": "ec2", "Token": "of-ec2", "Expiration": ends()}
            text = ", ".join(f'"{name}": "{value}"' for name, value in members.items())
            self._answer(200, f'{{{text}, "LastUpdated": "{ends()}", "Type": "AWS-HMAC"}}'.encode())

    def _answer(self, status: int, body: bytes, media_type: str = "text/plain") -> None:
        self.server.asked.append((self.command, self.path))
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Amazon(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []


def ends() -> str:
    return (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Amazon]:
    """The only identities there are; nothing of this machine's own environment is seen."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("NO_PROXY", "*")
    with Amazon() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", address)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server
        server.shutdown()
        thread.join()


def as_pod(monkeypatch: pytest.MonkeyPatch, token: Path) -> None:
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))


def test_a_web_identity_is_exchanged_for_keys_of_its_role(amazon: Amazon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("token-of-pod")
    as_pod(monkeypatch, token)
    machine = MachineKeys()
    assert machine() == AwsKeys(Secret("ASIAPOD"), Secret("pod"), Secret("of-pod"))
    machine()
    assert amazon.asked == [("POST", "/")]


@pytest.mark.parametrize("written", ["another-token", None], ids=["refused", "without its token"])
def test_a_web_identity_that_is_not_accepted_is_said_to_be_unusable(
    amazon: Amazon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str | None
):
    token = tmp_path / "token"
    if written is not None:
        token.write_text(written)
    as_pod(monkeypatch, token)
    with pytest.raises(CredentialUnavailable) as caught:
        MachineKeys()()
    assert "another-token" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert len(amazon.asked) == (written is not None)


def test_an_instance_s_identity_is_asked_of_its_metadata_by_their_second_version(amazon: Amazon):
    assert MachineKeys()() == AwsKeys(Secret("ASIAEC2"), Secret("ec2"), Secret("of-ec2"))
    assert amazon.asked == [("PUT", TOKEN_PATH), ("GET", ROLES_PATH), ("GET", f"{ROLES_PATH}machine")]
