"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from fileplane.cli.exits import ExitCode, leave

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings; also FILEPLANE_CONFIG.", dir_okay=False)]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Directory of the database and the blobs.", file_okay=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one document, for programs.")]
FileIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The file's id, as `fileplane ls` shows it.")]

_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> int:
    """Seconds, from a text such as ``30d``, ``12h``, ``45m`` or ``3600s``. Exits with a usage message for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise leave(ExitCode.USAGE, f"'{text}' is no duration: use a number and s, m, h or d, such as 30d.")
    return int(match[1]) * _SECONDS[match[2]]
