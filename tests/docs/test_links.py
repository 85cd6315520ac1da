from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.documents import DOCUMENTS, ROOT, without_blocks

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CODE_PATH = re.compile(r"`((?:docs|tests|tools|src|requirements|bench)/[\w./-]+)`")
MADE_LATER = {"docs/benchmarks.md"}


def anchors(path: Path) -> set[str]:
    """The names of a document's headings, as code forges make them."""
    headings = HEADING.findall(without_blocks(path.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links() -> list[tuple[Path, str]]:
    return [(path, target) for path in DOCUMENTS for target in LINK.findall(without_blocks(path.read_text("utf-8")))]


@pytest.mark.parametrize(("path", "target"), links(), ids=lambda value: value.name if isinstance(value, Path) else value)
def test_every_link_leads_somewhere_in_the_project(path: Path, target: str):
    name, _, anchor = target.partition("#")
    linked = (path.parent / name).resolve() if name else path
    assert linked.is_relative_to(ROOT)
    assert linked.exists()
    if anchor:
        assert anchor in anchors(linked)


def test_every_document_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += [(path.parent / target.partition("#")[0]).resolve() for source, target in links() if source == path]
    assert set(DOCUMENTS) <= reached


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_that_a_document_names_exists(path: Path):
    named = {name.rstrip("/.") for name in CODE_PATH.findall(path.read_text("utf-8"))} - MADE_LATER
    assert [name for name in sorted(named) if "*" not in name and not (ROOT / name).exists()] == []
