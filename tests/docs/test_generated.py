from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fileplane.access import ALL_SCOPES
from fileplane.cli.exits import EXIT_CODE_HELP, ExitCode
from fileplane.cli.main import cli
from fileplane.errors import answerable_errors
from fileplane.http.openapi import first_line
from fileplane.http.parameters import list_parameters
from fileplane.http.routes import OPERATIONS
from fileplane.model import INPUT_PURPOSES, OUTPUT_PURPOSES
from fileplane.settings import Settings
from support.documents import DOCUMENTS, ROOT, read


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "generate_docs.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copied_documents(tmp_path: Path) -> Path:
    """The project's documents, to be spoilt."""
    (tmp_path / "docs").mkdir()
    for path in DOCUMENTS:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def commands_below(command: Any, *path: str) -> list[tuple[str, ...]]:
    """This command and every one below it, each as the words that call it."""
    below = getattr(command, "commands", {})
    return [path, *(words for name, child in below.items() for words in commands_below(child, *path, name))]


def test_the_generated_parts_are_what_the_code_says():
    result = generate("--check")
    assert (result.returncode, result.stderr) == (0, "")


GENERATED = {
    "README.md": ("`FILEPLANE_MAX_LIST_LIMIT`",),
    "docs/errors.md": ("`invalid_multipart`",),
    "docs/cli.md": ("--expires-in", "| 130 |"),
    "docs/api.md": ("| `GET /readyz` |", "| `offset` |"),
}


def test_stale_parts_are_named_and_can_be_written_anew(copied_documents: Path):
    written = {name: (copied_documents / name).read_text("utf-8") for name in GENERATED}
    for name, parts in GENERATED.items():
        assert all(present in written[name] for present in parts)
        spoilt = reduce(lambda text, present: text.replace(present, "something else"), parts, written[name])
        (copied_documents / name).write_text(spoilt, "utf-8")

    checked = generate("--check", "--root", str(copied_documents))
    assert checked.returncode == 1
    assert "make docs" in checked.stderr
    for name in GENERATED:
        assert name in checked.stderr
        assert "something else" in (copied_documents / name).read_text("utf-8")

    assert generate("--root", str(copied_documents)).returncode == 0
    assert {name: (copied_documents / name).read_text("utf-8") for name in GENERATED} == written
    assert generate("--check", "--root", str(copied_documents)).returncode == 0


def test_every_setting_is_in_the_readme_with_its_variable():
    readme = read("README.md")
    for entry in fields(Settings):
        assert f"| `{entry.name}` | `FILEPLANE_{entry.name.upper()}`" in readme
        assert entry.metadata["help"] in readme


def test_every_error_is_in_the_error_table():
    rows = read("docs/errors.md").splitlines()
    for error in answerable_errors():
        code = f"`{error.code}`" if error.code else "null"
        assert any(row.startswith(f"| {first_line(error)} | {error.status} | `{error.type}` | {code} |") for row in rows), error


def test_every_command_is_documented_and_has_a_help():
    reference = read("docs/cli.md")
    commands = commands_below(get_command(cli))
    assert ("key", "create") in commands
    for command in commands:
        heading = f"\n## `{' '.join(('fileplane', *command))}`\n"
        assert heading in reference
        usage, _, explanation = reference.partition(heading)[2].partition("```text\n")[2].partition("\n\n")
        assert usage.startswith(f"Usage: {' '.join(('fileplane', *command))}")
        assert explanation.startswith("  "), f"{command} has no help"


def test_every_exit_code_is_documented():
    reference = read("docs/cli.md")
    assert set(EXIT_CODE_HELP) == set(ExitCode)
    for code, meaning in EXIT_CODE_HELP.items():
        assert f"| {int(code)} | {meaning} |" in reference


def test_every_operation_parameter_scope_and_purpose_is_in_the_description_of_the_api():
    description = read("docs/api.md")
    for operation in OPERATIONS:
        assert f"| `{operation.method} {operation.path}` |" in description
    for parameter in list_parameters(Settings()):
        assert f"| `{parameter.name}` |" in description
    for name in (*ALL_SCOPES, *INPUT_PURPOSES, *OUTPUT_PURPOSES):
        assert f"`{name}`" in description
