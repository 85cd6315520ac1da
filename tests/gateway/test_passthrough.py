"""A server that asks for no key of its own passes the callers' credentials through, and has nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from gateway.conftest import Fake
from support.server import running_server

CREDENTIAL = "sk-passed-through-credential"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(
        tmp_path_factory.mktemp("open") / "data", auth="passthrough", egress_allow="127.0.0.1", max_file_bytes=1 << 20
    ) as running:
        yield running.base_url


def _client(url: str, **headers: str) -> httpx2.Client:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Client(base_url=url, headers=named, timeout=30, trust_env=False)


@pytest.mark.parametrize(
    "credential",
    [
        {"authorization": f"Bearer {CREDENTIAL}"},
        {"x_portkey_api_key": CREDENTIAL},
        {"authorization": "Bearer OPENAI_API_KEY", "x_portkey_api_key": CREDENTIAL},
    ],
    ids=["authorization", "portkey's header", "a placeholder"],
)
def test_the_five_calls_need_the_providers_key_alone(url: str, fake: Fake, credential: dict[str, str]) -> None:
    with _client(url, x_portkey_provider="openai", x_portkey_custom_host=fake.base_url, **credential) as client:
        made = client.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", b"{}")})
        assert made.status_code == 200, made.text
        file_id = made.json()["id"]
        assert client.get(f"/files/{file_id}").json() == made.json()
        assert client.get(f"/files/{file_id}/content").content == b"{}"
        assert [file["id"] for file in client.get("/files").json()["data"]] == [file_id]
        assert client.delete(f"/files/{file_id}").status_code == 200
    assert {request["headers"]["authorization"] for request in fake.requests()} == {f"Bearer {CREDENTIAL}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-portkey-provider": "fileplane"},
        {"x-portkey-virtual-key": "some"},
        {"x-portkey-provider": "@some"},
        {"x-portkey-config": "pc-some"},
        {"x-portkey-config": json.dumps({"virtual_key": "some"})},
        {"x-portkey-config": json.dumps({"provider": "fileplane"})},
        {"x-portkey-provider": "openai"},
    ],
)
def test_nothing_that_the_server_keeps_can_be_reached(url: str, headers: dict[str, str]) -> None:
    with _client(url) as client:
        answer = client.get("/files", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error"), answer.text


@pytest.mark.parametrize("path", ["/virtual-keys", "/configs", "/usage", "/audit-logs"])
def test_all_other_calls_still_need_a_key(url: str, path: str) -> None:
    with _client(url, x_portkey_provider="openai", authorization=f"Bearer {CREDENTIAL}") as client:
        assert client.get(path).status_code == 401


def test_no_upload_that_has_to_be_kept_meanwhile_is_larger_than_the_servers_own_limit(url: str, fake: Fake) -> None:
    own = {"x_portkey_provider": "openai", "x_portkey_custom_host": fake.base_url, "authorization": f"Bearer {CREDENTIAL}"}
    content = b"x" * (2 << 20)
    with _client(url, **own) as client:
        kept = client.post("/files", files=[("file", ("a.bin", content)), ("purpose", (None, "user_data"))])
        assert (kept.status_code, kept.json()["error"]["code"]) == (413, "file_too_large")
        assert fake.requests() == []
        passed_on = client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", content)})
        assert (passed_on.status_code, passed_on.json()["bytes"]) == (200, len(content))
