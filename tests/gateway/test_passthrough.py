"""A server that asks for no key of its own passes the callers' credentials through, and has nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from gateway.conftest import Fake
from support.part_uploads import complete, create, created, send_part, sent
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


def test_what_providers_can_do_is_told_without_a_key_and_of_no_store(url: str) -> None:
    with _client(url) as client:
        entries = client.get("/capabilities").json()["data"]
        assert "fileplane" not in {entry["provider"] for entry in entries}
        assert client.get("/capabilities?provider=fileplane").status_code == 400
        own = {"x-portkey-provider": "groq", "authorization": f"Bearer {CREDENTIAL}"}
        [entry] = client.get("/capabilities", headers=own).json()["data"]
        assert (entry["provider"], entry["catalogued"]) == ("groq", False)


def test_uploads_in_parts_pass_through_where_the_provider_has_them(url: str, fake: Fake) -> None:
    named = {"x_portkey_provider": "openai", "x_portkey_custom_host": fake.base_url, "authorization": f"Bearer {CREDENTIAL}"}
    with _client(url, **named) as client:
        before = len(fake.files(CREDENTIAL))
        upload_id = created(client, 6)
        part_ids = [sent(client, upload_id, b"abc"), sent(client, upload_id, b"def")]
        done = complete(client, upload_id, part_ids)
        assert done.status_code == 200, done.text
        assert fake.content(CREDENTIAL, done.json()["file"]["id"]) == b"abcdef"
        assert len(fake.files(CREDENTIAL)) == before + 1
        assert client.get(f"/uploads/{upload_id}").status_code == 501
        refused = create(client, 6)
        assert refused.status_code == 200
        assert client.post(f"/uploads/{refused.json()['id']}/cancel").json()["status"] == "cancelled"


def test_where_parts_would_have_to_be_kept_here_uploads_are_refused_with_the_reason(url: str, fake: Fake) -> None:
    named = {"x_portkey_provider": "groq", "x_portkey_custom_host": fake.base_url, "authorization": f"Bearer {CREDENTIAL}"}
    with _client(url, **named) as client:
        refused = create(client, 6, purpose="batch")
        assert (refused.status_code, refused.json()["error"]["code"]) == (501, "unsupported_provider_operation")
        assert "keeps nothing" in refused.json()["error"]["message"]
        for method, path in (("GET", "/uploads"), ("GET", "/uploads/upload_0"), ("POST", "/uploads/upload_0/cancel")):
            assert client.request(method, path).status_code in {404, 501}
    assert fake.requests() == []


def test_a_part_that_must_be_kept_here_while_it_is_sent_has_the_servers_limit(url: str, fake: Fake) -> None:
    target = {"provider": "openai", "custom_host": fake.base_url, "api_key": CREDENTIAL}
    with (
        _client(url, x_portkey_config=json.dumps(target)) as plain,
        _client(url, x_portkey_config=json.dumps(target | {"retry": {"attempts": 1}})) as kept,
    ):
        upload_id = created(plain, 3 << 20)
        assert send_part(plain, upload_id, bytes(3 << 20)).status_code == 200
        refused = send_part(kept, upload_id, bytes(3 << 20))
        assert (refused.status_code, refused.json()["error"]["code"], refused.json()["error"]["param"]) == (413, "file_too_large", "data")
        assert send_part(kept, upload_id, bytes(1 << 20)).status_code == 200
