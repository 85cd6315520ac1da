from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from support.documents import ROOT, read

PACKAGE = ROOT / "src" / "fileplane"


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def requirements(name: str) -> set[str]:
    lines = read(f"requirements/{name}.in").splitlines()
    return {re.split("[<>=!~; ]", line)[0] for line in lines if line and not line.startswith(("#", "-"))}


@pytest.mark.parametrize("module", modules(), ids=str)
def test_every_module_is_on_the_map_by_itself_or_with_its_folder(module: Path):
    text = read("ARCHITECTURE.md")
    assert f"`{module}`" in text or any(f"`{folder}/`" in text for folder in module.parents)


def test_everything_on_the_map_exists():
    named = re.findall(r"`((?:\w+/)*\w+\.(?:py|sql)|(?:\w+/)+)`", read("ARCHITECTURE.md"))
    assert named
    assert [name for name in named if not (PACKAGE / name).exists() and not Path(ROOT / name).exists()] == []


def test_every_dependency_has_its_reason():
    rows = [row.strip("|").split("|") for row in read("ARCHITECTURE.md").splitlines() if row.startswith("|")]
    reasons = {name.strip(): cells[1].strip() for cells in rows for name in cells[0].split(",")}
    for name in requirements("runtime") | requirements("development"):
        assert reasons.get(name), name
    declared = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    assert {re.split(r"[<>=!~]", requirement)[0] for requirement in declared} == requirements("runtime")
