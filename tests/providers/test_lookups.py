"""Names are looked up for many callers: those whose servers do not answer keep nobody else waiting, and close nobody's circuit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fileplane.errors import UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from fileplane.providers.egress import Egress
from fileplane.providers.egress_addresses import Lookups
from fileplane.providers.egress_request import EgressRequest
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, fake_provider
from support.listening import listening
from support.polling import eventually_async

LONG = 60.0
MOMENT = 0.05


class Names:
    """Answers with this machine, but for names of ``silent.test``, which it is asked for in vain until it is told to answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.fails = False

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.endswith("silent.test"):
            await self.answers.wait()
        if self.fails:
            raise OSError(f"{host}:{port} is unknown")
        return ["127.0.0.1"]


@asynccontextmanager
async def lookups_of(names: Names, wait_seconds: float = LONG) -> AsyncIterator[Lookups]:
    lookups = Lookups(names, wait_seconds)
    try:
        yield lookups
    finally:
        await lookups.close()


async def in_vain(lookups: Lookups, names: Names, count: int, caller: str) -> list[asyncio.Task[Sequence[str]]]:
    """So many lookups of one caller that are not answered, of which those that can be have begun."""
    before = len(names.asked)
    tasks = [asyncio.create_task(lookups.of(f"{caller}-{number}.silent.test", 443, caller)) for number in range(count)]
    await eventually_async(lambda: len(names.asked) >= before + min(count, 4), "they have begun")
    return tasks


async def test_a_caller_whose_names_are_not_answered_leaves_the_others_room():
    names = Names()
    async with lookups_of(names) as lookups:
        tasks = await in_vain(lookups, names, 40, "greedy")
        assert len(names.asked) == 4
        assert await lookups.of("api.example.com", 443, "modest") == ["127.0.0.1"]
        names.answers.set()
        assert await asyncio.gather(*tasks) == [["127.0.0.1"]] * 40


async def test_no_more_than_32_are_looked_up_at_once_and_whoever_waits_too_long_is_told():
    names = Names()
    async with lookups_of(names, MOMENT) as lookups:
        for number in range(8):
            await in_vain(lookups, names, 4, f"caller-{number}")
        assert len(names.asked) == 32
        with pytest.raises(UpstreamBusy, match="Too many names") as caught:
            await lookups.of("api.example.com", 443, "late")
        assert (caught.value.status, caught.value.headers) == (503, {"retry-after": "1"})
        names.answers.set()
        await eventually_async(lambda: not lookups._running, "all have ended")
        assert await lookups.of("api.example.com", 443, "late") == ["127.0.0.1"]


async def test_a_lookup_that_nobody_waits_for_any_more_keeps_its_place_until_it_has_ended():
    names = Names()
    async with lookups_of(names, MOMENT) as lookups:
        tasks = await in_vain(lookups, names, 4, "greedy")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        with pytest.raises(UpstreamBusy):
            await lookups.of("api.example.com", 443, "greedy")
        names.fails = True  # also when they fail, and nobody hears of it
        names.answers.set()
        await eventually_async(lambda: not lookups._running, "all have ended")
        names.fails = False
        assert await lookups.of("api.example.com", 443, "greedy") == ["127.0.0.1"]


async def test_whoever_gives_up_waiting_for_a_place_takes_none():
    names = Names()
    async with lookups_of(names) as lookups:
        tasks = await in_vain(lookups, names, 8, "greedy")
        for task in tasks[4:]:
            task.cancel()
        await asyncio.wait(tasks[4:])
        names.answers.set()
        await asyncio.gather(*tasks[:4])
        assert len(names.asked) == 4
        assert not lookups._places._of_callers._kept


async def test_a_name_is_asked_for_once_however_many_wait_for_it_and_again_for_whoever_comes_later():
    names = Names()
    async with lookups_of(names) as lookups:
        waiting = [asyncio.create_task(lookups.of("one.silent.test", 443, f"caller-{number}")) for number in range(100)]
        await eventually_async(lambda: names.asked, "it is asked for")
        names.answers.set()
        assert await asyncio.gather(*waiting) == [["127.0.0.1"]] * 100
        assert names.asked == ["one.silent.test"]
        await lookups.of("one.silent.test", 443, "caller-1")
        assert len(names.asked) == 2
        names.fails = True
        for _ in range(2):
            with pytest.raises(OSError, match="unknown"):
                await lookups.of("one.silent.test", 443, "caller-1")


async def test_whoever_waits_for_a_place_is_answered_by_a_lookup_of_the_same_name_that_somebody_else_has_begun():
    names = Names()
    async with lookups_of(names, MOMENT) as lookups:
        await in_vain(lookups, names, 4, "greedy")
        waiting = asyncio.create_task(lookups.of("shared.silent.test", 443, "greedy"))
        await eventually_async(lambda: "shared.silent.test" in lookups._places._of_hosts._kept, "it waits")
        begun = asyncio.create_task(lookups.of("shared.silent.test", 443, "modest"))
        await eventually_async(lambda: len(lookups._places._of_callers._kept) == 2, "somebody else has begun")
        await eventually_async(lambda: lookups._places._of_callers._kept["greedy"][1] == 4, "it waits no longer for a place")
        names.answers.set()
        assert await asyncio.gather(waiting, begun) == [["127.0.0.1"]] * 2
        assert names.asked.count("shared.silent.test") == 1


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as running:
        yield running


async def get(egress: Egress, host: str, port: int, caller: str, **fields: Any) -> int:
    secret = {"Authorization": Secret(f"Bearer sk-of-{caller}")}
    async with egress.call(EgressRequest("GET", f"http://{host}:{port}/files", secret_headers=secret, caller=caller, **fields)) as response:
        return response.status


async def test_calls_to_hosts_whose_names_are_not_answered_neither_hold_up_other_callers_nor_close_their_circuits(fake: FakeProvider):
    names = Names()
    port = int(fake.base_url.rpartition(":")[2].partition("/")[0])
    settings = Settings(egress_allow=("*.test",), egress_connect_seconds=0.2, egress_breaker_failures=2, egress_breaker_seconds=3_600.0)
    egress = Egress(settings, lookup=names)
    try:
        hanging = [asyncio.create_task(get(egress, f"host-{number}.silent.test", port, "greedy")) for number in range(16)]
        await eventually_async(lambda: len(names.asked) == 4, "as many as may are looked up")
        for _ in range(3):
            assert await get(egress, "good.test", port, "modest") != 0
        results = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(result) for result in results} == {UpstreamTimeout, UpstreamBusy}
        for _ in range(3):
            with pytest.raises(UpstreamBusy):
                await get(egress, "good.test", port, "greedy")
        names.answers.set()
        await eventually_async(lambda: not egress._lookups._running, "all have ended")
        assert await get(egress, "good.test", port, "greedy") != 0
        names.fails = True
        with pytest.raises(UpstreamUnreachable):
            await get(egress, "other.test", port, "modest")
    finally:
        await egress.close()


async def test_behind_a_proxy_too_names_are_looked_up_within_the_caller_s_share():
    names = Names()

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()

    async with listening(proxied) as port:
        settings = Settings(egress_allow=("*.test",), egress_connect_seconds=0.2, egress_proxy=f"http://127.0.0.1:{port}")
        egress = Egress(settings, lookup=names)
        try:
            # What cannot be looked up here, without an answer or without a place, the proxy knows.
            hanging = [asyncio.create_task(get(egress, f"host-{number}.silent.test", 80, "greedy")) for number in range(16)]
            assert await asyncio.gather(*hanging) == [204] * 16
            assert len([host for host in names.asked if host.endswith("silent.test")]) == 4
        finally:
            await egress.close()
