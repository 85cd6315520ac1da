"""`fileplane settings`, `fileplane project` and `fileplane key`."""

from __future__ import annotations

import json
import secrets
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

from cli.command_line import CommandLine
from fileplane.access import FILE_SCOPES
from fileplane.settings import Settings
from support.polling import eventually_equal
from support.server import RunningServer

SECRET = "a-secret-that-must-not-be-shown-anywhere"


def named(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


def list_status(server: RunningServer, key: str) -> int:
    return httpx2.get(f"{server.base_url}/files", headers={"authorization": f"Bearer {key}"}, trust_env=False).status_code


def test_every_setting_is_shown_with_value_source_default_and_help(directory: Path) -> None:
    config = directory / "fileplane.toml"
    config.write_text("workers = 3\nport = 1\n")
    shell = CommandLine(directory, {"FILEPLANE_PORT": "9000", "OPENAI_BASE_URL": "http://example.com/v1"})
    rows = {row["name"]: row for row in json.loads(shell.succeed("settings", "--config", "fileplane.toml", "--json"))}
    assert list(rows) == [entry.name for entry in fields(Settings)]
    assert all(set(row) == {"name", "value", "source", "default", "help"} and row["help"] for row in rows.values())
    shown = {name: (rows[name]["value"], rows[name]["source"], rows[name]["default"]) for name in ("workers", "port", "host", "base_url")}
    assert shown == {
        "workers": ("3", "fileplane.toml", "1"),
        "port": ("9000", "FILEPLANE_PORT", "8787"),
        "host": ("127.0.0.1", "default", "127.0.0.1"),
        "base_url": ("http://example.com/v1", "OPENAI_BASE_URL", "http://127.0.0.1:8787/v1"),
    }


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_secrets_are_not_shown(directory: Path, arguments: tuple[str, ...]) -> None:
    shell = CommandLine(directory, {"FILEPLANE_BOOTSTRAP_API_KEY": SECRET, "OPENAI_API_KEY": SECRET})
    shown = shell.succeed("settings", *arguments)
    assert SECRET not in shown
    assert shown.count("********") == 2


def test_a_misspelt_variable_is_told_beside_the_settings(directory: Path) -> None:
    shown = CommandLine(directory, {"FILEPLANE_MAX_FLIE_BYTES": SECRET}).run("settings")
    assert shown.returncode == 0
    assert "FILEPLANE_MAX_FLIE_BYTES is no setting and does nothing; is FILEPLANE_MAX_FILE_BYTES meant?" in shown.stderr
    assert SECRET not in shown.stdout + shown.stderr


def test_programs_get_one_line_a_setting(directory: Path) -> None:
    lines = CommandLine(directory, {}).succeed("settings").splitlines()
    assert [line.split("\t")[0] for line in lines] == [entry.name for entry in fields(Settings)]
    assert {len(line.split("\t")) for line in lines} == {5}


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"FILEPLANE_PORT": "tcp://10.0.0.1:80"}, "port from FILEPLANE_PORT must be a whole number"),
        ({"FILEPLANE_CONFIG": "missing.toml"}, "missing.toml cannot be read"),
        ({"FILEPLANE_TLS_CERT": "cert.pem"}, "tls_cert and tls_key go together"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(directory: Path, environment: dict[str, str], complaint: str) -> None:
    assert complaint in CommandLine(directory, environment).fail(2, "settings")


def test_an_unknown_setting_in_the_file_is_named(directory: Path) -> None:
    (directory / "fileplane.toml").write_text("prot = 1\n")
    assert "unknown setting 'prot'" in CommandLine(directory, {}).fail(2, "settings", "--config", "fileplane.toml")


def test_a_project_is_made_once_and_listed(admin: CommandLine) -> None:
    name = named("team")
    made = json.loads(admin.succeed("project", "create", name, "--json"))
    assert made["name"] == name
    assert f"{made['id']}  {name}\n" in admin.succeed("project", "list")
    listed = json.loads(admin.succeed("project", "list", "--json"))
    assert listed[0]["name"] == "default"
    assert made in listed
    assert admin.fail(3, "project", "create", name) == f"There is a project '{name}' already."


@pytest.mark.parametrize("name", ["", "Team", "-x", "é", "x" * 64])
def test_what_is_no_project_name_is_refused(admin: CommandLine, name: str) -> None:
    assert "is no project name" in admin.fail(2, "project", "create", "--", name)


@pytest.mark.parametrize("arguments", [("project", "list"), ("key", "list"), ("key", "create", "--name", "x")])
def test_without_a_data_directory_it_is_said_how_to_get_one(directory: Path, arguments: tuple[str, ...]) -> None:
    complaint = CommandLine(directory, {}).fail(1, *arguments)
    assert complaint.startswith(f"There is no Fileplane in {directory}/fileplane-data. Start one with `fileplane serve`")
    assert list(directory.iterdir()) == []


def test_a_key_is_shown_once_and_works_until_it_is_revoked(admin: CommandLine, server: RunningServer) -> None:
    name = named("ci")
    done = admin.run("key", "create", "--name", name)
    key = done.stdout.strip()
    assert key.startswith("fpk_")
    assert "shown once" in done.stderr
    assert list_status(server, key) == 200

    listed = next(entry for entry in json.loads(admin.succeed("key", "list", "--json")) if entry["name"] == name)
    assert (listed["project"], listed["state"], listed["hint"]) == ("default", "active", key[-4:])
    assert set(listed["scopes"]) == FILE_SCOPES | {"audit_logs.view", "usage.view"}
    assert key not in admin.succeed("key", "list", "--json") + admin.succeed("key", "list")

    assert admin.succeed("key", "revoke", listed["id"]) == f"revoked {listed['id']}\n"
    eventually_equal(lambda: list_status(server, key), 401, seconds=5)
    states = {entry["id"]: entry["state"] for entry in json.loads(admin.succeed("key", "list", "--project", "default", "--json"))}
    assert states[listed["id"]] == "revoked"


def test_a_key_has_just_the_project_scopes_and_expiry_it_was_given(admin: CommandLine) -> None:
    project = named("team")
    admin.succeed("project", "create", project)
    made = json.loads(
        admin.succeed(
            *("key", "create", "--name", "reader", "--project", project, "--scope", "files.read", "--scope", "files.write"),
            *("--expires-in", "2h", "--json"),
        )
    )
    assert (made["project"], made["scopes"], made["state"]) == (project, ["files.read", "files.write"], "active")
    assert made["expires_at"] - made["created_at"] in {7_199, 7_200}
    listed = json.loads(admin.succeed("key", "list", "--project", project, "--json"))
    assert [{name: entry[name] for name in entry if name != "key"} for entry in (made,)] == listed


def test_an_expired_key_stops_working_and_is_listed_as_expired(admin: CommandLine, server: RunningServer) -> None:
    made = json.loads(admin.succeed("key", "create", "--name", "brief", "--expires-in", "3s", "--json"))
    eventually_equal(lambda: list_status(server, made["key"]), 401, seconds=5)
    states = {entry["id"]: entry["state"] for entry in json.loads(admin.succeed("key", "list", "--json"))}
    assert states[made["id"]] == "expired"


@pytest.mark.parametrize(
    ("code", "arguments", "complaint"),
    [
        (2, ("key", "create", "--name", "x", "--scope", "files.fly"), "Unknown scope 'files.fly'. Scopes: "),
        (2, ("key", "create", "--name", ""), "1 to 100 characters"),
        (2, ("key", "create", "--name", "x" * 101), "1 to 100 characters"),
        (2, ("key", "create", "--name", "x", "--expires-in", "soon"), "'soon' is no duration"),
        (5, ("key", "create", "--name", "x", "--project", "nobody"), "fileplane project create nobody"),
        (5, ("key", "list", "--project", "nobody"), "There is no project 'nobody'."),
        (5, ("key", "revoke", "nonsense"), "There is no API key with the id 'nonsense'."),
    ],
)
def test_what_cannot_be_done_with_keys_is_said(admin: CommandLine, code: int, arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in admin.fail(code, *arguments)


def test_a_listing_that_cannot_be_written_is_said(admin: CommandLine) -> None:
    with Path("/dev/full").open("wb") as full:
        done = admin.run_bytes("key", "list", stdout=full)
    assert (done.returncode, done.stderr) == (1, b"fileplane: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("key", "create", "--help")])
def test_help_that_cannot_be_written_is_said(admin: CommandLine, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = admin.run_bytes(*arguments, stdout=full)
    assert (done.returncode, done.stderr) == (1, b"fileplane: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_key_that_nobody_was_shown_is_told_to_be_revoked(admin: CommandLine, arguments: tuple[str, ...]) -> None:
    kept = {row["id"] for row in json.loads(admin.succeed("key", "list", "--json"))}
    with Path("/dev/full").open("wb") as full:
        made = admin.run_bytes("key", "create", "--name", "lost", *arguments, stdout=full)
        [lost] = {row["id"] for row in json.loads(admin.succeed("key", "list", "--json"))} - kept
        rotated = admin.run_bytes("key", "rotate", lost, *arguments, stdout=full)
    for done in (made, rotated):
        assert done.returncode == 1
        assert f"Revoke it with: fileplane key revoke {lost}\nfileplane: [Errno 28]" in done.stderr.decode()
    assert admin.succeed("key", "revoke", lost) == f"revoked {lost}\n"
