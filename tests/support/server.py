"""A real ``fileplane serve`` in a process of its own, on a free port of the loopback interface."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from support.polling import eventually
from support.ports import free_port

READY_SECONDS = 30
STOP_SECONDS = 30
ENGINES = {"FILEPLANE_DATABASE_URL", "FILEPLANE_BLOB_STORE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"}
"""What commands beside a server have to be told of it when its files and records are elsewhere."""


@dataclass
class RunningServer:
    """``url`` is the root; ``base_url`` is what an SDK is given; ``api_key`` has every scope in the project ``default``."""

    port: int
    api_key: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log_path: Path
    output_path: Path
    scheme: str = "http"
    settings: dict[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    @property
    def output(self) -> str:
        return self.output_path.read_text("utf-8", "replace")

    def client(self, api_key: str | None = None) -> httpx2.Client:
        """A plain HTTP client with this server's key, or another."""
        headers = {"Authorization": f"Bearer {api_key or self.api_key}"}
        return httpx2.Client(base_url=self.base_url, headers=headers, timeout=60, trust_env=False)

    def workers(self) -> list[psutil.Process]:
        """The processes that serve, without the one that supervises them."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A ``fileplane`` command in a process of its own, with this server's directory, engines, URL and key in its environment."""
        own = {name: value for name, value in self.settings.items() if name in ENGINES}
        own |= {"FILEPLANE_DATA_DIR": str(self.data_dir), "FILEPLANE_BASE_URL": self.base_url, "FILEPLANE_API_KEY": self.api_key}
        return run_fileplane(*arguments, **(own | environment))

    def create_key(
        self, *, project: str = "default", scopes: tuple[str, ...] = (), expires_in: str | None = None, organisation: bool = False
    ) -> str:
        """A new API key in ``project``, which is made when it is missing."""
        if project != "default":
            self.run("project", "create", project)
        arguments = ["key", "create", "--name", "test", "--project", project]
        for scope in scopes:
            arguments += ["--scope", scope]
        if organisation:
            arguments += ["--organisation"]
        if expires_in is not None:
            arguments += ["--expires-in", expires_in]
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def terminate(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to the whole server, workers included."""
        processes = [psutil.Process(self.process.pid), *self.workers()]
        for process in processes:
            process.kill()
        self.process.wait(STOP_SECONDS)
        wait_until_dead(processes)


def fileplane_environment(**values: str) -> dict[str, str]:
    """The environment of a command: nothing of this machine's own settings or proxies."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"PYTHONWARNINGS": "error::ResourceWarning", "COLUMNS": "200"} | values


def run_fileplane(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end. One that would serve has a port of its own: it shall be refused for what is wrong with it alone."""
    if "serve" in arguments and "--port" not in arguments:
        environment = {"FILEPLANE_PORT": str(free_port())} | environment
    return subprocess.run(
        [sys.executable, "-m", "fileplane", *arguments],
        env=fileplane_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start_server(
    data_dir: Path,
    *,
    scheme: str = "http",
    key: str | None = None,
    port: int | None = None,
    arguments: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> RunningServer:
    """Starts a server and returns once it is ready. ``settings`` are the settings' names with their values.

    ``key`` is the bootstrap key of a directory that is started again, ``port`` the one that it had if its clients are to find it; its log
    then goes on. ``variables`` are other programs' environment variables, such as those of a cloud's credentials.
    """
    api_key = key or f"fpk_{secrets.token_urlsafe(32)}"
    port = port or free_port()
    environment = {f"FILEPLANE_{name.upper()}": str(value) for name, value in settings.items()}
    environment.setdefault("FILEPLANE_MIN_FREE_DISK_BYTES", "0")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    log_path = data_dir.parent / f"{data_dir.name}.{port}.log"
    output_path = data_dir.parent / f"{data_dir.name}.{port}.out"
    with log_path.open("ab") as log, output_path.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(data_dir), "--port", str(port), *arguments],
            env=fileplane_environment(FILEPLANE_BOOTSTRAP_API_KEY=api_key, **environment, **(variables or {})),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    server = RunningServer(port, api_key, data_dir, process, log_path, output_path, scheme, environment | dict(variables or {}))
    wait_until_ready(server)
    return server


def wait_until_ready(server: RunningServer) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended with {server.process.returncode}:\n{server.log}")
        try:
            if httpx2.get(f"{server.url}/readyz", timeout=5, trust_env=False, verify=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.02)
    server.kill()
    raise AssertionError(f"the server was not ready in {READY_SECONDS} s:\n{server.log}")


def wait_until_dead(processes: Iterable[psutil.Process], seconds: float = STOP_SECONDS) -> None:
    """Returns once none of them holds anything any more, though whoever takes over zombies may take a second to."""
    eventually(lambda: not any(map(is_alive, processes)), "the processes are dead", seconds=seconds)


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead once it is the last of its threads: the others may still hold what is open."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running_server(data_dir: Path, **options: object) -> Iterator[RunningServer]:
    """A server for the length of a block; afterwards it is asked to stop, and killed if it does not."""
    server = start_server(data_dir, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            try:
                server.terminate()
            except subprocess.TimeoutExpired:
                server.kill()
                raise
