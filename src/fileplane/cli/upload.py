"""``fileplane upload``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fileplane.cli.completion import complete_purpose
from fileplane.cli.connection import connected
from fileplane.cli.exits import ExitCode, complain, leave
from fileplane.cli.finding import STANDARD_INPUT, Finder, Found, Problem, Skipped
from fileplane.cli.options import (
    CONNECTIONS,
    ConfigOption,
    ConnectionsOption,
    JsonOption,
    QuietOption,
    ResumeOption,
    duration,
    part_bytes_of,
)
from fileplane.cli.outcomes import Outcomes
from fileplane.cli.output import print_line
from fileplane.cli.patterns import Wanted
from fileplane.cli.progress import Transfers


def upload(  # noqa: PLR0913, PLR0917 - each is an option
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, directories, patterns such as 'data/**/*.jsonl'; - is standard input.")
    ],
    purpose: Annotated[
        str, typer.Option(help="What the files are for, such as user_data, batch or fine-tune.", autocompletion=complete_purpose)
    ],
    expires_in: Annotated[str | None, typer.Option(help="Such as 30d or 12h. Without it, the server's rule for the purpose.")] = None,
    filename: Annotated[str | None, typer.Option(help="Name that the file gets; needed for standard input, only with one PATH.")] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Of what is found in directories or by patterns, only this; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave out files or whole directories that match; repeatable.")
    ] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also find what begins with a dot.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Follow symbolic links that are found.")] = False,
    connections: ConnectionsOption = CONNECTIONS,
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Bytes of one part, such as 16MiB. Without it, by the size of the file.")
    ] = None,
    resume: ResumeOption = True,
    quiet: QuietOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload files, one after another; after one that fails, the others are still uploaded, and the highest exit code counts.

    A directory stands for every file below it, a quoted pattern for the files that match: * and ? within a name, ** for directories
    at any depth. What begins with a dot, symbolic links, pipes and devices are passed over there, and taken when they are named. Files
    get the last part of their path for a name.

    A file of 64 MiB or more goes in parts, over several connections. The same command, given again after a kill or a failure, sends only
    what is missing of it. The server's SHA-256 of what has arrived is held against what was sent.

    Prints each file's id and path. With --json: an array with an object for each file, which has either file or error.
    """
    if filename is not None and len(paths) > 1:
        raise leave(ExitCode.USAGE, "--filename names one file: give one PATH with it.")
    if STANDARD_INPUT in paths and (filename is None or not Path(filename).name):
        raise leave(ExitCode.USAGE, "Standard input has no name: give it one with --filename, and no other PATH.")
    expires_after = None if expires_in is None else duration(expires_in)
    findings = list(Finder(Wanted(include or [], exclude or []), hidden=hidden, follow=follow).find(paths))
    files = [finding for finding in findings if isinstance(finding, Found)]
    if filename is not None and len(files) > 1:
        raise leave(ExitCode.USAGE, f"--filename names one file, and '{paths[0]}' stands for {len(files)}.")
    transfers = Transfers(len(files), _bytes_of(files), wanted=not quiet)
    from fileplane.cli.client import UploadWish

    wish = UploadWish(purpose, filename, expires_after, resume)
    with connected(config, connections, part_bytes_of(part_size)) as client, Outcomes("path", as_json) as outcomes:
        for finding in findings:
            if isinstance(finding, Skipped):
                _note(finding, quiet=quiet)
                continue
            with outcomes.attempt(finding.path):
                if isinstance(finding, Problem):
                    raise finding.failure
                with transfers.one(filename or Path(finding.path).name, finding.size) as moving:
                    file = client.upload(finding.path, wish, moving.report)
                outcomes.add(finding.path, {"file": file})
                if not as_json:
                    print_line(f"{file.get('id')}  {finding.path}")
    outcomes.require_success()


def _bytes_of(files: Iterable[Found]) -> int | None:
    """Of all of them; None when one of them does not tell."""
    sizes = [file.size for file in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _note(skipped: Skipped, *, quiet: bool) -> None:
    if not quiet:
        complain(f"{skipped.path}: {skipped.why}")
