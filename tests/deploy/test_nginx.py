from __future__ import annotations

import json
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest

from support.debian import require_program
from support.nginx import Nginx, configuration, nginx
from support.polling import eventually
from support.ports import free_port
from support.server import RunningServer, running_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Both nodes at once: two servers cannot share a data directory."""
    with running_server(tmp_path_factory.mktemp("node") / "data", trusted_proxies="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def proxy(node: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("proxy") / "nginx", [node.port, node.port]) as running:
        yield running


def client_of(proxy: Nginx, node: RunningServer, **options: object) -> httpx2.Client:
    return httpx2.Client(base_url=f"{proxy.url}/v1", headers=node.headers, timeout=30, trust_env=False, **options)


def upload(client: httpx2.Client, content: bytes = b"content") -> httpx2.Response:
    return client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.bin", content)})


class DyingNode:
    """Takes connections and whole requests, then closes without an answer; ``requests`` are the first lines of what it was sent."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # A thread that waits in accept() is not woken by close().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    received = b""
                    while b"\r\n\r\n" not in received:
                        received += connection.recv(65_536)
                    self.requests.append(received.partition(b"\r\n")[0].decode())


@contextmanager
def with_a_dying_node(node: RunningServer, folder) -> Iterator[tuple[Nginx, DyingNode]]:
    dying = DyingNode()
    try:
        with nginx(folder / "nginx", [dying.port, node.port]) as proxy:
            yield proxy, dying
    finally:
        dying.close()


def test_nginx_accepts_the_configuration(tmp_path):
    program = require_program("nginx", "nginx-light")
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, 8080, [8787, 8788]))
    command = [program, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr


def test_files_go_through_it_both_ways_and_in_parts(proxy: Nginx, node: RunningServer):
    content = secrets.token_bytes(5 * MIB + 1)
    with client_of(proxy, node) as client:
        file = upload(client, content).json()
        assert file["bytes"] == len(content)
        assert client.get(f"/files/{file['id']}/content").content == content
        part = client.get(f"/files/{file['id']}/content", headers={"Range": "bytes=1000000-1999999"})
        assert (part.status_code, part.content) == (206, content[1_000_000:2_000_000])
        assert client.head(f"/files/{file['id']}/content").headers["content-length"] == str(len(content))
        assert client.delete(f"/files/{file['id']}").status_code == 200
        assert client.get(f"/files/{file['id']}").status_code == 404


def begun_upload(proxy: Nginx, length: int, **headers: str) -> bytes:
    """The answer, as far as its error envelope, to an upload of which only the head is sent."""
    fields = {"Host": "files", "Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(length)} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(f"POST /v1/files HTTP/1.1\r\n{head}\r\n".encode())
        received = b""
        while b"}}" not in received and (piece := connection.recv(65_536)):
            received += piece
        return received


def test_an_upload_without_a_key_is_refused_before_its_body_has_come(proxy: Nginx):
    assert begun_upload(proxy, 5 << 30).startswith(b"HTTP/1.1 401 ")


def test_the_limit_of_a_file_is_the_nodes_own_and_told_by_it(proxy: Nginx, node: RunningServer):
    answer = begun_upload(proxy, 1 << 40, **node.headers)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"file_too_large" in answer


def test_the_log_has_the_clients_address_whatever_it_says_of_itself(proxy: Nginx, node: RunningServer):
    with client_of(proxy, node, transport=httpx2.HTTPTransport(local_address="127.0.0.2")) as client:
        answer = client.get("/files", headers={"X-Forwarded-For": "203.0.113.9"})

    def line() -> dict[str, object] | None:
        lines = map(json.loads, node.log.splitlines())
        return next((line for line in lines if line.get("request_id") == answer.headers["x-request-id"]), None)

    eventually(lambda: line() is not None, "the access line")
    assert line()["client"] == "127.0.0.2"


def test_a_node_that_is_down_is_passed_over_for_every_request(node: RunningServer, tmp_path):
    with nginx(tmp_path / "nginx", [free_port(), node.port]) as proxy, client_of(proxy, node) as client:
        for _ in range(5):
            file = upload(client)
            assert file.status_code == 200
            assert client.get(f"/files/{file.json()['id']}").status_code == 200
            assert client.delete(f"/files/{file.json()['id']}").status_code == 200


def test_an_upload_whose_node_died_with_it_is_not_sent_to_another(node: RunningServer, tmp_path):
    with with_a_dying_node(node, tmp_path) as (proxy, dying), client_of(proxy, node) as client:
        before = httpx2.get(f"{node.base_url}/files?limit=1", headers=node.headers, trust_env=False).json()["total"]
        # Which node comes first is nginx's to choose; it leaves the dying one out for two seconds after each death.
        statuses: list[int] = []

        def one_more_has_died() -> bool:
            statuses.append(upload(client).status_code)
            return any(line.startswith("POST") for line in dying.requests)

        eventually(one_more_has_died, "an upload reaches the dying node", seconds=20)
        after = httpx2.get(f"{node.base_url}/files?limit=1", headers=node.headers, trust_env=False).json()["total"]
        assert sorted(set(statuses[:-1])) in ([], [200])
        assert statuses[-1] == 502
        assert after - before == statuses.count(200)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_what_may_be_repeated_is_sent_to_another_when_its_node_died(method: str, node: RunningServer, tmp_path):
    with with_a_dying_node(node, tmp_path) as (proxy, dying), client_of(proxy, node) as client:

        def one_more_has_died() -> bool:
            assert client.request(method, "/no/such/route").status_code == 404
            return any(line.startswith(f"{method} /v1/no") for line in dying.requests)

        eventually(one_more_has_died, "a request reaches the dying node", seconds=20)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_not_be_repeated_is_told_as_502_when_its_node_died(method: str, node: RunningServer, tmp_path):
    with with_a_dying_node(node, tmp_path) as (proxy, dying), client_of(proxy, node) as client:
        statuses: list[int] = []

        def one_more_has_died() -> bool:
            statuses.append(client.request(method, "/no/such/route").status_code)
            return any(line.startswith(f"{method} /v1/no") for line in dying.requests)

        eventually(one_more_has_died, "a request reaches the dying node", seconds=20)
        assert statuses[-1] == 502
        assert set(statuses[:-1]) <= {404}
