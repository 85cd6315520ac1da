"""``fileplane upload``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fileplane.cli.connection import connected
from fileplane.cli.exits import ExitCode, leave
from fileplane.cli.options import ConfigOption, JsonOption, duration
from fileplane.cli.outcomes import Outcomes
from fileplane.cli.output import print_line
from fileplane.cli.progress import transfer_bar
from fileplane.cli.upload_form import STANDARD_INPUT, UploadForm, open_source

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient


def upload(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files to upload; - reads standard input.")],
    purpose: Annotated[str, typer.Option(help="What the files are for, such as user_data, batch or fine-tune.")],
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d or 12h. Without it, the server's rule for the purpose.")] = None,
    filename: Annotated[str | None, typer.Option(help="Name that the file gets; needed for standard input, only with one PATH.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload files, one after another; after one that fails, the others are still uploaded, and the highest exit code counts.

    Prints each file's id and path. With --json: an array with an object for each PATH, which has either file or error.
    """
    if filename is not None and len(paths) > 1:
        raise leave(ExitCode.USAGE, "--filename names one file: give one PATH with it.")
    if STANDARD_INPUT in paths and (filename is None or not Path(filename).name):
        raise leave(ExitCode.USAGE, "Standard input has no name: give it one with --filename, and no other PATH.")
    fields = {"purpose": purpose}
    if expires_in is not None:
        fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(duration(expires_in))}
    with connected(config) as client, Outcomes("path", as_json) as outcomes:
        for path in paths:
            with outcomes.attempt(path):
                file = _upload_one(client, path, filename, fields)
                outcomes.add(path, {"file": file})
                if not as_json:
                    print_line(f"{file.get('id')}  {path}")
    outcomes.require_success()


def _upload_one(client: FilesClient, path: str, filename: str | None, fields: dict[str, str]) -> dict[str, Any]:
    with open_source(path, filename) as source, transfer_bar(source.name, source.size) as advance:
        return client.create(UploadForm(fields, source, advance))
