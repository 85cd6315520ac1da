"""``fileplane help``: the help of any command, also as a manual page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from fileplane import __version__
from fileplane.cli.exits import ExitCode, leave

_PAGE_WIDTH: Final = 100
_HEADING: Final = re.compile(r"(?:  )?([A-Z][A-Za-z ]+):(.*)")
_ROFF_ESCAPES: Final = str.maketrans({"\\": "\\e", "-": "\\-", "'": "\\(aq"})


def help_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Such as upload, or key create; without it, the list.")
    ] = None,
    *,
    context: typer.Context,
    man: Annotated[bool, typer.Option("--man", help="As a manual page, for man -l - or a folder of manual pages.")] = False,
) -> None:
    """Show the help of a command, as its option --help does."""
    found: Any = context.find_root()
    for name in names or []:
        command = getattr(found.command, "commands", {}).get(name)
        if command is None:
            raise leave(ExitCode.USAGE, f"There is no command '{' '.join(names or [])}'. `fileplane help` lists them all.")
        found = command.context_class(command, info_name=name, parent=found)
    if man:
        found.terminal_width = found.max_content_width = _PAGE_WIDTH
    text = found.command.get_help(found)
    typer.echo(manual_page(found.command_path, found.command.get_short_help_str(limit=200), text) if man else text)


def manual_page(path: str, summary: str, text: str) -> str:
    """The help of a command in the language of manual pages, man(7): its headings as sections, all else as it stands."""
    name = path.replace(" ", "-")
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [f'.TH "{name.upper()}" 1 "{day}" "fileplane {__version__}"', ".SH NAME", f"{_roff(name)} \\- {_roff(summary)}"]
    lines += [".SH SYNOPSIS", ".nf"]
    usage, _, rest = text.partition("\n\n")
    lines += [_roff(line.removeprefix("Usage:").strip()) for line in usage.splitlines()]
    lines += [".fi", ".SH DESCRIPTION", ".nf"]
    for line in rest.splitlines():
        heading = _HEADING.fullmatch(line)
        if heading is not None and (not line.startswith("  ") or heading[1].isupper()):
            lines += [".fi", f".SH {heading[1].upper()}", ".nf"]
            lines += [_roff(heading[2].strip())] if heading[2].strip() else []
        else:
            lines.append(_roff(line.removeprefix("  ")))
    return "\n".join([*lines, ".fi"])


def _roff(text: str) -> str:
    escaped = text.translate(_ROFF_ESCAPES)
    return "\\&" + escaped if escaped.startswith((".", "\\(aq")) else escaped
