"""A client is judged only by the time spent waiting for it, never by the store's own slowness."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fileplane.testing.faults import Pauses, Plan
from support.expect import assert_file, assert_openai_error
from support.in_process import in_process, pieces, pieces_with_a_stall
from support.raw_http import FORM_TYPE, form_begin, form_end

IDLE_SECONDS = 0.1
STRICT = {"body_idle_seconds": IDLE_SECONDS, "upload_grace_seconds": IDLE_SECONDS, "min_upload_rate": 10**9}
FORM = (form_begin(), b"a" * 1000, b"b" * 1000, b"c" * 1000, form_end())


async def test_a_store_that_pauses_in_the_middle_of_a_body_costs_the_client_nothing(tmp_path: Path):
    pause = Pauses()
    async with in_process(tmp_path / "data", **STRICT) as store:
        plan = Plan({})
        slow = store.with_faults(plan)
        await slow.upload(pieces(*FORM), FORM_TYPE)
        middle = plan.calls.index("write") + 2

        slow = store.with_faults(Plan({middle: pause}))
        uploading = asyncio.create_task(slow.upload(pieces(*FORM), FORM_TYPE))
        await pause.reached.wait()
        await asyncio.sleep(5 * IDLE_SECONDS)
        pause.resume.set()
        assert_file(await uploading, bytes=3000)


async def test_a_client_that_stalls_as_long_is_given_up_on(tmp_path: Path):
    async with in_process(tmp_path / "data", **STRICT) as store:
        answer = await store.upload(pieces_with_a_stall(FORM, 5 * IDLE_SECONDS), FORM_TYPE)
        assert_openai_error(answer, 408, "request_timeout")
        assert await store.temporaries() == []
