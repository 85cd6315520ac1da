"""``fileplane cat``."""

from __future__ import annotations

from fileplane.cli.connection import connected
from fileplane.cli.download import download, standard_output
from fileplane.cli.options import ConfigOption, FileIdArgument


def cat(file_id: FileIdArgument, config: ConfigOption = None) -> None:
    """Write a file's content to standard output.

    If the connection breaks, or the content's SHA-256 is not what the server said, the exit code tells, after what has been written.
    """
    with connected(config) as client:
        download(client, file_id, None, standard_output())
