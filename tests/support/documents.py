"""The project's Markdown files, and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language and its text."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}-{self.language}"


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def blocks(*languages: str) -> list[Block]:
    """Every fenced block in one of these languages, or every one."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        found += [Block(path, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in _FENCE.finditer(text)]
    return [block for block in found if not languages or block.language in languages]
