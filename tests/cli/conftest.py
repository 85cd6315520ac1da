"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from cli.odd_server import OddServer, running_odd_server
from support.in_process import InProcess, in_process
from support.projects import new_key
from support.server import RunningServer

CANARY = "fpk_canary0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where commands run; nothing is in it."""
    path = tmp_path / "here"
    path.mkdir()
    return path


@pytest.fixture
def cli(server: RunningServer, directory: Path) -> CommandLine:
    """With every scope in a project that is empty and this test's own."""
    key = new_key(server.data_dir).plain
    cache = str(directory.parent / "cache")
    return CommandLine(directory, {"FILEPLANE_BASE_URL": server.base_url, "FILEPLANE_API_KEY": key, "XDG_CACHE_HOME": cache})


@pytest.fixture
def odd_server() -> Iterator[OddServer]:
    with running_odd_server() as server:
        yield server


@pytest.fixture
def odd_cli(odd_server: OddServer, directory: Path) -> CommandLine:
    """A client of ``odd_server``, with a key that must not be seen anywhere else."""
    return CommandLine(directory, {"FILEPLANE_BASE_URL": odd_server.base_url, "FILEPLANE_API_KEY": CANARY})


@pytest.fixture
def admin(server: RunningServer, directory: Path) -> CommandLine:
    """The administrative commands, on the shared server's data directory."""
    return CommandLine(directory, {"FILEPLANE_DATA_DIR": str(server.data_dir)})


@pytest.fixture
async def store(directory: Path) -> AsyncIterator[InProcess]:
    """The data directory that `shell` works on, opened in this process too."""
    async with in_process(directory / "data") as opened:
        yield opened


@pytest.fixture
def shell(directory: Path, store: InProcess) -> CommandLine:
    """For administrative commands, which need no server."""
    return CommandLine(directory, {"FILEPLANE_DATA_DIR": str(store.settings.data_dir)})
