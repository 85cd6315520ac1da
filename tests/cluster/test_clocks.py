"""Nodes whose machines' clocks are an hour fast and an hour slow: times are the database's, and nobody notices."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.conftest import OpenCluster
from fileplane.access import ALL_SCOPES, Limits, NewApiKey
from fileplane.files.janitor import Collected
from fileplane.ids import hash_api_key, new_api_key, new_blob_key
from fileplane.model import Origin
from support.cluster import Node, send_file, sent_file
from support.expect import assert_openai_error
from support.forms import END, FORM_TYPE, field, file_part, form

pytestmark = pytest.mark.full

HOUR = 3_600
NEAR = 120
GRACE = 600


@pytest.fixture
async def apart(open_cluster: OpenCluster) -> list[Node]:
    """One that is an hour ahead and one that is an hour behind."""
    return await open_cluster(skews=(HOUR, -HOUR), orphan_grace_seconds=GRACE, key_cache_seconds=1)


async def test_files_have_the_databases_times_and_one_order_whichever_node_took_them(apart: list[Node]):
    key = await apart[0].new_key()
    clients = [node.client(key) for node in apart]
    made = [await sent_file(clients[number % 2]) for number in range(10)]
    for client in clients:
        page = (await client.get("/files", params={"order": "asc"})).json()
        assert [file["id"] for file in page["data"]] == made
        assert all(abs(file["created_at"] - time.time()) < NEAR for file in page["data"])
        seen: list[str] = []
        while len(seen) < len(made):
            after = {"after": seen[-1]} if seen else {}
            seen += [
                file["id"]
                for file in (await clients[len(seen) % 2].get("/files", params={"order": "asc", "limit": 3} | after)).json()["data"]
            ]
        assert seen == made
    for client in clients:
        await client.aclose()


async def test_a_file_expires_for_both_nodes_at_the_same_time(apart: list[Node]):
    key = await apart[0].new_key()
    fast, slow = [node.client(key) for node in apart]
    body = form(
        field("purpose", "user_data"), field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", str(HOUR)), file_part()
    )
    for client, others in ((fast, slow), (slow, fast)):
        made = (await client.post("/files", content=body, headers={"content-type": FORM_TYPE})).json()
        assert abs(made["expires_at"] - time.time() - HOUR) < NEAR
        # By its own clock one of them would have it expired, and the other made in the future.
        for asked in (client, others):
            assert (await asked.get(f"/files/{made['id']}")).json() == made
    for node in apart:
        assert await node.collect() == Collected()
    await asyncio.gather(fast.aclose(), slow.aclose())


async def test_a_key_expires_for_both_nodes_when_the_database_says_so(apart: list[Node]):
    project = (await apart[0].new_key()).project_id
    metadata = apart[0].services.metadata
    for seconds, status in ((HOUR // 2, 200), (-HOUR // 2, 401)):
        plain, end = new_api_key(), metadata.clock.now_ms() // 1000 + seconds
        await metadata.create_api_key(NewApiKey(project, "test", hash_api_key(plain), plain[-4:], ALL_SCOPES, expires_at=end), Origin())
        for node in apart:
            async with node.client(plain) as client:
                assert (await client.get("/files")).status_code == status


async def test_a_limit_of_requests_holds_over_both_nodes_and_locks_nobody_out(apart: list[Node]):
    key = await apart[0].new_key(project=Limits(requests_per_minute=10))
    clients = [node.client(key) for node in apart]
    metadata = apart[0].services.metadata
    minute = -1
    while metadata.clock.now_ms() // 60_000 != minute:
        # Once more, should the minute have ended within it.
        minute = metadata.clock.now_ms() // 60_000
        answers = [await clients[number % 2].get("/files") for number in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 10
    for answer in answers[10:]:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    for client in clients:
        await client.aclose()


async def test_no_janitor_takes_an_upload_for_an_old_one_because_its_own_clock_is_ahead(apart: list[Node]):
    fast, slow = apart
    key = await slow.new_key()
    finish = asyncio.Event()

    async def slow_body() -> object:
        yield field("purpose", "user_data") + file_part(bytes(20 << 20))[:-2]
        await finish.wait()
        yield b"\r\n" + END

    async with slow.client(key) as client:
        uploading = asyncio.create_task(client.post("/files", content=slow_body(), headers={"content-type": FORM_TYPE}))
        unfinished: list[str] = []

        async def look() -> None:
            while not unfinished:
                unfinished.extend([info.key async for info in fast.services.blobs.walk(uncommitted_only=True)])
                await asyncio.sleep(0.02)

        await asyncio.wait_for(look(), 20)
        async with slow.services.blobs.writer(new_blob_key()) as writer:
            await writer.write(b"committed and not yet recorded")
            young = await writer.commit()
        for node in apart:
            assert await node.collect() == Collected()
        finish.set()
        assert (await uploading).status_code == 200
        async with fast.services.blobs.open(young.key) as reader:
            assert reader.size == young.size


async def test_limits_of_a_day_and_uploads_at_once_are_one_count_for_both(apart: list[Node]):
    body = len(form(field("purpose", "user_data"), file_part(b"content")))
    key = await apart[0].new_key(project=Limits(upload_bytes_per_day=3 * body, concurrent_uploads=1))
    clients = [node.client(key) for node in apart]
    answers = [await send_file(clients[number % 2]) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert_openai_error(answers[3], 429, "rate_limit_exceeded", type="rate_limit_error")
    for client in clients:
        await client.aclose()
