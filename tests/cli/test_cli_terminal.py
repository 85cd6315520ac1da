"""On a terminal there are bars and headings; for programs there is neither."""

from __future__ import annotations

import os
import pty
import re
import threading
from dataclasses import dataclass

import pytest

from cli.command_line import SECONDS, CommandLine

NAME = "[red]bär[bold].bin"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Shown:
    """What a command left on the terminal that its ``streams`` were connected to, and on the others."""

    terminal: str
    stdout: bytes | None
    stderr: bytes | None
    returncode: int


def on_terminal(cli: CommandLine, *arguments: str, streams: tuple[str, ...]) -> Shown:
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def watch() -> None:
        try:
            while piece := os.read(ours, 65_536):
                seen.append(piece)
        except OSError:  # Linux's way of saying that nobody is at the other end any more
            return

    watching = threading.Thread(target=watch)
    with cli.start(*arguments, **dict.fromkeys(streams, theirs)) as process:
        os.close(theirs)
        watching.start()
        stdout, stderr = process.communicate(timeout=SECONDS)
    watching.join(SECONDS)
    os.close(ours)
    return Shown(_ESCAPES.sub("", b"".join(seen).decode()), stdout, stderr, process.returncode)


@pytest.fixture
def local(cli: CommandLine) -> CommandLine:
    (cli.directory / NAME).write_bytes(os.urandom(3_000_000))
    return cli


def test_an_upload_draws_a_bar_on_standard_error(local: CommandLine) -> None:
    shown = on_terminal(local, "upload", NAME, "--purpose", "user_data", streams=("stderr",))
    assert (shown.returncode, shown.stdout is not None and shown.stdout.decode().partition("  ")[2]) == (0, f"{NAME}\n")
    assert NAME in shown.terminal
    assert "3.0 MB" in shown.terminal


def test_several_files_are_added_up_on_a_terminal_however_narrow(local: CommandLine) -> None:
    (local.directory / "other").write_bytes(b"x" * 1_000_000)
    shown = on_terminal(local, "upload", NAME, "other", "missing", "--purpose", "user_data", streams=("stderr",))
    assert shown.returncode == 1
    assert "4.0 MB of 4.0 MB" in shown.terminal
    assert "total" in shown.terminal
    assert "missing: No such file" in shown.terminal
    narrow = on_terminal(local.where(COLUMNS="20"), "upload", "other", NAME, "--purpose", "user_data", streams=("stderr",))
    lines = [line for line in re.split(r"[\r\n]+", narrow.terminal) if line]
    assert "100%" in narrow.terminal
    assert max(len(line) for line in lines) < 20


def test_a_quiet_transfer_draws_nothing(local: CommandLine) -> None:
    shown = on_terminal(local, "upload", NAME, "--purpose", "user_data", "--quiet", streams=("stderr",))
    assert (shown.returncode, shown.terminal) == (0, "")


def test_a_copy_draws_its_progress(local: CommandLine) -> None:
    shown = on_terminal(local, "cp", NAME, "fileplane:", "--purpose", "user_data", streams=("stderr",))
    assert shown.returncode == 0
    assert "3.0 MB of 3.0 MB" in shown.terminal


def test_a_download_draws_a_bar_on_standard_error(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", b"x" * 3_000_000)
    shown = on_terminal(cli, "get", file_id, streams=("stderr",))
    assert (shown.returncode, shown.stdout) == (0, b"data.bin  3000000 bytes\n")
    assert "3.0 MB" in shown.terminal


def test_no_bar_is_drawn_over_content_on_the_same_terminal(cli: CommandLine) -> None:
    shown = on_terminal(cli, "cat", cli.upload("data.txt", b"just this\n"), streams=("stdout", "stderr"))
    assert (shown.returncode, shown.terminal) == (0, "just this\r\n")


def test_a_terminal_that_cannot_draw_gets_no_bar(local: CommandLine) -> None:
    shown = on_terminal(local.where(TERM="dumb"), "upload", NAME, "--purpose", "user_data", streams=("stderr",))
    assert (shown.returncode, shown.terminal) == (0, "")


def test_a_list_has_headings_on_a_terminal_and_names_to_the_letter(cli: CommandLine) -> None:
    file_id = cli.upload(NAME, b"12345")
    heading, row = on_terminal(cli, "ls", streams=("stdout",)).terminal.splitlines()
    assert heading.split() == ["ID", "CREATED", "BYTES", "PURPOSE", "EXPIRES", "NAME"]
    assert row.startswith(file_id)
    assert row[heading.index("NAME") :] == NAME
    assert row[heading.index("BYTES") :].startswith("5 ")


def test_tables_take_names_to_the_letter(admin: CommandLine) -> None:
    assert admin.run("key", "create", "--name", NAME).returncode == 0
    assert NAME in on_terminal(admin, "key", "list", streams=("stdout",)).terminal
    assert NAME in admin.succeed("key", "list")
