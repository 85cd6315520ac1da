"""Commands that are given several things do all they can, report each, and exit with the worst."""

from __future__ import annotations

import json
from pathlib import Path

from cli.command_line import CommandLine

UNKNOWN = "01890000-0000-7000-8000-000000000000"


def test_an_upload_goes_on_after_a_path_that_fails(cli: CommandLine) -> None:
    (cli.directory / "first").write_bytes(b"1")
    (cli.directory / "last").write_bytes(b"2")
    (cli.directory / "empty").mkdir()
    done = cli.run("upload", "first", "missing", "empty", "last", "--purpose", "user_data")
    assert done.returncode == 1
    assert [line.partition("  ")[2] for line in done.stdout.splitlines()] == ["first", "last"]
    assert done.stderr.splitlines() == [
        "fileplane: missing: No such file or directory.",
        "fileplane: empty: There is no file in it to upload.",
    ]
    assert {file["filename"] for file in json.loads(cli.succeed("ls", "--json"))["data"]} == {"first", "last"}


def test_programs_are_told_of_each_path_in_one_array(cli: CommandLine) -> None:
    (cli.directory / "good.jsonl").write_bytes(b"{}\n")
    (cli.directory / "bad\r\nname").write_bytes(b"x")
    done = cli.run("upload", "missing", "bad\r\nname", "good.jsonl", "--purpose", "user_data", "--json")
    missing, refused, good = json.loads(done.stdout)
    assert done.returncode == 3
    assert missing == {"path": "missing", "error": {"message": "No such file or directory.", "request_id": None, "exit_code": 1}}
    assert (refused["path"], refused["error"]["exit_code"]) == ("bad\r\nname", 3)
    assert refused["error"]["request_id"].startswith("req_")
    assert "control character" in refused["error"]["message"]
    assert (good["path"], good["file"]["filename"]) == ("good.jsonl", "good.jsonl")


def test_deleting_goes_on_after_an_id_that_fails(cli: CommandLine) -> None:
    first, last = cli.upload("first", b"1"), cli.upload("last", b"2")
    done = cli.run("rm", first, UNKNOWN, "../../etc", "..", last)
    assert done.returncode == 5
    assert done.stdout == f"deleted {first}\ndeleted {last}\n"
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [UNKNOWN, "../../etc", ".."]
    assert json.loads(cli.succeed("ls", "--json"))["data"] == []


def test_programs_are_told_of_each_id_in_one_array(cli: CommandLine) -> None:
    file_id = cli.upload("x", b"1")
    done = cli.run("rm", file_id, file_id, "--json")
    deleted, unknown = json.loads(done.stdout)
    assert done.returncode == 5
    assert deleted == {"id": file_id, "deleted": True}
    assert unknown["error"]["message"] == f"No such File object: {file_id}"


def test_a_name_is_only_given_to_one_file(cli: CommandLine) -> None:
    assert (
        cli.fail(2, "upload", "a", "b", "--filename", "c", "--purpose", "user_data") == "--filename names one file: give one PATH with it."
    )


def test_standard_input_needs_a_name(cli: CommandLine) -> None:
    assert "--filename" in cli.fail(2, "upload", "-", "--purpose", "user_data", given=b"x")
    assert "--filename" in cli.fail(2, "upload", "-", "--filename", "/", "--purpose", "user_data", given=b"x")


def test_a_name_that_is_not_unicode_asks_for_another(cli: CommandLine) -> None:
    (Path(cli.directory) / "caf\udce9").write_bytes(b"x")
    done = cli.run("upload", "caf\udce9", "--purpose", "user_data")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fileplane: caf\\udce9: The name is not UTF-8. Give the file another with --filename.\n"
    assert "  caf\\udce9\n" in cli.succeed("upload", "caf\udce9", "--filename", "café", "--purpose", "user_data")


def test_a_deletion_is_taken_back_until_it_is_purged(cli: CommandLine) -> None:
    file_id = cli.upload("data.bin", b"content")
    cli.succeed("rm", file_id)
    assert file_id in cli.succeed("ls", "--deleted")
    assert cli.succeed("undelete", file_id) == f"restored {file_id}\n"
    done = cli.run("undelete", file_id, file_id, "--json")
    assert done.returncode == 5
    assert [entry["error"]["exit_code"] for entry in json.loads(done.stdout)] == [5, 5]
    assert cli.succeed("rm", "--purge", file_id) == f"purged {file_id}\n"
    assert file_id not in cli.succeed("ls", "--deleted")
    assert cli.run("undelete", file_id).returncode == 5


def test_several_files_are_fetched_into_a_directory(cli: CommandLine) -> None:
    first, last = cli.upload("first", b"1"), cli.upload("last", b"2")
    (cli.directory / "into").mkdir()
    done = cli.run("get", first, UNKNOWN, last, "--output", "into")
    assert (done.returncode, done.stdout) == (5, "into/first  1 bytes\ninto/last  1 bytes\n")
    assert done.stderr.startswith(f"fileplane: {UNKNOWN}: ")
    assert (cli.directory / "into/last").read_bytes() == b"2"
    assert cli.succeed("get", first) == "first  1 bytes\n"
    entries = json.loads(cli.run("get", first, UNKNOWN, "--output", "into", "--force", "--json").stdout)
    assert (entries[0]["path"], entries[0]["verified"], entries[1]["error"]["exit_code"]) == ("into/first", True, 5)


def test_two_files_of_one_name_never_take_each_others_place(cli: CommandLine) -> None:
    first, last = cli.upload("same", b"1"), cli.upload("same", b"2")
    done = cli.run("get", first, last, "--force")
    assert (done.returncode, done.stdout) == (1, "same  1 bytes\n")
    assert (cli.directory / "same").read_bytes() == b"1"


def test_several_files_need_a_directory(cli: CommandLine) -> None:
    assert "no directory for 2 files" in cli.fail(2, "get", "a", "b", "--output", "missing")
    assert "standard output" in cli.fail(2, "get", "a", "b", "--output", "-")
