"""A shell completes commands, options and what the server has; a server that is slow, wrong or malicious changes nothing on the line."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command_line import SECONDS, CommandLine
from cli.odd_server import OddServer, json_answer
from support.server import fileplane_environment

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x07")


class Bash:
    """A real interactive shell on a pseudo-terminal, with completion loaded."""

    def __init__(self, cli: CommandLine) -> None:
        environment = fileplane_environment(**cli.environment) | {"TERM": "dumb", "PS1": "ready> ", "HOME": str(cli.directory)}
        environment["PATH"] = f"{cli.directory}/bin:{environment.get('PATH', os.environ['PATH'])}"
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(cli.directory)
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        self._until("ready> ")
        self.enter("bind 'set bell-style none'; bind 'set completion-query-items 0'; bind 'set page-completions off'")
        self.enter('eval "$(fileplane completion bash)"')

    def enter(self, line: str) -> str:
        """What a line prints."""
        os.write(self._terminal, line.encode() + b"\n")
        return self._until("ready> ")

    def completed(self, line: str) -> str:
        """The line as it stands after a press of the tabulator. The line is taken back afterwards."""
        # What is typed behind the completion, and echoed, says that it is over.
        os.write(self._terminal, line.encode() + b"\t")
        os.write(self._terminal, b"#end")
        shown = self._until("#end").removesuffix("#end")
        # The prompt is drawn again as the line is taken back; only behind an output it is that of the next line.
        os.write(self._terminal, b"\x15echo over\n")
        self._until("\nover\r\nready> ")
        return shown.rpartition("ready> ")[2]

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self._process, 0)

    def _until(self, mark: str) -> str:
        seen, deadline = b"", time.monotonic() + SECONDS
        while not _ESCAPES.sub("", seen.decode(errors="replace")).endswith(mark):
            assert time.monotonic() < deadline, seen
            if select.select([self._terminal], [], [], 0.5)[0]:
                seen += os.read(self._terminal, 65_536)
        return _ESCAPES.sub("", seen.decode(errors="replace"))


@pytest.fixture
def program(directory: Path) -> None:
    """The command by its name, as it is installed."""
    (directory / "bin").mkdir()
    (directory / "bin" / "fileplane").symlink_to(Path(sys.executable).parent / "fileplane")


@pytest.fixture
def bash(cli: CommandLine, program: None) -> Iterator[Bash]:  # noqa: ARG001 - it has to be there
    shell = Bash(cli)
    yield shell
    shell.close()


def test_bash_completes_commands_options_values_and_what_the_server_has(cli: CommandLine, bash: Bash) -> None:
    file_id = cli.upload("a.bin", b"x")
    assert bash.completed("fileplane compl") == "fileplane completion "
    assert bash.completed("fileplane virtual-key cre") == "fileplane virtual-key create "
    assert bash.completed("fileplane upload x --expir") == "fileplane upload x --expires-in "
    assert bash.completed("fileplane upload x --purpose user") == "fileplane upload x --purpose user_data "
    assert bash.completed("fileplane get ") == f"fileplane get {file_id} "
    assert bash.completed(f"fileplane cp fileplane:{file_id[:9]}") == f"fileplane cp fileplane:{file_id} "
    assert bash.completed("fileplane cp fileplane:x openr") == "fileplane cp fileplane:x openrouter:"
    (cli.directory / "unique-name.txt").touch()
    assert bash.completed("fileplane upload uniq") == "fileplane upload unique-name.txt "
    assert bash.completed("fileplane cp uniq") == "fileplane cp unique-name.txt "


def offered(cli: CommandLine, line: str) -> list[str]:
    """What the command offers for the last word of a line, as the script for bash asks it; nothing else is printed."""
    asking = cli.where(_FILEPLANE_COMPLETE="complete_bash", COMP_WORDS=line + ("''" if line.endswith(" ") else ""), COMP_CWORD="-1")
    return [word for word in asking.succeed().split("\n") if word]


def test_what_is_not_there_or_not_allowed_is_simply_not_offered(cli: CommandLine, directory: Path) -> None:
    for environment in (
        {},
        {"FILEPLANE_BASE_URL": "http://127.0.0.1:9/v1", "FILEPLANE_API_KEY": "fpk_x"},
        {"FILEPLANE_BASE_URL": "nonsense"},
    ):
        assert offered(CommandLine(directory, environment), "fileplane get ") == []
    assert offered(cli.where(FILEPLANE_API_KEY="fpk_" + "0" * 43), "fileplane cp @") == []
    assert offered(cli.where(FILEPLANE_CONFIG="missing.toml"), "fileplane rm ") == []


def test_a_server_that_never_answers_is_waited_for_no_longer_than_the_deadline(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.answer = lambda _, connection: connection.recv(1)
    assert offered(odd_cli, "fileplane get ") == []


def test_ids_that_a_shell_could_take_for_something_else_are_never_offered(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(
        json_answer(
            "200 OK",
            {
                "object": "list",
                "data": [{"id": "good-1"}, {"id": "$(touch pwned)"}, {"id": "a b"}, {"id": "`x`"}, {"id": "../x;y"}, {"id": "x\x1b[2J"}],
            },
        )
    )
    assert offered(odd_cli, "fileplane get ") == ["good-1"]


def test_the_slugs_of_virtual_keys_are_offered_where_the_key_may_list_them(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(json_answer("200 OK", {"object": "list", "total": 1, "data": [{"slug": "openai-prod"}, {"slug": "x y"}]}))
    assert offered(odd_cli, "fileplane cp @op") == ["@openai-prod:"]


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/fileplane"),
        ("zsh", ".local/share/zsh/site-functions/_fileplane"),
        ("fish", ".config/fish/completions/fileplane.fish"),
    ],
)
def test_completion_is_installed_where_the_shell_looks_and_nowhere_else(directory: Path, shell: str, place: str) -> None:
    cli = CommandLine(directory, {"HOME": str(directory), "SHELL": f"/usr/bin/{shell}"})
    assert cli.succeed("--install-completion").startswith(f"wrote {directory / place}\n")
    assert (directory / place).read_text() == cli.succeed("completion", shell) == cli.succeed("--show-completion")
    assert [path for path in directory.rglob("*") if path.is_file()] == [directory / place]


def test_another_shell_is_told_which_there_are(directory: Path) -> None:
    complaint = CommandLine(directory, {"SHELL": "/bin/csh"}).fail(2, "--show-completion")
    assert complaint == "There is no completion for the shell 'csh'. Name one: fileplane completion bash, zsh or fish."


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(cli: CommandLine, shell: str, tmp_path: Path) -> None:
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(cli.succeed("completion", shell))
    done = subprocess.run([program, "-n", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
