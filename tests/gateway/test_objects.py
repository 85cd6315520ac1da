"""Files that are objects in a bucket, through a real server: by every SDK, by every spelling of an id, and by nobody whose they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import openai
import pytest

from fileplane.testing.fake_provider.aws_keys import aws_secrets
from fileplane.testing.fake_provider.s3 import BUCKET
from gateway.conftest import Fake, Project, as_header
from gateway.test_sdks import COMMANDS
from sdk.processes import run
from support.server import fileplane_environment, run_fileplane

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
LINE = {
    "custom_id": "one",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]},
}
RESULT = {"recordId": "one", "modelOutput": {"content": [{"type": "text", "text": "hi"}], "role": "assistant", "type": "message"}}


@pytest.fixture(scope="module")
def s3_process() -> Iterator[Fake]:
    command = [sys.executable, "-m", "fileplane.testing.fake_provider", "--port", "0", "--flavour", "bedrock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=fileplane_environment()) as process:
        try:
            assert process.stdout is not None
            yield Fake(process.stdout.readline().strip())
        finally:
            process.terminate()


@pytest.fixture
def at_s3(project: Project, s3_process: Fake) -> Project:
    """The project, with the fake S3 in the place of the usual fake."""
    s3_process.reset()
    project.fake = s3_process
    return project


def credential(project: Project) -> dict[str, str]:
    return {**aws_secrets(project.credential), "aws_region": "us-east-1", "aws_s3_bucket": BUCKET}


def own(project: Project, **options: str) -> dict[str, str]:
    said = {"provider": "bedrock", "custom_host": project.fake.base_url, **credential(project), **options}
    return {f"x-portkey-{name.replace('_', '-')}": text for name, text in said.items()}


def virtual_key(project: Project, **fields: Any) -> str:
    slug = f"s3-{project.credential[3:11]}"
    body = {"name": slug, "slug": slug, "provider": "bedrock", "custom_host": project.fake.base_url, **credential(project), **fields}
    answer = project.client.post("/virtual-keys", json=body)
    assert answer.status_code == 200, answer.text
    return slug


def put(project: Project, key: str, content: bytes) -> None:
    """As Bedrock writes its results: by AWS's own library, past Fileplane."""
    from botocore.config import Config
    from botocore.session import Session

    keys = aws_secrets(project.credential)
    client = Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=project.fake.base_url,
        config=Config(s3={"addressing_style": "path"}, proxies={}, request_checksum_calculation="when_required"),
        **keys,
    )
    client.put_object(Bucket=BUCKET, Key=key, Body=content)
    client.close()


@pytest.mark.parametrize("language", sorted(COMMANDS))
def test_every_sdk_makes_the_five_calls_with_the_ids_that_it_was_given(at_s3: Project, language: str) -> None:
    slug = virtual_key(at_s3)
    with_key = {"virtual_key": slug, "file_purpose": "upload"}
    with_own = {"provider": "bedrock", "custom_host": at_s3.fake.base_url, "file_purpose": "upload", **credential(at_s3)}
    ways = {
        f"{sdk}, {name}": {"sdk": sdk, "bearer": "DUMMY-KEY", "options": {"config": config}}
        for sdk in ("openai", "portkey")
        for name, config in (("a virtual key", with_key), ("its own keys", with_own))
    }
    given = json.dumps({"base_url": at_s3.server.base_url, "api_key": at_s3.key, "ways": ways})
    seen = json.loads(run(COMMANDS[language], given=given))
    assert seen.keys() == ways.keys()
    for way, steps in seen.items():
        file_id = steps["made"][0]
        assert file_id.startswith(f"s3%3A%2F%2F{BUCKET}%2Ffileplane%2F"), way
        assert steps["made"] == steps["got"] == [file_id, 9, "batch", "a.jsonl"], way
        both = [file_id, steps["other"]]
        assert (steps["content"], sorted(steps["listed"])) == ('{"a": 1}\n', sorted(both)), way
        assert steps["deleted"] == [[one, True] for one in both], way


def test_an_id_is_understood_encoded_once_or_twice_in_a_path_and_no_more(at_s3: Project) -> None:
    for headers in ({"x-portkey-virtual-key": virtual_key(at_s3), "x-portkey-file-purpose": "upload"}, own(at_s3, file_purpose="upload")):
        made = at_s3.upload(headers, b"content", "a b.jsonl").json()
        uri = f"s3://{BUCKET}/{made['id'].rpartition('%2F')[0].partition('files%2F')[2].replace('%2F', '/')}/file.jsonl"
        for spelled in (made["id"], quote(made["id"], safe=""), quote(uri, safe=""), quote(uri, safe=":")):
            assert at_s3.client.get(f"/files/{spelled}", headers=headers).json()["id"] == made["id"], spelled
            assert at_s3.client.get(f"/files/{spelled}/content", headers=headers).content == b"content"
            assert at_s3.client.head(f"/files/{spelled}/content", headers=headers).headers["content-length"] == "7"
        for wrong in (quote(quote(made["id"], safe=""), safe=""), made["id"].replace("file.jsonl", "..%2F..%2Fx"), "s3%3A%2F%2Fother%2Fx"):
            assert at_s3.client.get(f"/files/{wrong}", headers=headers).status_code == 404, wrong
        page = at_s3.client.get("/files", params={"after": made["id"]}, headers=headers)
        assert (page.status_code, page.json()["data"]) == (200, [])
        deleted = at_s3.client.delete(f"/files/{quote(uri, safe='')}", headers=headers)
        assert deleted.json() == {"id": made["id"], "object": "file", "deleted": True}
        assert at_s3.client.get(f"/files/{made['id']}", headers=headers).status_code == 404


def test_ids_of_the_native_store_are_read_as_before(at_s3: Project) -> None:
    made = at_s3.upload({}).json()
    assert at_s3.client.get(f"/files/{made['id']}").json()["id"] == made["id"]
    assert at_s3.client.get(f"/files/{made['id'].replace('-', '%2D')}").json()["id"] == made["id"]
    answer = at_s3.client.get("/files/s3%3A%2F%2Ffiles%2Fx")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id")


def test_a_batch_goes_in_and_its_results_come_out_in_openai_s_form(at_s3: Project) -> None:
    project_id = at_s3.client.get("/virtual-keys/" + virtual_key(at_s3, output_prefixes=["results/mine/"])).json()["workspace_id"]
    slug = f"s3-{at_s3.credential[3:11]}"
    client = openai.OpenAI(
        base_url=at_s3.server.base_url,
        api_key=at_s3.key,
        default_headers={"x-portkey-virtual-key": slug, "x-portkey-provider-model": CLAUDE},
        max_retries=0,
    )
    with client:
        made = client.files.create(file=("batch.jsonl", (json.dumps(LINE) + "\n").encode()), purpose="batch")
        stored = json.loads(client.files.content(made.id).read())
        assert (stored["recordId"], made.filename, made.purpose) == ("one", "batch.jsonl", "batch")
        result = f"s3://{BUCKET}/results/mine/job/file.jsonl.out"
        put(at_s3, "results/mine/job/file.jsonl.out", (json.dumps(RESULT) + "\n").encode())
        described = client.files.retrieve(result)
        assert (described.id, described.purpose) == (quote(result, safe=""), "batch_output")
        answered = json.loads(client.files.content(described.id).read())
        assert (answered["custom_id"], answered["response"]["status_code"]) == ("one", 200)
        head = at_s3.client.head(f"/files/{described.id}/content", headers={"x-portkey-virtual-key": slug})
        assert (head.status_code, head.headers.get("content-length", "0")) == (200, "0"), "how long it will be, nobody knows before"
        raw = client.files.content(described.id, extra_headers={"x-portkey-file-purpose": "upload"}).read()
        assert json.loads(raw) == RESULT
        with pytest.raises(openai.NotFoundError):
            client.files.delete(described.id)
        client.files.content(described.id)
    shown = at_s3.client.get(f"/virtual-keys/{slug}").json()
    assert project_id in json.dumps(shown)
    missing = at_s3.upload({"x-portkey-virtual-key": slug})
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "x-portkey-provider-model")


def test_through_a_virtual_key_only_what_the_catalog_or_a_prefix_gives_exists(at_s3: Project, neighbour: Project) -> None:
    slug = virtual_key(at_s3, output_prefixes="results/mine/")
    headers = {"x-portkey-virtual-key": slug, "x-portkey-file-purpose": "upload"}
    neighbour.fake = at_s3.fake
    their_file = neighbour.upload(own(neighbour, file_purpose="upload"), b"secret").json()["id"]
    for key in ("results/mine/x", "results/mine-too/x", "results/other/x", "x"):
        put(at_s3, key, b"result")
    allowed = f"s3%3A%2F%2F{BUCKET}%2Fresults%2Fmine%2Fx"
    assert at_s3.client.get(f"/files/{allowed}/content", headers=headers).content == b"result"
    assert at_s3.client.head(f"/files/{allowed}/content", headers=headers).headers["content-length"] == "6"
    before = len(at_s3.fake.requests())
    for hidden in (
        their_file,
        f"s3://{BUCKET}/results/mine-too/x",
        f"s3://{BUCKET}/results/other/x",
        f"s3://{BUCKET}/x",
        f"s3://{BUCKET}/results/mine/../other/x",
        f"s3://{BUCKET}/results/mine/%2e%2e/other/x",
        f"s3%3A%2F%2F{BUCKET}%2Fresults%2Fmine%2F%2e%2e%2Fother%2Fx",
        "s3://another/results/mine/x",
        f"gs://{BUCKET}/results/mine/x",
        "../files",
    ):
        for method, part in (("GET", ""), ("GET", "/content"), ("HEAD", "/content"), ("DELETE", "")):
            answer = at_s3.client.request(method, f"/files/{quote(hidden, safe='')}{part}", headers=headers)
            assert answer.status_code == 404, (method, hidden)
    assert at_s3.client.delete(f"/files/{allowed}", headers=headers).status_code == 404
    assert len(at_s3.fake.requests()) == before, "what is not given is not asked for either"
    assert at_s3.client.get("/files", headers=headers).json()["data"] == []


def test_a_fallback_from_one_bucket_to_another_sends_the_file_once_it_has_it_whole(at_s3: Project) -> None:
    wrong = {"provider": "bedrock", "custom_host": at_s3.fake.base_url, **credential(at_s3), "aws_s3_bucket": "no-such-bucket"}
    config = {"strategy": {"mode": "fallback"}, "file_purpose": "upload", "targets": [wrong, wrong | {"aws_s3_bucket": BUCKET}]}
    answer = at_s3.upload(as_header(config), b"content")
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"].startswith(f"s3%3A%2F%2F{BUCKET}%2F")


def test_a_copy_is_served_by_every_spelling_of_its_id(at_s3: Project) -> None:
    """What Bedrock has are other bytes than were sent, so that the content comes from here."""
    headers = {"x-portkey-virtual-key": virtual_key(at_s3, keep_copy=True), "x-portkey-provider-model": CLAUDE}
    content = (json.dumps(LINE) + "\n").encode()
    file_id = at_s3.upload(headers, content).json()["id"]
    for spelled in (file_id, quote(file_id, safe=""), quote(unquote(file_id), safe=""), file_id.replace("%2F", "%2f")):
        got = at_s3.client.get(f"/files/{spelled}/content", headers=headers)
        assert (got.status_code, got.content) == (200, content), spelled
        assert at_s3.client.head(f"/files/{spelled}/content", headers=headers).headers["content-length"] == str(len(content)), spelled


def test_the_size_that_a_catalog_has_of_a_result_is_not_taken_for_that_of_its_download(at_s3: Project) -> None:
    """It counts what is in the bucket, and a part of what is made of that is cut by no size that anybody knows."""
    slug = virtual_key(at_s3)
    put(at_s3, "results/job/file.jsonl.out", (json.dumps(RESULT) + "\n").encode())
    file_id = quote(f"s3://{BUCKET}/results/job/file.jsonl.out", safe="")
    project_id = at_s3.client.get(f"/virtual-keys/{slug}").json()["workspace_id"]
    arguments = ("catalog", "adopt", "--project", project_id, "--virtual-key", slug, "--yes", file_id)
    adopted = run_fileplane(*arguments, FILEPLANE_DATA_DIR=str(at_s3.server.data_dir), FILEPLANE_EGRESS_ALLOW="127.0.0.1")
    assert adopted.returncode == 0, adopted.stderr
    headers = {"x-portkey-virtual-key": slug}
    url = f"/files/{file_id}/content"
    whole = at_s3.client.get(url, headers=headers)
    assert json.loads(whole.content)["custom_id"] == "one"
    assert "content-length" not in at_s3.client.head(url, headers=headers).headers
    part = at_s3.client.get(url, headers={**headers, "range": "bytes=-5"})
    assert (part.status_code, part.content) == (200, whole.content)
    raw = at_s3.client.get(url, headers={**headers, "x-portkey-file-purpose": "upload", "range": "bytes=-3"})
    assert (raw.status_code, raw.content) == (206, b"}}\n")


def test_a_file_in_the_bucket_that_a_virtual_key_had_before_is_not_taken_for_gone(at_s3: Project) -> None:
    slug = virtual_key(at_s3)
    headers = {"x-portkey-virtual-key": slug, "x-portkey-file-purpose": "upload"}
    file_id = at_s3.upload(headers, b"content").json()["id"]

    def move(bucket: str) -> None:
        changed = at_s3.client.put(f"/virtual-keys/{slug}", json={**credential(at_s3), "aws_s3_bucket": bucket})
        assert changed.status_code == 200, changed.text

    move("another-bucket")
    for method, part in (("GET", ""), ("GET", "/content"), ("HEAD", "/content"), ("DELETE", "")):
        refused = at_s3.client.request(method, f"/files/{file_id}{part}", headers=headers)
        assert refused.status_code == 400, (method, part)
        assert method == "HEAD" or f"in the bucket '{BUCKET}'" in refused.json()["error"]["message"]
    move(BUCKET)
    assert at_s3.client.get(f"/files/{file_id}/content", headers=headers).content == b"content"
    assert at_s3.client.delete(f"/files/{file_id}", headers=headers).status_code == 200
