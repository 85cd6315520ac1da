"""A command line that is made of the command that was asked for alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import typer

_TELL_OF_OTHERS: Final = {"help", "completion"}


def only_what_is_asked_for(cli: typer.Typer, arguments: Sequence[str]) -> typer.Typer:
    """Takes every other command off ``cli`` when the first of the ``arguments`` names one; otherwise leaves it whole.

    The signatures of all commands would be looked through before one runs: a fifth of the processor time of a short one. Help, misspelt
    commands and completion, which tell of the others, get them all.
    """
    wanted = arguments[0] if arguments else ""
    if wanted in _TELL_OF_OTHERS:
        return cli
    commands = [one for one in cli.registered_commands if one.name == wanted or (one.name is None and _name_of(one.callback) == wanted)]
    groups = [one for one in cli.registered_groups if one.name == wanted]
    if commands or groups:
        cli.registered_commands, cli.registered_groups = commands, groups
    return cli


def _name_of(callback: object) -> str:
    """As Typer makes it (``typer.main.get_command_name``)."""
    return str(getattr(callback, "__name__", "")).lower().replace("_", "-")
