"""Fixtures of the client's tests: a server, a proxy before it, and clients that take small files for large ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fileplane.client import Client
from support.meddler import Meddler, meddler
from support.projects import Key, new_tenant_key
from support.server import RunningServer

PART = 100_000
PARTS = 20
SIZE = PART * PARTS - 17
NewClient = Callable[..., Client]


@pytest.fixture
def key(server: RunningServer) -> Key:
    """With every scope in a project that is empty and this test's own."""
    return new_tenant_key(server.data_dir)


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[Meddler]:
    with meddler(server.base_url) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where uploads are remembered."""
    return tmp_path / "state"


@pytest.fixture
def new_client(proxy: Meddler, key: Key, state: Path) -> NewClient:
    def made(**options: object) -> Client:
        wanted = {"part_bytes": PART, "parallel_from": 1, "state_directory": state} | options
        return Client(proxy.base_url, key.plain, **wanted)  # type: ignore[arg-type]

    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """20 parts of random bytes."""
    path = tmp_path / "source.bin"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path
