"""What became of one project's uploads and jobs is found out whatever the providers of other projects do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fileplane.catalog import Claim, JobKind, NewJob, NewUpload, ProviderFile
from fileplane.clock import SystemClock
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote_route import RemoteTarget
from fileplane.ids import uuid7
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, make_project
from fileplane.testing.secrets_suite import new_virtual_key
from gateway.test_every_point import Place, new_place

NOW = Claim("somebody who died", 0)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with new_place(tmp_path / "place") as made:
        yield made


async def a_neighbour(hostile: Place) -> Place:
    """Another project with a virtual key of its own. Both have an upload and a job that are unresolved; the hostile one comes first."""
    project = await make_project(hostile.store, "neighbour")
    key = await hostile.store.create_virtual_key(new_virtual_key("neighbour", id=uuid7(2), project_ids=frozenset({project.id})), NOBODY)
    neighbour = replace(hostile, project=project, key=key)
    assert hostile.project.id < neighbour.project.id
    for one in (hostile, neighbour):
        await leave_behind(one)
        assert await left(one) == ["CatalogFile", "Job"]
    return neighbour


async def leave_behind(place: Place) -> None:
    await place.store.reserve_upload(place.project.id, NewUpload(place.key.id, "batch", "a.jsonl", "text/plain", "key"), NOW, NOBODY)
    await place.store.adopt_catalog_file(place.project.id, place.key.id, ProviderFile(f"file-{place.project.slug}", "batch"), NOBODY)
    job = NewJob(place.key.id, JobKind.BATCH, (f"file-{place.project.slug}",), "key")
    await place.store.begin_job(place.project.id, job, NOW, NOBODY)


async def left(place: Place) -> list[str]:
    rows = [*await place.store.unresolved_files(None, 100), *await place.store.unresolved_jobs(None, 100)]
    return sorted(type(row).__name__ for row in rows if row.project_id == place.project.id)


def reconciler(neighbour: Place, *, slow: bool) -> Reconciler:
    async def target_of(project_id: str, _virtual_key_id: str) -> RemoteTarget:
        if project_id == neighbour.project.id:
            return neighbour.route().plan[0]
        if slow:
            await asyncio.Event().wait()
        raise OverflowError("no adapter has foreseen this answer")

    clock = ManualClock(SystemClock().now_ms() / 1000 + SURE_AFTER_SECONDS + 700)
    neighbour.store._clock = clock
    return Reconciler(neighbour.store, target_of, clock)


async def test_an_answer_that_nobody_has_foreseen_stops_nothing_of_other_projects(place: Place) -> None:
    neighbour = await a_neighbour(place)
    assert await reconciler(neighbour, slow=False).run() == 4
    assert await left(neighbour) == []
    assert await left(place) == ["CatalogFile", "Job"]


async def test_a_provider_that_never_ends_its_answer_keeps_nothing_of_other_projects_waiting(place: Place) -> None:
    neighbour = await a_neighbour(place)
    going_on = asyncio.create_task(reconciler(neighbour, slow=True).run())
    try:
        async with asyncio.timeout(5):
            while "CatalogFile" in await left(neighbour):  # noqa: ASYNC110 - the database cannot tell of it
                await asyncio.sleep(0.01)
    finally:
        going_on.cancel()
