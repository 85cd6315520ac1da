"""`fileplane audit`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cli.command_line import CommandLine
from fileplane.ids import openai_style
from fileplane.model import File, Origin
from fileplane.testing.metadata_store_suite import make_project
from support.backups import keep
from support.database import run_sql
from support.in_process import InProcess

ORIGIN = Origin("key-1", "192.0.2.7", "req_1\x1b[2J", "DELETE", "/v1/files/x")


@pytest.fixture
async def files(store: InProcess) -> list[File]:
    """Three: the first made long ago, the second deleted by a caller, the third in another project."""
    database = store.settings.data_dir / "fileplane.db"
    first = await keep(store, b"first")
    run_sql(database, "UPDATE audit_log SET created_at = 1767225600")
    second = await keep(store, b"second")
    run_sql(database, f"UPDATE audit_log SET created_at = created_at - 60 WHERE resource_id = '{second.id}'")
    await store.metadata.delete_file(second.project_id, second.id, 3_600, ORIGIN)
    run_sql(database, "UPDATE audit_log SET created_at = created_at - 30 WHERE action = 'delete'")
    other = await make_project(store.metadata, "other")
    third = await keep(replace(store, principal=replace(store.principal, project_id=other.id)), b"third")
    return [first, second, third]


def changes(shell: CommandLine, *arguments: str) -> list[tuple[str, str]]:
    records: list[dict[str, Any]] = json.loads(shell.succeed("audit", "--json", "--type", "files", *arguments))["records"]
    return [(record["action"], record["resource_id"]) for record in records]


async def test_every_change_is_shown_newest_first_with_who_made_it_and_from_where(shell: CommandLine, files: list[File]) -> None:
    first, second, third = files
    shown = json.loads(shell.succeed("audit", "--json", "--type", "files"))
    assert shown["total"] == 4
    assert [record["resource_id"] for record in shown["records"]] == [third.id, second.id, second.id, first.id]
    deletion = shown["records"][1]
    assert {name: deletion[name] for name in deletion if name not in {"position", "created_at"}} == {
        "action": "delete",
        "resource_type": "files",
        "resource_id": second.id,
        "project_id": second.project_id,
        "project": "default",
        "key_id": "key-1",
        "client": "192.0.2.7",
        "request_id": ORIGIN.request_id,
        "method": "DELETE",
        "path": "/v1/files/x",
    }
    lines = shell.succeed("audit", "--type", "files").splitlines()
    assert lines[1].split("\t")[1:] == ["files.delete", second.id, "default", "key-1", "192.0.2.7", "req_1\\x1b[2J"]
    assert lines[3].split("\t") == ["2026-01-01T00:00:00Z", "files.create", first.id, "default", "-", "-", "-"]


async def test_every_filter_admits_what_it_names_and_nothing_else(shell: CommandLine, files: list[File]) -> None:
    first, second, third = files
    made = [("create", third.id), ("create", second.id), ("create", first.id)]
    deleted = ("delete", second.id)
    assert changes(shell, "--action", "create") == made
    assert changes(shell, "--project", "other") == made[:1]
    assert changes(shell, "--resource", openai_style(second.id)) == [deleted, made[1]]
    assert changes(shell, "--key", "key-1") == [deleted]
    assert changes(shell, "--since", "1h", "--action", "create") == made[:2]
    assert changes(shell, "--until", "2026-01-01") == changes(shell, "--since", "2025-12-31T23:00:00-01:00", "--until", "24h") == made[2:]


async def test_a_limit_says_how_many_there_are_besides(shell: CommandLine, files: list[File]) -> None:
    done = shell.run("audit", "--limit", "1", "--project", "default", "--type", "files")
    assert done.returncode == 0
    assert files[1].id in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == "There are 2 older ones: raise --limit, or narrow with --until.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--project", "nobody"), 5, "no project 'nobody'"),
        (("--type", "project"), 2, "'project' is no kind of thing that changes. Kinds: api_keys, "),
        (("--since", "yesterday"), 2, "'yesterday' is no duration"),
        (("--until", "2026-13-01"), 2, "'2026-13-01' is no value of --until"),
    ],
)
async def test_a_filter_that_cannot_be_used_is_named(shell: CommandLine, arguments: tuple[str, ...], code: int, complaint: str) -> None:
    assert complaint in shell.fail(code, "audit", *arguments)
