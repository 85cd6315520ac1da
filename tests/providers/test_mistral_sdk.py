"""Mistral's own SDK finds what the adapter for it has uploaded, and the adapter what the SDK has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from fileplane.errors import FileNotFound
from fileplane.testing.provider_world import SECRET, World, new_world

LINES = b'{"custom_id": "1", "body": {"messages": "na\xc3\xafve \xe6\x96\x87"}}\r\n' * 300


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("mistral") as world:
        yield world


@contextmanager
def sdk(world: World) -> Iterator[Mistral]:
    with Mistral(api_key=SECRET, server_url=world.fake.url) as client:
        yield client


async def test_its_sdk_lists_describes_downloads_and_deletes_what_was_uploaded(world: World):
    made = await world.upload(LINES, filename="文件.jsonl")

    def look() -> tuple[list[str], str, int, bytes, bool]:
        with sdk(world) as client:
            listed = [file.id for file in client.files.list().data]
            described = client.files.retrieve(file_id=made.id)
            content = client.files.download(file_id=made.id).read()
            deleted = client.files.delete(file_id=made.id).deleted
            return listed, described.filename, described.size_bytes, content, deleted

    assert await asyncio.to_thread(look) == ([made.id], "文件.jsonl", len(LINES), LINES, True)
    with pytest.raises(FileNotFound):
        await world.provider.get(world.target, made.id)


async def test_what_its_sdk_uploads_is_found_here(world: World):
    def upload() -> str:
        with sdk(world) as client:
            return client.files.upload(file={"file_name": "a.jsonl", "content": LINES}, purpose="batch").id

    file_id = await asyncio.to_thread(upload)
    found = await world.provider.get(world.target, file_id)
    assert (found.filename, found.bytes, found.purpose) == ("a.jsonl", len(LINES), "batch")
    assert await world.download(file_id) == LINES


async def test_its_sdk_is_told_of_a_file_that_there_is_not(world: World):
    def look() -> int:
        with sdk(world) as client, pytest.raises(SDKError) as caught:
            client.files.retrieve(file_id="00000000-0000-4000-8000-000000000000")
        return caught.value.status_code

    assert await asyncio.to_thread(look) == 404
