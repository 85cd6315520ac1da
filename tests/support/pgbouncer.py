"""PgBouncer in front of a PostgreSQL server, pooling by transaction."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from support.debian import require_program
from support.polling import eventually
from support.ports import free_port
from support.postgres import PostgresServer, as_somebody, opened_to_somebody

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pgbouncer(server: PostgresServer, connections: int = 3) -> Iterator[int]:
    """The port of a pooler with so many connections to each database of the server."""
    program = require_program("pgbouncer", "pgbouncer")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fileplane-pgbouncer-") as name:
        folder = Path(name)
        (folder / "ini").write_text(_CONFIGURATION.format(server_port=server.port, port=port, folder=folder, connections=connections))
        opened_to_somebody(folder)
        command = [program, "--quiet", str(folder / "ini")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_somebody())
        try:
            eventually(lambda: _answers(server.url(port=port)), "PgBouncer answers", seconds=10)
            yield port
        finally:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
