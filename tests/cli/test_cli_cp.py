"""A file is copied between the native store, providers and this machine, through the command and unchanged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from cli.odd_server import OddServer, http_answer, json_answer
from cli.test_cli_memory import peak_kib
from fileplane.cli.copying import Checked, local_content, verified_at_destination
from fileplane.cli.exits import CommandFailed
from gateway.conftest import Fake, Project, fake, fake_process, gateway, project  # noqa: F401 - pytest finds fixtures by name

CONTENT = b'{"custom_id": "1"}\n' * 50_000


@pytest.fixture
def copier(project: Project, directory: Path) -> CommandLine:  # noqa: F811 - the fixture
    """A command whose environment has a key for Fileplane and one for OpenAI, which the fake provider stands for."""
    environment = {"FILEPLANE_BASE_URL": project.server.base_url, "FILEPLANE_API_KEY": project.key, "OPENAI_API_KEY": project.credential}
    return CommandLine(directory, environment)


@pytest.fixture
def host(project: Project) -> tuple[str, str]:  # noqa: F811 - the fixture
    return "--custom-host", f"openai={project.fake.base_url}"


def test_a_file_goes_from_a_virtual_key_to_the_native_store_and_back(copier: CommandLine, project: Project) -> None:  # noqa: F811
    slug = project.virtual_key()
    there = project.upload({"x-portkey-virtual-key": slug}, CONTENT, name="jobs.jsonl").json()["id"]

    here = json.loads(copier.succeed("cp", f"@{slug}:{there}", "fileplane:", "--json"))
    assert (here["bytes"], here["sha256"], here["verified"]) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), True)
    assert (here["file"]["filename"], here["file"]["purpose"], here["file"]["bytes"]) == ("jobs.jsonl", "batch", len(CONTENT))
    assert copier.run_bytes("cat", here["file"]["id"]).stdout == CONTENT

    back = json.loads(copier.succeed("cp", f"fileplane:{here['file']['id']}", f"@{slug}:", "--filename", "again.jsonl", "--json"))
    assert back["file"]["id"] != there
    assert back["file"]["filename"] == "again.jsonl"
    assert back["verified"] is True
    assert project.fake.content(project.credential, back["file"]["id"]) == CONTENT
    assert project.key not in json.dumps(project.fake.requests())


def test_a_provider_is_called_with_the_key_of_the_environment(
    copier: CommandLine,
    project: Project,  # noqa: F811
    host: tuple[str, str],
) -> None:
    (copier.directory / "local.jsonl").write_bytes(CONTENT)
    printed = copier.succeed("cp", "local.jsonl", "openai:", "--purpose", "batch", *host)
    place, name = printed.split()
    assert name == "local.jsonl"
    assert project.fake.content(project.credential, place.removeprefix("openai:")) == CONTENT

    assert copier.succeed("cp", place, "copy.jsonl", *host) == f"copy.jsonl  {len(CONTENT)} bytes\n"
    assert (copier.directory / "copy.jsonl").read_bytes() == CONTENT
    (copier.directory / "folder").mkdir()
    assert copier.succeed("cp", place, "folder", *host) == f"folder/local.jsonl  {len(CONTENT)} bytes\n"
    assert copier.run_bytes("cp", place, "-", *host).stdout == CONTENT
    assert copier.fail(1, "cp", place, "copy.jsonl", *host).startswith("copy.jsonl exists.")


def test_standard_input_is_copied_under_a_name_and_a_purpose(copier: CommandLine) -> None:
    place = copier.succeed("cp", "-", "fileplane:", "--filename", "piped", "--purpose", "user_data", given=CONTENT).split()[0]
    assert copier.run_bytes("cp", place, "-").stdout == CONTENT
    assert "--purpose" in copier.fail(2, "cp", "-", "fileplane:", "--filename", "piped", given=b"x")
    assert "--filename" in copier.fail(2, "cp", "-", "fileplane:", "--purpose", "user_data", given=b"x")


def test_a_source_that_breaks_off_leaves_nothing_at_the_destination(copier: CommandLine, project: Project) -> None:  # noqa: F811
    slug = project.virtual_key()
    there = project.upload({"x-portkey-virtual-key": slug}, CONTENT).json()["id"]
    project.fake.plan("close_response_at", "content", at=100_000)
    done = copier.run("cp", f"@{slug}:{there}", "fileplane:")
    assert (done.returncode, done.stdout) == (6, ""), done
    assert done.stderr.startswith(f"fileplane: @{slug}:{there}: "), done
    assert json.loads(copier.succeed("ls", "--json"))["data"] == []


def test_a_source_whose_bytes_are_not_those_it_announced_is_not_copied(odd_server: OddServer, odd_cli: CommandLine) -> None:
    described = json_answer("200 OK", {"id": "x", "filename": "a", "purpose": "batch"})
    answers = [described, http_answer("200 OK", b"other bytes", etag=f'"{hashlib.sha256(b"the bytes").hexdigest()}"')]
    odd_server.says(*answers)
    assert "differs from the ETag" in odd_cli.fail(6, "cp", "fileplane:x", "copy")
    odd_server.says(described, http_answer("200 OK", b"short", content_length="500"))
    assert odd_cli.fail(6, "cp", "fileplane:x", "copy").startswith("fileplane:x: ")
    assert odd_cli.left_behind() == set()


def test_a_copy_that_is_not_what_was_sent_is_told() -> None:
    content = Checked("a", "a", 1, None, iter([b"x"]))
    assert list(content.pieces()) == [b"x"]
    right = hashlib.sha256(b"x").hexdigest()
    assert verified_at_destination({"bytes": 1}, content, changes_content=False)
    assert verified_at_destination({"bytes": 9, "sha256": right}, content, changes_content=False)
    assert not verified_at_destination({"bytes": 9}, content, changes_content=True)
    assert not verified_at_destination({"bytes": 0}, content, changes_content=False)
    for wrong in ({"bytes": 2}, {"bytes": 1, "sha256": "0" * 64}):
        with pytest.raises(CommandFailed, match="Delete it"):
            verified_at_destination({"id": "x", **wrong}, content, changes_content=False)


@pytest.mark.parametrize("length", [0, 1], ids=["of the same size", "longer"])
def test_a_source_that_is_written_to_meanwhile_is_not_copied(tmp_path: Path, length: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(1_000_000))
    with local_content(str(source), None) as content, pytest.raises(CommandFailed, match=r"changed while it was being sent.*again"):
        for number, _ in enumerate(content.pieces()):
            if number == 0:
                source.write_bytes(bytes(1_000_000 + length))
                os.utime(source, ns=(1, 1))


@pytest.mark.full
def test_a_copy_takes_no_more_memory_than_a_list(cli: CommandLine, tmp_path: Path) -> None:
    with (cli.directory / "large").open("wb") as file:
        file.truncate(200 << 20)
    file_id = cli.succeed("upload", "large", "--purpose", "user_data").split()[0]
    idle, _ = peak_kib(cli, tmp_path, "ls")
    copying, _ = peak_kib(cli, tmp_path, "cp", f"fileplane:{file_id}", "fileplane:")
    assert copying < idle + (64 << 10)


def test_a_refusal_of_the_destination_is_told_as_its_own(copier: CommandLine, project: Project) -> None:  # noqa: F811
    slug = project.virtual_key()
    here = copier.upload("notes.txt", b"x", purpose="user_data")
    complaint = copier.fail(3, "cp", f"fileplane:{here}", f"@{slug}:", "--purpose", "no-such-purpose")
    assert complaint.startswith(f"@{slug}: ")
    assert "purpose" in complaint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "b"), "system's own cp"),
        (("fileplane:", "b"), "Which file?"),
        (("fileplane:x", "openai:y"), "an id of its own"),
        (("open-ai:x", "fileplane:"), "but 'openai'"),
        (("fileplane:x", "openai:", "--custom-host", "openai"), "not such as"),
        (("", "fileplane:"), "A location is"),
    ],
)
def test_what_is_no_copy_is_refused_before_anything_is_sent(copier: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in copier.fail(2, "cp", *arguments)


def test_a_provider_without_a_key_names_the_variables_it_is_read_from(copier: CommandLine) -> None:
    assert "ANTHROPIC_API_KEY" in copier.fail(4, "cp", "fileplane:x", "anthropic:", "--purpose", "user_data")
    assert "AWS_REGION and AWS_S3_BUCKET" in copier.fail(4, "cp", "bedrock:x", "fileplane:")


def test_the_key_for_fileplane_is_never_taken_for_the_providers(copier: CommandLine) -> None:
    environment = {"OPENAI_BASE_URL": copier.environment["FILEPLANE_BASE_URL"], "OPENAI_API_KEY": copier.environment["OPENAI_API_KEY"]}
    only_one = CommandLine(copier.directory, environment)
    assert "FILEPLANE_API_KEY" in only_one.fail(2, "cp", "openai:x", "fileplane:")


def test_an_unknown_file_and_a_wrong_key_keep_their_exit_codes(copier: CommandLine, host: tuple[str, str]) -> None:
    assert copier.fail(5, "cp", "openai:file-unknown", "copy", *host).startswith("openai:file-unknown: ")
    assert copier.where(FILEPLANE_API_KEY="fpk_" + "0" * 43).run("cp", "fileplane:x", "copy").returncode == 4
    assert copier.left_behind() == set()


def test_a_path_that_looks_like_a_place_is_written_with_its_folder(copier: CommandLine) -> None:
    (copier.directory / "openai:x").write_bytes(b"here")
    place = copier.succeed("cp", "./openai:x", "fileplane:", "--purpose", "user_data").split()[0]
    assert copier.run_bytes("cp", place, "-").stdout == b"here"
