"""Through the server, Anthropic and Gemini are OpenAI's API: to the unmodified SDK, with a caller's own key, and with a virtual key."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from gateway.conftest import Fake, Project
from support.projects import new_tenant_key
from support.server import RunningServer, fileplane_environment

PROVIDERS = {"anthropic": "anthropic", "gemini": "google"}
CONTENT = b'{"custom_id": "a"}\n' * 600_000


@dataclass
class AtProvider(Project):
    """A project whose credential is one at that provider."""

    provider: str = ""

    @property
    def own(self) -> dict[str, str]:
        return {**super().own, "x-portkey-provider": self.provider}

    def sdk(self, headers: dict[str, str]) -> openai.OpenAI:
        return openai.OpenAI(
            api_key=self.credential,
            base_url=self.server.base_url,
            max_retries=0,
            default_headers={"x-portkey-api-key": self.key, **headers},
        )

    def seen_by_the_provider_s_sdk(self, file_id: str) -> tuple[str | None, int | None]:
        """Name and size of a file."""
        root = self.fake.base_url.removesuffix("/v1")
        if self.provider == "anthropic":
            with anthropic.Anthropic(api_key=self.credential, base_url=root) as client:
                found = client.files.retrieve_metadata(file_id)
                return found.filename, found.size_bytes
        with google_sdk(self.credential, root) as client:
            file = client.files.get(name=file_id)
            return file.display_name, file.size_bytes


@contextmanager
def google_sdk(credential: str, root: str) -> Iterator[genai.Client]:
    client = genai.Client(api_key=credential, http_options=types.HttpOptions(base_url=root))
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module", params=sorted(PROVIDERS))
def own_fake(request: pytest.FixtureRequest) -> Iterator[tuple[str, Fake]]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--flavour", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield PROVIDERS[request.param], Fake(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def caller(gateway: RunningServer, own_fake: tuple[str, Fake], request: pytest.FixtureRequest) -> Iterator[AtProvider]:
    provider, fake = own_fake
    fake.reset()
    credential = f"sk-{zlib.crc32(request.node.nodeid.encode()):08x}-caller"
    made = AtProvider(gateway, fake, new_tenant_key(gateway.data_dir).plain, credential, provider=provider)
    with made.client:
        yield made


def in_chunks() -> Iterator[bytes]:
    """A form of unknown length, with the purpose after the file, as Node's SDK sends one."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="late.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n'
    for start in range(0, len(CONTENT), 65_536):
        yield CONTENT[start : start + 65_536]
    yield b'\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'


@pytest.mark.parametrize("stored", [False, True], ids=["with the caller's own key", "with a virtual key"])
def test_openai_s_sdk_uploads_lists_describes_and_deletes(caller: AtProvider, *, stored: bool):
    headers = {"x-portkey-virtual-key": caller.virtual_key(provider=caller.provider)} if stored else caller.own
    with caller.sdk(headers) as client:
        made = [client.files.create(file=(f"{name}.jsonl", CONTENT), purpose="batch") for name in "abc"]
        assert {(file.bytes, file.purpose) for file in made} == {(len(CONTENT), "batch")}
        assert caller.seen_by_the_provider_s_sdk(made[0].id) == ("a.jsonl", len(CONTENT))
        assert client.files.retrieve(made[0].id).filename == "a.jsonl"
        assert client.files.wait_for_processing(made[1].id, poll_interval=0.01).status == "processed"
        assert {file.id for file in client.files.list(limit=1)} == {file.id for file in made}
        assert client.files.delete(made[0].id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made[0].id)
        with pytest.raises(openai.NotFoundError):
            client.files.delete("nobody-s")
    uploads = caller.fake.requests("upload")
    assert sum(upload["body_bytes"] for upload in uploads) >= 3 * len(CONTENT)
    assert not any(caller.key in json.dumps(request) for request in caller.fake.requests())


def test_an_upload_without_a_length_and_with_its_purpose_at_the_end_arrives_whole(caller: AtProvider):
    headers = {**caller.own, "content-type": "multipart/form-data; boundary=b"}
    answer = caller.client.post("/files", headers=headers, content=in_chunks())
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    assert (made["filename"], made["bytes"], made["purpose"]) == ("late.jsonl", len(CONTENT), "batch")
    assert caller.seen_by_the_provider_s_sdk(made["id"]) == ("late.jsonl", len(CONTENT))


def test_a_download_is_refused_in_the_provider_s_words(caller: AtProvider):
    made = caller.upload(caller.own).json()
    answer = caller.client.get(f"/files/{made['id']}/content", headers=caller.own)
    assert answer.status_code == 400, answer.text
    assert "can be downloaded" in answer.json()["error"]["message"]


def test_the_api_version_and_the_beta_are_headers_and_parts_of_virtual_keys(caller: AtProvider):
    if caller.provider != "anthropic":
        with pytest.raises(AssertionError, match="version"):
            caller.virtual_key(provider="google", google_api_version="v3")
        assert caller.client.get("/files", headers={**caller.own, "x-portkey-google-api-version": "v3"}).status_code == 400
        assert caller.client.get("/files", headers={**caller.own, "x-portkey-google-api-version": "v1beta"}).status_code == 200
        return
    old = {"anthropic_version": "2023-06-01", "anthropic_beta": "files-api-2025-04-14"}
    slug = caller.virtual_key(provider="anthropic", **old)
    headers = [
        {"x-portkey-virtual-key": slug},
        {**caller.own, "x-portkey-anthropic-version": old["anthropic_version"], "x-portkey-anthropic-beta": old["anthropic_beta"]},
        {
            "x-portkey-config": json.dumps(
                {"provider": "anthropic", "api_key": caller.credential, "custom_host": caller.fake.base_url, **old}
            )
        },
    ]
    for one in headers:
        assert caller.upload(one).status_code == 200
    sent = [request["headers"] for request in caller.fake.requests("upload")]
    assert len(sent) == 3
    for head in sent:
        assert (head["x-api-key"], head["anthropic-version"], head["anthropic-beta"]) == (caller.credential, *old.values())
        assert "authorization" not in head
