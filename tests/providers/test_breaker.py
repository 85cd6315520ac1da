"""Providers that cannot be connected to are left alone for a while, and nobody can bring that about for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fileplane.errors import FileplaneError, InvalidValue, UpstreamSuspended, UpstreamTimeout, UpstreamUnreachable
from fileplane.providers.breaker import Breaker
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault, fake_provider
from support.polling import eventually_async
from support.ports import free_port

DEAD = "https://dead.example:443"
OWN, OTHER = ({"Authorization": Secret(f"Bearer sk-{name}")} for name in ("own-credential", "other-credential"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(3, 10, clock.monotonic)


def fail(breaker: Breaker, times: int, key: str = "key") -> None:
    for _ in range(times):
        with breaker.attempt(key, DEAD) as attempt:
            attempt.failed()


def test_failures_in_a_row_open_the_circuit_and_it_says_when_it_is_tried_again(breaker: Breaker, clock: ManualClock):
    fail(breaker, 3)
    clock.advance(3.5)
    with pytest.raises(UpstreamSuspended) as caught:
        breaker.attempt("key", DEAD)
    assert (caught.value.status, caught.value.code, caught.value.headers) == (502, "upstream_suspended", {"retry-after": "7"})


def test_a_connection_in_between_begins_the_count_anew(breaker: Breaker):
    fail(breaker, 2)
    with breaker.attempt("key", DEAD) as attempt:
        attempt.reached()
    fail(breaker, 2)
    with breaker.attempt("key", DEAD):
        pass


def test_failures_that_are_far_apart_are_not_in_a_row(breaker: Breaker, clock: ManualClock):
    for _ in range(9):
        fail(breaker, 1)
        clock.advance(61)
    with breaker.attempt("key", DEAD):
        pass


def test_one_call_alone_probes_and_its_failure_keeps_the_circuit_open(breaker: Breaker, clock: ManualClock):
    fail(breaker, 3)
    clock.advance(10)
    with breaker.attempt("key", DEAD) as probe:
        with pytest.raises(UpstreamSuspended):
            breaker.attempt("key", DEAD)
        probe.failed()
    with pytest.raises(UpstreamSuspended) as caught:
        breaker.attempt("key", DEAD)
    assert caught.value.headers == {"retry-after": "10"}


def test_a_probe_that_has_a_connection_lets_all_through_before_it_has_ended(breaker: Breaker, clock: ManualClock):
    fail(breaker, 3)
    clock.advance(10)
    with breaker.attempt("key", DEAD) as probe:
        probe.reached()
        with breaker.attempt("key", DEAD):
            pass
    fail(breaker, 2)
    with breaker.attempt("key", DEAD):
        pass


def test_a_probe_that_ends_without_a_verdict_leaves_its_place_to_the_next(breaker: Breaker, clock: ManualClock):
    fail(breaker, 3)
    clock.advance(10)
    for _ in range(3):
        with pytest.raises(asyncio.CancelledError), breaker.attempt("key", DEAD):
            raise asyncio.CancelledError


def test_one_key_says_nothing_of_another(breaker: Breaker):
    fail(breaker, 3)
    with breaker.attempt("other", DEAD):
        pass


def test_no_more_circuits_are_kept_than_a_thousand(breaker: Breaker):
    fail(breaker, 3)
    for number in range(1_000):
        fail(breaker, 1, f"key {number}")
    assert len(breaker._circuits) == 1_000
    with breaker.attempt("key", DEAD):
        pass


def test_zero_failures_turn_it_off(clock: ManualClock):
    breaker = Breaker(0, 10, clock.monotonic)
    fail(breaker, 100)
    assert not breaker._circuits


@asynccontextmanager
async def new_egress(lookup: Any = None, **settings: Any) -> AsyncIterator[Egress]:
    values = {"egress_allow": ("127.0.0.1",), "egress_breaker_failures": 2, "egress_breaker_seconds": 3_600.0, **settings}
    egress = Egress(Settings(**values), lookup=lookup)
    try:
        yield egress
    finally:
        await egress.close()


async def call(egress: Egress, url: str, secret_headers: Any = OWN, **fields: Any) -> int:
    async with egress.call(EgressRequest("GET", url, secret_headers=secret_headers, **fields)) as response:
        return response.status


async def opens(egress: Egress, url: str, error: type[FileplaneError], **fields: Any) -> bool:
    """Whether two failures of that kind let the third call be refused."""
    for _ in range(2):
        with pytest.raises(error):
            await call(egress, url, **fields)
    try:
        await call(egress, url, **fields)
    except UpstreamSuspended:
        return True
    except FileplaneError:
        return False
    return False


async def test_a_port_that_nobody_listens_on_is_left_alone_for_this_credential_and_told_of_in_the_log(caplog: pytest.LogCaptureFixture):
    url = f"http://127.0.0.1:{free_port()}/v1/files"
    async with new_egress() as egress:
        with caplog.at_level(logging.WARNING):
            assert await opens(egress, url, UpstreamUnreachable)
        with pytest.raises(UpstreamUnreachable):
            await call(egress, url, OTHER)
    [line] = [record.getMessage() for record in caplog.records if "left alone" in record.getMessage()]
    assert url.removesuffix("/v1/files") in line
    assert "sk-own" not in line


async def test_a_name_that_does_not_exist_or_a_resolver_that_hangs_counts():
    async def nobody(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such host")

    async def hanging(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with new_egress(nobody) as egress:
        assert await opens(egress, "https://nobody.example/", UpstreamUnreachable)
    async with new_egress(hanging, egress_connect_seconds=0.05) as egress:
        assert await opens(egress, "https://slow.example/", UpstreamTimeout)


async def test_a_callers_own_short_timeout_does_not_count():
    async def hanging(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with new_egress(hanging) as egress:
        assert not await opens(egress, "https://slow.example/", UpstreamTimeout, head_seconds=0.05)


async def test_a_place_that_is_not_allowed_does_not_count():
    async def inside(_host: str, _port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    async with new_egress(inside) as egress:
        assert not await opens(egress, "https://inside.example/", InvalidValue)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("close_response_at", at=-1, times=9), UpstreamUnreachable),
        (Fault("close_response_at", at=-1, times=9, reset=True), UpstreamUnreachable),
        (Fault("hang_before", times=9), UpstreamTimeout),
    ],
    ids=["closes", "resets", "hangs"],
)
async def test_what_goes_wrong_on_a_connection_that_was_made_does_not_count(fault: Fault, error: type[FileplaneError]):
    async with fake_provider() as fake, new_egress(egress_connect_seconds=0.3, egress_first_byte_seconds=0.1) as egress:
        fake.plan(fault)
        assert not await opens(egress, f"{fake.base_url}/files", error)


async def test_statuses_of_gateways_do_not_count():
    async with fake_provider() as fake, new_egress() as egress:
        fake.plan(Fault("refuse", status=503, times=9))
        assert [await call(egress, f"{fake.base_url}/files") for _ in range(4)] == [503] * 4


async def test_a_provider_that_is_back_is_found_by_a_probe_while_its_upload_goes_on(caplog: pytest.LogCaptureFixture):
    port = free_port()
    async with new_egress(egress_breaker_seconds=0.1) as egress:
        url = f"http://127.0.0.1:{port}/v1/files"
        with caplog.at_level(logging.WARNING):
            assert await opens(egress, url, UpstreamUnreachable)
            async with fake_provider(port=port) as fake:
                fake.plan(Fault("hang_before"))

                async def probed() -> bool:
                    probe = asyncio.ensure_future(call(egress, url))
                    await eventually_async(lambda: probe.done() or fake.requests, "the call is refused, or a probe that arrives")
                    if probe.done():
                        with pytest.raises(UpstreamSuspended):
                            probe.result()
                        return False
                    assert await call(egress, url) == 200
                    probe.cancel()
                    return True

                while not await probed():
                    pass
    assert any("again" in record.getMessage() for record in caplog.records)
