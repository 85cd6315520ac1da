"""Work for a client that has left is ended, wherever it has come to, and nothing else is taken for such an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fileplane.errors import ClientDisconnected, UpstreamUnreachable
from fileplane.http.presence import telling_of_the_end, while_there

GONE = {"type": "http.disconnect"}


async def silent() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def gone() -> dict[str, Any]:
    return GONE


async def broken() -> dict[str, Any]:
    raise OSError("the server lost the connection")


async def endless(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append("cleaned up")


async def test_what_is_done_while_the_client_is_there_is_its_result():
    async def work() -> str:
        return "done"

    assert await while_there(silent, work()) == "done"
    assert await while_there(gone, work()) == "done", "it was faster than anybody could leave"


@pytest.mark.parametrize("receive", [gone, broken])
async def test_work_has_ended_when_it_is_told_that_the_client_left(receive: Any):
    ended: list[str] = []
    with pytest.raises(ClientDisconnected):
        await while_there(receive, endless(ended))
    assert ended == ["cleaned up"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0, "whoever goes on is not cancelled"


async def test_a_failure_that_the_end_brings_about_is_not_taken_for_the_providers():
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise UpstreamUnreachable("cut off") from error

    with pytest.raises(ClientDisconnected):
        await while_there(gone, work())


async def test_a_failure_of_the_work_is_told_as_it_is():
    async def work() -> None:
        raise UpstreamUnreachable("no route")

    with pytest.raises(UpstreamUnreachable, match="no route"):
        await while_there(silent, work())


async def test_a_server_that_stops_cancels_the_work_and_is_not_taken_for_a_client():
    ended: list[str] = []
    serving = asyncio.ensure_future(while_there(silent, endless(ended)))
    await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert ended == ["cleaned up"]


async def test_a_deadline_around_the_work_stays_a_deadline():
    ended: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await while_there(silent, endless(ended))
    assert ended == ["cleaned up"]


async def test_nobody_else_reads_a_body_that_the_work_is_reading():
    reads: list[str] = []
    body_read = asyncio.Event()

    async def receive() -> dict[str, Any]:
        reads.append("work" if not body_read.is_set() else "watch")
        return GONE

    async def pieces() -> Any:
        for _ in range(3):
            await asyncio.sleep(0.06)  # long enough for a watch to have begun
            yield (await receive())["type"]

    async def work() -> None:
        async for _ in telling_of_the_end(pieces(), body_read):
            pass
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnected):
        await while_there(receive, work(), body_read)
    assert reads == ["work"] * 3 + ["watch"]
