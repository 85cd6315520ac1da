"""Connections that no call has just now are kept up to a bound, however many credentials they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.idle_connections import IdleConnections
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, Fault, fake_provider
from support.polling import eventually_async


class Connection:
    """As much of a transport as is looked at."""

    def __init__(self) -> None:
        self.open = True

    def is_closing(self) -> bool:
        return not self.open

    def abort(self) -> None:
        self.open = False


def made(count: int) -> list[Any]:
    return [Connection() for _ in range(count)]


def pass_through(idle: IdleConnections, *connections: Any) -> None:
    for connection in connections:
        idle.take(connection, connection)
        idle.leave(connection, connection)


def test_the_one_that_was_idle_the_longest_goes_first():
    idle, (first, second, third, fourth) = IdleConnections(2), made(4)
    pass_through(idle, first, second, first, third)
    assert [one.open for one in (first, second, third)] == [True, False, True]
    pass_through(idle, fourth)
    assert [one.open for one in (first, third, fourth)] == [False, True, True]


def test_one_that_a_call_has_is_never_closed():
    idle, (busy, *others) = IdleConnections(1), made(5)
    pass_through(idle, busy)
    idle.take(busy, "a call")
    pass_through(idle, *others)
    assert busy.open
    assert [one.open for one in others] == [False, False, False, True]


def test_one_that_the_next_call_has_already_is_not_idle_when_the_one_before_says_that_it_is_done():
    idle, (shared, other) = IdleConnections(1), made(2)
    idle.take(shared, "first")
    idle.take(shared, "second")
    idle.leave(shared, "first")
    pass_through(idle, other)
    assert shared.open
    idle.leave(shared, "second")
    assert (shared.open, other.open) == (True, False)


def test_one_that_is_closed_is_not_counted():
    idle, (kept, closed) = IdleConnections(1), made(2)
    pass_through(idle, kept)
    closed.abort()
    pass_through(idle, closed)
    assert kept.open
    assert not idle._callers


def test_those_that_were_closed_while_they_were_idle_are_let_go_of():
    idle, (*closed, kept) = IdleConnections(9), made(5)
    pass_through(idle, *closed)
    for one in closed:
        one.open = False
    pass_through(idle, kept)
    assert list(idle._idle) == [kept]


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as running:
        yield running


async def get(egress: Egress, fake: FakeProvider, number: int) -> int:
    secret = {"Authorization": Secret(f"Bearer sk-{number}")}
    async with egress.call(EgressRequest("GET", f"{fake.base_url}/files", secret_headers=secret, caller="one")) as response:
        await response.read(1 << 20)
        return response.status


async def test_a_caller_with_many_credentials_leaves_no_more_connections_than_the_bound(fake: FakeProvider):
    egress = Egress(Settings(egress_allow=("127.0.0.1",), egress_connections=8))
    try:
        for number in range(40):
            assert await get(egress, fake, number) == 200
        await eventually_async(lambda: fake.open_connections <= 8, "the others are closed")
        assert await get(egress, fake, 39) == 200
        await asyncio.gather(*(get(egress, fake, number) for number in range(40)))
        await eventually_async(lambda: fake.open_connections <= 8, "the others are closed")
        fake.plan(Fault("close_response_at", operation="list", at=1, times=3))
        for number in range(3):
            with pytest.raises(Exception, match="broke"):
                await get(egress, fake, number)
        assert not egress._idle._callers
    finally:
        await egress.close()
