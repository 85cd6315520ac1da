"""`fileplane backup` and `fileplane restore`."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from fileplane.files.backup_directory import BackupFailed, opened_for_backup
from support.backups import back_up, digest_of, keep, rows_of, snapshots_of
from support.in_process import InProcess
from support.server import RunningServer, running_server
from support.starts import refused_start


async def test_a_backup_is_made_continued_and_restored_by_name(shell: CommandLine, store: InProcess, directory: Path) -> None:
    first = await keep(store, b"first")
    made = json.loads(shell.succeed("backup", "copies", "--json"))
    assert made["outcomes"] == {"copied": {"files": 1, "bytes": 5}}
    second = await keep(store, b"second")
    name = made["snapshot"]["name"]
    assert ": 2 files, 11 bytes: 1 copied (6 bytes), 1 reused (5 bytes)\n" in shell.succeed("backup", "copies")
    assert await snapshots_of(directory / "copies") == [{first.sha256}, {first.sha256, second.sha256}]

    shown = shell.succeed("restore", "copies", "--snapshot", name, "--data-dir", "again")
    assert f"restored {name}: 1 files, 5 bytes, into again\n" in shown
    assert "fileplane check --read-data --data-dir again\n" in shown
    [row] = await rows_of(directory / "again" / "fileplane.db")
    assert digest_of(directory / "again" / "blobs" / row.blob_key) == first.sha256

    private = [path for root in ("copies", "again") for path in (directory / root, *(directory / root).rglob("*"))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700, 0o600}


async def test_a_backup_that_lacks_bytes_is_made_all_the_same_names_the_files_and_fails(
    shell: CommandLine, store: InProcess, directory: Path
) -> None:
    kept, lost = await keep(store, b"kept"), await keep(store, b"lost")
    (store.settings.data_dir / "blobs" / lost.blob_key).unlink()
    for arguments in (("backup", "copies", "--json"), ("restore", "copies", "--data-dir", "again", "--json")):
        done = shell.run(*arguments)
        assert done.returncode == 1
        assert [problem["file_id"] for problem in json.loads(done.stdout)["problems"]] == [lost.id]
        assert f"fileplane: missing: file {lost.id} " in done.stderr
    assert await snapshots_of(directory / "copies") == [{kept.sha256}]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("data", "lie within each other"),
        ("data/copies", "lie within each other"),
        ("link/copies", "lie within each other"),
        (".", "lie within each other"),
        ("other", "holds something else"),
        ("missing/copies", "missing does not exist"),
        ("foreign", "backups of another data directory"),
        ("newer", "of which this Fileplane knows nothing"),
        ("damaged", "is no JSON object"),
        ("in-use", "in use by another"),
    ],
)
async def test_a_directory_that_is_for_something_else_is_refused_and_left_as_it_is(
    store: InProcess, directory: Path, target: str, complaint: str
) -> None:
    (directory / "other").mkdir()
    (directory / "other" / "photo.jpg").touch()
    (directory / "link").symlink_to("data")
    for name, marker in (("foreign", '{"format": 1, "store": "x"}'), ("newer", '{"format": 2}'), ("damaged", "{")):
        (directory / name).mkdir()
        (directory / name / "backup.json").write_text(marker)
    with opened_for_backup(directory / "in-use", store.settings.data_dir, "this store"):
        before = _everything(directory)
        with pytest.raises(BackupFailed, match=complaint):
            await back_up(store, directory / target)
        assert _everything(directory) == before


def _everything(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.name != "backup.lock"}


async def test_a_refused_backup_says_why_in_one_line(shell: CommandLine, directory: Path) -> None:
    assert "lie within each other" in shell.fail(1, "backup", "data/copies")
    assert not (directory / "data" / "copies").exists()


async def test_a_restore_that_would_overwrite_or_has_nothing_to_restore_is_refused(
    shell: CommandLine, store: InProcess, directory: Path
) -> None:
    with opened_for_backup(directory / "copies", store.settings.data_dir, "this store"):
        pass
    assert "has no complete backup" in shell.fail(1, "restore", "copies", "--data-dir", "again")
    assert "has no backup.json" in shell.fail(1, "restore", "data", "--data-dir", "again")
    await back_up(store, directory / "copies")
    assert "is not empty" in shell.fail(1, "restore", "copies")
    assert "has no snapshot '../x'. It has: 2" in shell.fail(1, "restore", "copies", "--data-dir", "again", "--snapshot", "../x")
    assert not (directory / "again").exists()


async def test_a_half_restored_directory_is_refused_by_every_command_until_it_is_restored(
    shell: CommandLine, store: InProcess, directory: Path
) -> None:
    await keep(store, b"content")
    shell.succeed("backup", "copies")
    (directory / "again").mkdir()
    (directory / "again" / "restore.unfinished").touch()
    assert "run the same `fileplane restore` again" in refused_start(directory / "again")
    assert "run the same `fileplane restore` again" in shell.fail(1, "key", "list", "--data-dir", "again")
    shell.succeed("restore", "copies", "--data-dir", "again")
    assert shell.succeed("key", "list", "--data-dir", "again").count("\n") == 1


def test_a_running_server_is_backed_up_and_its_directory_is_not_restored_into(tmp_path: Path, directory: Path) -> None:
    shell = CommandLine(directory, {})
    with running_server(tmp_path / "data") as server:
        file_id = _upload(server)
        shell.succeed("backup", "copies", "--data-dir", str(server.data_dir))
        assert "is not empty" in shell.fail(1, "restore", "copies", "--data-dir", str(server.data_dir))
    shell.succeed("restore", "copies", "--data-dir", "again")
    with running_server(directory / "again", key=server.api_key) as again, again.client() as client:
        assert client.get(f"/files/{file_id}/content").content == b"content"
        assert client.get("/files").json()["total"] == 1


def _upload(server: RunningServer) -> str:
    with server.client() as client:
        return client.post("/files", data={"purpose": "user_data"}, files={"file": ("some.txt", b"content")}).json()["id"]


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("FILEPLANE_DATABASE_URL", "postgresql://127.0.0.1:1/none", "Leave database_url out"),
        ("FILEPLANE_BLOB_STORE", "s3://bucket?region=eu-central-1", "Set blob_store to file:"),
    ],
)
async def test_a_backup_is_not_restored_beside_the_engines_that_the_settings_name(
    shell: CommandLine, store: InProcess, directory: Path, variable: str, value: str, complaint: str
) -> None:
    await keep(store, b"kept")
    shell.succeed("backup", "copies")
    assert complaint in shell.where(**{variable: value}).fail(1, "restore", "copies", "--data-dir", "again")
    assert not (directory / "again").exists()
