"""A move that is killed, interrupted or fails at any of its points leaves one whole store, and is finished by another run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from fileplane.blob_location import parse_blob_location
from fileplane.blobs.opening import open_object_store
from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_arrival import PostgresArrival
from fileplane.model import File, FileQuery
from migration.conftest import NewPlace
from migration.struck import NOT_REACHED
from support.backups import keep, one_directory_of_blobs
from support.in_process import InProcess, in_process
from support.server import fileplane_environment

pytestmark = pytest.mark.full

SCRIPT = Path(__file__).with_name("struck.py")
STRIDES = {"KILL": 4, "INT": 12, "FAIL": 12}
FEWEST_POINTS = 60
KILLED = -9


async def struck(place: NewPlace, data_dir: Path, point: int, how: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(SCRIPT), str(point), how, "migrate-store", "--yes"],
        env=fileplane_environment(PYTHONPATH=str(SCRIPT.parent.parent), FILEPLANE_DATA_DIR=str(data_dir), **place.variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def assert_readable(store: InProcess, files: dict[str, bytes]) -> None:
    recorded = {file.id: await store.content(file) for file in await store.recorded()}
    assert recorded == files


async def assert_moved(place: NewPlace, project_id: str, files: dict[str, bytes]) -> None:
    """The new place has exactly these files, and is otherwise sound."""
    metadata = PostgresMetadataStore(place.url)
    blobs = open_object_store(parse_blob_location(place.location), largest_blob=0, slowest_bytes_per_second=0, deadline_seconds=20)
    try:
        found: dict[str, bytes] = {}
        for file in (await metadata.list_files(project_id, FileQuery(limit=1_000))).files:
            async with blobs.open(file.blob_key) as reader:
                found[file.id] = b"".join([piece async for piece in reader])
        assert found == files
        assert await metadata.counter_drifts() == []
        assert await metadata.structural_problems() == []
        assert await metadata.bookmark("arriving") is None
    finally:
        await blobs.close()
        await metadata.close()


async def kept(store: InProcess, files: dict[str, bytes]) -> File:
    content = os.urandom(100)
    file = await keep(store, content)
    files[file.id] = content
    return file


@pytest.mark.parametrize(("how", "stride"), STRIDES.items())
async def test_a_move_that_is_struck_anywhere_leaves_one_whole_store_and_is_finished_by_the_next_run(
    tmp_path: Path, new_place: Callable[[], NewPlace], how: str, stride: int
):
    points = 0
    for point in count(1 + list(STRIDES).index(how), stride):
        place, files = new_place(), dict[str, bytes]()
        with one_directory_of_blobs():
            async with in_process(tmp_path / f"old{point}") as store:
                data_dir = store.settings.data_dir
                for _ in range(3):
                    await kept(store, files)
                done = await struck(place, data_dir, point, how)
                if done.returncode == NOT_REACHED:
                    await assert_moved(place, store.principal.project_id, files)
                    break
                points += 1
                assert (done.returncode == KILLED) == (how == "KILL"), (point, done)
                await assert_readable(store, files)
                if how == "KILL":
                    with suppress(StorageUnavailable):
                        await kept(store, files)
                elif done.returncode:
                    await admitted_unless_complete(store, place, files)
                last = await struck(place, data_dir, 0, how)
                assert last.returncode == NOT_REACHED, (point, done, last)
                await assert_readable(store, files)
                with pytest.raises(StorageUnavailable, match="moved"):
                    await keep(store, b"too late")
                await assert_moved(place, store.principal.project_id, files)
    print(f"{points} points, every {stride}th, {how}")  # noqa: T201 - how far a sweep came belongs to its report
    assert points * stride >= FEWEST_POINTS


async def admitted_unless_complete(store: InProcess, place: NewPlace, files: dict[str, bytes]) -> None:
    """Who is told of a failure is not left with a store that refuses changes, unless it is the old one of two."""
    arrival = PostgresArrival(store.settings.data_dir / "fileplane.db", place.url, await store.metadata.store_identity())
    if (await asyncio.to_thread(arrival.look)).token is None:
        await kept(store, files)
