"""What a node remembers or holds for itself, such as keys, credentials and portions of limits, harms nobody who is at another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx2
import pytest

from cluster.conftest import OpenCluster
from fileplane.access import Limits, Principal
from fileplane.control.opened_credentials import CACHE_SECONDS
from fileplane.control.opening import open_credentials
from fileplane.errors import InvalidApiKey, RateLimited
from fileplane.http.auth import Authenticator
from fileplane.http.request_limits import RequestLimits
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.model import Origin
from fileplane.testing.clock import ManualClock
from support.cluster import Node, send_file, sent_file
from support.expect import assert_openai_error
from support.forms import END, FORM_TYPE, field, file_part
from support.polling import eventually_async

pytestmark = pytest.mark.full

CACHE = 5
NODES = 10
PLACES = 3


async def until(status: int, ask: Callable[[], Awaitable[httpx2.Response]], seconds: float) -> None:
    """Asks again and again until the answer has that status."""
    deadline = time.monotonic() + seconds
    while (answer := await ask()).status_code != status:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.02)


async def test_a_key_that_one_node_revokes_is_remembered_by_another_for_key_cache_seconds_and_no_longer(nodes: list[Node]):
    metadata, key, clock = nodes[0].services.metadata, await nodes[0].new_key(), ManualClock(time.time())
    remembering = Authenticator(nodes[1].services.metadata, clock, CACHE)
    headers = {"authorization": f"Bearer {key.plain}"}
    await remembering.authenticate(headers)
    await metadata.revoke_api_key(key.id, Origin())
    clock.advance(CACHE)
    with pytest.raises(InvalidApiKey):
        await remembering.authenticate(headers)


async def test_a_revoked_key_and_a_lowered_limit_are_heeded_by_the_other_node_within_its_key_cache_seconds(open_cluster: OpenCluster):
    nodes = await open_cluster(key_cache_seconds=1)
    key, metadata = await nodes[0].new_key(project=Limits(files=5)), nodes[0].services.metadata
    async with nodes[1].client(key) as client:
        await sent_file(client)
        project = await metadata.find_project(key.project_id)
        await metadata.update_project(replace(project, limits=Limits(files=0)), Origin())
        # A second, and what the machine takes beside it.
        await until(400, lambda: send_file(client), seconds=10)
        await metadata.revoke_api_key(key.id, Origin())
        await until(401, lambda: client.get("/files"), seconds=10)
        assert_openai_error(await client.get("/files"), 401, "invalid_api_key")


async def test_a_virtual_key_that_one_node_changes_is_used_anew_by_the_other_within_three_seconds(nodes: list[Node]):
    one, other = nodes
    key, clock = await one.new_key(), ManualClock(time.time())
    remembering = (await open_credentials(other.services.metadata, other.services.settings, clock)).virtual_keys

    async def secret() -> str:
        return (await remembering.resolve(key.project_id, "mine")).secrets["api_key"].reveal()

    async with one.client(key) as client:
        made = await client.post("/virtual-keys", json={"name": "mine", "provider": "openai", "slug": "mine", "key": "sk-the-first-one"})
        assert made.status_code == 200, made.text
        assert await secret() == "sk-the-first-one"
        changed = await client.put("/virtual-keys/mine", json={"key": "sk-the-other-one"})
        assert changed.status_code == 200, changed.text
    assert CACHE_SECONDS <= 3
    clock.advance(CACHE_SECONDS)
    assert await secret() == "sk-the-other-one"


@pytest.fixture
async def limiters(url: str) -> AsyncIterator[tuple[list[RequestLimits], ManualClock]]:
    """What ten nodes admit requests by, at a moment that does not pass."""
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stores = [PostgresMetadataStore(url, clock, deadline_seconds=60, connections=1) for _ in range(NODES)]
        for store in stores:
            stack.push_async_callback(store.close)
        yield [RequestLimits(store, store.clock) for store in stores], clock


@pytest.mark.parametrize("limit", [9, 120, 600])
@pytest.mark.parametrize("spread", ["evenly", "to one in the end"])
async def test_requests_of_a_minute_at_ten_nodes_never_exceed_the_limit_and_nearly_reach_it(
    limiters: tuple[list[RequestLimits], ManualClock], limit: int, spread: str
):
    nodes, clock = limiters
    principal = Principal("project", "key", frozenset(), project_limits=Limits(requests_per_minute=limit))
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    drawn = random.Random(seed)

    async def ask(number: int) -> bool:
        try:
            await nodes[number].admit(principal, [])
        except RateLimited:
            return False
        return True

    for _ in range(3):
        order = drawn.choices(range(NODES), k=2 * limit if spread == "evenly" else limit // 2) + [0] * (2 * limit)
        admitted = 0
        while order:
            size = drawn.randint(1, 20)
            at_once, order = order[:size], order[size:]
            admitted += sum(await asyncio.gather(*[ask(number) for number in at_once]))
        assert limit * 0.9 < admitted <= limit
        clock.advance(60)


async def test_as_many_uploads_go_on_at_once_as_the_limit_says_whichever_nodes_take_them(nodes: list[Node]):
    key = await nodes[0].new_key(project=Limits(concurrent_uploads=PLACES))
    clients, finish = [node.client(key) for node in nodes], asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield field("purpose", "user_data") + file_part(b"slow")
        await finish.wait()
        yield END

    uploads = [
        asyncio.create_task(clients[number % 2].post("/files", content=slow_body(), headers={"content-type": FORM_TYPE}))
        for number in range(8)
    ]
    await eventually_async(lambda: sum(upload.done() for upload in uploads) == len(uploads) - PLACES, "the others are refused", seconds=20)
    for upload in uploads:
        if upload.done():
            assert_openai_error(upload.result(), 429, "rate_limit_exceeded", type="rate_limit_error")
    finish.set()
    assert [answer.status_code for answer in await asyncio.gather(*uploads)].count(200) == PLACES
    for client in clients:
        await sent_file(client)
        await client.aclose()
