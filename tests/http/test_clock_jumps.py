"""Two servers over one database whose clocks are two hours apart, and clocks that leap: nothing is lost, doubled or cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx2
import pytest
from starlette.types import Message

from fileplane.errors import RequestTimeout
from fileplane.http.body import Patience, read_body
from fileplane.testing.metadata_store_suite import NOBODY
from support.clock import ManualClock
from support.debian import require_library
from support.expect import assert_deleted, assert_file, assert_openai_error
from support.forms import uploaded
from support.polling import eventually
from support.raw_http import Connection, form_begin, form_end, form_length, upload_head
from support.server import RunningServer, fileplane_environment, running_server
from support.timed_app import TimedApp, _open, timed_app

HOUR = 3_600
SKEW = 2 * HOUR
PURPOSE = "evals"


class LeapingClock(ManualClock):
    """A machine whose wall clock is set by hand now and then, as its monotonic clock never is."""

    def leap(self, seconds: float) -> None:
        self._now_ms += int(seconds * 1000)

    def pass_time(self, seconds: float) -> None:
        self.advance(seconds)


@dataclass(frozen=True)
class Nodes:
    """Two applications in one process over one data directory, and a client of each with one and the same key."""

    fast_app: TimedApp
    slow_app: TimedApp
    fast_clock: LeapingClock
    slow_clock: LeapingClock
    fast: httpx2.Client
    slow: httpx2.Client

    def pass_time(self, seconds: float) -> None:
        """On both machines alike."""
        self.fast_clock.pass_time(seconds)
        self.slow_clock.pass_time(seconds)


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with timed_app(tmp_path_factory.mktemp("nodes") / "data") as first:
        runner, settings, stack = first._runner, first._services.settings, AsyncExitStack()
        clocks = LeapingClock(), LeapingClock()
        try:
            fast, slow = [TimedApp(runner, runner.run(_open(stack, settings, clock)), clock) for clock in clocks]
            clocks[0].leap(SKEW / 2)
            clocks[1].leap(-SKEW / 2)
            key = first.new_key().plain
            with fast.client(key) as fast_client, slow.client(key) as slow_client:
                yield Nodes(fast, slow, *clocks, fast_client, slow_client)
        finally:
            runner.run(stack.aclose())


def listed(client: httpx2.Client, **parameters: object) -> list[str]:
    return [file["id"] for file in client.get("/files", params={"order": "asc", **parameters}).json()["data"]]


def walked(first: httpx2.Client, second: httpx2.Client, limit: int) -> list[str]:
    """All pages, every other one from the other node."""
    seen: list[str] = []
    for number in range(1_000):
        page = listed((first, second)[number % 2], limit=limit, **({"after": seen[-1]} if seen else {}))
        if not page:
            return seen
        seen += page
    raise AssertionError("the pages have no end")


def test_two_nodes_whose_clocks_are_apart_show_one_order_and_each_keeps_its_own(nodes: Nodes):
    by_node: dict[str, list[str]] = {"fast": [], "slow": []}
    for _ in range(10):
        for name, client in (("fast", nodes.fast), ("slow", nodes.slow)):
            by_node[name].append(str(uploaded(client, purpose=PURPOSE)["id"]))
            nodes.pass_time(0.001)
    assert listed(nodes.fast) == listed(nodes.slow) == by_node["slow"] + by_node["fast"]
    for limit in (1, 3, 7):
        assert walked(nodes.fast, nodes.slow, limit) == by_node["slow"] + by_node["fast"]


def test_no_file_expires_earlier_or_later_than_the_clocks_are_apart(nodes: Nodes):
    lifetime = 3 * HOUR
    of_slow, of_fast = uploaded(nodes.slow, expires_after=lifetime), uploaded(nodes.fast, expires_after=lifetime)
    alive = {
        (of_slow["id"], nodes.fast): lifetime - SKEW,
        (of_slow["id"], nodes.slow): lifetime,
        (of_fast["id"], nodes.fast): lifetime,
        (of_fast["id"], nodes.slow): lifetime + SKEW,
    }
    passed = 0
    for until in sorted(set(alive.values())):
        for moment in (until - 1, until):
            nodes.pass_time(moment - passed)
            passed = moment
            for (file_id, client), ends in alive.items():
                assert (client.get(f"/files/{file_id}").status_code == 200) is (passed < ends)
                assert (file_id in listed(client)) is (passed < ends)


@pytest.mark.parametrize("leap", [-SKEW, -30 * 24 * HOUR, SKEW, 3 * 24 * HOUR], ids=["back", "far back", "ahead", "far ahead"])
def test_a_clock_that_leaps_loses_doubles_and_brings_back_nothing(nodes: Nodes, leap: int):
    kept, dropped = [], []
    for moment in range(12):
        file_id = str(uploaded(nodes.fast, purpose=PURPOSE)["id"])
        if moment % 3:
            kept.append(file_id)
        else:
            assert_deleted(nodes.fast.delete(f"/files/{file_id}"), file_id)
            dropped.append(file_id)
        nodes.pass_time(1)
        if moment == 5:
            nodes.fast_clock.leap(leap)
    for client in (nodes.fast, nodes.slow):
        assert set(listed(client)) == set(kept)
        assert len(listed(client)) == len(kept) == client.get("/files").json()["total"]
        for file_id in dropped:
            assert_openai_error(client.get(f"/files/{file_id}"), 404, None, param="id")
    for limit in (1, 3):
        assert sorted(walked(nodes.fast, nodes.slow, limit)) == sorted(kept)


def test_a_leap_in_the_middle_of_paging_skips_and_repeats_nothing(nodes: Nodes):
    staying = [str(uploaded(nodes.fast, purpose=PURPOSE)["id"]) for _ in range(9)]
    seen: list[str] = []
    for number in range(20):
        page = listed(nodes.fast, limit=2, **({"after": seen[-1]} if seen else {}))
        if not page:
            break
        seen += page
        nodes.fast_clock.leap((-HOUR, HOUR, 5, -5)[number % 4])
        uploaded(nodes.fast, purpose=PURPOSE)
    assert len(seen) == len(set(seen))
    assert [file_id for file_id in seen if file_id in staying] == sorted(staying)


def test_a_revoked_key_stops_working_on_time_however_the_wall_clock_leaps(nodes: Nodes):
    revoked = nodes.fast_app.new_key()
    with nodes.fast_app.client(revoked.plain) as client:
        assert client.get("/files").status_code == 200
        nodes.fast_app._runner.run(nodes.slow_app._services.metadata.revoke_api_key(revoked.id, NOBODY))
        for leap in (-HOUR, HOUR, 1):
            nodes.fast_clock.leap(leap)
            assert client.get("/files").status_code == 200
        nodes.fast_clock.leap(-24 * HOUR)
        nodes.fast_clock.pass_time(nodes.fast_app._services.settings.key_cache_seconds)
        assert_openai_error(client.get("/files"), 401, "invalid_api_key")


@pytest.mark.parametrize("leap", [-24 * HOUR, 24 * HOUR], ids=["back", "ahead"])
async def test_a_body_is_waited_for_as_long_whatever_the_wall_clock_says(leap: int):
    clock = LeapingClock()
    patience = Patience(idle_seconds=5, min_rate=100, grace_seconds=10)

    async def receive() -> Message:
        clock.leap(leap)
        clock.pass_time(1)
        return {"type": "http.request", "body": bytes(200), "more_body": clock.monotonic() < 60}

    assert sum([len(piece) async for piece in read_body(receive, patience, clock)]) == 60 * 200


@pytest.mark.parametrize("leap", [-24 * HOUR, 24 * HOUR], ids=["back", "ahead"])
async def test_a_body_that_comes_too_slowly_is_given_up_on_whatever_the_wall_clock_says(leap: int):
    clock = LeapingClock()
    patience = Patience(idle_seconds=5, min_rate=100, grace_seconds=10)

    async def receive() -> Message:
        clock.leap(leap)
        clock.pass_time(1)
        # A real wait, since that is what the deadline strikes: none is left once the grace is over.
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(RequestTimeout):
        async for _ in read_body(receive, patience, clock):
            assert clock.monotonic() <= 11


def test_files_made_while_the_clock_was_wrong_stay_as_they_are(nodes: Nodes):
    wrong = uploaded(nodes.slow, b"content")
    nodes.slow_clock.leap(SKEW)
    for client in (nodes.slow, nodes.fast):
        assert_file(client.get(f"/files/{wrong['id']}"), **wrong)
        assert client.get(f"/files/{wrong['id']}/content").content == b"content"


@dataclass(frozen=True)
class WallClock:
    """The wall clock of a real server, as libfaketime reads it from a file."""

    path: Path

    def leap_to(self, seconds: int) -> None:
        """So far from the machine's own time, in one step."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", "ascii")
        new.replace(self.path)


@pytest.fixture
def faked(tmp_path: Path) -> Iterator[tuple[RunningServer, WallClock]]:
    clock = WallClock(tmp_path / "time")
    clock.leap_to(0)
    faking = {
        "LD_PRELOAD": str(require_library("libfaketimeMT.so.1", "libfaketime")),
        "FAKETIME_TIMESTAMP_FILE": str(clock.path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }

    def environment(**values: str) -> dict[str, str]:
        return fileplane_environment(**values) | faking

    with (
        patch("support.server.fileplane_environment", environment),
        running_server(tmp_path / "data", body_idle_seconds=2, upload_grace_seconds=5, min_upload_rate=10) as server,
    ):
        yield server, clock


def shown_time(client: httpx2.Client) -> int:
    """The server's wall clock, by what it says of a new file."""
    return int(str(uploaded(client, purpose=PURPOSE)["created_at"]))


@pytest.mark.full
def test_a_real_server_whose_clock_leaps_keeps_every_file_and_every_deadline(faked: tuple[RunningServer, WallClock]):
    server, clock = faked
    with server.client() as client:
        expiring, base = uploaded(client, b"content", expires_after=HOUR), shown_time(client)
        for seconds in (-HOUR, SKEW, -SKEW, 24 * HOUR, 0):
            with Connection(server) as slow, Connection(server) as stalled:
                slow.send(upload_head(server.api_key, form_length(40, purpose=PURPOSE)) + form_begin(purpose=PURPOSE) + bytes(20))
                stalled.send(upload_head(server.api_key, form_length(40, purpose=PURPOSE)) + form_begin(purpose=PURPOSE))
                clock.leap_to(seconds)
                eventually(lambda: abs(shown_time(client) - base - seconds) < HOUR // 2, f"the clock leaps by {seconds} s", seconds=10)  # noqa: B023 - called at once
                slow.send(bytes(20) + form_end())
                assert_file(slow.answer(), bytes=40)
                assert_openai_error(stalled.answer(to_the_end=False), 408, "request_timeout")
            status = client.get(f"/files/{expiring['id']}").status_code
            assert status == (404 if seconds >= HOUR else 200)
        assert client.get(f"/files/{expiring['id']}/content").content == b"content"
        everything = listed(client, limit=10_000)
        assert len(everything) == len(set(everything)) == client.get("/files").json()["total"]
        assert set(walked(client, client, 3)) == set(everything)
    # Not its log: libfaketime fails the sleeps of threads beside the event loop with EINVAL, which ends the one that writes it.
