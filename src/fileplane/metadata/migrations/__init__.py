"""The schema, one SQL file a version. A file that has been released is never changed again."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")
_SERVES: Final = re.compile(r"^-- serves: (\d+)$", re.MULTILINE)


def sqlite_migrations() -> list[tuple[int, str]]:
    """Each version with its statements, in order."""
    return _migrations("sqlite")


def postgres_migrations() -> list[tuple[int, str, int]]:
    """Each version with its statements, in order, and the oldest version whose programs go on working beside it.

    A migration that only adds what older programs need not know says the same ``-- serves:`` as the one before.
    """
    return [(version, text, int(_SERVES.findall(text)[0])) for version, text in _migrations("postgres")]


def _migrations(engine: str) -> list[tuple[int, str]]:
    entries = resources.files(__name__).joinpath(engine).iterdir()
    return sorted((int(match[1]), entry.read_text("utf-8")) for entry in entries if (match := _NAME.fullmatch(entry.name)))
