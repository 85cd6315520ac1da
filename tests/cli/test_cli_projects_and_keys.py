"""`fileplane project` and `fileplane key` beyond making and listing."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from cli.command_line import CommandLine
from fileplane.access import ALL_SCOPES, FILE_SCOPES
from fileplane.ids import hash_api_key
from support.in_process import InProcess
from support.polling import eventually_equal
from support.server import RunningServer, fileplane_environment

LIMITS = (
    *("--storage", "50GiB", "--files", "7", "--file-size", "1MiB", "--requests-per-minute", "60"),
    *("--upload-per-day", "10GB", "--concurrent-uploads", "2"),
)
AS_JSON = {
    "storage_bytes": 50 * 2**30,
    "files": 7,
    "file_bytes": 2**20,
    "requests_per_minute": 60,
    "upload_bytes_per_day": 10 * 10**9,
    "concurrent_uploads": 2,
}


def made(shell: CommandLine, *arguments: str) -> dict[str, object]:
    return json.loads(shell.succeed(*arguments, "--json"))


def test_a_project_is_made_with_limits_and_defaults_and_changed_in_parts(shell: CommandLine) -> None:
    new = made(
        shell,
        *("project", "create", "research", "--display-name", "Größe", "--description", "for tests", *LIMITS),
        *("--no-override", "--metadata", "team=a=b", "--metadata", "stage=test"),
    )
    defaults = {"config": None, "allow_override": False, "metadata": {"team": "a=b", "stage": "test"}}
    assert {name: new[name] for name in ("slug", "name", "description", "limits", "defaults")} == {
        "slug": "research",
        "name": "Größe",
        "description": "for tests",
        "limits": AS_JSON,
        "defaults": defaults,
    }
    after = made(shell, "project", "update", "research", "--storage", "none", "--metadata", "none", "--override")
    assert (after["limits"], after["name"]) == (AS_JSON | {"storage_bytes": None}, "Größe")
    assert after["defaults"] == {"config": None, "allow_override": True, "metadata": {}}
    assert made(shell, "project", "show", str(new["id"])) == after
    shown = shell.succeed("project", "show", "research")
    assert "requests per minute: 60\n" in shown
    assert "storage" not in shown


def test_a_project_that_is_in_use_is_removed_by_force_alone(shell: CommandLine) -> None:
    shell.succeed("project", "create", "doomed")
    key = made(shell, "key", "create", "--name", "its", "--project", "doomed")
    assert "in use by 1 API key" in shell.fail(3, "project", "delete", "doomed")
    organisation = made(shell, "key", "create", "--name", "all", "--project", "doomed", "--organisation")
    assert "in use by 1 API key of the organisation. Change" in shell.fail(3, "project", "delete", "doomed", "--force")
    shell.succeed("key", "revoke", str(organisation["id"]))
    assert shell.succeed("project", "delete", "doomed", "--force") == "deleted doomed\n"
    assert shell.fail(5, "project", "show", "doomed") == "There is no project 'doomed'."
    assert "There is no API key" in shell.fail(5, "key", "show", str(key["id"]))


def test_no_key_is_made_where_there_is_no_output_to_show_it_on(shell: CommandLine) -> None:
    key_id = made(shell, "key", "create", "--name", "its")["id"]
    after = shell.succeed("key", "list", "--json")
    for arguments in (("create", "--name", "unseen"), ("rotate", str(key_id), "--overlap", "0")):
        closing = ("sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "fileplane", "key", *arguments)
        done = subprocess.run(
            closing, cwd=shell.directory, env=fileplane_environment(**shell.environment), stderr=subprocess.PIPE, check=False
        )
        assert (done.returncode, b"no standard output" in done.stderr) == (1, True)
    assert shell.succeed("key", "list", "--json") == after


def test_a_key_without_scopes_gets_what_files_need_and_one_of_the_organisation_everything(shell: CommandLine) -> None:
    plain, organisation = (made(shell, "key", "create", "--name", "x", *more) for more in ((), ("--organisation",)))
    assert (set(plain["scopes"]), plain["kind"], plain["organisation"]) == (
        FILE_SCOPES | {"audit_logs.view", "usage.view"},
        "workspace-service",
        False,
    )
    assert (set(organisation["scopes"]), organisation["kind"], organisation["organisation"]) == (ALL_SCOPES, "organisation-service", True)
    listed = shell.succeed("key", "list")
    assert re.search(rf"^{organisation['id']}\tdefault\tx\t…\S{{4}}\torganisation-service\t", listed, re.MULTILINE)


async def test_a_key_is_made_with_limits_and_defaults_and_changed_in_parts(shell: CommandLine, store: InProcess) -> None:
    new = made(
        shell,
        *("key", "create", "--name", "x", "--user", "ada", "--scope", "files.read", "--expires-in", "2h", "--description", "for tests"),
        *(*LIMITS, "--no-override", "--metadata", "team=a"),
    )
    assert (new["kind"], new["user_id"], new["limits"], new["defaults"]) == (
        "workspace-user",
        "ada",
        AS_JSON,
        {"config": None, "allow_override": False, "metadata": {"team": "a"}},
    )
    after = made(
        shell,
        *("key", "update", str(new["id"]), "--name", "y", "--scope", "files.write", "--scope", "files.delete"),
        *("--expires-in", "none", "--files", "none"),
    )
    assert (after["name"], after["scopes"], after["expires_at"]) == ("y", ["files.delete", "files.write"], None)
    assert after["limits"] == AS_JSON | {"files": None}
    assert after == made(shell, "key", "show", str(new["id"]))
    known = await store.metadata.find_api_key(hash_api_key(str(new["key"])))
    assert known is not None
    assert known.key.scopes == {"files.write", "files.delete"}


def test_a_key_is_rotated_with_and_without_an_overlap(admin: CommandLine, server: RunningServer) -> None:
    def status(plain: object) -> int:
        with server.client(str(plain)) as client:
            return client.get("/files").status_code

    first = made(admin, "key", "create", "--name", "x")
    done = admin.run("key", "rotate", str(first["id"]))
    second = done.stdout.strip()
    assert "works in its former form until 20" in done.stderr
    assert [status(plain) for plain in (first["key"], second)] == [200, 200]
    third = made(admin, "key", "rotate", str(first["id"]), "--overlap", "0")
    assert (third["id"], third["former_ends_at"]) == (first["id"], third["updated_at"])
    assert status(third["key"]) == 200
    eventually_equal(lambda: status(second), 401, seconds=5)
    assert status(first["key"]) == 200
    admin.succeed("key", "revoke", str(first["id"]))
    eventually_equal(lambda: {status(plain) for plain in (first["key"], second, third["key"])}, {401}, seconds=5)


@pytest.mark.parametrize(
    ("code", "arguments", "complaint"),
    [
        (2, ("project", "create", "x", "--storage", "much"), "--storage must be a size such as 1048576 or '100 MiB', or none."),
        (2, ("project", "create", "x", "--files", "-1"), "--files must be a whole number from 0 upward, or none."),
        (
            2,
            ("project", "create", "x", "--requests-per-minute", "0"),
            "--requests-per-minute must be a whole number from 1 upward, or none.",
        ),
        (2, ("project", "create", "x", "--storage", "9007199254740993"), "--storage must be at most 9007199254740992."),
        (2, ("project", "create", "x", "--metadata", "team"), "'team' is no metadata"),
        (2, ("project", "create", "x", "--display-name", ""), "A display name has 1 to 100 characters."),
        (2, ("project", "update", "default", "--default-config", "pc-no"), "There is no config 'pc-no' in this workspace."),
        (5, ("project", "update", "nobody", "--files", "1"), "There is no project 'nobody'."),
        (5, ("project", "delete", "nobody"), "There is no project 'nobody'."),
        (3, ("project", "delete", "default", "--force"), "in use by 1 API key of the organisation"),
        (2, ("key", "create", "--name", "x", "--organisation", "--user", "ada"), "leave --user out"),
        (2, ("key", "create", "--name", "x", "--scope", "workspaces.create"), "is for keys of the organisation"),
        (5, ("key", "update", "nonsense", "--name", "x"), "There is no API key with the id 'nonsense'."),
        (5, ("key", "rotate", "nonsense"), "There is no API key with the id 'nonsense'."),
        (2, ("key", "rotate", "nonsense", "--overlap", "31d"), "--overlap must be at most 30d."),
    ],
)
def test_what_cannot_be_done_is_said(shell: CommandLine, code: int, arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in shell.fail(code, *arguments)
