"""An upload under limits that fails, or is cancelled, at any point: its place is free again, and what it has sent has counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from fileplane.access import Limits, Principal
from fileplane.errors import FileplaneError, RateLimited, StorageUnavailable
from fileplane.files.allowance import Received
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.metadata.base import MetadataStore
from fileplane.model import Origin
from fileplane.testing.faults import CancelledAt, Fails, Pauses, Plan
from support.in_process import InProcess, in_process

ONE_AT_ONCE = Limits(concurrent_uploads=1, upload_bytes_per_day=10**9, files=10**6, storage_bytes=10**9)
BODY = 1_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "data") as opened:
        yield opened


def limited(store: InProcess) -> Principal:
    return replace(store.principal, project_limits=ONE_AT_ONCE, key_limits=ONE_AT_ONCE)


async def events(received: Received) -> AsyncIterator[UploadEvent]:
    yield FormField("purpose", "user_data")
    received.bytes += BODY // 2
    yield FileBegins("data.bin", "")
    received.bytes += BODY // 2
    yield b"content"


async def attempt(store: InProcess, received: Received) -> None:
    await store.files.create(limited(store), Origin(), events(received), None, None, received)


async def taken(metadata: MetadataStore, principal: Principal) -> int:
    return (await metadata.usage_report(principal.project_id, 0, 0)).project.uploads_in_progress


async def sent(store: InProcess) -> int:
    return (await store.metadata.kept(store.principal.project_id, store.principal.key_id)).received_bytes


@pytest.mark.parametrize("late", [False, True], ids=["as the wait begins", "as the wait ends"])
async def test_an_upload_that_is_cancelled_at_any_wait_gives_its_place_back_at_once(store: InProcess, *, late: bool):
    counted = 0
    for point in count(1):
        naughty, received = store.with_faults(Plan({})), Received()
        cancelled = CancelledAt(point, late=late)
        task = asyncio.create_task(cancelled.run(attempt(naughty, received)))
        await asyncio.wait([task])
        await naughty.files.settle()
        assert await taken(store.metadata, store.principal) == 0
        now = await sent(store)
        # A commit that was already on its way when its upload was cancelled counts the body, and so does the end of that upload.
        assert now - counted in {received.bytes, 2 * received.bytes if task.cancelled() else received.bytes}
        counted = now
        if not cancelled.struck:
            break
        assert task.cancelled()
    assert point > 5


@pytest.mark.parametrize("after", [False, True], ids=["instead of the call", "after the call"])
async def test_an_upload_that_fails_at_any_call_gives_its_place_back(store: InProcess, *, after: bool):
    failed_to_end = 0
    for point in count(1):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=after)})
        naughty = store.with_faults(plan)
        try:
            await attempt(naughty, Received())
        except FileplaneError:
            assert plan.struck
        await naughty.files.settle()
        if plan.struck and plan.calls[point - 1] == "end_upload":
            # Where giving it back is what fails, its lease ends it.
            failed_to_end += 1
            assert await taken(store.metadata, store.principal) == (0 if after else 1)
            await store.metadata.forget_old_entries(None)
            await free_all(store)
        assert await taken(store.metadata, store.principal) == 0
        if not plan.struck:
            break
    assert failed_to_end == 1
    assert point > 6


async def free_all(store: InProcess) -> None:
    await store.metadata._engine.write(lambda connection: connection.execute("DELETE FROM uploads_in_progress"))


async def test_the_second_upload_at_once_is_refused_before_its_body_is_read(store: InProcess):
    pause = Pauses()
    first = store.with_faults(Plan({6: pause}))
    going_on = asyncio.create_task(attempt(first, Received()))
    await asyncio.wait_for(pause.reached.wait(), 10)
    received = Received()
    with pytest.raises(RateLimited, match="1 uploads in progress at once"):
        await attempt(store, received)
    assert received.bytes == 0
    pause.resume.set()
    await going_on
    await attempt(store, Received())


async def test_an_upload_without_limits_takes_no_place_and_counts_what_it_sends_in_its_own_transaction(store: InProcess):
    plan, received = Plan({}), Received()
    naughty = store.with_faults(plan)
    await naughty.files.create(store.principal, Origin(), events(received), None, None, received)
    assert plan.calls == ["usage", "writer", "write", "commit", "create_file"]
    assert await sent(store) == BODY


async def test_what_an_upload_without_limits_has_sent_counts_although_it_fails(store: InProcess):
    plan, received = Plan({4: Fails(StorageUnavailable("The disk is full."))}), Received()
    naughty = store.with_faults(plan)
    with pytest.raises(StorageUnavailable):
        await naughty.files.create(store.principal, Origin(), events(received), None, None, received)
    await naughty.files.settle()
    assert plan.calls[-1] == "end_upload"
    assert await sent(store) == received.bytes
