"""Nodes that are replaced one by one under load, with nothing in front of them: their clients go to the other one, as SDKs do."""

from __future__ import annotations

import pytest

from support.node_pair import NodePair
from support.node_traffic import CLIENTS, Traffic

pytestmark = pytest.mark.full

ROUNDS = 2


@pytest.mark.parametrize("keep_alive", [False, True], ids=["a connection each", "kept connections"])
def test_every_request_to_nodes_that_are_replaced_is_answered_and_every_upload_is_one_whole_file(pair: NodePair, keep_alive: bool):
    traffic = Traffic(pair, seed=25 + keep_alive, keep_alive=keep_alive, sizes=(0, 4_096, 70_000, 1_200_000, 9 << 20))
    with traffic.running():
        for place in (0, 1) * ROUNDS:
            traffic.wait_for(20, place=place)
            assert pair.replace(place) == 0
            traffic.wait_for(5, place=place, operation="create")
    # No node says that it failed, and whoever was not let in was told so before anything was sent.
    assert traffic.statuses <= {200, 404}, traffic.told
    # A connection that a client uses again, or that waits to be taken, just as the node closes: at most one of each client's.
    assert len(traffic.broken) <= CLIENTS * 2 * ROUNDS, traffic.told
    traffic.check()
    assert traffic.unsettled == []


def test_after_all_that_the_check_finds_nothing_lost(pair: NodePair):
    pair.check()
