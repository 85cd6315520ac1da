"""The schema, one SQL file a version. A file that has been released is never changed again."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")


def sqlite_migrations() -> list[tuple[int, str]]:
    """Each version with its statements, in order."""
    entries = resources.files(__name__).joinpath("sqlite").iterdir()
    return sorted((int(match[1]), entry.read_text("utf-8")) for entry in entries if (match := _NAME.fullmatch(entry.name)))
