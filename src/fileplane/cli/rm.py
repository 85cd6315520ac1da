"""``fileplane rm``."""

from __future__ import annotations

from typing import Annotated

import typer

from fileplane.cli.connection import connected
from fileplane.cli.options import ConfigOption, JsonOption
from fileplane.cli.outcomes import Outcomes
from fileplane.cli.output import print_line


def rm(
    file_ids: Annotated[list[str], typer.Argument(metavar="ID", help="The files' ids, as `fileplane ls` shows them.")],
    purge: Annotated[bool, typer.Option("--purge", help="For good, also files that are deleted already: no undelete after that.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete files, which `fileplane undelete` can take back for a while.

    After one that fails, the others are still deleted, and the highest exit code counts.

    With --json: an array with an object for each ID, which has either deleted or error.
    """
    with connected(config) as client, Outcomes("id", as_json) as outcomes:
        for file_id in file_ids:
            with outcomes.attempt(file_id):
                client.delete(file_id, purge=purge)
                outcomes.add(file_id, {"deleted": True})
                if not as_json:
                    print_line(f"{'purged' if purge else 'deleted'} {file_id}")
    outcomes.require_success()
