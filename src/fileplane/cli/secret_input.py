"""Where a command gets secrets from: a prompt, a file, standard input, or a reference; never its own arguments, which others can see."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import typer

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.output import on_terminal

_LARGEST: Final = 64 * 1024


def pairs(options: Iterable[str], option: str, shape: str) -> list[tuple[str, str]]:
    """``NAME=VALUE`` texts, split. Raises :class:`CommandFailed` with the usage, and never with what was given."""
    found = []
    for text in options:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CommandFailed(ExitCode.USAGE, f"{option} takes {shape}.")
        found.append((name, value))
    return found


def read_secrets(files: Sequence[str], stdin_field: str | None, prompts: Sequence[str], references: Sequence[str]) -> dict[str, object]:
    """The values of secret fields by name. Raises :class:`CommandFailed`; the message holds none of them."""
    values: list[tuple[str, object]] = [(name, _from_file(Path(path))) for name, path in pairs(files, "--secret-file", "FIELD=PATH")]
    for name, reference in pairs(references, "--secret-ref", "FIELD=env:NAME or FIELD=file:/path"):
        if not reference.startswith(("env:", "file:")):
            raise CommandFailed(ExitCode.USAGE, "--secret-ref takes FIELD=env:NAME or FIELD=file:/path. It is not for the secret itself.")
        values.append((name, reference))
    if stdin_field is not None:
        values.append((stdin_field, _text(read_input(_LARGEST + 1), "standard input")))
    for name in prompts:
        if not on_terminal(sys.stdin):
            raise CommandFailed(ExitCode.USAGE, f"There is no terminal to ask for {name} at. Use --secret-file or --secret-stdin.")
        values.append((name, typer.prompt(name, hide_input=True, err=True)))
    names = [name for name, _ in values]
    for name in names:
        if names.count(name) > 1:
            raise CommandFailed(ExitCode.USAGE, f"The field {name} is given twice.")
    return dict(values)


def read_input(most: int) -> bytes:
    """Up to ``most`` bytes of standard input. Raises :class:`CommandFailed` where the command was started without one."""
    if sys.stdin is None:
        raise CommandFailed(ExitCode.FAILED, "There is no standard input to read.")
    return sys.stdin.buffer.read(most)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _text(file.read(_LARGEST + 1), str(path))
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{path} cannot be read: {error.strerror}.") from error


def _text(raw: bytes, source: str) -> str:
    """A secret without the line end that editors and ``echo`` put behind it."""
    if len(raw) > _LARGEST:
        raise CommandFailed(ExitCode.USAGE, f"{source} has more than {_LARGEST} bytes, which no secret has.")
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CommandFailed(ExitCode.USAGE, f"{source} is no text in UTF-8.") from None
