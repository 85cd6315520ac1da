"""Whatever breaks off a transfer, no part of a file is left as if it were the file."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command_line import SECONDS, CommandLine
from cli.conftest import CANARY
from cli.odd_server import OddServer, http_answer, json_answer
from support.polling import eventually

CONTENT = b"0123456789" * 10_000
ID = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def stalled(odd_server: OddServer) -> Iterator[OddServer]:
    """Sends half of a file and then nothing, until the test is over."""
    over = threading.Event()

    def answer(_: bytes, connection: socket.socket) -> None:
        connection.sendall(http_answer("200 OK", CONTENT[:50_000], content_length=str(len(CONTENT))))
        over.wait(SECONDS)

    odd_server.answer = answer
    yield odd_server
    over.set()


def partial_files(directory: Path) -> list[int]:
    return [entry.stat().st_size for entry in directory.glob(".fileplane-*.partial")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.usefixtures("stalled")
def test_an_interrupted_download_leaves_nothing(odd_cli: CommandLine, number: signal.Signals, code: int) -> None:
    with odd_cli.start("get", ID, "--output", "copy") as process:
        eventually(lambda: 50_000 in partial_files(odd_cli.directory), "half of the file has arrived", seconds=SECONDS)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout) == (code, b"")
    assert stderr == (b"fileplane: interrupted\n" if number is signal.SIGINT else b"")
    assert odd_cli.left_behind() == set()


@pytest.mark.usefixtures("stalled")
def test_an_interrupted_download_leaves_an_older_file_as_it_was(odd_cli: CommandLine) -> None:
    (odd_cli.directory / "copy").write_bytes(b"older")
    with odd_cli.start("get", ID, "--output", "copy", "--force") as process:
        eventually(lambda: 50_000 in partial_files(odd_cli.directory), "half of the file has arrived", seconds=SECONDS)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert odd_cli.left_behind() == {"copy"}
    assert (odd_cli.directory / "copy").read_bytes() == b"older"


def test_a_file_that_is_in_the_way_is_seen_before_anything_is_downloaded(odd_server: OddServer, odd_cli: CommandLine) -> None:
    (odd_cli.directory / "copy").write_bytes(b"precious")
    assert "copy exists." in odd_cli.fail(1, "get", ID, "--output", "copy")
    assert odd_server.heads == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(odd_server: OddServer, odd_cli: CommandLine) -> None:
    def answer(_: bytes, connection: socket.socket) -> None:
        (odd_cli.directory / "copy").write_bytes(b"somebody else's")
        connection.sendall(http_answer("200 OK", CONTENT))

    odd_server.answer = answer
    assert "copy exists." in odd_cli.fail(1, "get", ID, "--output", "copy")
    assert odd_cli.left_behind() == {"copy"}
    assert (odd_cli.directory / "copy").read_bytes() == b"somebody else's"


def test_a_download_that_breaks_off_leaves_nothing(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT[:50_000], content_length=str(len(CONTENT))))
    complaint = odd_cli.fail(6, "get", ID, "--output", "copy")
    assert complaint.startswith(f"The connection to {odd_server.base_url} failed: ")
    assert odd_cli.left_behind() == set()


def test_content_that_breaks_off_on_standard_output_is_told_by_the_exit_code(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT[:50_000], content_length=str(len(CONTENT))))
    done = odd_cli.run_bytes("cat", ID)
    assert (done.returncode, done.stdout) == (6, CONTENT[:50_000])


def test_bytes_that_were_damaged_on_the_way_are_not_kept(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT, etag=f'"{hashlib.sha256(CONTENT + b"!").hexdigest()}"'))
    assert "SHA-256" in odd_cli.fail(6, "get", ID, "--output", "copy")
    assert odd_cli.left_behind() == set()


def test_bytes_that_no_hash_was_announced_for_are_kept_and_called_unverified(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT, etag='"5f3759df"'))
    assert json.loads(odd_cli.succeed("get", ID, "--output", "copy", "--json"))["verified"] is False
    assert (odd_cli.directory / "copy").read_bytes() == CONTENT


def test_a_whole_file_is_not_taken_for_a_range(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT))
    assert "does not do ranges" in odd_cli.fail(6, "get", ID, "--range", "0-9", "--output", "copy")
    assert odd_cli.left_behind() == set()


def test_bytes_that_were_compressed_on_the_way_are_not_taken_for_the_files(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("200 OK", CONTENT, content_encoding="gzip"))
    assert "'gzip'" in odd_cli.fail(6, "get", ID, "--output", "copy")
    assert odd_cli.left_behind() == set()


@pytest.mark.parametrize("filename", ["", "..", "a/", "../.bashrc", "C:\\.profile", "evil\x1b[2J", "nul\0", None])
def test_a_name_that_could_do_harm_is_never_used(odd_server: OddServer, odd_cli: CommandLine, filename: object) -> None:
    odd_server.says(json_answer("200 OK", {"id": ID, "filename": filename}))
    assert "Choose one with --output." in odd_cli.fail(1, "get", ID)
    assert odd_cli.left_behind() == set()


@pytest.mark.parametrize("filename", ["/etc/passwd", "../../passwd", "C:\\..\\passwd"])
def test_of_a_name_only_the_last_part_is_used(odd_server: OddServer, odd_cli: CommandLine, filename: str) -> None:
    odd_server.says(json_answer("200 OK", {"id": ID, "filename": filename}), http_answer("200 OK", CONTENT))
    odd_cli.succeed("get", ID)
    assert odd_cli.left_behind() == {"passwd"}


def test_a_file_that_shrinks_while_it_is_sent_is_not_uploaded(odd_server: OddServer, odd_cli: CommandLine) -> None:
    path = odd_cli.directory / "shrinking"
    with path.open("wb") as file:
        file.truncate(48 << 20)

    def answer(_: bytes, connection: socket.socket) -> None:
        os.truncate(path, 24 << 20)
        while connection.recv(1 << 20):
            continue

    odd_server.answer = answer
    assert "changed while it was being sent" in odd_cli.fail(1, "upload", "shrinking", "--purpose", "user_data")


def test_a_file_that_grows_while_it_is_sent_is_not_uploaded(odd_server: OddServer, odd_cli: CommandLine) -> None:
    path = odd_cli.directory / "growing"
    with path.open("wb") as file:
        file.truncate(48 << 20)

    def answer(_: bytes, connection: socket.socket) -> None:
        os.truncate(path, 49 << 20)
        while connection.recv(1 << 20):
            continue

    odd_server.answer = answer
    assert "changed while it was being sent" in odd_cli.fail(1, "upload", "growing", "--purpose", "user_data")


def test_an_upload_that_the_server_hangs_up_on_is_told_apart(odd_server: OddServer, odd_cli: CommandLine) -> None:
    with (odd_cli.directory / "large").open("wb") as file:
        file.truncate(64 << 20)
    complaint = odd_cli.fail(6, "upload", "large", "--purpose", "user_data")
    assert complaint.startswith(f"large: The connection to {odd_server.base_url} failed: ")
    assert CANARY not in complaint


def test_an_interrupted_upload_still_tells_programs_what_was_uploaded(cli: CommandLine) -> None:
    (cli.directory / "first").write_bytes(b"1")
    os.mkfifo(cli.directory / "never")
    with cli.start("upload", "first", "never", "--purpose", "user_data", "--json", bufsize=0) as process:
        assert process.stdout is not None
        seen = b""
        while b'"first"' not in seen:
            seen += os.read(process.stdout.fileno(), 4_096)
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stderr) == (130, b"fileplane: interrupted\n")
    assert [entry["path"] for entry in json.loads(seen + rest)] == ["first"]


def test_an_interrupted_upload_leaves_nothing_on_the_server(cli: CommandLine) -> None:
    with cli.start("upload", "-", "--filename", "half", "--purpose", "user_data", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(CONTENT)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode in {130, -signal.SIGINT}
    assert json.loads(cli.succeed("ls", "--json"))["data"] == []


def test_ctrl_c_before_the_command_runs_ends_it_without_a_traceback(odd_cli: CommandLine) -> None:
    # Found before the package of this name, it stands for any that takes its time to load.
    (odd_cli.directory / "typer.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    with odd_cli.start("ls") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loading\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == -signal.SIGINT
