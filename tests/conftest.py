"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import gc
import logging
import os
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import settings

from fileplane.metadata.postgres_schema import prepare_postgres
from support.certificates import read_certificates_once
from support.postgres import PostgresServer, postgres_server
from support.server import RunningServer, running_server

# The same examples every time, so that a failure on one machine is a failure on all; `--hypothesis-profile=random` looks for others.
settings.register_profile("fixed", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("random", print_blob=True, deadline=None, max_examples=1_000)
settings.load_profile("fixed")
logging.getLogger("httpx2").setLevel(logging.WARNING)
read_certificates_once()

# What `make test-cluster` runs, beside whatever is marked so itself.
CLUSTER = ("cluster/", "object_stores/", "metadata/test_postgres", "serving/test_shared_database.py", "deploy/test_two_nodes.py")

# Half a minute and more each: one that began last would be waited for alone.
LONGEST = frozenset(
    {
        "cli/test_cli_catalog.py",
        "cli/test_cli_projects_and_keys.py",
        "cli/test_cli_refusals.py",
        "cli/test_cli_virtual_keys.py",
        "docs/test_examples.py",
        "faults/test_backup.py",
        "faults/test_io_errors.py",
        "faults/test_kill_points.py",
        "faults/test_memory.py",
        "faults/test_power_loss.py",
        "faults/test_uploads_every_point.py",
        "files/test_janitor.py",
        "http/test_project_limits.py",
        "http/test_schema.py",
        "metadata/test_postgres.py",
        "metadata/test_sqlite.py",
        "observability/test_metrics_listener.py",
        "sdk/test_every_sdk.py",
        "serving/test_start.py",
    }
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: looking for garbage in it took a quarter of the collection, and then two thirds of a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is of the cluster by its place, so that a new test there is not forgotten, and begins with the longest files."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).as_posix().startswith(CLUSTER):
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: item.path.relative_to(folder).as_posix() not in LONGEST)


def pytest_xdist_auto_num_workers() -> int:
    """Two more processes than processors: while tests of faults or deadlines wait for a server, others have something to compute."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server with default settings for the whole run; tests must not assume that its project is empty."""
    root: Path = tmp_path_factory.mktemp("server")
    with running_server(root / "data") as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run, with one prepared database."""
    with postgres_server() as server:
        server.execute("CREATE DATABASE shared")
        prepare_postgres(server.url("shared"))
        yield server


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Of a prepared database without a row, for one test at a time: emptying one is cheaper than making one."""
    postgres.empty("shared")
    return postgres.url("shared")


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
