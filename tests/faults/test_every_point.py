"""An upload or download that fails, or is cancelled, at each point at which it can: never a row without its blob, nothing left open."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fileplane.errors import AnswerBrokenOff, ClientDisconnected, StorageUnavailable
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.model import Origin
from fileplane.testing.faults import CancelledAt, Fails, Plan
from support.expect import assert_file, assert_openai_error
from support.in_process import InProcess, in_process, pieces
from support.limits import MIB
from support.raw_http import FORM_TYPE, form_begin, form_end

CONTENT = bytes(range(256)) * (5 * MIB // 2 // 256)
FORM = (form_begin(), *(CONTENT[start : start + MIB] for start in range(0, len(CONTENT), MIB)), form_end())
FEWEST_POINTS = 6
FEWEST_WAITS = 2


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "data") as opened:
        yield opened


async def assert_sound(store: InProcess) -> None:
    """Every recorded file has exactly its bytes, and nothing is half-written."""
    assert [await store.content(file) == CONTENT for file in await store.recorded()] == [True] * len(await store.recorded())
    assert await store.temporaries() == []


ERRORS = {
    "unavailable": (StorageUnavailable("The store does not answer."), 503, "storage_unavailable"),
    "an error of the system": (OSError(errno.EIO, "Input/output error"), 500, "internal_error"),
    "a defect": (ZeroDivisionError("division by zero"), 500, "internal_error"),
}


@pytest.mark.parametrize(("error", "status", "code"), ERRORS.values(), ids=ERRORS)
async def test_an_upload_that_fails_at_any_call_is_refused_and_leaves_neither_row_nor_temporary(
    store: InProcess, error: Exception, status: int, code: str
):
    known: set[str] = set()
    for point in count(1):
        plan = Plan({point: Fails(error)})
        answer = await store.with_faults(plan).upload(pieces(*FORM), FORM_TYPE)
        if not plan.struck:
            break
        assert_openai_error(answer, status, code, type="server_error")
        assert await store.recorded() == []
        assert await store.temporaries() == []
        await store.assert_everything_is_closed()
        if "create_file" not in plan.calls:
            assert await store.blob_keys() == known
        known = await store.blob_keys()
    assert point > FEWEST_POINTS
    assert_file(answer, bytes=len(CONTENT))
    await assert_sound(store)


async def test_an_upload_whose_outcome_is_unknown_never_loses_the_bytes_of_its_row(store: InProcess):
    for point in count(1):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=True)})
        answer = await store.with_faults(plan).upload(pieces(*FORM), FORM_TYPE)
        await assert_sound(store)
        if not plan.struck:
            break
        assert_openai_error(answer, 503, "storage_unavailable", type="server_error")
    assert point > FEWEST_POINTS
    assert len(await store.recorded()) == 2


async def _whole() -> AsyncIterator[UploadEvent]:
    yield FormField("purpose", "user_data")
    yield FileBegins("data.bin", "")
    for start in range(0, len(CONTENT), MIB):
        yield CONTENT[start : start + MIB]


async def _abandoned() -> AsyncIterator[UploadEvent]:
    async for event in _whole():
        yield event
    raise ClientDisconnected


EARLY_AND_LATE = pytest.mark.parametrize("late", [False, True], ids=["as the wait begins", "as the wait ends"])


@EARLY_AND_LATE
@pytest.mark.parametrize("abandoned", [False, True], ids=["complete", "abandoned by its client"])
async def test_an_upload_that_is_cancelled_at_any_wait_leaves_a_whole_file_or_nothing(store: InProcess, *, abandoned: bool, late: bool):
    known: set[str] = set()
    for point in count(1):
        plan, cancelled = Plan({}), CancelledAt(point, late=late)
        work = store.with_faults(plan).files.create(store.principal, Origin(), _abandoned() if abandoned else _whole(), None)
        outcome = await _outcome(cancelled, work)
        await assert_sound(store)
        await store.assert_everything_is_closed()
        if "create_file" not in plan.calls:
            assert await store.blob_keys() == known
        known = await store.blob_keys()
        if not cancelled.struck:
            break
        assert isinstance(outcome, asyncio.CancelledError)
    assert point > FEWEST_WAITS
    assert isinstance(outcome, ClientDisconnected) if abandoned else outcome is None


async def test_a_download_that_fails_at_any_call_is_refused_or_broken_off_but_never_short(store: InProcess):
    file = (await store.files.create(store.principal, Origin(), _whole(), None)).file
    for point in count(1):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."))})
        naughty = store.with_faults(plan)
        try:
            answer = await naughty.download(file.id)
        except AnswerBrokenOff:
            assert plan.calls[-1] == "read"
        else:
            if not plan.struck:
                break
            assert_openai_error(answer, 503, "storage_unavailable", type="server_error")
        await store.assert_everything_is_closed()
    assert answer.content == CONTENT
    assert point > 5


@EARLY_AND_LATE
async def test_a_download_that_is_cancelled_at_any_wait_closes_its_file(store: InProcess, *, late: bool):
    file = (await store.files.create(store.principal, Origin(), _whole(), None)).file

    async def read() -> None:
        async with store.files.open(file) as reader:
            assert b"".join([piece async for piece in reader]) == CONTENT

    for point in count(1):
        cancelled = CancelledAt(point, late=late)
        outcome = await _outcome(cancelled, read())
        await store.assert_everything_is_closed()
        if not cancelled.struck:
            break
        assert isinstance(outcome, asyncio.CancelledError)
    assert outcome is None
    assert point > 2


async def _outcome(cancelled: CancelledAt, work: Coroutine[Any, Any, object]) -> BaseException | None:
    """Runs it in a task of its own; what it raised, or None."""
    task = asyncio.create_task(cancelled.run(work))
    await asyncio.wait([task])
    return asyncio.CancelledError() if task.cancelled() else task.exception()
