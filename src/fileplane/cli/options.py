"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from fileplane.cli.completion import complete_file_id
from fileplane.cli.exits import ExitCode, leave
from fileplane.setting_values import parse_size

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings; also FILEPLANE_CONFIG.", dir_okay=False)]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Directory of the database and the blobs.", file_okay=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one document, for programs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on standard error, only failures.")]
CONNECTIONS: Final = 4
ConnectionsOption = Annotated[int, typer.Option(min=1, max=64, help="Connections that a large file is moved over at once.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Go on with what an earlier command has left, and leave what another can go on with.")
]
FileIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The file's id, as `fileplane ls` shows it.", autocompletion=complete_file_id)
]

_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> int:
    """Seconds, from a text such as ``30d``, ``12h``, ``45m`` or ``3600s``. Exits with a usage message for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise leave(ExitCode.USAGE, f"'{text}' is no duration: use a number and s, m, h or d, such as 30d.")
    return int(match[1]) * _SECONDS[match[2]]


def part_bytes_of(text: str | None) -> int | None:
    """Bytes, from a text such as ``16MiB``; None for none. Exits with a usage message for anything else."""
    if text is None:
        return None
    try:
        size = parse_size(text)
    except ValueError as error:
        raise leave(ExitCode.USAGE, f"'{text}' is no size: it must be {error}.") from error
    if size < 1:
        raise leave(ExitCode.USAGE, "A part has at least one byte.")
    return size
