"""What a store is moved to: one PostgreSQL and one SeaweedFS for a whole process of tests, each test with a place of its own in both."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from fileplane.blob_location import parse_blob_location
from support.object_servers import ObjectServer, seaweedfs
from support.object_stores import located
from support.postgres import PostgresServer
from support.server import RunningServer, run_fileplane, start_server

_NUMBERS = count(1)


@dataclass
class NewPlace:
    """An empty database and an empty prefix."""

    postgres: PostgresServer
    store: ObjectServer
    database: str
    location: str

    @property
    def url(self) -> str:
        return self.postgres.url(self.database)

    @property
    def variables(self) -> dict[str, str]:
        """The environment that `fileplane migrate-store` finds its target in."""
        return self.to_database | self.to_blobs

    @property
    def to_database(self) -> dict[str, str]:
        return {"FILEPLANE_TO_DATABASE_URL": self.url}

    @property
    def to_blobs(self) -> dict[str, str]:
        return {"FILEPLANE_TO_BLOB_STORE": self.location, **self.store.environment}

    def settings(self, old: Path) -> dict[str, str]:
        """Those of a node."""
        return {"database_url": self.url, "blob_store": self.location, "master_key_file": str(old / "master.key")}

    def node(self, folder: Path, old: RunningServer) -> RunningServer:
        return start_server(folder, key=old.api_key, variables=self.store.environment, **self.settings(old.data_dir))

    def run(self, old: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command on the new place."""
        settings = {f"FILEPLANE_{name.upper()}": value for name, value in self.settings(old).items()}
        return run_fileplane(*arguments, FILEPLANE_DATA_DIR=str(old.parent / "new"), **settings, **self.store.environment)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with seaweedfs(tmp_path_factory.mktemp("weed") / "server") as server:
        yield server


@pytest.fixture
def new_place(postgres: PostgresServer, seaweed: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], NewPlace]:
    for name, value in seaweed.environment.items():
        monkeypatch.setenv(name, value)

    def made() -> NewPlace:
        location = str(located(seaweed))
        assert not parse_blob_location(location).is_local
        return NewPlace(postgres, seaweed, postgres.new_database(), location)

    return made
