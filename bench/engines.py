"""A PostgreSQL and a SeaweedFS for the length of a block, the ones that the tests run against, and nodes over them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from servers import ServerFailed
from support.object_servers import BUCKET, ObjectServer, seaweedfs
from support.postgres import PostgresServer, postgres_server

_MASTER_KEY = base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Engines:
    """One server of each kind."""

    postgres: PostgresServer
    store: ObjectServer

    @property
    def store_port(self) -> int:
        """Where the object store listens."""
        port = urlsplit(self.store.endpoint).port
        assert port is not None
        return port

    def settings(self, name: str, *, postgres_port: int | None = None, store_port: int | None = None) -> Mapping[str, str]:
        """Environment variables for a node with a database and a prefix of that name, which are made here if they are missing.

        The ports are those of something in between.
        """
        if not self.postgres.execute("SELECT 1 FROM pg_database WHERE datname = %s", name):
            self.postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        endpoint = f"http://127.0.0.1:{store_port or self.store_port}"
        return {
            **self.store.environment,
            "FILEPLANE_MASTER_KEY": _MASTER_KEY,
            "FILEPLANE_DATABASE_URL": self.postgres.url(name, port=postgres_port),
            "FILEPLANE_BLOB_STORE": f"s3://{BUCKET}/{name}?endpoint={endpoint}&region=us-east-1",
        }


@contextmanager
def engines(directory: Path) -> Iterator[Engines]:
    """Raises :class:`~servers.ServerFailed` for one that does not start."""
    try:
        with postgres_server() as postgres, seaweedfs(directory) as store:
            yield Engines(postgres, store)
    except AssertionError as error:
        raise ServerFailed(str(error)) from error
