"""What transfers are given and come to: frozen values, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer has come, in bytes. ``total`` is None where only the end will tell.

    ``done`` may go down a little, when a part has to be sent or fetched again; ``resumed`` of it were there before this call began.
    """

    name: str
    done: int
    total: int | None
    resumed: int = 0


Report = Callable[[Progress], None]
"""Is told of progress, some ten times a second and at the end: in the caller's own thread, or on its event loop."""


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file. ``document`` is the File object as the server answered it.

    ``sha256``, in hex, is what both sides know the file by, or None as long as the server has not read a file of parts through; each of
    its parts was verified then. ``status`` is ``uploaded`` until that is done, and ``processed`` or ``error`` from then on.
    """

    id: str
    filename: str
    bytes: int
    purpose: str
    status: str
    sha256: str | None
    document: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that was downloaded, whole. ``verified``: the server announced the ``sha256`` (hex) that the bytes have."""

    path: Path
    size: int
    sha256: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What a file is to be: the fields of its creation. ``expires_after`` is in seconds from then."""

    purpose: str
    filename: str
    expires_after: int | None = None
    media_type: str | None = None
