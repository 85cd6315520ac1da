"""Files of Vertex AI through the whole server: by headers and virtual keys, with the ids that Portkey gives, through OpenAI's SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import httpx2
import openai
import pytest

from fileplane.providers import vertex_upload
from fileplane.testing.fake_provider.gcs import BUCKET
from gateway.conftest import Fake, Project
from support.polling import eventually
from support.server import fileplane_environment

MODEL = "gemini-2.5-flash"
LINE = {
    "custom_id": "a-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": MODEL, "messages": [{"role": "user", "content": "文件"}]},
}
BATCH = json.dumps(LINE, ensure_ascii=False).encode() + b"\n"


@pytest.fixture(scope="module")
def storage() -> Iterator[Fake]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0", "--flavour", "vertex-ai"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield Fake(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def fake(storage: Fake) -> Fake:
    storage.reset()
    return storage


def own(project: Project) -> dict[str, str]:
    return {
        "x-portkey-provider": "vertex-ai",
        "authorization": f"Bearer {project.credential}",
        "x-portkey-custom-host": project.fake.base_url,
        "x-portkey-vertex-storage-bucket-name": BUCKET,
        "x-portkey-vertex-region": "us-central1",
        "x-portkey-vertex-project-id": "project",
    }


def stored_key(project: Project) -> dict[str, str]:
    fields = {"vertexProjectId": "project", "vertexRegion": "us-central1", "vertexStorageBucketName": BUCKET}
    return {"x-portkey-virtual-key": project.virtual_key(provider="vertex-ai", **fields)}


@pytest.mark.parametrize("by", [own, stored_key], ids=["own credential", "virtual key"])
@pytest.mark.parametrize("size", [10, vertex_upload.CHUNK_BYTES + 1], ids=["one request", "a session"])
def test_the_five_calls_through_openai_s_sdk(project: Project, by: object, size: int) -> None:
    assert callable(by)
    headers = {"x-portkey-api-key": project.key, "x-portkey-file-purpose": "upload", **by(project)}
    body = bytes(range(256)) * (size // 256 + 1)
    with openai.OpenAI(api_key=project.credential, base_url=project.server.base_url, default_headers=headers, max_retries=0) as client:
        made = client.files.create(file=("naïve 文件.jsonl", body[:size]), purpose="batch")
        assert made.id.startswith(f"gs%3A%2F%2F{BUCKET}%2Ffileplane%2F")
        assert (made.bytes, made.filename, made.purpose, made.status) == (size, "naïve 文件.jsonl", "batch", "processed")
        assert client.files.retrieve(made.id).bytes == size
        assert [file.id for file in client.files.list()] == [made.id]
        assert client.files.content(made.id).content == body[:size]
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)


@pytest.mark.parametrize("by", [own, stored_key], ids=["own credential", "virtual key"])
def test_a_batch_is_translated_and_its_bytes_are_those_that_are_there(project: Project, by: object) -> None:
    assert callable(by)
    headers = by(project)
    refused = project.upload(headers, BATCH)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-portkey-provider-model")
    made = project.upload({**headers, "x-portkey-provider-model": MODEL}, BATCH)
    assert made.status_code == 200, made.text
    path = f"/files/{quote(made.json()['id'], safe='')}"
    content = project.client.get(f"{path}/content", headers=headers)
    assert content.status_code == 200, content.text
    assert json.loads(content.content)["key"] == "a-1"
    assert made.json()["bytes"] == len(content.content) == int(content.headers["content-length"])
    assert project.client.get(path, headers=headers).json()["bytes"] == made.json()["bytes"]
    bad = project.upload({**headers, "x-portkey-provider-model": MODEL}, BATCH + b"nonsense\n")
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "file")
    assert "2" in bad.json()["error"]["message"]


def test_a_file_of_another_project_does_not_exist_and_its_object_is_not_overwritten(project: Project, neighbour: Project) -> None:
    headers = {
        **stored_key(project),
        "x-portkey-file-purpose": "upload",
        "x-portkey-provider-file-name": "team/input.jsonl",
    }
    made = project.upload(headers, b"mine")
    assert made.status_code == 200, made.text
    fields = {"vertexProjectId": "project", "vertexRegion": "us-central1", "vertexStorageBucketName": BUCKET}
    its = {"x-portkey-virtual-key": neighbour.virtual_key("of-the-neighbour", provider="vertex-ai", **fields)}
    path = f"/files/{quote(made.json()['id'], safe='')}"
    for method in ("GET", "DELETE"):
        assert neighbour.client.request(method, path, headers=its).status_code == 404
    again = neighbour.upload({**headers, **its}, b"theirs")
    assert again.json()["id"] != made.json()["id"]
    assert project.client.get(f"{path}/content", headers=headers).content == b"mine"
    named = {**own(project), "x-portkey-file-purpose": "upload", "x-portkey-provider-file-name": "team/input.jsonl"}
    assert project.upload(named, b"first").json()["id"] == f"gs%3A%2F%2F{BUCKET}%2Fteam%2Finput.jsonl"
    taken = project.upload(named, b"second")
    assert (taken.status_code, taken.json()["error"]["param"]) == (400, "x-portkey-provider-file-name")


def test_results_below_a_prefix_of_the_project_are_read_in_openai_s_form_and_no_others(project: Project) -> None:
    fields = {"vertexProjectId": "project", "vertexRegion": "us-central1", "vertexStorageBucketName": BUCKET}
    headers = {"x-portkey-virtual-key": project.virtual_key(provider="vertex-ai", output_prefixes=["results/mine/"], **fields)}
    result = {"key": "a-1", "response": {"candidates": [{"content": {"parts": [{"text": "文件"}]}, "finishReason": "STOP"}]}}
    written = json.dumps(result).encode() + b"\n"
    for prefix in ("results/mine/", "results/theirs/"):
        named = {
            **own(project),
            "x-portkey-file-purpose": "upload",
            "x-portkey-provider-file-name": f"{prefix}prediction-1/predictions.jsonl",
        }
        assert project.upload(named, written).status_code == 200
    mine = f"gs%253A%252F%252F{BUCKET}%252Fresults%252Fmine%252Fprediction-1%252Fpredictions.jsonl"
    content = project.client.get(f"/files/{mine}/content", headers=headers)
    answered = json.loads(content.content)
    assert (answered["custom_id"], answered["response"]["status_code"]) == ("a-1", 200)
    assert "content-length" not in content.headers
    raw = project.client.get(f"/files/{mine}/content", headers={**headers, "x-portkey-file-purpose": "upload"})
    assert raw.content == written
    assert project.client.delete(f"/files/{mine}", headers=headers).status_code == 404
    assert project.client.get(f"/files/{mine.replace('mine', 'theirs')}/content", headers=headers).status_code == 404


def test_no_header_has_the_identity_of_the_machine(project: Project) -> None:
    for headers in (own(project), {name: value for name, value in own(project).items() if name != "authorization"}):
        answer = project.upload({**headers, "x-portkey-vertex-auth-mode": "machine"})
        assert answer.status_code == 400, answer.text
    assert project.fake.requests() == []


def test_a_client_that_leaves_amid_a_session_leaves_nothing_there(project: Project, fake: Fake) -> None:
    headers = {**own(project), "x-portkey-file-purpose": "upload", "content-type": "multipart/form-data; boundary=b"}

    def form() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(20):
            yield bytes(1 << 20)
        raise ConnectionError

    with pytest.raises((httpx2.HTTPError, ConnectionError)):
        project.client.post("/files", headers=headers, content=form())
    eventually(lambda: fake.requests("upload.cancel"), "the session is cancelled")
    listed = project.client.get("/files", headers=own(project)).json()["data"]
    assert listed == []
