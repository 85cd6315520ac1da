"""``fileplane get``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileplane.cli.completion import complete_file_id
from fileplane.cli.connection import connected
from fileplane.cli.content import content_written, standard_output
from fileplane.cli.exits import CommandFailed, ExitCode, leave
from fileplane.cli.local_names import own_name
from fileplane.cli.options import CONNECTIONS, ConfigOption, ConnectionsOption, JsonOption, QuietOption, ResumeOption
from fileplane.cli.outcomes import Outcomes
from fileplane.cli.output import print_json, print_line
from fileplane.cli.progress import Transfers

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient

_TO_STANDARD_OUTPUT: Final = "-"
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-[0-9]{1,18}")


def get(  # noqa: PLR0913, PLR0917 - each is an option
    file_ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="The files' ids, as `fileplane ls` shows them.", autocompletion=complete_file_id)
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="File to make, or directory to put files into; - is standard output. Without it: here."
        ),
    ] = None,
    byte_range: Annotated[
        str | None, typer.Option("--range", metavar="A-B", help="Only bytes A to B, both included; A- to the end; -N the last N.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a file that exists.")] = False,
    connections: ConnectionsOption = CONNECTIONS,
    resume: ResumeOption = True,
    quiet: QuietOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download files. Each appears when all of it has arrived and its SHA-256 is what the server said; never a part of it.

    A file of 64 MiB or more comes in ranges, over several connections. What a kill or a failure leaves of it lies beside its place as
    .fileplane-….partial, and the same command, given again, fetches only what is missing.

    Without --output, and in a directory, files get their own names. Of several, the others are still fetched after one that fails, and the
    highest exit code counts.

    With --json: an object with id, path, bytes, sha256, and verified, which is false for a range; for several, an array with such an
    object, or one with id and error, for each ID.
    """
    if byte_range is not None:
        _check_range(byte_range)
    if output == _TO_STANDARD_OUTPUT and (as_json or len(file_ids) > 1):
        raise leave(ExitCode.USAGE, "To standard output goes the content of one file, and nothing else.")
    if output is not None and len(file_ids) > 1 and not Path(output).is_dir():
        raise leave(ExitCode.USAGE, f"'{output}' is no directory for {len(file_ids)} files. Make it first.")
    with connected(config, connections) as client:
        if output == _TO_STANDARD_OUTPUT:
            content_written(client, file_ids[0], byte_range, standard_output(), quiet=quiet)
            return
        fetching = _Fetching(client, output, byte_range, force=force, resume=resume)
        transfers = Transfers(len(file_ids), wanted=not quiet)
        if len(file_ids) == 1:
            shown = fetching.one(file_ids[0], transfers)
            if as_json:
                print_json({"id": file_ids[0], **shown})
            else:
                print_line(f"{shown['path']}  {shown['bytes']} bytes")
            return
        with Outcomes("id", as_json) as outcomes:
            for file_id in file_ids:
                with outcomes.attempt(file_id):
                    shown = fetching.one(file_id, transfers)
                    outcomes.add(file_id, shown)
                    if not as_json:
                        print_line(f"{shown['path']}  {shown['bytes']} bytes")
    outcomes.require_success()


@dataclass(slots=True)
class _Fetching:
    """One command's downloads: none of them takes the place of another."""

    client: FilesClient
    output: str | None
    byte_range: str | None
    force: bool
    resume: bool
    _made: set[Path] = field(default_factory=set)

    def one(self, file_id: str, transfers: Transfers) -> dict[str, Any]:
        """Path, bytes, SHA-256 and whether the server announced that. Raises :class:`CommandFailed`."""
        target = self._target(file_id)
        if target.absolute() in self._made:
            raise CommandFailed(ExitCode.FAILED, f"{target} is another of these files, of the same name. Fetch this one with --output.")
        if self.byte_range is not None:
            with self.client.appearing_whole(target, overwrite=self.force) as descriptor, transfers.one(target.name, None) as moving:
                read = self.client.read(file_id, self.byte_range, descriptor, moving.report)
            size, sha256, verified = read.size, read.sha256, read.verified
        else:
            with transfers.one(target.name, None) as moving:
                done = self.client.download(file_id, target, overwrite=self.force, report=moving.report, resume=self.resume)
            size, sha256, verified = done.size, done.sha256, done.verified
        self._made.add(target.absolute())
        return {"path": str(target), "bytes": size, "sha256": sha256, "verified": verified}

    def _target(self, file_id: str) -> Path:
        if self.output is not None and not Path(self.output).is_dir():
            return Path(self.output)
        name = own_name(self.client.retrieve(file_id).get("filename"), "Choose one with --output.")
        return Path(self.output or "") / name


def _check_range(text: str) -> None:
    match = _RANGE.fullmatch(text)
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        raise leave(ExitCode.USAGE, f"'{text}' is no range: use A-B with B not before A, A- or -N, in bytes, such as 0-1023.")
