"""The client on an event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import psutil
import pytest

from client.conftest import PART, PARTS, SIZE
from fileplane.client import AsyncClient, Progress, TargetExists
from support.meddler import PARTS as PART_REQUESTS
from support.meddler import Meddler, sha256
from support.polling import eventually_async
from support.projects import Key

SECONDS = 60


@pytest.fixture
def client(proxy: Meddler, key: Key, state: Path) -> AsyncClient:
    return AsyncClient(proxy.base_url, key.plain, part_bytes=PART, parallel_from=1, state_directory=state)


async def test_files_go_both_ways_and_progress_is_told_on_the_loop(client: AsyncClient, source: Path, tmp_path: Path) -> None:
    told: list[tuple[Progress, threading.Thread]] = []

    def report(state: Progress) -> None:
        told.append((state, threading.current_thread()))

    async with client:
        file = await client.upload(source, purpose="user_data", progress=report, settle_seconds=SECONDS)
        done = await client.download(file.id, tmp_path / "copy", progress=report)
        with pytest.raises(TargetExists):
            await client.download(file.id, tmp_path / "copy")
    assert file.sha256 == done.sha256 == sha256(source.read_bytes())
    assert {thread for _, thread in told} == {threading.main_thread()}
    assert told[-1][0] == Progress("copy", SIZE, SIZE, 0)


async def test_a_cancelled_transfer_has_closed_everything_and_can_be_gone_on_with(
    client: AsyncClient, proxy: Meddler, source: Path
) -> None:
    proxy.meets = lambda _, __: "halt" if proxy.count(PART_REQUESTS) > 5 else None
    threads = threading.active_count()
    transfer = asyncio.create_task(client.upload(source, purpose="user_data"))
    await eventually_async(lambda: proxy.done(PART_REQUESTS) >= 5, "parts have arrived", seconds=SECONDS)
    transfer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(transfer, SECONDS)
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("fileplane")} == set()
    proxy.go_on.set()
    ours = {("127.0.0.1", proxy.port)}
    assert not [link for link in psutil.Process().net_connections() if link.raddr in ours and link.status == "ESTABLISHED"]
    assert threading.active_count() <= threads
    proxy.meets = lambda _, __: None
    file = await client.upload(source, purpose="user_data", settle_seconds=SECONDS)
    assert file.sha256 == sha256(source.read_bytes())
    assert proxy.done(PART_REQUESTS) <= PARTS + 4
