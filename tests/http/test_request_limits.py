"""Requests a minute, leased to workers in portions: several workers' worth of them over one database, on a clock that stands still."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from fileplane.access import Limits, Principal
from fileplane.errors import FileplaneError, RateLimited, StorageUnavailable
from fileplane.http.request_limits import RequestLimits
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.opening import DATABASE_NAME
from fileplane.testing.faults import Fails, NaughtyMetadataStore, Plan
from support.clock import ManualClock
from support.expect import assert_openai_error
from support.forms import upload
from support.limited import make_limited_key
from support.statements import Statements, traced_statements
from support.timed_app import TimedApp, timed_app


def caller(project: int | None = None, key: int | None = None, name: str = "key") -> Principal:
    return Principal(
        "project", name, frozenset(), project_limits=Limits(requests_per_minute=project), key_limits=Limits(requests_per_minute=key)
    )


class Workers:
    """That many workers over one database, each with a store of its own."""

    def __init__(self, limiters: list[RequestLimits], clock: ManualClock) -> None:
        self.limiters = limiters
        self.clock = clock

    async def ask(self, principal: Principal, worker: int) -> bool:
        try:
            await self.limiters[worker].admit(principal, [])
        except RateLimited:
            return False
        return True

    async def ask_all(self, principal: Principal, order: list[int]) -> int:
        """How many are admitted, one after the other, each at the worker that ``order`` names."""
        return sum([await self.ask(principal, worker) for worker in order])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / DATABASE_NAME
    prepare_database(path)
    return path


@pytest.fixture(params=[1, 4, 20])
async def workers(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Workers]:
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stores = [SqliteMetadataStore(path, clock) for _ in range(request.param)]
        for store in stores:
            stack.push_async_callback(store.close)
        yield Workers([RequestLimits(store, clock) for store in stores], clock)


def bound(admitted: int, before: int) -> float:
    """By how many the admitted requests may fall short, as the documentation has it, however many workers there are."""
    return (admitted + before) / 20


@pytest.mark.parametrize("limit", [1, 7, 79, 80, 500])
async def test_however_requests_are_spread_over_workers_the_limit_is_never_exceeded_and_nearly_reached(workers: Workers, limit: int):
    count = len(workers.limiters)
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    before = 0
    for _ in range(3):
        order = random.Random(seed).choices(range(count), k=3 * limit + 20)
        admitted = await workers.ask_all(caller(project=limit), order)
        assert limit - bound(admitted, before) <= admitted <= limit
        assert admitted > limit * 0.9
        before = admitted
        workers.clock.advance(60)


@pytest.mark.parametrize("limit", [7, 80, 500])
async def test_requests_that_race_on_every_worker_do_not_exceed_the_limit_together(workers: Workers, limit: int):
    count = len(workers.limiters)
    outcomes = await asyncio.gather(*[workers.ask(caller(project=limit), number % count) for number in range(3 * limit)])
    assert limit - bound(sum(outcomes), 0) <= sum(outcomes) <= limit


async def test_workers_that_fall_idle_hold_back_no_more_than_the_documented_bound(workers: Workers):
    count, limit = len(workers.limiters), 1_000
    everywhere = [number % count for number in range(limit)]
    before = await workers.ask_all(caller(project=limit), everywhere)
    workers.clock.advance(60)
    # Each has taken a portion by what it had to do before, and all the rest of the minute is one worker's.
    admitted = await workers.ask_all(caller(project=limit), everywhere[: limit // 4] + [0] * 2 * limit)
    assert limit - bound(admitted, before) <= admitted <= limit
    assert admitted > limit * 0.9
    workers.clock.advance(120)
    assert count + await workers.ask_all(caller(project=limit), [*range(count), *[0] * 2 * limit]) - count == limit


async def test_requests_that_wait_are_given_their_portion_in_one(path: Path):
    clock = ManualClock()
    store = SqliteMetadataStore(path, clock)
    plan = Plan({})
    limiter = RequestLimits(NaughtyMetadataStore(store, plan), clock)
    await asyncio.gather(*[limiter.admit(caller(project=100), []) for _ in range(100)])
    assert plan.calls == ["take_requests"]
    await store.close()


async def test_a_request_takes_of_its_key_and_of_its_project_and_of_neither_when_one_refuses(workers: Workers):
    one, two = caller(project=10, key=4, name="one"), caller(project=10, name="two")
    assert await workers.ask_all(one, [0] * 9) == 4
    assert await workers.ask_all(two, [0] * 9) == 6
    assert await workers.ask_all(caller(key=4, name="three"), [0] * 9) == 4


async def test_a_refusal_for_the_projects_sake_gives_the_keys_request_back(workers: Workers):
    assert await workers.ask_all(caller(project=2, name="other"), [0] * 3) == 2
    assert await workers.ask_all(caller(project=2, key=5), [0] * 30) == 0
    assert await workers.ask_all(caller(key=5), [0] * 9) == 5


async def test_a_changed_limit_holds_at_once(workers: Workers):
    assert await workers.ask_all(caller(project=3), [0] * 9) == 3
    assert await workers.ask_all(caller(project=5), [0] * 9) == 2
    assert await workers.ask_all(caller(project=4), [0] * 9) == 0


async def test_keys_that_a_worker_remembers_with_two_limits_of_their_project_waste_none_of_it(workers: Workers):
    before, after = caller(project=200, name="before"), caller(project=201, name="after")
    admitted = [await workers.ask(before if number % 2 else after, 0) for number in range(150)]
    assert all(admitted)


async def test_a_clock_that_is_set_back_by_an_hour_locks_nobody_out(workers: Workers):
    assert await workers.ask_all(caller(project=3), [0] * 9) == 3
    workers.clock.advance(-3_600)
    assert await workers.ask_all(caller(project=3), [0] * 9) == 3
    workers.clock.advance(-10)
    assert await workers.ask_all(caller(project=3), [0] * 9) in {0, 3}


async def test_a_caller_that_leaves_while_a_portion_is_fetched_takes_it_from_nobody(workers: Workers):
    limiter = workers.limiters[0]
    leaving = [asyncio.create_task(limiter.admit(caller(project=100), [])) for _ in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.wait(leaving)
    await limiter.settle()
    assert await workers.ask_all(caller(project=100), [0] * 150) == 100


async def test_a_limited_request_is_refused_while_the_database_does_not_answer_and_an_unlimited_one_asks_it_nothing(path: Path):
    clock = ManualClock()
    store = SqliteMetadataStore(path, clock)
    plan = Plan({1: Fails(StorageUnavailable("The database does not answer."))})
    limiter = RequestLimits(NaughtyMetadataStore(store, plan), clock)
    answer: list[tuple[bytes, bytes]] = []
    await limiter.admit(caller(), answer)
    assert (plan.calls, answer) == ([], [])
    with pytest.raises(FileplaneError) as refusal:
        await limiter.admit(caller(project=10), answer)
    assert isinstance(refusal.value, StorageUnavailable)
    await limiter.admit(caller(project=10), answer)
    await store.close()


LIMITED = Limits(requests_per_minute=50)


@pytest.fixture(scope="module")
def statements() -> Iterator[Statements]:
    with traced_statements() as traced:
        yield traced


@pytest.fixture
def app(statements: Statements, tmp_path: Path) -> Iterator[TimedApp]:  # noqa: ARG001 - whose connections are traced
    with timed_app(tmp_path / "data") as opened:
        yield opened


def client_of(app: TimedApp, **limits: Limits) -> httpx2.Client:
    return app.client(app.run(make_limited_key(app.metadata, **limits)).plain)


HEADERS = ("limit", "remaining", "reset")


def told(response: httpx2.Response) -> tuple[str | None, ...]:
    return tuple(response.headers.get(f"x-ratelimit-{name}-requests") for name in HEADERS)


def test_every_answer_tells_a_limited_caller_what_is_left_errors_included(app: TimedApp):
    client = client_of(app, project=LIMITED, key=Limits(requests_per_minute=3))
    assert told(client.get("/files")) == ("3", "2", "1m0s")
    app.clock.advance(15)
    assert told(client.get("/files/unknown")) == ("3", "1", "45s")
    assert told(client.get("/files", headers={"x-portkey-provider": "openai"})) == ("3", "0", "45s")
    refused = client.get("/files")
    assert "this API key may make 3 requests a minute" in assert_openai_error(refused, 429, "rate_limit_exceeded", type="rate_limit_error")
    assert (told(refused), refused.headers["retry-after"]) == (("3", "0", "45s"), "45")
    app.clock.advance(45)
    assert told(client.get("/files")) == ("3", "2", "1m0s")
    assert told(client_of(app).get("/files")) == (None, None, None)
    assert told(client_of(app, project=LIMITED).get("/files")) == ("50", "49", "1m0s")


def test_portions_cost_one_write_each_and_requests_none(app: TimedApp, statements: Statements):
    client = client_of(app, project=Limits(requests_per_minute=1_000))
    for _ in range(400):
        client.get("/files")
    app.clock.advance(60)
    client.get("/files")
    statements.taken()
    for _ in range(19):
        assert client.get("/files").status_code == 200
    assert not [sql for sql, _ in statements.taken() if "request_windows" in sql]
    client.get("/files")
    assert len([sql for sql, _ in statements.taken() if "INSERT INTO request_windows" in sql]) == 1


def test_without_limits_nothing_is_asked_that_counters_do_not_need(app: TimedApp, statements: Statements):
    client = client_of(app)
    upload(client, b"x")
    statements.taken()
    assert upload(client, b"x").status_code == 200
    seen = [sql.partition("\n")[0] for sql, _ in statements.taken()]
    assert [line.removeprefix("-- ") for line in seen if line.startswith("-- ")] == [
        "What a project keeps, over all purposes.",
        "Whether the database is moved, and nothing may change.",
        "What a project keeps, over all purposes.",
        "Whether a blob was taken for an orphan.",
        "One project by its id.",
        "A file whose blob is already durable.",
        "The counters that a new file moves.",
        "The counters of a key that a new file moves.",
        "What an upload adds to its day, for its key and for the whole project.",
        "One line of the audit log.",
    ]
    client.get("/files/unknown")
    client.get("/files")
    assert not [sql for sql, _ in statements.taken() if "request_windows" in sql or "daily_usage" in sql]
