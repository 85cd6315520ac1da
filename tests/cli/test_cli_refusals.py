"""Every failure is one line and an exit code, as `--help` documents them; never a traceback, never the key."""

from __future__ import annotations

import json
import os
import socket

import pytest

from cli.command_line import CommandLine
from cli.conftest import CANARY
from cli.odd_server import OddServer, error_answer, http_answer, json_answer
from support.ports import free_port
from support.projects import new_key
from support.server import RunningServer

UNKNOWN = "01890000-0000-7000-8000-000000000000"
EVERY_CLIENT_COMMAND = [("ls",), ("get", UNKNOWN), ("cat", UNKNOWN), ("rm", UNKNOWN), ("upload", "x", "--purpose", "user_data")]


@pytest.mark.parametrize("key", ["", " "])
def test_without_a_key_it_is_said_what_to_set(cli: CommandLine, key: str) -> None:
    complaint = cli.where(FILEPLANE_API_KEY=key).fail(4, "ls")
    assert complaint.startswith("There is no API key. Set FILEPLANE_API_KEY (or OPENAI_API_KEY)")


@pytest.mark.parametrize("arguments", EVERY_CLIENT_COMMAND, ids=lambda arguments: arguments[0])
def test_a_wrong_key_is_told_apart_and_not_shown(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    (cli.directory / "x").write_bytes(b"x")
    complaint = cli.where(FILEPLANE_API_KEY=CANARY).fail(4, *arguments)
    assert "Incorrect API key provided." in complaint
    assert "(request id req_" in complaint
    assert CANARY not in complaint


@pytest.mark.parametrize("arguments", EVERY_CLIENT_COMMAND, ids=lambda arguments: arguments[0])
def test_a_server_that_is_not_there_is_told_apart(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    (cli.directory / "x").write_bytes(b"x")
    base_url = f"http://127.0.0.1:{free_port()}/v1"
    complaint = cli.where(FILEPLANE_BASE_URL=base_url).fail(6, *arguments)
    assert f"The server at {base_url} cannot be reached: " in complaint
    assert cli.left_behind() == {"x"}


def test_a_key_without_the_scope_is_told_apart(server: RunningServer, cli: CommandLine) -> None:
    key = new_key(server.data_dir, scopes=frozenset({"files.read"})).plain
    assert "'files.delete'" in cli.where(FILEPLANE_API_KEY=key).fail(4, "rm", UNKNOWN)


@pytest.mark.parametrize("command", ["get", "cat", "rm"])
def test_an_unknown_file_is_told_apart(cli: CommandLine, command: str) -> None:
    assert f"No such File object: {UNKNOWN} (request id req_" in cli.fail(5, command, UNKNOWN)
    assert cli.left_behind() == set()


def test_what_the_server_refuses_is_said_in_its_words(cli: CommandLine) -> None:
    (cli.directory / "x").write_bytes(b"x")
    assert "'tuning' is not one of" in cli.fail(3, "upload", "x", "--purpose", "tuning")
    assert "'expires_after[seconds]'" in cli.fail(3, "upload", "x", "--purpose", "evals", "--expires-in", "59m")
    assert "which has 1 bytes" in cli.fail(3, "get", cli.upload("x", b"x"), "--range", "1-", "--force")


@pytest.mark.parametrize("given", ["-", "5-4", "0-1,3-4", "0-²"])
def test_what_is_no_range_never_reaches_the_server(odd_server: OddServer, odd_cli: CommandLine, given: str) -> None:
    assert f"'{given}' is no range" in odd_cli.fail(2, "get", UNKNOWN, f"--range={given}")
    assert odd_server.heads == []


@pytest.mark.parametrize("given", ["30", "0d", "1.5h"])
def test_what_is_no_duration_never_reaches_the_server(odd_server: OddServer, odd_cli: CommandLine, given: str) -> None:
    assert f"'{given}' is no duration" in odd_cli.fail(2, "upload", "x", "--purpose", "evals", f"--expires-in={given}")
    assert odd_server.heads == []


@pytest.mark.parametrize("arguments", [("upload", "x"), ("ls", "--order", "up"), ("ls", "--limit", "few"), ("get",), ("rm",), ("list",)])
def test_wrong_usage_has_its_own_exit_code(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    done = cli.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "base_url",
    [
        "files.example.com/v1",
        "ftp://127.0.0.1/v1",
        "http://user:secret@127.0.0.1/v1",
        "http://",
        "http://127.0.0.1:99999/v1",
        "http://[/v1",
    ],
)
def test_a_base_url_that_cannot_be_used_is_wrong_usage(cli: CommandLine, base_url: str) -> None:
    complaint = cli.where(FILEPLANE_BASE_URL=base_url).fail(2, "ls")
    assert complaint.startswith("base_url ")
    assert "secret" not in complaint


def test_a_key_that_cannot_be_sent_is_wrong_usage_and_not_shown(cli: CommandLine) -> None:
    complaint = cli.where(FILEPLANE_API_KEY=f"{CANARY}\nx-evil: 1").fail(2, "ls")
    assert "FILEPLANE_API_KEY" in complaint
    assert CANARY not in complaint


def test_a_server_that_is_not_the_files_api_is_found_out(cli: CommandLine, server: RunningServer) -> None:
    assert "The API is under /v1" in cli.where(FILEPLANE_BASE_URL=server.url).fail(5, "ls")


def test_a_refused_upload_is_not_sent_to_its_end(odd_server: OddServer, odd_cli: CommandLine) -> None:
    received = []

    def answer(_: bytes, connection: socket.socket) -> None:
        connection.sendall(error_answer("403 Forbidden", "Not here."))
        while piece := connection.recv(1 << 20):
            received.append(len(piece))

    odd_server.answer = answer
    with (odd_cli.directory / "large").open("wb") as file:
        file.truncate(60 << 20)
    assert odd_cli.fail(4, "upload", "large", "--purpose", "evals") == "large: Not here. (request id req_odd)"
    assert sum(received) < 30 << 20


def test_the_refusal_of_a_large_upload_is_heard(cli: CommandLine) -> None:
    with (cli.directory / "large.jsonl").open("wb") as file:
        file.truncate(1 << 30)
    assert "Incorrect API key" in cli.where(FILEPLANE_API_KEY=CANARY).fail(4, "upload", "large.jsonl", "--purpose", "evals")
    assert "larger than 104857600 bytes" in cli.fail(3, "upload", "large.jsonl", "--purpose", "batch")


@pytest.mark.parametrize(
    ("status", "code"), [("500 Oops", 6), ("503 Busy", 6), ("429 Slow", 3), ("403 No", 4), ("404 Gone", 5), ("418 Pot", 3)]
)
def test_an_error_of_a_server_shows_its_message_and_request_id(odd_server: OddServer, odd_cli: CommandLine, status: str, code: int) -> None:
    odd_server.says(error_answer(status, "Try the other door."))
    assert odd_cli.fail(code, "ls") == "Try the other door. (request id req_odd)"


def test_an_error_that_says_nothing_shows_its_status(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("502 Bad Gateway", b"<html>nginx</html>", content_type="text/html"))
    assert odd_cli.fail(6, "ls") == f"The server at {odd_server.base_url} answered 502."


def test_what_a_server_says_cannot_steer_the_terminal(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(error_answer("400 Bad", "\x1b[2J\rfileplane: all is well\n\u202eevil\x9b"))
    assert odd_cli.fail(3, "ls") == "\\x1b[2J\\rfileplane: all is well\\n\\u202eevil\\x9b (request id req_odd)"


def test_a_request_id_cannot_steer_the_terminal(odd_server: OddServer, odd_cli: CommandLine) -> None:
    evil = {"error": {"message": "No.", "code": "\x1b[2J\n"}}
    refusal = json_answer("400 Bad", evil, x_request_id="req\x1b[2J\x7f\x85fileplane: all is well\x9b")
    odd_server.says(refusal)
    safe = "req\\x1b[2J\\x7f\\x85fileplane: all is well\\x9b"
    assert odd_cli.fail(3, "ls") == f"No. (request id {safe})"
    odd_server.says(refusal)
    done = odd_cli.run("rm", UNKNOWN, "--json")
    assert done.stderr == f"fileplane: {UNKNOWN}: No. (request id {safe})\n"
    assert json.loads(done.stdout)[0]["error"]["request_id"] == safe


def test_json_has_no_byte_that_a_terminal_obeys(odd_server: OddServer, odd_cli: CommandLine) -> None:
    page = {"object": "list", "data": [{"id": "a", "filename": "".join(map(chr, range(0xA0)))}], "has_more": False}
    odd_server.says(json_answer("200 OK", page), json_answer("200 OK", page))
    for arguments in (("ls", "--json"), ("ls", "--all", "--json")):
        printed = odd_cli.succeed(*arguments)
        assert printed.rstrip("\n").isprintable()
        assert json.loads(printed)["data"] == page["data"]


def test_a_file_name_cannot_steer_the_terminal(odd_server: OddServer, odd_cli: CommandLine) -> None:
    file = {
        "id": "a\x1b",
        "bytes": 1,
        "created_at": 10**30,
        "expires_at": "soon",
        "purpose": "p\t",
        "filename": "[red]\x1b]0;evil\x07\nname",
    }
    odd_server.says(json_answer("200 OK", {"object": "list", "data": [file], "has_more": False}))
    assert odd_cli.succeed("ls") == "a\\x1b\t-\t1\tp\\t\t-\t[red]\\x1b]0;evil\\x07\\nname\n"


def test_a_server_that_repeats_the_key_does_not_get_it_printed(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(error_answer("401 Unauthorized", f"Incorrect API key provided: {CANARY}."))
    assert odd_cli.fail(4, "ls") == "Incorrect API key provided: ********. (request id req_odd)"


def test_a_redirect_is_not_followed(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(http_answer("302 Found", b"", location=f"{odd_server.base_url}/elsewhere"))
    assert odd_cli.fail(3, "ls") == f"The server at {odd_server.base_url} answered 302."
    assert len(odd_server.heads) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": [1]}', b'{"data": [{"id": 1}]}', b"[" * 100_000])
def test_an_answer_that_is_not_the_files_apis_is_found_out(odd_server: OddServer, odd_cli: CommandLine, body: bytes) -> None:
    odd_server.says(http_answer("200 OK", body))
    assert odd_cli.fail(6, "ls").startswith(f"The answer of {odd_server.base_url} is not the Files API's.")


def test_a_connection_that_just_ends_is_told_apart(odd_server: OddServer, odd_cli: CommandLine) -> None:
    assert odd_cli.fail(6, "ls").startswith(f"The connection to {odd_server.base_url} failed: ")


def test_a_server_that_repeats_a_page_for_ever_is_not_believed(odd_server: OddServer, odd_cli: CommandLine) -> None:
    page = json_answer("200 OK", {"object": "list", "data": [{"id": "same"}], "has_more": True})
    odd_server.says(page, page)
    done = odd_cli.run("ls", "--all")
    assert (done.returncode, done.stderr) == (6, "fileplane: The server sends the same page again and again.\n")


def test_a_deletion_that_is_not_confirmed_is_not_reported_as_done(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(json_answer("200 OK", {"id": UNKNOWN, "object": "file", "deleted": False}))
    odd_cli.fail(6, "rm", UNKNOWN)


def test_only_the_openai_variables_are_needed(cli: CommandLine) -> None:
    cli.upload("x", b"x")
    names = {"OPENAI_BASE_URL": cli.environment["FILEPLANE_BASE_URL"], "OPENAI_API_KEY": cli.environment["FILEPLANE_API_KEY"]}
    assert CommandLine(cli.directory, names).succeed("ls").endswith("\tx\n")


def test_our_own_variables_win_over_openais(cli: CommandLine, odd_server: OddServer) -> None:
    cli.where(OPENAI_BASE_URL=odd_server.base_url, OPENAI_API_KEY=CANARY).succeed("ls")
    assert odd_server.heads == []


def test_a_configuration_file_can_hold_url_and_key(cli: CommandLine) -> None:
    lines = [f'{name}="{cli.environment["FILEPLANE_" + name.upper()]}"' for name in ("base_url", "api_key")]
    (cli.directory / "client.toml").write_text("\n".join(lines))
    CommandLine(cli.directory, {}).succeed("ls", "--config", "client.toml")


def test_the_key_goes_nowhere_but_into_the_header(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(json_answer("200 OK", {"data": []}))
    odd_cli.succeed("ls", "--purpose", "evals", "--limit", "3", "--order", "asc", "--after", "a b/ü")
    request, *headers = odd_server.heads[0].decode().lower().split("\r\n")
    assert request == "get /v1/files?purpose=evals&limit=3&order=asc&after=a+b%2f%c3%bc http/1.1"
    assert f"authorization: bearer {CANARY}".lower() in headers
    assert "accept-encoding: identity" in headers


def test_an_id_is_one_segment_of_the_path_whatever_is_in_it(odd_server: OddServer, odd_cli: CommandLine) -> None:
    odd_server.says(error_answer("404 Not Found", "No such file."))
    odd_cli.fail(5, "rm", "../a b?c#ü%2F")
    assert odd_server.heads[0].startswith(b"DELETE /v1/files/..%2Fa%20b%3Fc%23%C3%BC%252F HTTP/1.1\r\n")


@pytest.mark.parametrize("command", ["serve", "settings", "upload", "cat", "key"])
def test_help_documents_the_exit_codes(command: str, directory: os.PathLike[str]) -> None:
    shown = " ".join(CommandLine(directory, {"COLUMNS": "500"}).succeed(command, "--help").split())
    assert "EXIT STATUS: 0 done 1 failed on this side" in shown
    assert shown.endswith("130 interrupted")
