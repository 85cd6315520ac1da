"""``fileplane cat``."""

from __future__ import annotations

from fileplane.cli.connection import connected
from fileplane.cli.content import content_written, standard_output
from fileplane.cli.options import ConfigOption, FileIdArgument


def cat(file_id: FileIdArgument, config: ConfigOption = None) -> None:
    """Write a file's content to standard output.

    If the connection breaks, or the content's SHA-256 is not what the server said, the exit code tells, after what has been written.
    """
    with connected(config) as client:
        content_written(client, file_id, None, standard_output())
