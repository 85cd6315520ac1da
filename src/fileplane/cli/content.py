"""Content that goes to a descriptor: standard output, or a file of which only a range is wanted."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.progress import transfer_bar

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient
    from fileplane.client.downloading import Read


def content_written(client: FilesClient, file_id: str, byte_range: str | None, descriptor: int, *, quiet: bool = False) -> Read:
    """Writes a file's content, or ``byte_range`` of it, piece by piece. Raises :class:`CommandFailed`, and OSError when it cannot."""
    # Bar and content would spoil each other on one terminal.
    with transfer_bar(file_id, wanted=not quiet and not os.isatty(descriptor)) as report:
        return client.read(file_id, byte_range, descriptor, report)


def standard_output() -> int:
    """The descriptor of standard output. Raises :class:`CommandFailed` when there is none; its number may then be a connection's."""
    if sys.stdout is None:
        raise CommandFailed(ExitCode.FAILED, "There is no standard output to write to.")
    return sys.stdout.fileno()
