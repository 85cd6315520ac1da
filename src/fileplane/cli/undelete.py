"""``fileplane undelete``."""

from __future__ import annotations

from typing import Annotated

import typer

from fileplane.cli.connection import connected
from fileplane.cli.options import ConfigOption, JsonOption
from fileplane.cli.outcomes import Outcomes
from fileplane.cli.output import print_line


def undelete(
    file_ids: Annotated[list[str], typer.Argument(metavar="ID", help="The files' ids, as `fileplane ls --deleted` shows them.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take deletions back; after one that fails, the others are still taken back, and the highest exit code counts.

    With --json: an array with an object for each ID, which has either file or error.
    """
    with connected(config) as client, Outcomes("id", as_json) as outcomes:
        for file_id in file_ids:
            with outcomes.attempt(file_id):
                outcomes.add(file_id, {"file": client.restore(file_id)})
                if not as_json:
                    print_line(f"restored {file_id}")
    outcomes.require_success()
