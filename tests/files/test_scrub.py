"""The scrub finds what is damaged, tells it, changes nothing, and goes on where it stopped."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import httpx2
import pytest

from fileplane.errors import StorageUnavailable
from fileplane.files import scrub as scrubbing
from fileplane.files.scrub import BOOKMARK, LEASE, Scrub
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import Fails, NaughtyBlobStore, Pauses, Plan
from support.broken_stores import Store, flip_a_bit, make_store
from support.expect import assert_file
from support.in_process import InProcess, in_process
from support.limits import blobs_of
from support.polling import eventually
from support.server import running_server

RATE = 1 << 40


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return asyncio.run(make_store(tmp_path_factory.mktemp("sound") / "data"))


@pytest.fixture
def store(sound: Store, tmp_path: Path) -> Store:
    return sound.copied_to(tmp_path / "data")


def scrub_of(store: InProcess, clock: ManualClock, plan: Plan | None = None) -> Scrub:
    return Scrub(store.metadata, NaughtyBlobStore(store.blobs, plan or Plan({})), clock, store.settings)


async def test_a_damaged_and_a_missing_blob_are_told_and_nothing_is_changed(store: Store, caplog: pytest.LogCaptureFixture):
    flip_a_bit(store.blob(store.first))
    store.blob(store.large).unlink()
    records = store.records()
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE) as running:
        done = await scrub_of(running, ManualClock()).run("one")
    assert done is not None
    assert (done.files, done.damaged, done.complete) == (3, 2, True)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 2
    assert any(store.first in line and "wrong_content" in line for line in told)
    assert any(store.large in line and "missing_blob" in line for line in told)
    assert store.records() == records


async def test_a_store_that_does_not_answer_is_not_taken_for_a_damaged_one(store: Store, caplog: pytest.LogCaptureFixture):
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE) as running:
        away = Plan({1: Fails(StorageUnavailable("The blob store does not answer."))})
        with pytest.raises(StorageUnavailable):
            await scrub_of(running, ManualClock(), away).run("one")
        assert [record for record in caplog.records if record.levelno == logging.ERROR] == []
        done = await scrub_of(running, ManualClock()).run("one")
    assert done is not None
    assert (done.damaged, done.complete) == (0, True)


async def test_a_round_begins_when_the_interval_is_over_and_not_before(store: Store):
    clock = ManualClock()
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE, scrub_interval_seconds=1_000.0) as running:
        scrub = scrub_of(running, clock)
        assert await scrub.run("one") is not None
        clock.advance(999)
        assert await scrub.run("one") is None
        clock.advance(1)
        again = await scrub.run("one")
        assert again is not None
        assert again.files == 3


async def test_a_round_that_was_stopped_goes_on_after_the_last_file_noted(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scrubbing, "_NOTED_SECONDS", 0)
    pause, clock = Pauses(), ManualClock()
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE) as running:
        plan = Plan({3: pause})  # the second file is being read
        stopped = asyncio.create_task(scrub_of(running, clock, plan).run("one"))
        await pause.reached.wait()
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        rest = await scrub_of(running, clock).run("another")
        assert rest is not None
        assert (rest.files, rest.complete) == (2, True)


@pytest.mark.parametrize("bookmark", ["", "{}", "null", '{"began": "yesterday"}', '{"began": 99999999999}'])
async def test_a_bookmark_that_cannot_be_used_begins_a_new_round(store: Store, bookmark: str):
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE) as running:
        await running.metadata.set_bookmark(BOOKMARK, bookmark)
        done = await scrub_of(running, ManualClock()).run("one")
        assert done is not None
        assert done.files == 3


async def test_only_one_scrubs_at_a_time(store: Store):
    async with in_process(store.data_dir, scrub_bytes_per_second=RATE) as running:
        assert await running.metadata.take_lease(LEASE, "another", 60)
        assert await scrub_of(running, ManualClock()).run("one") is None
        await running.metadata.release_lease(LEASE, "another")
        assert await scrub_of(running, ManualClock()).run("one") is not None
        assert await running.metadata.take_lease(LEASE, "another", 60)


async def test_no_more_is_read_than_the_rate_allows(store: Store, monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []
    monkeypatch.setattr(scrubbing.asyncio, "sleep", lambda seconds: _noted(slept, seconds))
    async with in_process(store.data_dir, scrub_bytes_per_second=1_000_000) as running:
        await scrub_of(running, ManualClock()).run("one")
    # A clock that stands still: every piece is waited for after all that came before it.
    assert max(slept) == pytest.approx(2.5 + 2 * 0.065536)


async def _noted(slept: list[float], seconds: float) -> None:
    slept.append(seconds)


def test_a_server_scrubs_by_itself_and_tells_in_log_and_metrics(tmp_path: Path):
    with (
        running_server(
            tmp_path / "data", scrub_interval_seconds=0.2, scrub_bytes_per_second="1 GiB", metrics_public="true", workers=2
        ) as server,
        server.client() as client,
    ):
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", os.urandom(1_000))}))
        (blob,) = blobs_of(server.data_dir)
        flip_a_bit(blob)
        wanted = 'fileplane_integrity_failures_total{kind="wrong_content",source="scrub"}'
        eventually(lambda: wanted in httpx2.get(f"{server.url}/metrics", trust_env=False).text, "the scrub counts it", seconds=20)
        eventually(lambda: f"file {file['id']}" in server.log, "the scrub logs it")
        assert_file(client.get(f"/files/{file['id']}"), bytes=1_000)
