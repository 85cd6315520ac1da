"""What became of one project's uploads and jobs is found out whatever the providers of other projects do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fileplane.catalog import Claim, JobKind, NewJob, NewUpload, ProviderFile
from fileplane.clock import SystemClock
from fileplane.errors import UpstreamUnreachable
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.reconciling_apart import MOST_FAILURES, PLACES
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
    upload = NewUpload(place.key.id, "batch", "a.jsonl", "text/plain", "key")
    reserved = (await place.store.reserve_upload(place.project.id, upload, NOW, NOBODY)).file
    await place.store.mark_upload_unknown(place.project.id, reserved.id, NOBODY)
    await place.store.adopt_catalog_file(place.project.id, place.key.id, ProviderFile(f"file-{place.project.slug}", "batch"), NOBODY)
    job = NewJob(place.key.id, JobKind.BATCH, (f"file-{place.project.slug}",), "key")
    await place.store.begin_job(place.project.id, job, NOW, NOBODY)


async def expire(place: Place, count: int) -> list[str]:
    """So many files of the project past their expiry, oldest first of all; the ids they have at their provider."""
    ids = [f"file-{place.project.slug}-{place.key.slug}-{number}" for number in range(count)]
    for file_id in ids:
        found = ProviderFile(file_id, "batch", expires_at=SystemClock().now_ms() // 1000 + 3_600)
        await place.store.adopt_catalog_file(place.project.id, place.key.id, found, NOBODY)
    return ids


class Hosts:
    """What the reconciler is led to: the neighbour's provider, which has no file, and those of everybody else, which fail or stall."""

    def __init__(self, neighbour: Place, *, stalls: bool) -> None:
        self._neighbour = neighbour
        self._stalls = stalls
        self.asked: Counter[str] = Counter()

    async def target_of(self, project_id: str, virtual_key_id: str) -> RemoteTarget:
        self.asked[virtual_key_id] += 1
        if project_id == self._neighbour.project.id:
            return self._neighbour.route().plan[0]
        if self._stalls:
            await asyncio.Event().wait()
        raise UpstreamUnreachable("Nobody is there.")

    def reconciler(self) -> Reconciler:
        clock = ManualClock(SystemClock().now_ms() / 1000 + 7_200)
        self._neighbour.store._clock = clock
        return Reconciler(self._neighbour.store, self.target_of, clock)


async def test_a_host_that_refuses_delays_no_deletion_of_others_however_much_has_expired_there(place: Place) -> None:
    project = await make_project(place.store, "neighbour")
    key = await place.store.create_virtual_key(new_virtual_key("neighbour", id=uuid7(2), project_ids=frozenset({project.id})), NOBODY)
    neighbour = replace(place, project=project, key=key)
    await expire(place, 65)
    await expire(neighbour, 25)
    hosts = Hosts(neighbour, stalls=False)
    await hosts.reconciler().run()
    assert await left(neighbour) == []
    assert hosts.asked[place.key.id] == MOST_FAILURES
    claimed = [row for row in await place.store.unresolved_files(None, 100) if row.project_id == place.project.id and row.claimed_by]
    assert sorted(row.tries for row in claimed)[-MOST_FAILURES - 1 :] == [0, *[1] * MOST_FAILURES]  # what was not tried waits no longer
    assert len(await left(place)) == 65


async def test_hosts_that_stall_however_many_a_project_has_delay_no_deletion_of_others(place: Place) -> None:
    project = await make_project(place.store, "neighbour")
    key = await place.store.create_virtual_key(new_virtual_key("neighbour", id=uuid7(2), project_ids=frozenset({project.id})), NOBODY)
    neighbour = replace(place, project=project, key=key)
    for number in range(PLACES + 1):
        slug = f"stalling-{number}"
        its = new_virtual_key(slug, id=uuid7(3 + number), project_ids=frozenset({place.project.id}))
        await expire(replace(place, key=await place.store.create_virtual_key(its, NOBODY)), 3)
    await expire(neighbour, 25)
    going_on = asyncio.create_task(Hosts(neighbour, stalls=True).reconciler().run())
    try:
        async with asyncio.timeout(60):
            while await store_has_unfinished(neighbour):  # noqa: ASYNC110 - the database cannot tell of it
                await asyncio.sleep(0.01)
    finally:
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)
    assert len(await left(place)) == 3 * (PLACES + 1)


async def store_has_unfinished(place: Place) -> bool:
    """Whether the project has a file that is not closed."""
    return bool(await left(place)) or (await place.store.catalog_usage(place.project.id)).live_files > 0


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
