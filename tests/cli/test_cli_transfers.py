"""Files go up and come down unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from cli.command_line import CommandLine

CONTENT = bytes(range(256)) * 4_097
UNICODE_NAME = 'Jahresübersicht "Q3" 東京 😀 100%.txt'


def test_a_file_comes_back_under_its_own_name_in_any_script(cli: CommandLine) -> None:
    (cli.directory / UNICODE_NAME).write_bytes(CONTENT)
    printed = cli.succeed("upload", UNICODE_NAME, "--purpose", "user_data")
    file_id, _, path = printed.rstrip("\n").partition("  ")
    assert path == UNICODE_NAME
    (cli.directory / UNICODE_NAME).unlink()

    assert cli.succeed("get", file_id) == f"{UNICODE_NAME}  {len(CONTENT)} bytes\n"

    assert (cli.directory / UNICODE_NAME).read_bytes() == CONTENT
    assert cli.left_behind() == {UNICODE_NAME}


def test_what_was_downloaded_is_described_to_programs(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    assert json.loads(cli.succeed("get", file_id, "--json", "--output", "copy")) == {
        "id": file_id,
        "path": "copy",
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "verified": True,
    }


def test_an_empty_file_goes_both_ways(cli: CommandLine) -> None:
    (cli.directory / "empty").touch()
    file = json.loads(cli.succeed("upload", "empty", "--purpose", "user_data", "--json"))[0]["file"]
    assert file["bytes"] == 0
    cli.succeed("get", file["id"], "--output", "copy")
    assert (cli.directory / "copy").read_bytes() == b""


def test_standard_input_is_uploaded_under_the_name_it_is_given(cli: CommandLine) -> None:
    printed = cli.succeed("upload", "-", "--filename", "日報.jsonl", "--purpose", "batch", given=CONTENT)
    file_id = printed.partition(" ")[0]
    cli.succeed("get", file_id)
    assert (cli.directory / "日報.jsonl").read_bytes() == CONTENT


def test_standard_input_that_is_a_file_is_read_from_where_it_stands(cli: CommandLine) -> None:
    (cli.directory / "source").write_bytes(b"already read|the rest")
    with (cli.directory / "source").open("rb", buffering=0) as source:
        source.read(13)
        done = cli.run_bytes("upload", "-", "--filename", "rest", "--purpose", "user_data", stdin=source)
    assert done.returncode == 0, done
    assert cli.succeed("cat", done.stdout.decode().partition(" ")[0]) == "the rest"


def test_a_pipe_with_a_path_is_uploaded_to_its_end(cli: CommandLine) -> None:
    pipe = cli.directory / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(CONTENT,))
    writer.start()
    printed = cli.succeed("upload", "pipe", "--purpose", "user_data")
    writer.join()
    assert cli.run_bytes("cat", printed.partition(" ")[0]).stdout == CONTENT


def test_a_file_of_a_kernel_that_calls_it_empty_is_uploaded_whole(cli: CommandLine) -> None:
    printed = cli.succeed("upload", "/proc/version", "--purpose", "user_data")
    assert cli.run_bytes("cat", printed.partition(" ")[0]).stdout == Path("/proc/version").read_bytes()


def test_one_path_can_be_given_another_name(cli: CommandLine) -> None:
    (cli.directory / "local").write_bytes(b"x")
    file = json.loads(cli.succeed("upload", "local", "--filename", "remote.csv", "--purpose", "evals", "--json"))[0]["file"]
    assert (file["filename"], file["purpose"]) == ("remote.csv", "evals")


@pytest.mark.parametrize(("given", "seconds"), [("5400s", 5_400), ("90m", 5_400), ("30d", 2_592_000)])
def test_an_upload_expires_when_it_was_told_to(cli: CommandLine, given: str, seconds: int) -> None:
    (cli.directory / "brief").write_bytes(b"x")
    file = json.loads(cli.succeed("upload", "brief", "--purpose", "user_data", "--expires-in", given, "--json"))[0]["file"]
    assert file["expires_at"] - file["created_at"] == seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0-0", CONTENT[:1]), ("5-1000004", CONTENT[5:1_000_005]), ("1000000-", CONTENT[1_000_000:]), ("-7", CONTENT[-7:])],
)
def test_a_range_brings_just_those_bytes(cli: CommandLine, given: str, expected: bytes) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    done = json.loads(cli.succeed("get", file_id, "--range", given, "--json", "--output", "piece"))
    assert (cli.directory / "piece").read_bytes() == expected
    assert (done["bytes"], done["verified"]) == (len(expected), False)


@pytest.mark.parametrize("arguments", [("cat",), ("get", "--output", "-")])
def test_content_can_go_to_standard_output_and_nothing_else_does(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    done = cli.run_bytes(command, cli.upload("data.bin", CONTENT), *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, CONTENT, b"")
    assert cli.left_behind() == set()


def test_a_reader_that_has_seen_enough_is_no_reason_to_complain(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", CONTENT * 8)
    reader, writer = os.pipe()
    process = cli.start("cat", file_id, stdout=writer)
    os.close(writer)
    assert os.read(reader, 5) == CONTENT[:5]
    os.close(reader)
    assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == 1


def test_a_file_that_exists_is_overwritten_only_on_demand(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    (cli.directory / "data.bin").write_bytes(b"precious")
    assert cli.fail(1, "get", file_id) == "data.bin exists. Overwrite it with --force, or choose another name with --output."
    assert (cli.directory / "data.bin").read_bytes() == b"precious"
    cli.succeed("get", file_id, "--force")
    assert (cli.directory / "data.bin").read_bytes() == CONTENT
    assert cli.left_behind() == {"data.bin"}


def test_a_link_that_leads_nowhere_is_not_followed(cli: CommandLine) -> None:
    (cli.directory / "data.bin").symlink_to("elsewhere")
    file_id = cli.upload("data.bin", CONTENT)
    assert "exists" in cli.fail(1, "get", file_id)
    cli.succeed("get", file_id, "--force")
    assert cli.left_behind() == {"data.bin"}


def test_downloads_have_the_permissions_of_any_new_file(cli: CommandLine) -> None:
    cli.succeed("get", cli.upload("data.bin", b"x"))
    (cli.directory / "other").touch()
    assert (cli.directory / "data.bin").stat().st_mode == (cli.directory / "other").stat().st_mode


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("missing/copy", "missing/copy cannot be written: No such file or directory."),
        ("/dev/null", "/dev/null is not a regular file. To write to it, use: --output - > /dev/null"),
    ],
)
def test_a_place_that_cannot_take_the_file_is_named(cli: CommandLine, output: str, complaint: str) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    assert cli.fail(1, "get", file_id, "--force", "--output", output) == complaint
    assert cli.left_behind() == set()


def test_a_directory_takes_a_file_under_its_own_name(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    (cli.directory / "into").mkdir()
    assert cli.succeed("get", file_id, "--output", "into") == f"into/data.bin  {len(CONTENT)} bytes\n"
    assert cli.left_behind() == {"into"}


def test_a_large_file_goes_in_parts_of_a_size_over_so_many_connections(cli: CommandLine) -> None:
    with (cli.directory / "large").open("wb") as file:
        file.truncate(70 << 20)
    options = ("--connections", "2", "--part-size", "20MiB", "--no-resume")
    file_id = cli.succeed("upload", "large", "--purpose", "user_data", *options).split()[0]
    cli.succeed("get", file_id, "--output", "copy", "--connections", "2", "--no-resume")
    assert (cli.directory / "copy").stat().st_size == 70 << 20
    assert cli.left_behind() == {"large", "copy"}
    assert "'many' is no size" in cli.fail(2, "upload", "large", "--purpose", "user_data", "--part-size", "many")


def test_a_full_disk_is_said_and_leaves_nothing(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", CONTENT)
    with Path("/dev/full").open("wb") as full:
        done = cli.run_bytes("cat", file_id, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"fileplane: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [("cat",), ("get", "-o", "-")])
def test_without_a_standard_output_nothing_else_is_written_to_in_its_place(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    file_id = cli.upload("data.bin", CONTENT)
    done = cli.run_bytes(command, file_id, *options, stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (1, b"fileplane: There is no standard output to write to.\n")
