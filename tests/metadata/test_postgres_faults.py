"""PostgreSQL that is lost, frozen, restarted or in the way: whoever waits is told in time, and what is told is true."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
import pytest

from fileplane.access import NewProject, Project
from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_locks import RULES
from fileplane.metadata.postgres_session import Session, open_session
from fileplane.model import Origin, Usage
from fileplane.testing.metadata_store_suite import make_project, new_file, record_file
from support.polling import eventually, eventually_async
from support.postgres import PostgresServer
from support.tcp_proxy import Way, tcp_proxy

NOBODY = Origin()
PLENTY = 10**15
pytestmark = pytest.mark.full
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'fileplane'"


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresMetadataStore]:
    store = PostgresMetadataStore(url, deadline_seconds=30, connections=2)
    yield store
    await store.close()


@pytest.fixture
async def project(store: PostgresMetadataStore) -> Project:
    return await make_project(store, "project")


def kill_backends(postgres: PostgresServer) -> None:
    """Returns once they are gone."""
    pids = [pid for (pid,) in postgres.execute(BACKENDS)]
    postgres.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", pids)
    eventually(lambda: not {pid for (pid,) in postgres.execute(BACKENDS)} & set(pids), "the backends are gone", seconds=10)


@contextmanager
def before_statement(number: int, strike: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Strikes before the ``number``-th statement that is sent; yields how many were."""
    sent = [0]
    execute = psycopg.Connection.execute

    def counted(connection: psycopg.Connection, query: object, *values: object, **options: object) -> object:
        if connection.info.get_parameters().get("application_name") == "fileplane":
            sent[0] += 1
            if sent[0] == number:
                strike()
        return execute(connection, query, *values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", counted)
        yield sent


async def test_a_backend_that_is_killed_before_any_statement_of_a_create_leaves_the_truth(store, project, postgres, monkeypatch):
    await record_file(store, project.id)
    files = 1
    for number in count(1):
        with before_statement(number, lambda: kill_backends(postgres), monkeypatch) as sent:
            try:
                await store.create_file(project.id, new_file(), PLENTY, NOBODY)
                known = 1
            except StorageUnavailable as error:
                known = 0 if error.nothing_changed else None
        kept = (await store.usage(project.id)).live_files
        assert kept == files + known if known is not None else kept in {files, files + 1}
        files = kept
        assert await store.counter_drifts() == []
        if sent[0] < number:
            break
    assert number > 8


async def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_denied(store, project, monkeypatch):
    require_committed = Session.require_committed

    def lose_the_answer(session: Session) -> None:
        require_committed(session)
        session.close()
        raise psycopg.OperationalError("the answer is lost")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "require_committed", lose_the_answer)
        with pytest.raises(StorageUnavailable) as raised:
            await store.create_file(project.id, new_file(), PLENTY, NOBODY)
    assert not raised.value.nothing_changed
    assert await store.usage(project.id) == Usage(1, 10)


async def test_connections_that_were_lost_while_nobody_looked_fail_nothing(store, project, postgres):
    file = await record_file(store, project.id)
    kill_backends(postgres)
    assert await store.get_file(project.id, file.id) == file
    await record_file(store, project.id)
    postgres.stop(signal.SIGQUIT)
    postgres.start()
    assert await store.get_file(project.id, file.id) == file
    await record_file(store, project.id)
    assert await store.usage(project.id) == Usage(3, 30)


async def test_a_server_that_is_away_is_told_of_with_certainty_and_comes_back(store, project, postgres):
    file = await record_file(store, project.id)
    postgres.stop(signal.SIGQUIT)
    try:
        with pytest.raises(StorageUnavailable):
            await store.get_file(project.id, file.id)
        with pytest.raises(StorageUnavailable) as raised:
            await store.create_file(project.id, new_file(), PLENTY, NOBODY)
        assert raised.value.nothing_changed
        with pytest.raises(StorageUnavailable):
            await store.check()
    finally:
        postgres.start()
    assert await store.get_file(project.id, file.id) == file


async def test_a_server_that_does_not_answer_is_waited_for_until_the_deadline_alone(url, postgres):
    store = PostgresMetadataStore(url, deadline_seconds=0.5, connections=2)
    await _in_the_end(store.check)
    project = await _in_the_end(lambda: make_project(store, "frozen"))
    frozen = [pid for (pid,) in postgres.execute(BACKENDS)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StorageUnavailable):
            await store.usage(project.id)
        with pytest.raises(StorageUnavailable) as raised:
            await store.create_file(project.id, new_file(), PLENTY, NOBODY)
        assert raised.value.nothing_changed
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    # The frozen connections were given up, and the lock that one of them has taken since goes with it.
    assert await _in_the_end(lambda: store.usage(project.id)) == Usage(0, 0)
    await _in_the_end(lambda: record_file(store, project.id))
    await store.close()


async def test_a_database_behind_a_network_that_swallows_everything_is_told_of_in_time(postgres):
    with tcp_proxy(postgres.port, to_server=Way(cut_after=0, cut="drop")) as proxy:
        store = PostgresMetadataStore(postgres.url("shared", port=proxy.port), deadline_seconds=0.5, connections=2)
        with pytest.raises(StorageUnavailable):
            await store.check()
        with pytest.raises(StorageUnavailable) as raised:
            await store.create_project(NewProject("lost", "lost"), NOBODY)
        assert raised.value.nothing_changed
        async with asyncio.timeout(30):
            await store.close()


async def test_a_store_is_closed_although_a_call_that_was_given_up_has_no_answer(url, postgres, monkeypatch):
    store = PostgresMetadataStore(url, deadline_seconds=0.5, connections=2)
    await _in_the_end(store.check)
    for (pid,) in postgres.execute(BACKENDS):
        os.kill(pid, signal.SIGSTOP)
    try:
        with before_statement(0, lambda: None, monkeypatch) as sent:
            call = asyncio.create_task(store.check())
            await eventually_async(lambda: sent[0], "the statement is sent")
            call.cancel()
        async with asyncio.timeout(20):
            await store.close()
    finally:
        for (pid,) in postgres.execute(BACKENDS):
            os.kill(pid, signal.SIGCONT)


async def _in_the_end(call: Callable[[], object]) -> object:
    until = time.monotonic() + 20
    while True:
        try:
            return await call()
        except StorageUnavailable:
            assert time.monotonic() < until


async def test_a_node_that_vanishes_in_a_transaction_gives_its_locks_up(store, project, url):
    vanished = open_session(url, 1)
    vanished.begin(RULES["create_file"](project.id), 0.2)
    file = await record_file(store, project.id)
    assert await store.get_file(project.id, file.id) == file
    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
        vanished.commit()
    vanished.close()


async def test_a_change_that_never_gets_its_turn_is_told_so_in_time_and_others_go_on(url, store, project):
    other = await make_project(store, "other")
    impatient = PostgresMetadataStore(url, deadline_seconds=0.3, connections=4)
    busy = open_session(url, 60)
    busy.begin(RULES["create_file"](project.id), 60)
    attempts = [impatient.create_file(project.id, new_file(), PLENTY, NOBODY) for _ in range(20)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(outcome, StorageUnavailable) and outcome.nothing_changed for outcome in outcomes)
    await record_file(store, other.id)
    busy.roll_back()
    busy.close()
    assert await store.usage(project.id) == Usage(0, 0)
    await impatient.close()


async def test_of_changes_that_wait_for_each_other_one_is_run_again(store, project, postgres, url):
    """Two writers that lock the same rows in opposite orders; PostgreSQL breaks one of them off."""
    file = await record_file(store, project.id)
    other = open_session(url, 60)
    other.begin(RULES["take_lease"](), 60)
    other.execute("UPDATE usage SET live_files = live_files + 0")
    deleting = asyncio.create_task(store.delete_file(project.id, file.id, 60, NOBODY))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await asyncio.to_thread(eventually, lambda: postgres.execute(waits) == [(1,)], "the deletion waits for the counter", seconds=10)
    try:
        await asyncio.to_thread(other.execute, "UPDATE files SET status = status")
        other.commit()
    except psycopg.errors.DeadlockDetected:
        other.roll_back()
    await deleting
    other.close()
    assert (await store.usage(project.id)).live_files == 0
    assert await store.counter_drifts() == []


async def test_a_get_is_one_round_trip_of_one_prepared_statement(store, project, url, monkeypatch):
    file = await record_file(store, project.id)
    for _ in range(3):
        await store.get_file(project.id, file.id)
    with before_statement(0, lambda: None, monkeypatch) as sent:
        await store.get_file(project.id, file.id)
    assert sent == [1]
    session = open_session(url, 10)
    assert not session.pooled
    assert session._connection.prepare_threshold is not None
    session.close()
