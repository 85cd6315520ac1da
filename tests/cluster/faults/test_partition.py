"""One of two nodes is cut off from the database: it says so in time, the other goes on, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest

from support.expect import assert_openai_error
from support.namespaces import namespace
from support.node_pair import Holding, NodePair, holding, node_pair
from support.node_traffic import CLIENTS, Traffic
from support.object_servers import seaweedfs
from support.polling import eventually
from support.postgres import postgres_server
from support.tcp_proxy import tcp_proxy

pytestmark = pytest.mark.full

CUTS = 2
FAILURES_A_CUT = 10
CONNECTIONS = 4
BOUND_SECONDS = 20
"""Of clients: a request is answered within its deadlines for the database, which are 3 seconds each."""
SLACK = 10
"""Descriptors and threads that a node may have more of after a cut: its pools of connections are never filled the same."""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'fileplane'"


@dataclass
class Cuttable:
    """The second of the nodes can be cut off from the database."""

    pair: NodePair
    cut: Callable[[], None]
    heal: Callable[[], None]


@pytest.fixture(scope="module", params=[pytest.param("cable", marks=pytest.mark.needs_root), "swallowed"])
def cuttable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuttable]:
    """By a cable that is pulled, or by something in between that takes everything and hands on nothing."""
    folder = tmp_path_factory.mktemp("partition")
    with ExitStack() as stack:
        if request.param == "cable":
            network = stack.enter_context(namespace(2))
            front, back = network.cables
            database = stack.enter_context(postgres_server([back.outside]))
            store = stack.enter_context(seaweedfs(folder / "weed", address=front.outside))
            urls = database.url("{name}"), database.url("{name}", host=back.outside)
            options = {"second": (network, front.inside)}
            cut, heal = back.pull, back.plug_in
        else:
            database = stack.enter_context(postgres_server())
            store = stack.enter_context(seaweedfs(folder / "weed"))
            proxy = stack.enter_context(tcp_proxy(database.port))
            urls = database.url("{name}"), database.url("{name}", port=proxy.port)
            options, cut, heal = {}, proxy.hold, proxy.release
        options |= {"patience_seconds": BOUND_SECONDS, "database_connections": CONNECTIONS}
        yield Cuttable(stack.enter_context(node_pair(database, store, folder, urls=urls, **options)), cut, heal)


def assert_every_call_is_told(pair: NodePair) -> None:
    """Each, at the second node, within what a client waits for."""
    form = {"data": {"purpose": "user_data"}, "files": {"file": ("cut.bin", b"content")}}
    somewhere = "/files/00000000-0000-7000-8000-000000000000"
    with pair.client(1) as client, ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(client.post, "/files", **form),
            pool.submit(client.get, f"{somewhere}/content"),
            pool.submit(client.get, "/files"),
            pool.submit(client.delete, somewhere),
        ]
        for call in calls:
            assert_openai_error(call.result(), 503, "storage_unavailable", type="server_error")
            assert call.result().headers["retry-after"]


def test_a_node_that_is_cut_off_says_so_in_time_and_takes_part_again_by_itself(cuttable: Cuttable):
    pair = cuttable.pair
    traffic = Traffic(pair, seed=14, sizes=(0, 4_096, 70_000))
    held: list[Holding] = []
    with httpx2.Client(base_url=pair.nodes[1].url, timeout=BOUND_SECONDS, trust_env=False) as client:
        for _ in range(CUTS):
            with traffic.running():
                traffic.wait_for(20, place=1)
                cuttable.cut()
                try:
                    assert_every_call_is_told(pair)
                    traffic.wait_for(FAILURES_A_CUT, status=503, place=1)
                    traffic.wait_for(20, place=0)
                    assert client.get("/readyz").status_code == 503
                    assert client.get("/healthz").status_code == 200
                finally:
                    cuttable.heal()
                traffic.wait_for(20, place=1)
            pair.wait_until_ready()
            held.append(holding(pair.nodes[1]))
    assert traffic.statuses <= {200, 404, 503}, traffic.told
    # The other waits for what the first has locked until that is given up, which may be too long for who has waited by then.
    assert sum(answer.status == 503 for answer in traffic.answers if answer.place == 0) <= CUTS * CLIENTS, traffic.told
    assert (traffic.refused, traffic.broken) == ([], []), traffic.told
    assert max(later.descriptors for later in held) <= held[0].descriptors + SLACK, held
    assert max(later.threads for later in held) <= held[0].threads + SLACK, held
    traffic.check()


def test_sessions_whose_node_was_cut_off_do_not_stay_at_the_database(cuttable: Cuttable):
    """Otherwise each cut takes some of those that the database has, until there are none."""
    pair = cuttable.pair
    workers = len(pair.nodes[0].workers()) + len(pair.nodes[1].workers())

    def sessions() -> int:
        ((number,),) = pair.database.execute(SESSIONS, pair.database_name)
        return int(str(number))

    eventually(lambda: sessions() <= workers * CONNECTIONS, "no more sessions than connections", seconds=60)


def test_after_all_that_the_check_finds_nothing_lost(cuttable: Cuttable):
    cuttable.pair.check()
