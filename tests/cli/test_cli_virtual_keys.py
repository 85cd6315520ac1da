"""`fileplane virtual-key` and `fileplane config`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from typing import Any

import pytest

from cli.command_line import CommandLine
from support.in_process import InProcess
from support.polling import eventually
from support.server import fileplane_environment

CANARY = "sk-canary-terminal-7e8f9a"


@pytest.fixture(autouse=True)
def _shell_with_a_secret(shell: CommandLine) -> None:
    (shell.directory / "secret").write_text(f"{CANARY}\n", "utf-8")
    (shell.directory / "config.json").write_text(json.dumps({"provider": "openai", "api_key": CANARY}), "utf-8")


def show(shell: CommandLine, slug: str) -> dict[str, Any]:
    return json.loads(shell.succeed("virtual-key", "show", slug, "--json"))


async def secret_of(store: InProcess, slug: str, name: str = "api_key") -> str:
    return (await store.vault.open(await store.metadata.get_virtual_key(slug)))[name].reveal()


async def test_a_virtual_key_is_made_shown_changed_and_deleted(shell: CommandLine, store: InProcess) -> None:
    arguments = ("--name", "Mine", "--provider", "openai", "--slug", "mine", "--expires-in", "30d", "--field", "openai_project=proj-1")
    assert shell.succeed("virtual-key", "create", *arguments, "--secret-file", "api_key=secret") == "mine\n"
    assert await secret_of(store, "mine") == CANARY
    shown = show(shell, "mine")
    assert shown["fields"] == {"openai_project": "proj-1", "api_key": "********"}
    assert (shown["projects"], shown["sharing"], shown["state"]) == (["default"], "project", "active")
    assert shell.succeed("virtual-key", "list").split("\t")[:3] == ["mine", "Mine", "openai"]
    assert "field api_key: ********" in shell.succeed("virtual-key", "show", "mine")
    assert json.loads(shell.succeed("virtual-key", "list", "--json", "--project", "default")) == [shown]

    changes = ("--name", "New", "--never-expires", "--remove-field", "openai_project", "--secret-stdin", "key", "--custom-host")
    shell.succeed("virtual-key", "update", "mine", *changes, "https://eu.example.com/v1", given=b"sk-new\n")
    after = show(shell, "mine")
    assert (after["name"], after["expires_at"], after["fields"]) == ("New", None, {"api_key": "********"})
    assert (after["custom_host"], await secret_of(store, "mine")) == ("https://eu.example.com/v1", "sk-new")
    assert shell.succeed("virtual-key", "delete", "mine") == "deleted mine\n"
    assert shell.fail(5, "virtual-key", "show", "mine").startswith("No such virtual key: mine")


def answer_a_prompt(shell: CommandLine, *arguments: str) -> tuple[int, bytes, bytes]:
    """Exit code, standard output, and what the terminal has shown, of a command that asks for one secret."""
    master, slave = pty.openpty()
    streams = {"stdin": slave, "stdout": subprocess.PIPE, "stderr": slave, "start_new_session": True}
    command = [sys.executable, "-m", "fileplane", *arguments]
    with subprocess.Popen(command, env=fileplane_environment(**shell.environment), **streams) as process:
        # What is typed before the terminal stops showing it is thrown away.
        eventually(lambda: not termios.tcgetattr(master)[3] & termios.ECHO or process.poll() is not None, "the prompt", seconds=30)
        os.write(master, f"{CANARY}\n".encode())
        output, _ = process.communicate(timeout=30)
    shown = os.read(master, 10_000)
    os.close(slave)
    os.close(master)
    return process.returncode, output, shown


async def test_a_secret_is_asked_for_without_showing_it(shell: CommandLine, store: InProcess) -> None:
    arguments = ("virtual-key", "create", "--name", "Mine", "--provider", "openai", "--slug", "asked")
    code, output, shown = answer_a_prompt(shell, *arguments)
    assert (code, output) == (0, b"asked\n")
    assert b"api_key" in shown
    assert CANARY.encode() not in shown
    assert await secret_of(store, "asked") == CANARY


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--field", f"api_key={CANARY}"), 2, "api_key is a secret"),
        (("--field", f"key={CANARY}"), 2, "key is a secret"),
        (("--secret-ref", f"api_key={CANARY}"), 2, "not for the secret itself"),
        (("--secret-file", CANARY), 2, "FIELD=PATH"),
        (("--secret-file", "api_key=nowhere"), 1, "nowhere cannot be read"),
        (("--secret-file", "nonsense=secret"), 2, "No provider has a field 'nonsense'"),
        (("--secret-file", "api_key=secret", "--secret-file", "api_key=secret"), 2, "given twice"),
        (("--secret-prompt", "api_key"), 2, "no terminal"),
        ((), 3, "OpenAI needs api_key. (key)"),
        (("--secret-ref", "api_key=env:HOME"), 3, "not allowed"),
        (("--secret-file", "api_key=secret", "--project", "nowhere"), 3, "names no project"),
        (("--secret-file", "api_key=secret", "--project", "default", "--no-project"), 2, "exclude each other"),
        (("--secret-file", "api_key=secret", "--sharing", "all"), 3, "must be one of project, account"),
    ],
)
def test_what_cannot_be_done_is_said_without_the_secret(shell: CommandLine, arguments: tuple[str, ...], code: int, said: str) -> None:
    message = shell.fail(code, "virtual-key", "create", "--name", "Mine", "--provider", "openai", *arguments)
    assert said in message
    assert CANARY not in message


@pytest.mark.parametrize(
    "arguments",
    [
        ("virtual-key", "create", "--name", "Mine", "--provider", "openai", "--secret-stdin", "api_key"),
        ("config", "create", "-", "--name", "Mine"),
    ],
)
def test_a_command_that_was_started_without_standard_input_says_so(shell: CommandLine, arguments: tuple[str, ...]) -> None:
    closing = ("sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "fileplane", *arguments)
    done = subprocess.run(closing, cwd=shell.directory, env=fileplane_environment(**shell.environment), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"fileplane: There is no standard input to read.\n"


async def test_references_integrations_and_projects(shell: CommandLine, store: InProcess) -> None:
    allowing = shell.where(FILEPLANE_SECRET_REFS_ALLOW="env:OPENAI_*")
    arguments = ("virtual-key", "create", "--name", "Production", "--slug", "production", "--provider", "openai", "--no-project")
    made = json.loads(allowing.succeed(*arguments, "--secret-ref", "api_key=env:OPENAI_KEY", "--json"))
    assert (made["fields"], made["projects"]) == ({"api_key": "env:OPENAI_KEY"}, [])
    team = json.loads(shell.succeed("virtual-key", "create", "--name", "Team", "--integration", "production", "--json"))
    assert (team["integration"], team["fields"], team["projects"]) == ("production", {}, ["default"])
    assert f"virtual key {team['slug']}" in shell.fail(3, "virtual-key", "delete", "production")
    assert (await store.metadata.get_virtual_key("production")).references == {"api_key": "env:OPENAI_KEY"}


async def test_a_config_is_saved_shown_changed_and_deleted(shell: CommandLine, store: InProcess) -> None:
    slug = shell.succeed("config", "create", "config.json", "--name", "Nightly", "--default").strip()
    shown = {"provider": "openai", "api_key": "********"}
    assert json.loads(shell.succeed("config", "show", slug)) == shown
    assert shell.succeed("config", "list").split() == [slug, "Nightly", "default", "1", "default"]
    assert (
        shell.succeed("config", "update", slug, "-", "--name", "New", given=b'{"provider": "fileplane"}') == f"changed {slug}, version 2\n"
    )
    versions = json.loads(shell.succeed("config", "versions", slug, "--json"))
    assert [(one["version"], one["document"]) for one in versions] == [(2, {"provider": "fileplane"}), (1, shown)]
    assert "project default" in shell.fail(3, "config", "delete", slug)
    shell.succeed("config", "update", slug, "--no-default")
    assert json.loads(shell.succeed("config", "delete", slug, "--json")) == {"slug": slug, "deleted": True}
    assert shell.fail(5, "config", "versions", slug) == f"No such config: {slug} (slug)"
    assert await store.metadata.list_configs() == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b'{"provider": "nobody"}', "(provider)"),
        (b"{", "not valid JSON"),
        (b'{"virtual_key": "nobody"}', "(virtual_key)"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_a_document_that_will_not_do_is_refused_by_its_path(shell: CommandLine, document: bytes, said: str) -> None:
    assert said in shell.fail(3, "config", "create", "-", "--name", "Nightly", given=document)


def test_no_secret_is_in_any_output(shell: CommandLine) -> None:
    outputs = [
        shell.run("virtual-key", "create", "--name", "Mine", "--provider", "openai", "--slug", "mine", "--secret-file", "key=secret")
    ]
    outputs.append(shell.run("config", "create", "config.json", "--name", "Mine", "--slug", "pc-mine"))
    for command, slug in (("virtual-key", "mine"), ("config", "pc-mine")):
        for verb in (("list",), ("show", slug), ("update", slug, "--name", "New"), *([("versions", slug)] if command == "config" else [])):
            outputs += [shell.run(command, *verb), shell.run(command, *verb, "--json")]
    (shell.directory / "data" / "master.key").unlink()
    outputs += [shell.run("secrets", "forget"), shell.run("secrets", "forget", "--json", "--yes"), shell.run("config", "show", "pc-mine")]
    assert [done.returncode for done in outputs] == [0] * (len(outputs) - 1) + [1]
    assert CANARY not in "".join(done.stdout + done.stderr for done in outputs)
