"""Commands start quickly because they load only what they use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cli.command_line import CommandLine
from support.server import fileplane_environment

LOADED = """
import atexit, json, sys
from fileplane.__main__ import main
atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))
main()
"""


def loaded_by(cli: CommandLine, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        env=fileplane_environment(**cli.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(json.loads(done.stderr))


SERVER_SIDE = {"starlette", "granian", "uvloop", "apsw", "msgspec", "python_multipart"}


def test_a_client_command_loads_nothing_of_the_server(cli: CommandLine) -> None:
    loaded = loaded_by(cli, "ls")
    assert "httpx2" in loaded
    assert not loaded & (SERVER_SIDE | {"fileplane.cli.drawing", "fileplane.app"})


@pytest.mark.parametrize("arguments", [("settings",), ("--version",)])
def test_a_local_command_loads_no_http_client_either(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    assert not loaded_by(cli, *arguments) & (SERVER_SIDE | {"httpx2"})
