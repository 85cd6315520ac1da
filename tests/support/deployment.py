"""What is in the folder deploy, read as its programs read it."""

from __future__ import annotations

import functools
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from support.documents import ROOT, read

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VARIABLE = re.compile(r"\$\{(\w+)(:?[^}]*)\}")

Document = dict[str, Any]


def installed(program: str) -> str:
    """A program that came with the development requirements."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    assert found, f"{program} is missing: make setup installs it"
    return found


def example_values() -> dict[str, str]:
    """A value for each line of .env.example, made by the command that the comment above it names."""
    values: dict[str, str] = {}
    program = ""
    for line in read("deploy/.env.example").splitlines():
        if match := re.match(r"# python3 -c '(.*)'", line):
            program = match[1]
        elif match := re.match(r"(\w+)=(.*)", line):
            assert match[2] == "", line
            values[match[1]] = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    return values


def compose(values: dict[str, str] | None = None) -> Document:
    """compose.yaml with the variables replaced, or as it stands."""
    text = read("deploy/compose.yaml")
    if values is not None:
        text = VARIABLE.sub(lambda match: values[match[1]], text)
    document: Document = yaml.safe_load(text)
    return document


def some_values() -> dict[str, str]:
    """The same, made at once."""
    return {match[1]: secrets.token_hex(32) for match in VARIABLE.finditer(read("deploy/compose.yaml"))}


@functools.cache
def rendered(folder: str) -> tuple[Document, ...]:
    """What kustomize makes of a folder below deploy/kubernetes."""
    return rendered_from(KUBERNETES / folder)


def rendered_from(path: Path) -> tuple[Document, ...]:
    result = subprocess.run([installed("kubectl"), "kustomize", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return tuple(yaml.safe_load_all(result.stdout))


def of_kind(documents: tuple[Document, ...], kind: str) -> Document:
    [found] = [document for document in documents if document["kind"] == kind]
    return found
