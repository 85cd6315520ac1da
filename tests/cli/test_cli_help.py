"""Every command explains itself: what it does, how it is used, what it reads and writes, how it ends."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from cli.command_line import CommandLine
from fileplane.access import ALL_SCOPES
from fileplane.cli.main import cli as application
from fileplane.cli.manual import EXAMPLES

ROOT = typer.main.get_command(application)


def commands(command: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if not below:
        yield " ".join(path), command
    for name, one in below.items():
        yield from commands(one, (*path, name))


COMMANDS = dict(commands())


def test_every_command_has_examples_and_every_example_is_of_a_command() -> None:
    assert set(EXAMPLES) - {""} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_examples_are_accepted_as_they_stand(name: str) -> None:
    for line in EXAMPLES[name]:
        words = shlex.split(line.replace('"$(', "").replace(')"', "").partition(" <")[0])
        words = words[words.index("fileplane") + 1 :]
        ends = [words.index(sign) for sign in ("|", ">") if sign in words]
        words = words[: min(ends, default=len(words))]
        if words == ["--install-completion"]:
            continue
        path = [] if name == "" else name.split()
        command, rest = ROOT, words
        while getattr(command, "commands", None):
            command, rest = command.commands[rest[0]], rest[1:]
        assert not path or words[: len(path)] == path
        context = command.make_context(words[0], rest)
        assert not context.args, line
        assert set(context.params.get("scope") or ()) <= ALL_SCOPES, line


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_help_has_a_summary_examples_and_exit_codes(name: str) -> None:
    command = COMMANDS[name]
    shown = command.get_help(command.context_class(command, info_name=name))
    summary = command.get_short_help_str(limit=500)
    assert summary
    assert "EXAMPLES:\n" in shown
    assert "EXIT STATUS:\n" in shown
    assert "ENVIRONMENT: " in shown or name in {"help", "completion"}


def test_the_help_of_a_command_is_what_its_option_shows(directory: Any) -> None:
    shell = CommandLine(directory, {})
    assert shell.succeed("help", "key", "create") == shell.succeed("key", "create", "--help")
    assert "There is no command 'key nothing'" in shell.fail(2, "help", "key", "nothing")


def test_a_manual_page_has_the_sections_of_one(directory: Any) -> None:
    page = CommandLine(directory, {}).succeed("help", "--man", "cp")
    assert page.startswith('.TH "FILEPLANE-CP" 1 ')
    headings = [line.removeprefix(".SH ") for line in page.splitlines() if line.startswith(".SH ")]
    assert headings == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "ARGUMENTS",
        "OPTIONS",
        "EXAMPLES",
        "FILES",
        "ENVIRONMENT",
        "EXIT STATUS",
    ]
    assert page.count(".nf\n") == page.count(".fi\n")
