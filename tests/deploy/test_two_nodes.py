"""What deploy/compose.yaml describes, with real programs in the places of its containers: PostgreSQL, SeaweedFS, two nodes, nginx."""

from __future__ import annotations

import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx2
import pytest

from support.deployment import compose, example_values
from support.nginx import Nginx, nginx
from support.object_servers import ObjectServer, seaweedfs
from support.polling import eventually
from support.ports import free_port
from support.postgres import PostgresServer, postgres_server
from support.server import RunningServer, run_fileplane, start_server

pytestmark = pytest.mark.full

NAMES = ("fileplane-a", "fileplane-b")
CLIENTS = 4
PREFIX = "FILEPLANE_"
# Of this machine rather than of a container.
REPLACED = {"FILEPLANE_DATABASE_URL", "FILEPLANE_BLOB_STORE", "FILEPLANE_BOOTSTRAP_API_KEY", "FILEPLANE_TRUSTED_PROXIES"}


def by_name(variables: dict[str, str]) -> dict[str, str]:
    """Settings by their names, of environment variables among which there are others."""
    return {name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)}


@dataclass
class Deployment:
    database: PostgresServer
    store: ObjectServer
    proxy: Nginx
    nodes: list[RunningServer]
    key: str

    def client(self, url: str | None = None) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=url or f"{self.proxy.url}/v1", headers=headers, timeout=60, trust_env=False)

    def start(self, place: int) -> None:
        """Starts the node again that was at this place, where nginx expects it."""
        before = self.nodes[place]
        settings = by_name(before.settings)
        self.nodes[place] = start_server(before.data_dir, key=self.key, port=before.port, variables=self.store.environment, **settings)

    def replace(self, place: int) -> int:
        """Stops a node as an orchestrator does and starts it again; its exit code."""
        code = self.nodes[place].terminate()
        self.start(place)
        return code


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    key, values = f"fpk_{secrets.token_urlsafe(32)}", example_values()
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server())
        store = stack.enter_context(seaweedfs(folder / "store"))
        given = compose(values)["services"][NAMES[0]]["environment"]
        settings = by_name({name: value for name, value in given.items() if name not in REPLACED})
        settings |= {"database_url": database.url(database.new_database()), "blob_store": store.location, "trusted_proxies": "127.0.0.1"}
        ports = [free_port(), free_port()]

        def node(place: int) -> RunningServer:
            return start_server(folder / NAMES[place], key=key, port=ports[place], variables=store.environment, **settings)

        # At once, on a database and a bucket that are empty.
        with ThreadPoolExecutor(len(NAMES)) as pool:
            nodes = list(pool.map(node, range(len(NAMES))))
        proxy = stack.enter_context(nginx(folder / "nginx", ports))
        running = Deployment(database, store, proxy, nodes, key)
        stack.callback(lambda: [server.kill() for server in running.nodes])
        yield running


@dataclass
class Traffic:
    """Clients that upload, read and delete through the proxy until they are told to stop, and remember what they were answered."""

    deployment: Deployment
    kept: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    in_doubt: set[str] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, during: Callable[[Traffic], None]) -> None:
        stop = threading.Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._client, stop) for _ in range(CLIENTS)]
            try:
                during(self)
            finally:
                stop.set()
            for client in clients:
                client.result()

    def _client(self, stop: threading.Event) -> None:
        with self.deployment.client() as client:
            while not stop.is_set():
                try:
                    self._turn(client)
                except httpx2.TransportError:
                    self.unanswered += 1

    def _turn(self, client: httpx2.Client) -> None:
        content = secrets.token_bytes(20_000)
        answer = client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.bin", content)})
        self.statuses.append(answer.status_code)
        if answer.status_code != 200:
            return
        file_id = answer.json()["id"]
        self.kept[file_id] = content
        read = client.get(f"/files/{file_id}/content")
        self.statuses.append(read.status_code)
        if read.status_code == 200 and read.content != content:
            self.wrong.append(f"{file_id} was read as something else")
        if read.status_code == 404:
            self.wrong.append(f"{file_id} was answered and then missing")
        if len(self.kept) % 3 == 0:
            self.in_doubt.add(file_id)
            gone = client.delete(f"/files/{file_id}")
            self.statuses.append(gone.status_code)
            if gone.status_code == 200:
                self.deleted.add(file_id)
                self.in_doubt.discard(file_id)

    @property
    def failed(self) -> list[int]:
        return [status for status in self.statuses if status != 200]

    @property
    def told(self) -> str:
        return f"{Counter(self.statuses)}, {self.unanswered} without an answer"

    def check(self) -> None:
        """Whatever was answered holds, at both nodes."""
        assert self.wrong == []
        for node in self.deployment.nodes:
            with self.deployment.client(node.base_url) as client:
                for file_id, content in self.kept.items():
                    answer = client.get(f"/files/{file_id}/content")
                    if file_id in self.deleted:
                        assert answer.status_code == 404, file_id
                    elif file_id not in self.in_doubt:
                        assert (answer.status_code, answer.content == content) == (200, True), file_id


def test_two_nodes_that_start_at_once_on_nothing_are_one_service(deployment: Deployment):
    with deployment.client() as client:
        made = client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.txt", b"content")}).json()
    for node in deployment.nodes:
        with deployment.client(node.base_url) as client:
            assert client.get(f"/files/{made['id']}/content").content == b"content"
    assert not list(deployment.nodes[0].data_dir.glob("blobs/??/*"))


def test_nodes_are_replaced_one_by_one_under_load_and_every_answer_holds(deployment: Deployment):
    traffic = Traffic(deployment)

    def replace_each(running: Traffic) -> None:
        for place, node in enumerate(deployment.nodes):
            answered = len(running.statuses)
            eventually(lambda answered=answered: len(running.statuses) > answered + 50, "traffic", seconds=30)
            assert deployment.replace(place) == 0
            size = len(node.log)
            eventually(lambda node=node, size=size: node.log.count('"POST"', size) > 5, "the node is sent uploads again", seconds=30)

    traffic.run(replace_each)
    traffic.check()
    assert traffic.unanswered == 0, traffic.told
    # What was on its way to a node on a connection that the node was just closing.
    assert set(traffic.failed) <= {502}, traffic.told
    assert len(traffic.failed) <= CLIENTS * len(NAMES), traffic.told


def test_a_node_that_is_killed_under_load_loses_nothing_that_was_answered(deployment: Deployment):
    traffic = Traffic(deployment)

    def kill_one(running: Traffic) -> None:
        eventually(lambda: len(running.statuses) > 20, "traffic", seconds=30)
        deployment.nodes[0].kill()
        answered = len(running.statuses)
        eventually(lambda: len(running.statuses) > answered + 50, "traffic at the other", seconds=30)

    traffic.run(kill_one)
    deployment.start(0)
    traffic.check()
    # What was under way there, and what was sent on a connection that nginx had not yet seen to be dead.
    assert len(traffic.failed) + traffic.unanswered <= 2 * CLIENTS, traffic.told
    assert set(traffic.failed) <= {502, 404}, traffic.told


@pytest.mark.parametrize("engine", ["database", "store"])
def test_an_engine_that_is_away_is_told_as_503_and_everything_goes_on_afterwards(deployment: Deployment, engine: str):
    traffic = Traffic(deployment)

    def take_away(running: Traffic) -> None:
        eventually(lambda: len(running.statuses) > 20, "traffic", seconds=30)
        if engine == "database":
            deployment.database.stop(signal.SIGQUIT)
        else:
            deployment.store.kill()
        eventually(lambda: running.statuses[-1] == 503, "the failure is told", seconds=60)
        with deployment.client() as client:
            # What a node knows of an object store it asks every ten seconds at most.
            eventually(lambda: client.get(f"{deployment.proxy.url}/readyz").status_code == 503, "nobody is ready", seconds=30)
            assert client.get(f"{deployment.proxy.url}/healthz").status_code == 200
        if engine == "database":
            deployment.database.start()
        else:
            deployment.store.start()
        answered = len(running.statuses)
        eventually(lambda: 200 in running.statuses[answered:], "uploads are taken again", seconds=60)

    traffic.run(take_away)
    traffic.check()
    assert set(traffic.statuses) == {200, 503}, traffic.told


def test_after_all_that_the_check_finds_nothing_lost(deployment: Deployment):
    node = deployment.nodes[0]
    result = run_fileplane("check", "--read-data", FILEPLANE_DATA_DIR=str(node.data_dir), **node.settings)
    assert result.returncode == 0, result.stdout + result.stderr
