"""Files of Vertex AI as its callers see them: ids, lists, translation of lines, and Google's own library against the fake."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from google.cloud import storage
from google.oauth2.credentials import Credentials

from fileplane.catalog import JobKind
from fileplane.errors import (
    FileNotFound,
    InvalidValue,
    MissingParameter,
    ProviderRefused,
    UnsupportedProviderOperation,
    UpstreamAnswerInvalid,
)
from fileplane.providers import vertex_listing, vertex_upload
from fileplane.providers.base import ByteRange, RemoteQuery
from fileplane.providers.remote_jobs import JobAction, JobRecords, RemoteJobQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.gcs import BUCKET, GcsApi
from fileplane.testing.provider_world import SECRET, World, new_world, pattern

CHUNK = 256 << 10
MODEL = "gemini-2.5-flash"
RESULT = {
    "key": "a-1",
    "status": "",
    "request": {},
    "response": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Grüße 文件"}]}, "finishReason": "STOP"}],
        "modelVersion": MODEL,
    },
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("vertex-ai", {"vertex_storage_bucket_name": BUCKET}) as world:
        yield world


def saying(world: World, **fields: str) -> World:
    return replace(world, target=replace(world.target, fields={**world.target.fields, **fields}))


def gcs(world: World) -> GcsApi:
    api = world.fake.own_api
    assert isinstance(api, GcsApi)
    return api


def id_of(name: str, bucket: str = BUCKET) -> str:
    from fileplane.providers.object_ids import ObjectPlace

    return ObjectPlace("gs", bucket, name).id


def lines(count: int) -> bytes:
    def line(number: int) -> dict[str, Any]:
        body = {"model": MODEL, "messages": [{"role": "user", "content": f"文件 {number} 🎉"}]}
        return {"custom_id": f"a-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}

    return b"".join(json.dumps(line(number), ensure_ascii=False).encode() + b"\r\n" for number in range(count))


@pytest.mark.parametrize("pieces", [1, 7, 1 << 16])
async def test_a_batch_is_sent_in_vertex_s_form_and_counted_as_it_is_there(world: World, pieces: int):
    file = await saying(world, provider_model=MODEL).upload(lines(3), pieces=pieces)
    [kept] = await world.stored()
    sent = [json.loads(line) for line in kept.splitlines()]
    assert [line["key"] for line in sent] == ["a-0", "a-1", "a-2"]
    assert sent[2]["request"]["contents"][0]["parts"] == [{"text": "文件 2 🎉"}]
    assert (file.transformed, file.bytes, file.purpose) == (True, len(kept), "batch")
    found = await world.provider.get(world.target, file.id)
    assert (found.bytes, found.purpose, found.transformed) == (len(kept), "batch", False)
    assert await world.download(file.id) == kept


@pytest.mark.parametrize("purpose", ["batch", "fine-tune"])
async def test_a_file_that_would_be_translated_for_no_model_is_refused_with_the_header_to_send(world: World, purpose: str):
    with pytest.raises(MissingParameter, match="x-portkey-provider-model") as caught:
        await world.upload(lines(1), purpose=purpose)
    assert (caught.value.status, caught.value.param) == (400, "x-portkey-provider-model")
    assert world.fake.requests == []


async def test_a_model_that_nothing_can_be_translated_for_is_refused_before_anything_is_sent(world: World):
    with pytest.raises(InvalidValue) as caught:
        await saying(world, provider_model="text-embedding-9").upload(lines(1))
    assert caught.value.param == "x-portkey-provider-model"
    assert world.fake.requests == []


async def test_what_is_to_be_kept_as_it_is_is_not_looked_at(world: World):
    for purpose, said in (("batch", "upload"), ("user_data", "user_data")):
        file = await saying(world, file_purpose=said, provider_model=MODEL).upload(b"no json\r\n", purpose=purpose)
        assert (file.transformed, file.bytes, file.purpose) == (False, 9, purpose)
    assert await world.stored() == [b"no json\r\n"] * 2


async def test_what_the_request_says_of_the_purpose_wins_over_the_form(world: World):
    file = await saying(world, file_purpose="batch", provider_model=MODEL).upload(lines(1), purpose="user_data")
    assert file.transformed


@pytest.mark.parametrize("good", [0, 1, 3_000], ids=["at once", "in the first chunk", "after chunks"])
async def test_a_bad_line_is_named_and_leaves_nothing(world: World, good: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_upload, "CHUNK_BYTES", CHUNK)
    with pytest.raises(InvalidValue, match=str(good + 1)) as caught:
        await saying(world, provider_model=MODEL).upload(lines(good) + b'{"custom_id": \n' + lines(1), announced=False)
    assert (caught.value.param, caught.value.status) == ("file", 400)
    assert await world.stored() == []
    assert gcs(world).open_sessions == 0


@pytest.mark.parametrize("length", [-1, 1])
async def test_the_length_that_is_announced_is_that_of_what_comes(world: World, length: int):
    body = lines(2)
    with pytest.raises(InvalidValue):
        await saying(world, provider_model=MODEL).upload(body, length=len(body) + length)
    assert await world.stored() == []


@pytest.mark.parametrize(
    "name",
    [
        "out/prediction-gemini-2026-11-22T16:00:00.000000Z/predictions.jsonl",
        "predictions.jsonl",
        "out/prediction-claude/predictions_00001.jsonl",
        "out/prediction.results-00000-of-00002",
    ],
)
async def test_what_a_batch_has_written_is_read_in_openai_s_form_or_as_it_is(world: World, name: str):
    written = json.dumps(RESULT, ensure_ascii=False).encode() + b"\n"
    gcs(world).put(SECRET, name, written, contentType="application/octet-stream")
    async with world.provider.open(world.target, id_of(name), ByteRange(0, 5)) as content:
        assert (content.status, content.length, content.served, content.media_type) == (200, None, None, "application/jsonl")
        [line] = b"".join([piece async for piece in content]).splitlines()
    result = json.loads(line)
    assert result["custom_id"] == "a-1"
    assert result["response"]["body"]["choices"][0]["message"]["content"] == "Grüße 文件"
    assert "range" not in world.fake.requests[-1].headers
    described = await world.provider.get(world.target, id_of(name))
    assert (described.bytes, described.transformed, described.purpose) == (None, True, "batch_output")
    raw = saying(world, file_purpose="upload")
    assert await raw.download(id_of(name)) == written
    assert await raw.download(id_of(name), ByteRange(0, 5)) == written[:6]
    assert (await raw.provider.get(raw.target, id_of(name))).bytes == len(written)


@pytest.mark.parametrize("name", ["out/predictions.csv", "my-predictions.jsonl", "prediction/x.jsonl", "a.jsonl", "prediction.results-x"])
async def test_other_objects_are_read_as_they_are(world: World, name: str):
    gcs(world).put(SECRET, name, json.dumps(RESULT).encode())
    assert await world.download(id_of(name)) == json.dumps(RESULT).encode()


async def test_any_object_of_the_bucket_can_be_read_and_deleted_and_none_of_another(world: World):
    for name in ("plain", "a/b/c.txt", "späce and+plus & 文件?#.txt"):
        gcs(world).put(SECRET, name, name.encode())
        assert await world.download(id_of(name)) == name.encode()
        assert (await world.provider.get(world.target, id_of(name))).filename == name.rpartition("/")[2]
        assert (await world.provider.get(world.target, f"gs://{BUCKET}/{name}")).id == id_of(name)
        await world.provider.delete(world.target, id_of(name))
    assert await world.stored() == []
    world.fake.reset()
    for foreign in (id_of("plain", "other-bucket"), id_of("plain").replace("gs%3A", "s3%3A"), id_of("a").replace("a", "a/../b"), "plain"):
        for operation in (world.provider.get, world.provider.delete):
            with pytest.raises(FileNotFound):
                await operation(world.target, foreign)
    assert world.fake.requests == []


async def test_a_name_that_is_wished_beside_a_stored_credential_stands_behind_one_of_ours(world: World):
    wished = "results/of-others/prediction-x/predictions.jsonl"
    named = saying(world, file_purpose="upload", provider_file_name=wished)
    stored = replace(named, target=replace(named.target, stored=True))
    ids = {(await stored.upload(b"planted")).id for _ in range(2)}
    assert len(ids) == 2
    for file_id in ids:
        assert file_id.startswith(id_of("fileplane/"))
        assert file_id.endswith(id_of(wished)[len(id_of("")) :])
        assert await saying(world).download(file_id) == b"planted"
    with pytest.raises(FileNotFound):
        await world.download(id_of(wished))


async def test_an_object_that_is_not_there_is_not_found_and_a_bucket_that_is_not_there_is_told(world: World):
    nothing = id_of("nothing")
    for call in (world.provider.get(world.target, nothing), world.provider.delete(world.target, nothing), world.download(nothing)):
        with pytest.raises(FileNotFound):
            await call
    elsewhere = saying(world, vertex_storage_bucket_name="no-such-bucket", file_purpose="upload")
    for call in (elsewhere.upload(), elsewhere.provider.list(elsewhere.target, RemoteQuery())):
        with pytest.raises(ProviderRefused, match="bucket does not exist") as caught:
            await call
        assert (caught.value.status, caught.value.code) == (404, "notFound")


@pytest.mark.parametrize("bucket", ["", "a", "Files", "a/b", "a?b", "../x", "a..b", "x" * 64, "fake-bucket/o/x", "é"])
async def test_the_name_of_a_bucket_never_changes_where_a_call_goes(world: World, bucket: str):
    elsewhere = saying(world, vertex_storage_bucket_name=bucket)
    for call in (elsewhere.upload(), elsewhere.provider.list(elsewhere.target, RemoteQuery())):
        with pytest.raises(InvalidValue) as caught:
            await call
        assert caught.value.param == "x-portkey-vertex-storage-bucket-name"
    assert world.fake.requests == []


async def test_a_list_has_what_is_below_our_prefix_but_folders_and_names_that_no_id_can_have(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_listing, "_PAGE", 2)
    gcs(world).put(SECRET, "somebody's", b"x")
    for name in ("b", "a", "folder/", "with%2Fslash", "c/d"):
        gcs(world).put(SECRET, f"fileplane/{name}", b"x")
        world.fake.accounts.ahead_seconds += 1
    page = await world.provider.list(world.target, RemoteQuery())
    assert [file.id for file in page.files] == [id_of("fileplane/c/d"), id_of("fileplane/a"), id_of("fileplane/b")]
    assert len(world.fake.requests) == 3
    assert "authorization" in world.fake.requests[0].headers


async def test_files_of_one_second_are_listed_in_the_order_they_were_made(world: World):
    plain = saying(world, file_purpose="upload")
    made = []
    for _ in range(5):
        made.append((await plain.upload()).id)
        await asyncio.sleep(0.002)  # the names of two that are made within a millisecond have no order
    page = await world.provider.list(world.target, RemoteQuery(newest_first=False))
    assert [file.id for file in page.files] == made


async def test_a_bucket_that_is_too_large_to_be_sorted_is_refused_honestly(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_listing, "_PAGE", 2)
    monkeypatch.setattr(vertex_listing, "MOST_WALKED", 4)
    for number in range(4):
        gcs(world).put(SECRET, f"fileplane/{number}", b"x")
    assert len((await world.provider.list(world.target, RemoteQuery())).files) == 4
    gcs(world).put(SECRET, "fileplane/one more", b"x")
    with pytest.raises(UnsupportedProviderOperation, match="first 2 pages of the bucket's list have 4 files") as caught:
        await world.provider.list(world.target, RemoteQuery(limit=1))
    assert caught.value.status == 501


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"items": "x"},
        {"items": [1]},
        {"items": [{"name": 1}]},
        {"items": [{"name": "a", "bucket": "another"}]},
    ],
)
async def test_a_list_that_is_none_is_no_list(world: World, answer: object):
    world.fake.plan(Fault("refuse", operation="list", status=200, body=answer))
    with pytest.raises(UpstreamAnswerInvalid):
        await world.provider.list(world.target, RemoteQuery())


async def test_a_list_whose_pages_come_again_is_refused_and_not_taken_for_whole(world: World):
    world.fake.plan(Fault("refuse", operation="list", status=200, body={"nextPageToken": "again"}, times=10_000))
    with pytest.raises(UpstreamAnswerInvalid, match="no end"):
        await world.provider.list(world.target, RemoteQuery())
    assert len(world.fake.requests) == 2


async def test_a_bucket_of_nearly_empty_pages_is_not_said_to_have_many_files(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_listing, "_MOST_PAGES", 3)
    for number, token in enumerate("abc"):
        world.fake.plan(Fault("refuse", operation="list", call=number + 1, status=200, body={"nextPageToken": token}))
    with pytest.raises(UnsupportedProviderOperation, match="first 3 pages of the bucket's list have 0 files, and more pages follow"):
        await world.provider.list(world.target, RemoteQuery())
    assert len(world.fake.requests) == 3


async def test_jobs_are_refused_before_anything_is_sent(world: World):
    provider, target = world.provider, world.target
    for call in (
        provider.create_job(target, JobKind.BATCH, {}),
        provider.get_job(target, JobKind.BATCH, "x"),
        provider.list_jobs(target, JobKind.BATCH, RemoteJobQuery()),
        provider.act_on_job(target, JobKind.BATCH, "x", JobAction.CANCEL),
        provider.job_records(target, "x", JobRecords.EVENTS, RemoteJobQuery()),
    ):
        with pytest.raises(UnsupportedProviderOperation):
            await call
    assert world.fake.requests == []


async def test_google_s_own_library_finds_in_the_fake_what_it_expects(world: World):
    """So that the fake is strict about what the real service is, and about nothing else."""
    body = pattern(3 * CHUNK + 5)

    def use() -> None:
        client = storage.Client("project", Credentials(SECRET), client_options={"api_endpoint": world.fake.url})
        bucket = client.bucket(BUCKET)
        bucket.blob("small").upload_from_string(b"small", checksum="md5")
        bucket.blob("large", chunk_size=CHUNK).upload_from_file(io.BytesIO(body), checksum="md5")
        bucket.blob("of known length", chunk_size=CHUNK).upload_from_file(io.BytesIO(body), size=len(body), checksum="md5")
        assert [blob.name for blob in client.list_blobs(BUCKET)] == ["large", "of known length", "small"]
        assert bucket.get_blob("large").download_as_bytes(checksum=None) == body
        assert bucket.blob("large").download_as_bytes(start=5, end=9, checksum=None) == body[5:10]
        bucket.blob("small").delete()
        assert bucket.get_blob("small") is None
        client.close()

    await asyncio.to_thread(use)
    assert await world.stored() == [body, body]
    assert gcs(world).open_sessions == 0
