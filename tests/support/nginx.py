"""A real nginx with deploy/nginx.conf, in front of servers of the tests."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.debian import require_program
from support.documents import read
from support.polling import eventually
from support.ports import free_port

_SECONDS = 20


@dataclass(frozen=True)
class Nginx:
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def configuration(folder: Path, port: int, nodes: Sequence[int]) -> str:
    """deploy/nginx.conf with other addresses, and ``folder`` in the place of /tmp; all else is as it stands."""
    text = read("deploy/nginx.conf")
    ports = iter(nodes)
    text, servers = re.subn(r"server fileplane-\w:8787", lambda _: f"server 127.0.0.1:{next(ports)}", text)
    text, listens = re.subn(r"listen 8080;", f"listen 127.0.0.1:{port};", text)
    assert (servers, listens) == (len(nodes), 1)
    return text.replace(" /tmp/", f" {folder}/")


@contextmanager
def nginx(folder: Path, nodes: Sequence[int]) -> Iterator[Nginx]:
    """In front of the servers at these ports of 127.0.0.1, for the length of a block. Skips the test where there is no nginx."""
    program = require_program("nginx", "nginx-light")
    folder.mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(configuration(folder, port, nodes), "utf-8")
    log = folder / "log"
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        eventually(lambda: _listens(port) or process.poll() is not None, "nginx listens", seconds=_SECONDS)
        assert process.poll() is None, log.read_text()
        yield Nginx(port, log)
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS)
        process.kill()
        process.wait(_SECONDS)


def _listens(port: int) -> bool:
    # Without a request, which a node would see and might not survive.
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
