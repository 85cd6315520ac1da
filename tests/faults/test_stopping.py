"""A server that is asked to stop lets transfers finish within its deadline, and ends with 0 either way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from support.expect import assert_file
from support.limits import MIB, blobs_of, open_blobs_of, temporaries_of
from support.polling import eventually
from support.raw_http import Connection, form_begin, form_end, form_length, head, upload_head
from support.server import RunningServer, fileplane_environment, running_server
from support.server_log import assert_no_trouble, log_lines

CONTENT = bytes(32 * MIB)
HALF = bytes(MIB)
LONGEST_STOP_SECONDS = 20


@dataclass
class Traffic:
    """One connection of each kind, each in the middle of what it does."""

    upload: Connection
    download: Connection
    ranged: Connection
    idle: Connection
    silent: Connection


@contextmanager
def traffic(server: RunningServer) -> Iterator[Traffic]:
    with server.client() as client:
        file = assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": ("a.bin", CONTENT)}))
    path = f"/v1/files/{file['id']}/content"
    with ExitStack() as stack:
        kinds = Traffic(*(stack.enter_context(Connection(server, receive_buffer=4096)) for _ in range(5)))
        kinds.upload.send(upload_head(server.api_key, form_length(2 * len(HALF)), X_Request_Id="upload") + form_begin() + HALF)
        kinds.download.send(head("GET", path, server.api_key, X_Request_Id="download"))
        kinds.ranged.send(head("GET", path, server.api_key, X_Request_Id="ranged", Range="bytes=0-"))
        kinds.idle.send(head("GET", "/healthz", None))
        kinds.idle.answer()
        eventually(lambda: len(open_blobs_of(server)) == 3, "three transfers are under way", seconds=30)
        yield kinds


def refuses_connections(server: RunningServer) -> bool:
    try:
        Connection(server).socket.close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize(
    ("number", "to_workers"),
    [(signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["SIGTERM", "SIGINT, as a terminal sends it to all"],
)
def test_transfers_in_flight_finish_and_new_connections_are_refused(tmp_path: Path, number: signal.Signals, *, to_workers: bool):
    with running_server(tmp_path / "data") as server, traffic(server) as kinds:
        processes = [server.process.pid, *(worker.pid for worker in server.workers() if to_workers)]
        for process in processes:
            os.kill(process, number)
        eventually(lambda: refuses_connections(server), "new connections are refused", seconds=10)

        assert kinds.download.answer().content == CONTENT
        assert kinds.ranged.answer().content == CONTENT
        kinds.upload.send(HALF + form_end())
        assert_file(kinds.upload.answer(), bytes=2 * len(HALF))
        assert server.process.wait(LONGEST_STOP_SECONDS) == 0

        assert kinds.idle.receive_to_end() == 0
        assert kinds.silent.receive_to_end() == 0
        assert len(blobs_of(server.data_dir)) == 2
        assert temporaries_of(server) == []
        assert {"upload", "download", "ranged"} <= {line.get("request_id") for line in log_lines(server)}
        assert_no_trouble(server)


def test_transfers_that_outlast_the_deadline_are_cut_off_and_swept_at_the_next_start(tmp_path: Path):
    with running_server(tmp_path / "data", drain_seconds=1) as server, traffic(server) as kinds:
        workers = server.workers()
        assert server.terminate(LONGEST_STOP_SECONDS) == 0
        assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
        assert kinds.upload.receive_to_end() == 0
        assert kinds.download.receive_to_end() < len(CONTENT)
        assert kinds.ranged.receive_to_end() < len(CONTENT)
    assert len(temporaries_of(server)) == 1

    with running_server(tmp_path / "data", key=server.api_key) as again, again.client() as client:
        assert temporaries_of(again) == []
        assert [file["bytes"] for file in client.get("/files").json()["data"]] == [len(CONTENT)]


STOPPED_BETWEEN_THE_RUNS = """
import asyncio, os, signal, sys
from pathlib import Path
import uvloop
from granian.asgi import LifespanProtocol
from fileplane.data_directory import prepare_data_directory
from fileplane.server import load_application
from fileplane.settings import Settings

settings = Settings(data_dir=Path(sys.argv[1]))
lock, _ = prepare_data_directory(settings)
lifespan = LifespanProtocol(load_application(settings, os.getppid()))
loop, heard = uvloop.new_event_loop(), asyncio.Event()
loop.add_signal_handler(signal.SIGTERM, heard.set)
loop.run_until_complete(lifespan.startup())
os.kill(os.getpid(), signal.SIGTERM)
loop.run_until_complete(asyncio.wait_for(heard.wait(), 20))
loop.run_until_complete(lifespan.shutdown())
print("stopped")
"""


def test_a_worker_that_is_told_to_stop_in_the_moment_in_which_it_becomes_ready_stops(tmp_path: Path):
    # Its loop has started the application and does not serve yet, and uvloop hears no signal then.
    command = [sys.executable, "-c", STOPPED_BETWEEN_THE_RUNS, str(tmp_path / "data")]
    done = subprocess.run(command, env=fileplane_environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
