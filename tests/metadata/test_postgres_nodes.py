"""What several nodes over one PostgreSQL do at once comes out as if they had done it one after another."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fileplane.access import NewProject, Project
from fileplane.catalog import Claim
from fileplane.errors import FileInUse, FileNotFound, StorageQuotaExceeded, StorageUnavailable
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import SlugTaken
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_locks import RULES, Locks
from fileplane.metadata.postgres_session import Session, open_session
from fileplane.metadata.relational import RelationalMetadataStore
from fileplane.model import FileQuery, Idempotency, Origin, Usage
from fileplane.testing.metadata_store_suite import make_project, new_file, record, record_file
from support.polling import eventually_async

NOBODY = Origin()
PLENTY = 10**15
SECONDS = 60
WRONG_SECONDS = 86_400_000


@pytest.fixture
async def nodes(url: str) -> AsyncIterator[list[PostgresMetadataStore]]:
    """Three nodes, which go by the database's clock."""
    stores = [PostgresMetadataStore(url, deadline_seconds=SECONDS, connections=4) for _ in range(3)]
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
async def project(nodes: list[PostgresMetadataStore]) -> Project:
    return await make_project(nodes[0], "shared")


async def at_once(*calls: object) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_change_is_seen_by_every_other_node_at_once(nodes, project):
    for number in range(12):
        file = await record_file(nodes[number % 3], project.id)
        assert await nodes[(number + 1) % 3].get_file(project.id, file.id) == file


async def test_a_quota_is_kept_to_the_byte_whoever_uploads(nodes, project):
    creates = [store.create_file(project.id, new_file(size=10), 255, NOBODY) for store in nodes for _ in range(20)]
    outcomes = await at_once(*creates)
    assert sum(isinstance(outcome, StorageQuotaExceeded) for outcome in outcomes) == 35
    assert await nodes[0].usage(project.id) == Usage(25, 250)
    assert await nodes[0].counter_drifts() == []


async def test_an_idempotency_key_makes_one_file_however_many_nodes_are_asked(nodes, project):
    key = Idempotency(hashlib.sha256(b"key").digest(), hashlib.sha256(b"content").digest())
    made = await asyncio.gather(*[store.create_file(project.id, new_file(), PLENTY, NOBODY, key) for store in nodes for _ in range(6)])
    assert len({created.file.id for created in made}) == 1
    assert sum(not created.repeated for created in made) == 1


async def test_a_file_is_either_held_or_deleted(nodes, project):
    for _ in range(10):
        file = await record_file(nodes[0], project.id)
        held, deleted = await at_once(
            nodes[1].hold_file(project.id, file.id, "audit", None, NOBODY), nodes[2].delete_file(project.id, file.id, 60, NOBODY)
        )
        assert isinstance(held, FileNotFound) != isinstance(deleted, FileInUse)


async def test_a_blob_is_either_condemned_or_referred_to(nodes, project):
    for _ in range(10):
        new = new_file()
        created, condemned = await at_once(nodes[1].create_file(project.id, new, PLENTY, NOBODY), nodes[2].condemn_blobs([new.blob.key]))
        assert isinstance(created, StorageUnavailable) == (condemned == [new.blob.key])


async def test_a_slug_is_given_once(nodes):
    outcomes = await at_once(*[store.create_project(NewProject("wanted", "x"), NOBODY) for store in nodes for _ in range(4)])
    assert sum(isinstance(outcome, SlugTaken) for outcome in outcomes) == 11


async def test_a_project_is_either_removed_or_gets_its_file(nodes):
    for number in range(8):
        project = await make_project(nodes[0], f"short-lived-{number}")
        created, removed = await at_once(
            nodes[1].create_file(project.id, new_file(), PLENTY, NOBODY), nodes[2].delete_project(project.id, NOBODY)
        )
        assert isinstance(created, Exception) != isinstance(removed, Exception)


async def test_requests_of_a_minute_are_given_away_once(nodes):
    leases = await asyncio.gather(*[store.take_requests("project x", 100, 7) for store in nodes for _ in range(10)])
    by_minute: dict[int, int] = {}
    for lease in leases:
        by_minute[lease.minute] = by_minute.get(lease.minute, 0) + lease.granted
    assert max(by_minute.values()) == 100


async def test_a_lease_has_one_holder(nodes):
    taken = await asyncio.gather(*[store.take_lease("janitor", f"node {number}", 60) for number, store in enumerate(nodes)])
    assert sum(taken) == 1


async def test_only_one_node_makes_the_first_key(nodes):
    made = await asyncio.gather(
        *[store.bootstrap(bytes([number]) * 32, "hint", frozenset({"files.read"})) for number, store in enumerate(nodes)]
    )
    assert sum(made) == 1
    assert len(await nodes[0].list_api_keys()) == 1


async def test_whoever_reads_on_after_the_last_file_misses_none_that_other_nodes_create_meanwhile(nodes, project):
    writing = [asyncio.create_task(_create(store, project.id, 25)) for store in nodes[:2]]
    seen: list[str] = []
    done = False
    while not done:
        done = all(task.done() for task in writing)
        query = FileQuery(50, after=seen[-1] if seen else None, newest_first=False)
        seen += [file.id for file in (await nodes[2].list_files(project.id, query)).files]
    made = [file_id for task in writing for file_id in task.result()]
    assert sorted(seen) == seen
    assert sorted(made) == seen


async def _create(store: MetadataStore, project_id: str, count: int) -> list[str]:
    return [(await record_file(store, project_id)).id for _ in range(count)]


async def test_times_are_the_databases_wherever_a_node_has_its_clock(url, monkeypatch):
    # A node whose clock is a thousand days fast, from its start on.
    right = time.time
    monkeypatch.setattr("fileplane.metadata.postgres_clock.time.time", lambda: right() + WRONG_SECONDS)
    store = PostgresMetadataStore(url, deadline_seconds=SECONDS)
    await store.check()
    project = await make_project(store, "on time")
    file = await record(store, project.id, replace(new_file(), expires_after=3_600))
    assert abs(file.created_at - right()) < WRONG_SECONDS / 2
    assert (await store.get_file(project.id, file.id)) == file
    await store.close()


async def test_nothing_that_is_done_from_time_to_time_waits_for_others_when_nothing_is_due(url):
    impatient = PostgresMetadataStore(url, deadline_seconds=10, connections=2)
    busy = open_session(url, SECONDS)
    busy.begin(RULES["create_project"](), SECONDS)
    claim = Claim("node", 60)
    assert await impatient.expire_catalog_files(claim, 10) == []
    assert await impatient.claim_unresolved_files(claim, 10) == []
    assert await impatient.claim_unresolved_jobs(claim, 10) == []
    assert await impatient.take_lease("janitor", "node", 60)
    assert not await impatient.forget_old_entries(0, 0)
    await impatient.release_lease("janitor", "node")
    busy.roll_back()
    busy.close()
    await impatient.close()


def test_every_method_that_changes_something_says_what_it_locks():
    writers = {
        name
        for name, method in inspect.getmembers(RelationalMetadataStore, inspect.iscoroutinefunction)
        if "_engine.write(" in inspect.getsource(method)
    }
    assert writers == set(RULES)


async def test_changes_of_a_project_that_wait_are_committed_together_and_a_refused_one_leaves_nothing(nodes, project, url, monkeypatch):
    store = nodes[0]
    deleted = await record_file(store, project.id)
    await store.delete_file(project.id, deleted.id, 600, NOBODY)
    busy = open_session(url, SECONDS)
    busy.begin(RULES["create_file"](project.id), SECONDS)
    begun: list[Locks] = []
    begin = Session.begin
    monkeypatch.setattr(Session, "begin", lambda session, locks, seconds: (begun.append(locks), begin(session, locks, seconds))[1])
    first = asyncio.create_task(record_file(store, project.id))
    await eventually_async(lambda: begun, "the first change waits for the lock")
    waiting = [asyncio.create_task(record_file(store, project.id)) for _ in range(10)]
    # It is refused after it has changed something.
    refused = asyncio.create_task(store.restore_file(project.id, deleted.id, 0, NOBODY))
    waiting += [asyncio.create_task(record_file(store, project.id)) for _ in range(10)]
    await asyncio.sleep(0)
    busy.roll_back()
    busy.close()
    await asyncio.gather(first, *waiting)
    with pytest.raises(StorageQuotaExceeded):
        await refused
    assert len(begun) == 2
    assert await store.usage(project.id) == Usage(21, 220)
    assert (await store.list_files(project.id, FileQuery(10, deleted=True))).total == 1
    assert await store.counter_drifts() == []
