"""PostgreSQL that crashes, or loses a session, while two nodes are at it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from fileplane.blob_location import parse_blob_location
from fileplane.metadata.postgres_locks import RULES
from fileplane.metadata.postgres_session import open_session
from fileplane.testing.blob_store_suite import everything
from object_stores.conftest import open_store  # noqa: F401 - a fixture
from support.expect import assert_openai_error
from support.node_pair import NodePair
from support.node_traffic import Traffic
from support.object_servers import ObjectServer
from support.object_stores import OpenStore
from support.polling import eventually, eventually_async
from support.postgres import PostgresServer

pytestmark = pytest.mark.full

CRASHES = 4
WAITING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'fileplane' AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["crash", "restart"])
def test_a_database_that_goes_amid_traffic_fails_with_503_and_nothing_answered_is_lost(
    pair: NodePair, database: PostgresServer, how: signal.Signals
):
    traffic = Traffic(pair, seed=how)
    with traffic.running():
        for _ in range(CRASHES):
            traffic.wait_for(30)
            database.stop(how)
            traffic.wait_for(4, status=503)
            database.start()
            for place in range(2):
                traffic.wait_for(5, place=place)
    assert traffic.statuses <= {200, 404, 503}, traffic.told
    assert (traffic.refused, traffic.broken) == ([], []), traffic.told
    traffic.check()


def test_sessions_that_are_ended_amid_traffic_lose_and_double_nothing(pair: NodePair, database: PostgresServer):
    traffic = Traffic(pair, seed=13)
    with traffic.running():
        for _ in range(20):
            traffic.wait_for(5)
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fileplane'")
    assert traffic.statuses <= {200, 404, 503}, traffic.told
    traffic.check()


@contextmanager
def creations_held_up(pair: NodePair) -> Iterator[None]:
    """No file can be recorded, although its bytes can be stored."""
    ((project_id,),) = pair.database.execute("SELECT id FROM projects WHERE slug = 'default'", database=pair.database_name)
    session = open_session(pair.database_url, 60)
    session.begin(RULES["create_file"](project_id), 60)
    try:
        yield
    finally:
        session.roll_back()
        session.close()


def waiting(database: PostgresServer) -> set[int]:
    return {pid for (pid,) in database.execute(WAITING)}


def end_whoever_waits(database: PostgresServer) -> None:
    """Returns once those are gone that wait now."""
    pids = waiting(database)
    database.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", list(pids))
    eventually(lambda: not waiting(database) & pids, "it is gone", seconds=10)


@pytest.mark.parametrize("persistently", [False, True], ids=["once", "again and again"])
async def test_a_session_that_ends_between_the_bytes_and_their_record_is_tried_again_or_told(
    pair: NodePair,
    database: PostgresServer,
    store: ObjectServer,
    open_store: OpenStore,  # noqa: F811 - the fixture
    persistently: bool,
):
    name = f"between-{persistently}.bin"

    def upload(client: httpx2.Client) -> httpx2.Response:
        form = {"data": {"purpose": "user_data"}, "files": {"file": (name, b"content")}}
        return client.post("/files", headers={"idempotency-key": name}, **form)

    async with open_store(store, location=parse_blob_location(store.location)) as blobs:
        before = {info.key for info in await everything(blobs)}
        with pair.client(0) as one, pair.client(1) as two, ThreadPoolExecutor(1) as pool:
            with creations_held_up(pair):
                answer: Future[httpx2.Response] = pool.submit(upload, one)
                await eventually_async(lambda: waiting(database), "the record is to be made", seconds=10)
                assert [info.committed for info in await everything(blobs) if info.key not in before] == [True]
                end_whoever_waits(database)
                while persistently and not answer.done():
                    end_whoever_waits(database)
            # It is tried again on a connection that had been in use before, and told on one that had just been made.
            if persistently or answer.result().status_code != 200:
                assert_openai_error(answer.result(), 503, "storage_unavailable", type="server_error")
                assert answer.result().headers["retry-after"]
            again = upload(two)
            assert again.status_code == 200, again.text
            listed = [file for file in one.get("/files", params={"limit": 10_000}).json()["data"] if file["filename"] == name]
            assert [file["id"] for file in listed] == [again.json()["id"]]
            assert one.get(f"/files/{again.json()['id']}/content").content == b"content"


def test_after_all_that_the_check_finds_nothing_lost(pair: NodePair):
    pair.check()
