"""`fileplane usage`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cli.command_line import CommandLine
from fileplane.cli.exits import ExitCode
from fileplane.model import Origin
from fileplane.testing.metadata_store_suite import make_project
from support.backups import keep
from support.in_process import InProcess


@pytest.fixture
async def filled(store: InProcess) -> InProcess:
    """Two files, one of them deleted, and another project with one."""
    await keep(store, b"first")
    second = await keep(store, b"the second")
    await store.metadata.delete_file(second.project_id, second.id, 3_600, Origin())
    other = await make_project(store.metadata, "other")
    await keep(replace(store, principal=replace(store.principal, project_id=other.id)), b"third")
    return store


def rows(shell: CommandLine, *arguments: str) -> list[list[str]]:
    return [line.split("\t") for line in shell.succeed("usage", *arguments).splitlines()]


async def test_usage_is_shown_by_project_purpose_day_and_key(shell: CommandLine, filled: InProcess) -> None:
    quota = str(filled.settings.project_quota_bytes)
    assert rows(shell) == [["default", "1", "15", "10", quota, "0"], ["other", "1", "5", "0", quota, "0"]]
    assert rows(shell, "--project", "other") == [["other", "1", "5", "0", quota, "0"]]
    assert rows(shell, "--by", "purpose", "--project", "default") == [["default", "user_data", "1", "15", "1", "10"]]
    ((project, day, uploads, received, stored),) = rows(shell, "--by", "day", "--project", "default")
    assert (project, uploads, received, stored) == ("default", "2", "0", "15")
    assert len(day) == len("2026-01-31")
    ((_, key, files, size),) = rows(shell, "--by", "key", "--project", "default")
    assert (files, size) == ("1", "5")
    assert key


async def test_usage_for_programs_is_one_document(shell: CommandLine, filled: InProcess) -> None:
    first, second = json.loads(shell.succeed("usage", "--json"))["projects"]
    assert (first["project"], second["project"]) == ("default", "other")
    assert first["project_id"] == filled.principal.project_id
    assert first["now"] == {"files": 1, "bytes": 15, "received_bytes": 0, "requests": 0, "uploads_in_progress": 0}
    assert [entry["live_files"] for entry in first["by_purpose"]] == [1]
    assert [entry["uploads"] for entry in first["by_day"]] == [2]
    assert [entry["live_bytes"] for entry in first["by_key"]] == [5]
    assert set(first["limits"].values()) == {None}


async def test_a_project_that_is_not_there_is_said_so(shell: CommandLine, filled: InProcess) -> None:
    del filled
    done = shell.run("usage", "--project", "no-such")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "no project 'no-such'" in done.stderr
