"""The connections to providers are shared: no caller and no host uses up those of the others, and waiting for one ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from fileplane.errors import UpstreamBusy, UpstreamTimeout
from fileplane.providers.connection_slots import ConnectionSlots
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider
from support.polling import eventually_async

MOMENT = 0.05


@asynccontextmanager
async def new_egress(**settings: Any) -> AsyncIterator[Egress]:
    egress = Egress(Settings(egress_allow=("127.0.0.1",), egress_connections=8, **settings))
    try:
        yield egress
    finally:
        await egress.close()


async def call(egress: Egress, fake: FakeProvider, credential: str, **fields: Any) -> int:
    secret = {"Authorization": Secret(f"Bearer {credential}")}
    async with egress.call(EgressRequest("GET", f"{fake.base_url}/files", secret_headers=secret, **fields)) as response:
        await response.read(1 << 20)
        return response.status


@asynccontextmanager
async def taken(slots: ConnectionSlots, host: str, caller: str, seconds: float) -> AsyncIterator[None]:
    slot = slots.slot(host, caller)
    await slot.take(seconds)
    try:
        yield
    finally:
        slot.leave()


@asynccontextmanager
async def hanging(egress: Egress, fake: FakeProvider, count: int, caller: str) -> AsyncIterator[None]:
    """So many calls of one caller that are not answered, each with another credential; those that can be are on their way."""
    fake.plan(Fault("hang_before", times=count))
    before = len(fake.requests)
    tasks = [asyncio.ensure_future(call(egress, fake, f"{caller}-{number}", caller=caller)) for number in range(count)]
    try:
        await eventually_async(lambda: len(fake.requests) > before, "the first has arrived")
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        fake.faults.clear()


async def test_a_caller_with_many_credentials_leaves_the_others_their_share():
    async with fake_provider() as fake, new_egress(egress_connect_seconds=0.3) as egress, hanging(egress, fake, 9, "greedy"):
        with pytest.raises(UpstreamBusy):
            await call(egress, fake, "greedy-more", caller="greedy")
        assert len(fake.requests) == 2, "a quarter of all"
        fake.faults.clear()
        assert await call(egress, fake, "greedy-0", caller="modest") == 200


async def test_waiting_for_a_free_connection_ends_by_its_deadline_and_is_told_as_what_it_is():
    async with fake_provider() as fake, new_egress(egress_connect_seconds=MOMENT) as egress, hanging(egress, fake, 2, "greedy"):
        with pytest.raises(UpstreamBusy) as caught:
            await call(egress, fake, "x", caller="greedy")
        assert (caught.value.status, caught.value.code, caught.value.headers) == (503, "upstream_busy", {"retry-after": "1"})
        assert "egress_connections" in caught.value.message


async def test_a_callers_own_deadline_ends_the_wait_sooner_and_is_told_as_a_timeout():
    async with fake_provider() as fake, new_egress(egress_connect_seconds=30) as egress, hanging(egress, fake, 2, "greedy"):
        with pytest.raises(UpstreamTimeout):
            await call(egress, fake, "x", caller="greedy", head_seconds=MOMENT)


async def test_waiting_for_a_free_connection_does_not_make_a_provider_look_dead():
    settings = {"egress_connect_seconds": MOMENT, "egress_breaker_failures": 1, "egress_breaker_seconds": 3_600}
    async with fake_provider() as fake, new_egress(**settings) as egress:
        async with hanging(egress, fake, 2, "greedy"):
            for _ in range(3):
                with pytest.raises(UpstreamBusy):
                    await call(egress, fake, "x", caller="greedy")
        assert await call(egress, fake, "x", caller="greedy") == 200


async def test_a_download_that_is_being_read_holds_its_connection_and_then_gives_it_back():
    async with fake_provider() as fake, new_egress(egress_connect_seconds=MOMENT) as egress:
        request = EgressRequest("GET", f"{fake.base_url}/files", secret_headers={"Authorization": Secret("Bearer x")}, caller="reader")
        async with egress.call(request), egress.call(request):
            with pytest.raises(UpstreamBusy):
                await call(egress, fake, "x", caller="reader")
        assert await call(egress, fake, "x", caller="reader") == 200


async def test_a_host_gets_half_of_all_whoever_calls():
    slots = ConnectionSlots(8)
    async with AsyncExitStack() as stack:
        for number in range(4):
            await stack.enter_async_context(taken(slots, "busy.example", f"caller {number}", 1))
        with pytest.raises(TimeoutError):
            await stack.enter_async_context(taken(slots, "busy.example", "caller 4", MOMENT))
        await stack.enter_async_context(taken(slots, "other.example", "caller 4", 1))


async def test_nothing_is_remembered_of_those_that_have_gone_however_they_went():
    slots = ConnectionSlots(8)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(taken(slots, "a.example", "caller", 1))
        waiting = [asyncio.ensure_future(stack.enter_async_context(taken(slots, "a.example", "caller", 60))) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert (slots._of_callers._kept, slots._of_hosts._kept) == ({}, {})
    async with AsyncExitStack() as stack:
        for number in range(8):
            await stack.enter_async_context(taken(slots, f"{number % 2}.example", f"caller {number}", 1))
