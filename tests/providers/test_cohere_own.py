"""What is Cohere's own: types, states, rows of embed jobs, bytes at signed URLs; and its SDK, which reads what was uploaded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import cohere
import httpx
import pytest

from fileplane.errors import (
    FileNotFound,
    InvalidValue,
    ProviderRefused,
    UnsupportedProviderOperation,
    UpstreamAnswerInvalid,
)
from fileplane.model import FileStatus
from fileplane.providers.base import RemoteQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.cohere import CohereApi
from fileplane.testing.provider_world import SECRET, World, in_pieces, new_world

LINES = '{"custom_id": "1", "body": {"messages": [{"role": "user", "content": "naïve 文件 🎉"}]}}\n'.encode() * 3


def api(world: World) -> CohereApi:
    assert isinstance(world.fake.own_api, CohereApi)
    return world.fake.own_api


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("cohere") as world:
        yield world


@pytest.mark.parametrize(
    ("purpose", "dataset_type", "shown"),
    [
        ("batch", "batch-openai-chat-input", "batch"),
        ("batch-openai-chat-input", "batch-openai-chat-input", "batch"),
        ("fine-tune", "chat-finetune-input", "fine-tune"),
        ("batch-embed-v2-input", "batch-embed-v2-input", "batch-embed-v2-input"),
    ],
)
async def test_a_purpose_comes_down_to_a_type_which_may_be_named_itself(world: World, purpose: str, dataset_type: str, shown: str) -> None:
    file = await world.upload(LINES, filename="a b&c.jsonl", purpose=purpose)
    [request] = world.fake.requests_for("upload")
    assert request.query == {"name": "a b&c.jsonl", "type": dataset_type, "keep_original_file": "true"}
    assert request.fields == [("data", "a b&c.jsonl")]
    assert file.purpose == purpose
    assert (await world.provider.get(world.target, file.id)).purpose == shown


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("unknown", FileStatus.UPLOADED),
        ("queued", FileStatus.UPLOADED),
        ("processing", FileStatus.UPLOADED),
        ("validated", FileStatus.PROCESSED),
        ("failed", FileStatus.ERROR),
        ("skipped", FileStatus.ERROR),
        ("of-tomorrow", FileStatus.UPLOADED),
    ],
)
async def test_what_its_validation_found_is_the_file_s_status(world: World, said: str, status: FileStatus) -> None:
    dataset = {"id": "x", "name": "n", "created_at": "2026-01-02T03:04:05.678901Z", "dataset_type": "embed-result"}
    described = {**dataset, "validation_status": said, "validation_error": "Row 3 has no text."}
    world.fake.plan(Fault("refuse", status=200, body={"dataset": described}))
    file = await world.provider.get(world.target, "x")
    assert (file.status, file.status_details) == (status, "Row 3 has no text.")
    assert (file.created_at, file.filename, file.purpose) == (1_767_323_045, "n", "batch_output")


@pytest.mark.parametrize("operation", ["list", "get", "delete", "upload"])
async def test_a_token_that_is_none_is_an_authentication_error(world: World, operation: str) -> None:
    world.fake.plan(Fault("refuse", status=498, body={"message": "invalid api token"}))
    call = {
        "list": lambda: world.provider.list(world.target, RemoteQuery()),
        "get": lambda: world.provider.get(world.target, "x"),
        "delete": lambda: world.provider.delete(world.target, "x"),
        "upload": world.upload,
    }[operation]
    with pytest.raises(ProviderRefused, match="invalid api token") as caught:
        await call()  # type: ignore[operator]
    assert (caught.value.status, caught.value.type) == (401, "authentication_error")


async def test_an_upload_is_one_although_it_cannot_be_described_at_once(world: World) -> None:
    for fault in (
        Fault("refuse", operation="get", status=500),
        Fault("garbage", operation="get"),
        Fault("refuse", operation="get", status=404),
    ):
        world.fake.plan(fault)
        file = await world.upload(LINES, filename="there.jsonl")
        assert (file.filename, file.bytes, file.status) == ("there.jsonl", len(LINES), FileStatus.UPLOADED)
        assert file.created_at is not None
        assert await world.download(file.id) == LINES


async def test_a_list_goes_on_to_its_end_although_its_pages_are_shorter_than_was_asked(world: World) -> None:
    made = {(await world.upload(b"x" * number)).id for number in range(1, 8)}
    world.fake.reset()
    page = await world.provider.list(world.target, RemoteQuery(limit=100))
    assert {file.id for file in page.files} == made
    assert [request.query.get("offset") for request in world.fake.requests] == [None, "3", "6", "7"]


class TestWhatAJobHasMade:
    async def test_has_the_size_of_its_parts_and_their_bytes(self, world: World) -> None:
        file = await world.upload(LINES)
        api(world).made[file.id] = [b"Obj\x01rows"]
        found = await world.provider.get(world.target, file.id)
        assert found.bytes == 8
        async with world.provider.open(world.target, file.id) as content:
            assert (content.media_type, b"".join([piece async for piece in content])) == ("application/avro", b"Obj\x01rows")

    async def test_of_several_parts_is_not_joined_to_what_nobody_could_read(self, world: World) -> None:
        file = await world.upload(LINES)
        api(world).made[file.id] = [b"Obj\x01one", b"Obj\x01two"]
        assert (await world.provider.get(world.target, file.id)).bytes == 14
        with pytest.raises(UnsupportedProviderOperation, match="2 files"):
            await world.download(file.id)
        assert world.fake.requests_for("content") == []

    async def test_without_parts_is_told_to_have_none_yet(self, world: World) -> None:
        file = await world.upload(LINES)
        api(world).made[file.id] = []
        with pytest.raises(ProviderRefused) as caught:
            await world.download(file.id)
        assert (caught.value.status, caught.value.code) == (400, "file_not_ready")


@pytest.mark.parametrize("url", ["http://169.254.169.254/x?secret=1", "ftp://127.0.0.1/x", "/relative"])
async def test_bytes_are_asked_for_nowhere_that_calls_are_not_allowed_to_go(world: World, url: str) -> None:
    dataset = {"id": "x", "name": "n", "dataset_parts": [{"id": "1", "name": "1", "original_url": url}]}
    world.fake.plan(Fault("refuse", operation="get", status=200, body={"dataset": dataset}))
    with pytest.raises(UpstreamAnswerInvalid) as caught:
        await world.download("x")
    assert "secret" not in caught.value.message
    assert len(world.fake.requests) == 1


async def test_bytes_are_asked_for_without_a_credential_or_what_a_caller_forwards(world: World) -> None:
    file = await world.upload(LINES)
    assert await replace(world, target=replace(world.target, forward_headers=(("X-Mine", "yes"),))).download(file.id) == LINES
    [got] = world.fake.requests_for("content")
    assert not {"x-mine", "authorization", "cookie", "referer"} & set(got.headers)


async def test_a_name_that_no_url_has_room_for_is_refused_as_the_file_s(world: World) -> None:
    with pytest.raises(InvalidValue, match="names of files") as caught:
        await world.upload(LINES, filename="文" * 200 + ".jsonl")
    assert caught.value.param == "file"
    assert world.fake.requests == []
    assert (await world.upload(LINES, filename="half \ud800.jsonl")).bytes == len(LINES)


async def test_an_original_that_is_gone_is_not_found(world: World) -> None:
    file = await world.upload(LINES)
    world.fake.plan(Fault("refuse", operation="content", status=404, body=b"<Error><Code>NoSuchKey</Code></Error>"))
    with pytest.raises(FileNotFound):
        await world.download(file.id)


def embedding(number: int, text: str) -> bytes:
    request = {"custom_id": f"r-{number}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "embed-v4.0", "input": text}}
    return json.dumps(request, ensure_ascii=False).encode()


class TestRowsOfAnEmbedJob:
    @pytest.mark.parametrize("pieces", [1, 7, 65_536])
    async def test_are_made_of_the_requests_of_a_batch_wherever_the_bytes_are_cut(self, world: World, pieces: int) -> None:
        sent = b"\r\n".join(embedding(number, f"naïve 文件 🎉 {number}") for number in range(50)) + b"\n\n"
        file = await world.upload(sent, purpose="embed-input", pieces=pieces)
        [kept] = await world.stored()
        rows = [json.loads(line) for line in kept.splitlines()]
        assert rows == [{"custom_id": f"r-{number}", "text": f"naïve 文件 🎉 {number}"} for number in range(50)]
        assert (file.bytes, file.transformed) == (len(kept), True)
        assert world.fake.requests_for("upload")[0].query["optional_fields"] == "custom_id"

    async def test_that_are_rows_already_stay_what_they_are(self, world: World) -> None:
        rows = '{"text": "naïve", "title": 1.0}\n{"custom_id": "2", "text": "文件"}\n'.encode()
        file = await world.upload(rows, purpose="embed-input")
        assert await world.stored() == [rows]
        assert (file.bytes, file.transformed) == (len(rows), False)

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            (embedding(2, "x").replace(b"/v1/embeddings", b"/v1/chat/completions"), "url"),
            (embedding(2, "x").replace(b'"x"', b'["x", "y"]'), "body.input"),
            (embedding(2, "x").replace(b'"input": "x"', b'"user": "x"'), "body.input is missing"),
            (embedding(2, "x").replace(b'"input"', b'"dimensions": 8, "input"'), "body.dimensions"),
            (b"[1]", "Line 2"),
            (b"not json", "not valid JSON"),
            (b'{"text": "\xff"}', "not UTF-8"),
            (b"\n" + embedding(3, "x"), "blank"),
        ],
    )
    async def test_name_the_line_that_is_none_and_leave_nothing(self, world: World, line: bytes, why: str) -> None:
        with pytest.raises(InvalidValue, match="Line 2 of the file") as caught:
            await world.upload(embedding(1, "good") + b"\n" + line + b"\n", purpose="embed-input")
        assert why in caught.value.message
        assert caught.value.param == "file"
        assert await world.stored() == []

    @pytest.mark.parametrize("by", [-1, 1], ids=["longer", "shorter"])
    async def test_that_are_not_as_long_as_was_said_leave_nothing(self, world: World, by: int) -> None:
        body = embedding(1, "x" * 200_000) + b"\n" + embedding(2, "y" * 200_000)
        with pytest.raises(InvalidValue, match="announced"):
            await world.upload(body, purpose="embed-input", length=len(body) + by)
        assert await world.stored() == []

    async def test_in_a_file_of_another_kind_are_left_alone(self, world: World) -> None:
        file = await world.upload(b"text\nof a table\n", purpose="embed-input", filename="rows.csv")
        assert await world.stored() == [b"text\nof a table\n"]
        assert not file.transformed

    async def test_whose_sender_leaves_raise_what_it_raised_and_leave_nothing(self, world: World) -> None:
        class ClientLeft(Exception):
            pass

        async def source() -> AsyncIterator[bytes]:
            async for piece in in_pieces(embedding(1, "x" * 300_000) + b"\n"):
                yield piece
            raise ClientLeft

        with pytest.raises(ClientLeft):
            await world.upload(source=source(), length=None, purpose="embed-input")
        assert await world.stored() == []


async def test_its_sdk_finds_what_was_uploaded(world: World) -> None:
    made = await world.upload(LINES, filename="naïve 文件.jsonl")
    rows = await world.upload(embedding(1, "one"), filename="rows.jsonl", purpose="embed-input")

    def read_back() -> None:
        with httpx.Client(trust_env=False) as http:
            client = cohere.Client(api_key=SECRET, base_url=world.fake.url, httpx_client=http)
            listed: list[Any] = client.datasets.list(dataset_type="batch-openai-chat-input").datasets or []
            assert {dataset.id for dataset in listed} >= {made.id}
            found = client.datasets.get(id=made.id).dataset
            assert (found.name, found.dataset_type, found.validation_status) == (
                "naïve 文件.jsonl",
                "batch-openai-chat-input",
                "validated",
            )
            assert int(found.created_at.timestamp()) == made.created_at
            [part] = found.dataset_parts or []
            assert part.original_url is not None
            assert http.get(part.original_url).content == LINES
            [part] = client.datasets.get(id=rows.id).dataset.dataset_parts or []
            assert part.original_url is not None
            assert http.get(part.original_url).json() == {"custom_id": "r-1", "text": "one"}
            client.datasets.delete(id=made.id)

    await asyncio.to_thread(read_back)
    assert [file.id for file in (await world.provider.list(world.target, RemoteQuery())).files] == [rows.id]
