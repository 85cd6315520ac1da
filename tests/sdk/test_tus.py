"""tus' own clients send files, unmodified: whole, in pieces, stopped and resumed, and while the server is killed."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sdk.processes import NODE, run
from support.polling import eventually
from support.server import RunningServer, start_server

CLIENTS = {"node": (str(NODE), "node/tus_client.mjs"), "python": (sys.executable, "python/tus_client.py")}
SCENARIOS = {
    "node": ("at once", "in chunks", "with the creation", "from a file", "of unknown length", "by POST alone", "aborted and resumed"),
    "python": ("at once", "in chunks", "with checksums", "stopped and resumed"),
}
KILLS = 3
PATIENCE = 300


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "data.bin"
    made.write_bytes(random.Random(9).randbytes(1_000_001))
    return made


def perform(client: str, server: RunningServer, path: Path, *scenarios: str, seconds: int = 60) -> dict[str, Any]:
    job = {"endpoint": f"{server.base_url}/tus", "api_key": server.api_key, "path": str(path), "scenarios": scenarios}
    job["storage"] = str(path.with_suffix(".json"))
    return dict(json.loads(run(CLIENTS[client], given=json.dumps(job), seconds=seconds)))


def shown(client: httpx2.Client, url: str) -> dict[str, Any]:
    return dict(client.get(f"/uploads/{url.rpartition('/')[2]}").json())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_arrives_whole_however_the_client_sends_it(sdk_server: RunningServer, path: Path, client: str) -> None:
    results = perform(client, sdk_server, path, *SCENARIOS[client], "empty")
    with sdk_server.client() as api:
        for name, result in results.items():
            file = shown(api, result["url"])["file"]
            content = api.get(f"/files/{file['id']}/content").content
            assert content == (b"" if name == "empty" else path.read_bytes()), name
            if client == "node":
                assert (result["fileId"], file["filename"]) == (file["id"], "node.bin")


def test_what_a_client_terminates_is_gone(sdk_server: RunningServer, path: Path) -> None:
    done = perform("node", sdk_server, path, "terminated")["terminated"]
    with sdk_server.client() as api:
        assert api.get(f"/files/{done['fileId']}").status_code == 404


@pytest.mark.full
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_goes_on_by_itself_when_the_server_is_killed_again_and_again(tmp_path: Path, client: str) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(random.Random(10).randbytes(10_000_000))
    server = start_server(tmp_path / "data")
    try:
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(perform, client, server, path, "patiently", seconds=PATIENCE)
            reached = 0
            for _ in range(KILLS):
                reached = _wait_for_more(server, reached, lambda: not sending.done())
                server.kill()
                server = start_server(tmp_path / "data", key=server.api_key, port=server.port)
            [result] = sending.result(PATIENCE).values()
        with server.client() as api:
            file = shown(api, result["url"])["file"]
            content = api.get(f"/files/{file['id']}/content")
            assert hashlib.sha256(content.content).digest() == hashlib.sha256(path.read_bytes()).digest()
            assert api.get("/files").json()["total"] == 1
        checked = server.run("check", "--read-data")
        assert checked.returncode == 0, checked.stdout
    finally:
        server.kill()


def _wait_for_more(server: RunningServer, reached: int, goes_on: Callable[[], bool]) -> int:
    """Returns how many parts there are once there are some more."""
    with server.client() as api:

        def parts() -> int:
            uploads = api.get("/uploads").json()["data"]
            return len(api.get(f"/uploads/{uploads[0]['id']}").json()["parts"]) if uploads else 0

        eventually(lambda: parts() >= reached + 20 or not goes_on(), "more has come", seconds=60)
        assert goes_on(), "the upload ended too early to be interrupted"
        return parts()
