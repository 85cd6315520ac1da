"""Two nodes over one PostgreSQL and one object store, whose clients find them by themselves."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx2
import psutil

from support.namespaces import Namespace
from support.polling import eventually
from support.postgres import PostgresServer
from support.server import RunningServer, run_fileplane, start_server

DATABASE_SECONDS = 3
STORE_SECONDS = 10
PATIENCE_SECONDS = 40
"""Of clients: longer than whatever a node may wait for its engines, so that a request without an answer is one that was forgotten."""
_SAME_READINGS = 10
_READY_SECONDS = 30


class Store(Protocol):
    """An object store as nodes are told of it."""

    @property
    def location(self) -> str: ...

    @property
    def environment(self) -> dict[str, str]: ...


@dataclass
class NodePair:
    """Made by :func:`node_pair`. ``settings`` are those of the place of a node, by their names."""

    database: PostgresServer
    database_name: str
    store: Store
    folder: Path
    settings: list[dict[str, object]]
    key: str
    second: tuple[Namespace, str] | None = None
    """The network that the second node is in, if it is not this machine's, and its address as seen from here."""
    patience_seconds: float = PATIENCE_SECONDS
    nodes: list[RunningServer] = field(default_factory=list)

    @property
    def database_url(self) -> str:
        """How this machine reaches the database, whatever the nodes are told."""
        return self.database.url(self.database_name)

    def client(self, place: int, *, key: str | None = None, keep_alive: bool = True) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        limits = httpx2.Limits(max_keepalive_connections=None if keep_alive else 0)
        url = self.nodes[place].base_url
        return httpx2.Client(base_url=url, headers=headers, timeout=self.patience_seconds, trust_env=False, limits=limits)

    def start_node(self, place: int) -> RunningServer:
        before = self.nodes[place] if place < len(self.nodes) else None
        data_dir, port = self.folder / f"node-{place}", before.port if before else None

        def start() -> RunningServer:
            return start_server(data_dir, key=self.key, port=port, variables=self.store.environment, **self.settings[place])

        if place == 0 or self.second is None:
            return start()
        network, address = self.second
        node = network.run(start)
        node.address = address
        return node

    def replace(self, place: int) -> int:
        """Stops a node as an orchestrator does and starts another in its place; the first one's exit code."""
        code = self.nodes[place].terminate()
        self.nodes[place] = self.start_node(place)
        return code

    def is_ready(self, place: int) -> bool:
        return httpx2.get(f"{self.nodes[place].url}/readyz", timeout=self.patience_seconds, trust_env=False).status_code == 200

    def wait_until_ready(self) -> None:
        """What a node knows of an object store it asks every ten seconds at most."""
        for place in range(len(self.nodes)):
            eventually(lambda place=place: self.is_ready(place), f"node {place} is ready", seconds=_READY_SECONDS)

    def check(self) -> None:
        """`fileplane check --read-data` finds no error."""
        environment = {name: value for name, value in self.nodes[0].settings.items() if name != "FILEPLANE_HOST"}
        environment |= {"FILEPLANE_DATA_DIR": str(self.nodes[0].data_dir), "FILEPLANE_DATABASE_URL": self.database_url}
        result = run_fileplane("check", "--read-data", **environment)
        assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def node_pair(
    database: PostgresServer,
    store: Store,
    folder: Path,
    *,
    urls: tuple[str, str] | None = None,
    second: tuple[Namespace, str] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    **settings: object,
) -> Iterator[NodePair]:
    """Two running nodes on an empty database, for the length of a block.

    ``urls`` are the database's by the places of the nodes if they differ; in a URL ``{name}`` stands for the database's name. ``second``
    is the network that the second node is to be in, with its address there.
    """
    name = database.new_database()
    common = {
        "master_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "blob_store": store.location,
        "metadata_deadline_seconds": DATABASE_SECONDS,
        "storage_deadline_seconds": STORE_SECONDS,
        "janitor_interval_seconds": 0,
        **settings,
    }
    of_each = [{**common, "database_url": url.replace("{name}", name)} for url in urls or (database.url(name), database.url(name))]
    if second is not None:
        of_each[1]["host"] = "0.0.0.0"  # of a network that has nobody else
    pair = NodePair(database, name, store, folder, of_each, f"fpk_{secrets.token_urlsafe(32)}", second, patience_seconds)
    with ExitStack() as stack:
        stack.callback(lambda: [node.kill() for node in pair.nodes if node.process.poll() is None])
        for place in range(2):
            pair.nodes.append(pair.start_node(place))
        yield pair


@dataclass(frozen=True)
class Holding:
    """What the workers of a node have that a failed request could leave behind."""

    descriptors: int
    threads: int


def holding(node: RunningServer) -> Holding:
    """What they have once that no longer changes."""
    readings: list[Holding] = []

    def settled() -> bool:
        workers = node.workers()
        readings.append(Holding(sum(map(psutil.Process.num_fds, workers)), sum(map(psutil.Process.num_threads, workers))))
        return len(readings) >= _SAME_READINGS and len(set(readings[-_SAME_READINGS:])) == 1

    eventually(settled, "the node has come to rest", seconds=30)
    return readings[-1]
