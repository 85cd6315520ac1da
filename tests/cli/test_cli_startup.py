"""Commands start quickly because they load only what they use."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
import typer.main

from cli.command_line import CommandLine
from fileplane.cli.lean import only_what_is_asked_for
from fileplane.cli.main import cli as whole
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
    assert "fileplane.client.service" in loaded
    assert not loaded & (SERVER_SIDE | {"httpx2", "aiohttp"} | {"fileplane.cli.drawing", "fileplane.app", "fileplane.opening"})


@pytest.mark.parametrize("arguments", [("settings",), ("--version",)])
def test_a_local_command_loads_no_http_client_either(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    assert not loaded_by(cli, *arguments) & (SERVER_SIDE | {"fileplane.client"})


@pytest.mark.parametrize("arguments", [("key", "list"), ("project", "list"), ("check",)])
def test_a_command_of_the_administration_loads_nothing_of_the_web_or_the_gateway(admin: CommandLine, arguments: tuple[str, ...]) -> None:
    loaded = loaded_by(admin, *arguments)
    assert "apsw" in loaded
    assert not loaded & {"starlette", "granian", "uvloop", "aiohttp", "httpx2", "fileplane.app"}


def commands_for(*arguments: str) -> set[str]:
    group = typer.main.get_command(only_what_is_asked_for(copy.copy(whole), arguments))
    return set(getattr(group, "commands"))  # noqa: B009 - which of Typer's classes it is, is not said


def test_a_command_is_made_without_the_others_and_none_is_lost() -> None:
    every = commands_for()
    assert {"serve", "migrate-store", "key", "config"} <= every
    for name in every - {"help", "completion"}:
        assert commands_for(name, "--help") == {name}


@pytest.mark.parametrize("name", ["help", "completion"])
def test_a_command_that_tells_of_the_others_gets_them_all(name: str) -> None:
    assert commands_for(name) == commands_for()


@pytest.mark.parametrize("arguments", [("--help",), ("uplaod",), ("--version", "serve"), ("",)])
def test_whoever_names_no_command_first_gets_them_all(arguments: tuple[str, ...]) -> None:
    assert commands_for(*arguments) == commands_for()
