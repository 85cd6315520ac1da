"""Commands that were killed amid a large file go on with it when they are given again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.command_line import SECONDS, CommandLine
from fileplane.client.planning import SMALLEST_PART
from support.meddler import PARTS, Meddler, meddler
from support.polling import eventually
from support.server import RunningServer

SIZE = 9 * SMALLEST_PART - 3


@pytest.fixture
def proxy(server: RunningServer) -> Iterator[Meddler]:
    with meddler(server.base_url) as running:
        yield running


def remembered(directory: Path) -> int:
    """Parts or ranges that are."""
    return sum(len(path.read_bytes().splitlines()) - 1 for path in directory.rglob("*.jsonl"))


def test_an_upload_and_a_download_that_were_killed_go_on_when_they_are_given_again(cli: CommandLine, proxy: Meddler) -> None:
    direct, cli = cli, cli.where(FILEPLANE_BASE_URL=proxy.base_url)
    with (cli.directory / "large.bin").open("wb") as file:
        file.truncate(SIZE)
    command = ("upload", "large.bin", "--purpose", "user_data", "--json")
    proxy.meets = lambda _, __: "halt" if proxy.count(PARTS) > 3 else None
    with cli.start(*command) as process:
        eventually(lambda: remembered(Path(cli.environment["XDG_CACHE_HOME"])) == 3, "parts are remembered", seconds=SECONDS)
        process.kill()
    proxy.go_on.set()
    proxy.meets = lambda _, __: None
    file_id = json.loads(cli.succeed(*command))[0]["file"]["id"]
    assert proxy.done(PARTS) == 9

    proxy.go_on.clear()
    proxy.meets = halt_after_the_first_range
    with cli.start("get", file_id, "--output", "copy") as process:
        eventually(lambda: remembered(cli.directory) == 1, "a range is remembered", seconds=SECONDS)
        process.kill()
    proxy.go_on.set()
    assert cli.left_behind() - {"large.bin"} == {name for name in cli.left_behind() if name.startswith(".fileplane-")}
    assert json.loads(direct.succeed("ls", "--json"))["data"][0]["bytes"] == SIZE
    proxy.meets = lambda _, __: None
    done = json.loads(cli.succeed("get", file_id, "--output", "copy", "--json"))
    assert done["bytes"] == SIZE
    assert (cli.directory / "copy").stat().st_size == SIZE
    assert cli.left_behind() == {"large.bin", "copy"}


def halt_after_the_first_range(_: str, headers: Any) -> object:
    return "halt" if not headers.get("Range", "bytes=0-").startswith("bytes=0-") else None
