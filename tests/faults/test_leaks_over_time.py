"""Two hundred rounds of everything: what a server holds, and what an application leaves behind in its process, does not grow."""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from unittest.mock import patch

import httpx2
import psutil
import pytest

from fileplane import logs
from fileplane.app import Application
from fileplane.data_directory import prepare_data_directory
from fileplane.http.openapi import document
from fileplane.model import Origin
from fileplane.settings import Settings
from support.expect import assert_deleted, assert_file
from support.forms import field, file_part, form, pieces, send, simple_form, uploaded
from support.in_process import KEY, in_process
from support.limits import held_when_idle, resident_bytes, threads_of
from support.path_values import Values, deleted, existing, filled, is_of_providers, parameters_of, remove, unknown
from support.raw_http import Connection, form_begin, form_length, head, upload_head
from support.server import RunningServer, running_server
from support.server_log import assert_no_trouble

CYCLES = 200
BLOCK = 20  # cycles between two readings
SETTLED = 3  # readings that come first, while pools and caches fill
# A leak of one object a cycle is some hundreds of bytes; what the allocator keeps comes and goes by pages.
BYTES_PER_CYCLE = 16 << 10
CONTENT = bytes(64 << 10)
SMALL_CACHE = 256 * 1024  # filled before the first reading, since filling it is no leak
FORM = "multipart/form-data; boundary=form-boundary"


@dataclass(frozen=True)
class Reading:
    """What is held at one moment."""

    descriptors: int
    threads: int
    tasks: int
    resident: int


def slope(values: Sequence[float]) -> float:
    """Growth from one cycle to the next, by the least squares."""
    return statistics.linear_regression([BLOCK * number for number in range(len(values))], values).slope


def assert_level(readings: Sequence[Reading]) -> None:
    settled = readings[SETTLED:]
    assert len(settled) >= 5
    shown = "\n".join(map(str, readings))
    # A pool may still make a thread, or SQLite open a file, once; anything that each cycle leaves shows as a slope of one.
    for name in ("descriptors", "threads", "tasks"):
        assert slope([getattr(reading, name) for reading in settled]) < 0.05, f"{name} grow:\n{shown}"
    assert slope([reading.resident for reading in settled]) < BYTES_PER_CYCLE, f"memory grows:\n{shown}"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "data", body_idle_seconds=0.2, database_cache_bytes=SMALL_CACHE) as running:
        yield running


def call_everything(client: httpx2.Client) -> None:
    """Every operation of the document once on what there is, once on what was, and once on what never was."""
    description = document(Settings())
    for path, item in description["paths"].items():
        for method in item:
            if not path.startswith("/v1"):
                continue
            for values in things_to_name(client, path):
                response = client.request(method.upper(), filled(path, values).removeprefix("/v1"))
                if is_of_providers(path):
                    assert response.status_code == 501, f"{method} {path}: {response.text}"
                else:
                    assert response.status_code < 500, f"{method} {path}: {response.text}"
                remove(client, values)  # lists that grow take memory, and are no leak


def things_to_name(client: httpx2.Client, path: str) -> tuple[Values, ...]:
    if not parameters_of(path):
        return ({},)
    if is_of_providers(path):
        return (unknown(path),)  # the native store has none of them
    return existing(client, path), deleted(client, path), unknown(path)


def misbehave(server: RunningServer) -> None:
    """Clients that leave, stall, lie about who they are, and send what is no form."""
    with Connection(server) as refused:
        refused.send(upload_head("fpk_wrong_0123456789abcdefghijklmnopqrstu", 10**9))
        assert refused.answer(to_the_end=False).status_code == 401
    with Connection(server) as abandoned:
        abandoned.send(upload_head(server.api_key, form_length(len(CONTENT))) + form_begin() + CONTENT[:1000])
    with Connection(server) as stalled:
        stalled.send(upload_head(server.api_key, form_length(len(CONTENT))) + form_begin() + CONTENT[:1000])
        assert stalled.answer(to_the_end=False).status_code == 408
    with Connection(server, receive_buffer=4096) as reset:
        reset.send(head("GET", "/v1/files", server.api_key))
        reset.leave("reset")


def one_cycle(server: RunningServer) -> None:
    with server.client() as client:
        file = uploaded(client, CONTENT, purpose="evals")
        content = f"/files/{file['id']}/content"
        assert client.get(content).content == CONTENT
        assert client.get(content, headers={"range": "bytes=1-"}).content == CONTENT[1:]
        assert send(client, simple_form(CONTENT)[:-10]).status_code == 400
        assert send(client, pieces(simple_form(CONTENT), 5_000)).status_code == 200
        assert send(client, form(field("purpose", "x" * 5_000), file_part())).status_code == 400
        call_everything(client)
        assert_deleted(client.delete(f"/files/{file['id']}"), str(file["id"]))
    misbehave(server)


@pytest.mark.full
def test_two_hundred_cycles_of_everything_leave_a_server_as_it_was(own_server: RunningServer):
    def reading() -> Reading:
        held = held_when_idle(own_server)
        assert held.temporaries == 0
        return Reading(held.descriptors, threads_of(own_server), 0, resident_bytes(own_server))

    readings = []
    with ThreadPoolExecutor(2) as clients:
        for _ in range(CYCLES // BLOCK):
            list(clients.map(lambda _: one_cycle(own_server), range(BLOCK)))
            readings.append(reading())
    assert_level(readings)
    assert_no_trouble(own_server)


def measured_here() -> Reading:
    gc.collect()
    process = psutil.Process()
    return Reading(process.num_fds(), threading.active_count(), len(asyncio.all_tasks()), process.memory_info().rss)


async def cycles_here(cycle: Callable[[int], Awaitable[None]]) -> list[Reading]:
    readings = []
    for block in range(CYCLES // BLOCK):
        for number in range(BLOCK):
            await cycle(block * BLOCK + number)
        readings.append(measured_here())
    return readings


@pytest.mark.full
async def test_two_hundred_stores_that_are_opened_used_and_closed_leave_a_process_as_it_was(tmp_path: Path):
    async def body() -> AsyncIterator[bytes]:
        yield simple_form(CONTENT)

    async def cycle(_: int) -> None:
        async with in_process(tmp_path / "data") as store:
            file_id = assert_file(await store.upload(body(), FORM))["id"]
            assert (await store.download(str(file_id))).content == CONTENT
            file = await store.metadata.get_file(store.principal.project_id, str(file_id))
            await store.files.delete(store.principal, file.id, Origin())
            assert await store.temporaries() == []

    assert_level(await cycles_here(cycle))


@pytest.mark.full
async def test_two_hundred_starts_and_stops_of_the_application_leave_a_process_as_it_was(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "data", min_free_disk_bytes=0, bootstrap_api_key=KEY)
    # The first start makes the directory, with an event loop of its own.
    lock, _ = await asyncio.to_thread(prepare_data_directory, settings)
    lock.share()

    async def cycle(_: int) -> None:
        application = Application(settings)
        messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        sent: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        living = asyncio.create_task(application({"type": "lifespan"}, messages.get, sent.put))
        messages.put_nowait({"type": "lifespan.startup"})
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://in-process/v1") as client:
            headers = {"Authorization": f"Bearer {KEY}"}
            file = assert_file(await client.post("/files", content=simple_form(CONTENT), headers=headers | {"content-type": FORM}))
            assert_deleted(await client.delete(f"/files/{file['id']}", headers=headers), str(file["id"]))
            assert (await client.get("/files", headers=headers)).json()["total"] == 0
        messages.put_nowait({"type": "lifespan.shutdown"})
        await living
        assert (await sent.get())["type"] == "lifespan.shutdown.complete"

    with patch.object(logs, "_threshold", logging.CRITICAL):
        assert_level(await cycles_here(cycle))


def plus(reading: Reading, leak: Reading, times: int) -> Reading:
    return Reading(*(now + times * more for now, more in zip(astuple(reading), astuple(leak), strict=True)))


def test_a_leak_of_one_thing_in_ten_cycles_would_be_seen():
    level = [Reading(50, 5, 3, 50 << 20)] * (CYCLES // BLOCK)
    assert_level(level)
    for leak in (Reading(2, 0, 0, 0), Reading(0, 2, 0, 0), Reading(0, 0, 2, 0), Reading(0, 0, 0, BLOCK * BYTES_PER_CYCLE)):
        growing = [plus(reading, leak, number) for number, reading in enumerate(level)]
        with pytest.raises(AssertionError, match="grow"):
            assert_level(growing)
