"""The programs that the README shows run as they stand there; only the address is this server's."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from sdk.processes import FOLDER, NODE, run
from support.expect import UUID7
from support.projects import new_key
from support.server import RunningServer

README = FOLDER.parent.parent / "README.md"
SHOWN_URL = "http://127.0.0.1:8787"
PROGRAMS = {
    "From the OpenAI SDK": (sys.executable, "-c"),
    "From the Portkey SDK": (sys.executable, "-c"),
    "From JavaScript": (str(NODE), "--input-type=module", "--eval"),
}


def shown_under(heading: str) -> str:
    section = re.search(rf"^### {heading}\n.*?^```\w+\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None, f"the README has no example under '{heading}'"
    return section[1]


@pytest.mark.parametrize("heading", PROGRAMS)
def test_an_example_of_the_readme_runs_unchanged_and_cleans_up(heading: str, server: RunningServer, tmp_path: Path) -> None:
    program = shown_under(heading)
    assert SHOWN_URL in program
    shutil.copy(README, tmp_path)
    (tmp_path / "node_modules").symlink_to(FOLDER / "node" / "node_modules")
    key = new_key(server.data_dir, database_url=server.settings.get("FILEPLANE_DATABASE_URL")).plain
    output = run((*PROGRAMS[heading], program.replace(SHOWN_URL, server.url)), folder=tmp_path, FILEPLANE_API_KEY=key)
    assert "README.md" in output or UUID7.search(output)
    with server.client(key) as client:
        assert client.get("/files").json()["total"] == 0
