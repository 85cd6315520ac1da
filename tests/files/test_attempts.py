"""How often a call is repeated at one target, and how long that may take."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from fileplane.errors import ProviderRefused, RequestTimeout, UpstreamOutcomeUnknown, UpstreamTimeout
from fileplane.files import attempts
from fileplane.files.attempts import LONGEST_REPEATING_SECONDS, LONGEST_WAIT_SECONDS, MOST_REPETITIONS, Waits, repeated
from fileplane.files.remote_route import RemoteTarget, Repeats, Trace
from fileplane.providers.base import Provider, Target

EVERY = (429, 500, 502, 503, 504)


class _Named:
    name = "openai"


def _target(repeats: Repeats) -> RemoteTarget:
    return RemoteTarget("config", cast("Provider", _Named()), Target("openai"), None, repeats)


def _refused(status: int = 503, retry_after: float | None = None) -> ProviderRefused:
    return ProviderRefused("No.", status=status, retry_after=retry_after)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_waits_grow_and_have_chance_in_them(chance: float) -> None:
    waits = Waits(Trace(), lambda: chance, lambda: 0.0)
    for number in range(MOST_REPETITIONS):
        wait = waits.next(number, Repeats(MOST_REPETITIONS, EVERY), _refused())
        assert wait is not None
        assert 0.5 * 2**number / 2 <= wait <= 0.5 * 2**number


@pytest.mark.parametrize(("heeds", "wait"), [(True, 7.0), (False, 0.5)])
def test_what_the_provider_asks_for_is_waited_only_where_the_config_says_so(heeds: bool, wait: float) -> None:
    waits = Waits(Trace(), lambda: 1.0, lambda: 0.0)
    assert waits.next(0, Repeats(1, EVERY, use_retry_after=heeds), _refused(429, 7.0)) == wait


def test_all_waits_of_a_request_together_are_bounded() -> None:
    trace, repeats = Trace(), Repeats(5, EVERY, use_retry_after=True)
    total = 0.0
    for _ in range(20):  # at one target after another, each with waits of its own
        wait = Waits(trace, now=lambda: 0.0).next(0, repeats, _refused(429, 25.0))
        total += wait or 0.0
    assert total == 50.0 <= LONGEST_WAIT_SECONDS
    assert Waits(Trace()).next(0, repeats, _refused(429, LONGEST_WAIT_SECONDS + 1)) is None


def test_no_repetition_begins_after_the_requests_deadline() -> None:
    now = [0.0]
    trace = Trace()
    waits = Waits(trace, lambda: 0.0, lambda: now[0])
    now[0] = LONGEST_REPEATING_SECONDS - 1
    assert waits.next(0, Repeats(5, EVERY), UpstreamTimeout("Late.")) is not None
    now[0] = LONGEST_REPEATING_SECONDS
    assert waits.next(1, Repeats(5, EVERY), UpstreamTimeout("Late.")) is None
    assert Waits(trace, lambda: 0.0, lambda: now[0]).next(0, Repeats(5, EVERY), UpstreamTimeout("Late.")) is None


async def test_a_call_is_repeated_five_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def call(_target: RemoteTarget) -> Any:
        nonlocal calls
        calls += 1
        raise _refused()

    monkeypatch.setattr(attempts, "_FIRST_WAIT_SECONDS", 0.0)
    trace = Trace()
    with pytest.raises(ProviderRefused):
        await repeated(_target(Repeats(10, EVERY)), call, trace)
    assert (calls, trace.repetitions) == (1 + MOST_REPETITIONS, -1)


@pytest.mark.parametrize(
    "error", [UpstreamOutcomeUnknown("Who knows."), _refused(400)], ids=["of unknown outcome", "of a status that is not named"]
)
async def test_other_failures_are_not_repeated(error: Exception) -> None:
    calls = 0

    async def call(_target: RemoteTarget) -> Any:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await repeated(_target(Repeats(5, EVERY)), call, Trace())
    assert calls == 1


async def test_the_number_of_the_attempt_that_succeeded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_FIRST_WAIT_SECONDS", 0.0)
    for succeeding in range(MOST_REPETITIONS + 1):
        left = [succeeding]

        async def call(_target: RemoteTarget, left: list[int] = left) -> str:
            left[0] -= 1
            if left[0] >= 0:
                raise _refused(random.choice(EVERY))
            return "done"

        trace = Trace()
        assert await repeated(_target(Repeats(MOST_REPETITIONS, EVERY)), call, trace) == "done"
        assert trace.repetitions == succeeding


async def test_the_requests_own_timeout_is_told_as_such_also_by_a_clock_of_coarse_steps() -> None:
    target = RemoteTarget("config", cast("Provider", _Named()), Target("openai", request_timeout_seconds=0.05), None)

    async def call(_target: RemoteTarget) -> Any:
        await asyncio.sleep(0.0499)
        raise UpstreamTimeout("Late.")

    with pytest.raises(RequestTimeout):
        await repeated(target, call, Trace())


async def test_a_timeout_that_is_not_the_requests_own_stays_one_of_the_provider() -> None:
    target = RemoteTarget("config", cast("Provider", _Named()), Target("openai", request_timeout_seconds=5.0), None)

    async def call(_target: RemoteTarget) -> Any:
        raise UpstreamTimeout("Late.")

    with pytest.raises(UpstreamTimeout):
        await repeated(target, call, Trace())
