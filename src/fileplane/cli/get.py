"""``fileplane get``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fileplane.cli.connection import connected
from fileplane.cli.download import Downloaded, appearing_whole, download, standard_output
from fileplane.cli.exits import CommandFailed, ExitCode, leave
from fileplane.cli.options import ConfigOption, FileIdArgument, JsonOption
from fileplane.cli.output import print_json, print_line, terminal_safe

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient

_TO_STANDARD_OUTPUT: Final = "-"
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-[0-9]{1,18}")
_SEPARATORS: Final = re.compile(r"[/\\]")


def get(
    file_id: FileIdArgument,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output. Without it: the file's own name, here."),
    ] = None,
    byte_range: Annotated[
        str | None, typer.Option("--range", metavar="A-B", help="Only bytes A to B, both included; A- to the end; -N the last N.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite a file that exists.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a file. It appears when all of it has arrived and its SHA-256 is what the server said; never a part of it.

    With --json: an object with id, path, bytes, sha256, and verified, which is false for a range.
    """
    if byte_range is not None:
        _check_range(byte_range)
    if output == _TO_STANDARD_OUTPUT and as_json:
        raise leave(ExitCode.USAGE, "--json and the content cannot both go to standard output.")
    with connected(config) as client:
        if output == _TO_STANDARD_OUTPUT:
            download(client, file_id, byte_range, standard_output())
            return
        target = Path(output) if output is not None else Path(_own_name(client, file_id))
        done = _get_to(target, client, file_id, byte_range, force)
    if as_json:
        shown = {"id": file_id, "path": str(target), "bytes": done.size, "sha256": done.sha256, "verified": done.verified}
        print_json(shown)
    else:
        print_line(f"{target}  {done.size} bytes")


def _get_to(target: Path, client: FilesClient, file_id: str, byte_range: str | None, force: bool) -> Downloaded:
    try:
        with appearing_whole(target, overwrite=force) as descriptor:
            return download(client, file_id, byte_range, descriptor)
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{target} cannot be written: {error.strerror}.") from error


def _own_name(client: FilesClient, file_id: str) -> str:
    """The file's name as the server knows it, as far as it may name a file here.

    A name that begins with a dot is refused as well: in a home directory it could become the configuration of some program.
    """
    filename = client.retrieve(file_id).get("filename")
    name = _SEPARATORS.split(filename)[-1] if isinstance(filename, str) else ""
    if not name or name.startswith(".") or terminal_safe(name) != name:
        raise CommandFailed(ExitCode.FAILED, f"The file's name '{name}' is not used here unasked. Choose one with --output.")
    return name


def _check_range(text: str) -> None:
    match = _RANGE.fullmatch(text)
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        raise leave(ExitCode.USAGE, f"'{text}' is no range: use A-B with B not before A, A- or -N, in bytes, such as 0-1023.")
