"""Real servers in processes of their own, each on a free port of the loopback interface, for the length of a block."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REFERENCES = Path(__file__).parent / "references"
READY_SECONDS = 60
STOP_SECONDS = 90
_KEPT = {"PATH", "HOME", "LANG", "TMPDIR"}

# The rows of the large lists have no bytes, which a scrub would tell of line by line.
_SETTINGS = {"FILEPLANE_SCRUB_BYTES_PER_SECOND": "0"}


class ServerFailed(Exception):
    """A server did not start, or ended; the message has the end of its log."""


@dataclass
class Server:
    """``headers`` go with every request to it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The root, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def serving_processes(self) -> list[psutil.Process]:
        """The processes that answer requests, without the one that supervises them."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def cpu_seconds(self) -> float:
        """User and system time that the serving processes have used so far, all threads together."""
        times = [process.cpu_times() for process in self.serving_processes()]
        return float(sum(time.user + time.system for time in times))

    def resident_bytes(self) -> int:
        """Memory of the serving processes (RSS)."""
        return sum(process.memory_info().rss for process in self.serving_processes())


@dataclass
class Fileplane(Server):
    """A ``fileplane serve`` with its default settings but for the port, the data directory and the key."""

    data_dir: Path = Path()

    def blob_paths(self) -> set[Path]:
        """Every file among the blobs."""
        return {path for path in (self.data_dir / "blobs").glob("??/*") if path.is_file()}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def new_key() -> str:
    """An API key to start a Fileplane with."""
    return f"fpk_{secrets.token_urlsafe(32)}"


@contextmanager
def fileplane(data_dir: Path, api_key: str, settings: Mapping[str, str] | None = None) -> Iterator[Fileplane]:
    """``fileplane serve`` on ``data_dir``, which it makes when it is missing. ``api_key`` must be the one of its first start.

    ``settings`` are environment variables beside the benchmark's own.
    """
    port = free_port()
    command = [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(data_dir), "--port", str(port)]
    log_path = data_dir.with_suffix(".log")
    environment = {"FILEPLANE_BOOTSTRAP_API_KEY": api_key, **_SETTINGS, **(settings or {})}
    with running(command, log_path, environment) as process:
        server = Fileplane("Fileplane", port, process, log_path, {"Authorization": f"Bearer {api_key}"}, data_dir)
        wait_until_listening(server)
        yield server


@contextmanager
def bare_route(directory: Path, reference: str = "bare_route", *arguments: str) -> Iterator[Server]:
    """A bare Starlette route: ``bare_route.py`` of the references, or another of them that takes ``arguments`` as well."""
    port = free_port()
    log_path = directory / f"{reference}.log"
    command = [sys.executable, str(REFERENCES / f"{reference}.py"), str(port), str(directory / reference), *arguments]
    with running(command, log_path, {}) as process:
        server = Server("Starlette", port, process, log_path)
        wait_until_listening(server)
        yield server


@contextmanager
def nginx(binary: str, directory: Path, root: Path) -> Iterator[Server]:
    """Starts nginx with one worker: GET of what is below ``root`` by sendfile, and PUT into ``directory/put``."""
    port = free_port()
    directory.mkdir()
    (directory / "put").mkdir()
    (directory / "body").mkdir()
    template = (REFERENCES / "nginx.conf").read_text("utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = template.format(user=user, port=port, root=root, directory=directory)
    (directory / "nginx.conf").write_text(configuration, "utf-8")
    log_path = directory / "nginx.log"
    with running([binary, "-p", str(directory), "-c", "nginx.conf", "-e", "error.log"], log_path, {}) as process:
        server = Server("nginx", port, process, log_path)
        wait_until_listening(server)
        yield server


@contextmanager
def running(command: Sequence[str], log_path: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block, with ``environment`` and little else of the benchmark's own; it logs to ``log_path``."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        process = subprocess.Popen(command, env=kept | dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for member in family:
            if member.isrunning():
                member.kill()
        process.wait()


def wait_until_listening(server: Server, seconds: float = READY_SECONDS) -> None:
    """Raises :class:`ServerFailed` for a server that ends, or that nobody can connect to in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                return
        time.sleep(0.02)  # a server that starts tells nobody; it is asked until it answers
    log = server.log_path.read_text("utf-8", "replace")[-2000:]
    raise ServerFailed(f"{server.name} did not start:\n{log}")


def remove(directory: Path) -> None:
    """Deletes a directory of results that are no longer needed, outside of what is timed."""
    shutil.rmtree(directory, ignore_errors=True)
