"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import settings

from support.server import RunningServer, running_server

# The same examples every time, so that a failure on one machine is a failure on all; `--hypothesis-profile=random` looks for others.
settings.register_profile("fixed", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("random", print_blob=True, deadline=None, max_examples=1_000)
settings.load_profile("fixed")
logging.getLogger("httpx2").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server with default settings for the whole run; tests must not assume that its project is empty."""
    root: Path = tmp_path_factory.mktemp("server")
    with running_server(root / "data") as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx2.Client]:
    """A plain HTTP client with every scope in the shared server's project ``default``."""
    with server.client() as client:
        yield client


@pytest.fixture
def project_client(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    """A client of a project that is empty and this test's own."""
    name = f"p{zlib.crc32(request.node.nodeid.encode()):08x}"
    with server.client(server.create_key(project=name)) as client:
        yield client
