"""An object store that keeps two copies loses one of its servers: everything is read, and writing goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from support.node_pair import NodePair, node_pair
from support.polling import eventually
from support.postgres import PostgresServer
from support.weed_cluster import WeedCluster, weed_cluster

pytestmark = pytest.mark.full

MIB = 1 << 20
SIZES = (*(4_096 for _ in range(12)), *(70_000 for _ in range(12)), 1_200_000, 9 * MIB, 24 * MIB)


@dataclass
class Kept:
    """What was uploaded, by its id."""

    pair: NodePair
    contents: dict[str, bytes] = field(default_factory=dict)

    def upload(self, *sizes: int) -> None:
        """By turns through each node."""
        clients = [self.pair.client(place) for place in range(2)]
        for number, size in enumerate(sizes):
            content = os.urandom(size)
            form = {"data": {"purpose": "user_data"}, "files": {"file": ("some.bin", content)}}
            answer = clients[number % 2].post("/files", **form)
            assert answer.status_code == 200, (number, answer.text)
            self.contents[answer.json()["id"]] = content
        for client in clients:
            client.close()

    def read(self) -> None:
        """Each through either node."""
        for place in range(2):
            with self.pair.client(place) as client:
                for file_id, content in self.contents.items():
                    answer = client.get(f"/files/{file_id}/content")
                    assert (answer.status_code, answer.content == content) == (200, True), (file_id, len(content), answer.text[:500])


@pytest.fixture(params=["001", "010"], ids=["same rack", "another rack"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedCluster]:
    with weed_cluster(tmp_path_factory.mktemp("replicated") / "weed", request.param) as running:
        yield running


@pytest.fixture
def kept(database: PostgresServer, cluster: WeedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with node_pair(database, cluster, tmp_path_factory.mktemp("nodes")) as pair:
        yield Kept(pair)


def test_every_file_is_read_and_more_are_taken_whichever_server_of_the_store_is_lost(cluster: WeedCluster, kept: Kept):
    kept.upload(*SIZES)
    for lost in cluster.volumes:
        lost.kill()
        kept.read()
        kept.upload(4_096, 70_000, 9 * MIB, 4_096)
        kept.read()
        lost.start()
        eventually(lambda: cluster.known_volume_servers() == 3, "it is part of the store again", seconds=60)
        kept.pair.wait_until_ready()
    cluster.volumes[0].kill()
    kept.pair.check()
