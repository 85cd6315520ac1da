"""Statements kept as SQL, by name.

A file of statements is a series of ``-- name: words`` headers, each followed by a comment and one statement.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(filename: str) -> dict[str, str]:
    """The statements of one file of this package, by name."""
    _, *pieces = _HEADER.split(resources.files(__name__).joinpath(filename).read_text("utf-8"))
    return {name: text.strip() for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
