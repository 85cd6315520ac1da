"""`fileplane secrets`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from cli.command_line import CommandLine
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.secrets.envelope import MasterKey
from fileplane.secrets.master_key import MasterKeySource, read_key_file, unlock
from fileplane.secrets.references import References
from fileplane.secrets.values import Secret
from fileplane.secrets.vault import Vault
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY
from fileplane.testing.secrets_suite import new_virtual_key

CANARY = "sk-canary-command-4d5e6f"


async def with_virtual_key(data_dir: Path, given: bytes | None, *, make: bool) -> str:
    """Makes the virtual key, or reads it, as a server with this master key does."""
    prepare_database(data_dir / "fileplane.db")
    store = SqliteMetadataStore(data_dir / "fileplane.db", ManualClock())
    try:
        source = MasterKeySource(data_dir, given)
        vault = Vault(store, source, (await unlock(store, source))[0], References((), data_dir), ManualClock())
        if make:
            sealed = await vault.seal("id", {"api_key": Secret(CANARY)})
            await store.create_virtual_key(new_virtual_key("mine", id="id", sealed=sealed), NOBODY)
        return (await vault.open(await store.get_virtual_key("mine")))["api_key"].reveal()
    finally:
        await store.close()


def test_a_master_key_that_a_command_makes_is_told_of_once(directory: Path, data_dir: Path) -> None:
    prepare_database(data_dir / "fileplane.db")
    shell = CommandLine(directory, {"FILEPLANE_DATA_DIR": str(data_dir)})
    first = shell.run("virtual-key", "list")
    told = f"fileplane: a master key was made in {data_dir / 'master.key'}: keep a copy of it apart from the backups\n"
    assert (first.returncode, first.stdout, first.stderr) == (0, "", told)
    assert shell.succeed("virtual-key", "list") == ""


@pytest.fixture
def data_dir(directory: Path) -> Path:
    (directory / "data").mkdir()
    return directory / "data"


@pytest.fixture
def shell(directory: Path, data_dir: Path) -> CommandLine:
    return CommandLine(directory, {"FILEPLANE_DATA_DIR": str(data_dir)})


def test_everything_is_encrypted_anew_and_by_a_new_master_key_if_one_is_given(shell: CommandLine, data_dir: Path) -> None:
    asyncio.run(with_virtual_key(data_dir, None, make=True))
    old = MasterKeySource(data_dir).make()
    assert shell.succeed("secrets", "rotate") == (f"encrypted anew: 1 records; removed: 1 data keys\nmaster key in force: {old.id}\n")
    done = shell.run("secrets", "rotate", "--json", "--master-key-file", "new.key")
    assert (done.returncode, "as long as them" in done.stderr) == (0, True)
    new = read_key_file(shell.directory / "new.key")
    assert new is not None
    assert json.loads(done.stdout) == {
        "resumed": False,
        "records": 1,
        "dropped_data_keys": 1,
        "problems": [],
        "master_key_id": new.id,
    }
    assert MasterKeySource(data_dir).make().id == new.id
    assert asyncio.run(with_virtual_key(data_dir, None, make=False)) == CANARY
    assert not any(secret.text().reveal() in done.stdout + done.stderr for secret in (old, new))


def test_a_master_key_from_the_environment_is_changed_by_the_operator(shell: CommandLine, data_dir: Path) -> None:
    given = bytes(range(32))
    asyncio.run(with_virtual_key(data_dir, given, make=True))
    before = shell.where(FILEPLANE_MASTER_KEY=given.hex())
    for _ in range(2):  # the second time, as after an interruption
        done = before.run("secrets", "rotate", "--master-key-file", "new.key")
        assert (done.returncode, f"FILEPLANE_MASTER_KEY_FILE={shell.directory / 'new.key'}" in done.stderr) == (0, True), done
    assert "fileplane: The master key in FILEPLANE_MASTER_KEY" in before.run("secrets", "rotate").stderr
    shell.where(FILEPLANE_MASTER_KEY_FILE=str(shell.directory / "new.key")).succeed("secrets", "rotate")
    new = read_key_file(shell.directory / "new.key")
    assert new is not None
    assert asyncio.run(with_virtual_key(data_dir, new._key, make=False)) == CANARY
    assert not list(data_dir.glob("master.key*"))


def test_a_lost_master_key_is_refused_with_what_to_do(shell: CommandLine, data_dir: Path) -> None:
    asyncio.run(with_virtual_key(data_dir, None, make=True))
    key: MasterKey = MasterKeySource(data_dir).make()
    (data_dir / "master.key").unlink()
    message = shell.fail(1, "secrets", "rotate")
    assert message.startswith(f"The master key {data_dir / 'master.key'} is missing")
    assert key.id in message
    assert not (data_dir / "master.key").exists()


def test_a_backup_holds_no_master_key(shell: CommandLine, data_dir: Path) -> None:
    asyncio.run(with_virtual_key(data_dir, None, make=True))
    (data_dir / "blobs" / "tmp").mkdir(parents=True)
    text = MasterKeySource(data_dir).make().text().reveal()
    shell.succeed("backup", "backup")
    files = [path for path in (shell.directory / "backup").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert text.encode() not in content
        assert MasterKey(bytes(32)).id.encode() not in content
        assert CANARY.encode() not in content


def test_a_lost_master_key_can_be_given_up_after_being_told_what_goes_with_it(shell: CommandLine, data_dir: Path) -> None:
    asyncio.run(with_virtual_key(data_dir, None, make=True))
    assert shell.succeed("secrets", "forget").startswith("nothing is lost")
    (data_dir / "master.key").unlink()
    refused = shell.fail(1, "serve", "--port", "1")
    assert "fileplane secrets forget" in refused
    assert shell.succeed("secrets", "forget") == "virtual key mine: api_key\nnothing was changed; give these up with --yes\n"
    assert not (data_dir / "master.key").exists()
    told = shell.succeed("secrets", "forget", "--yes").splitlines()
    made = MasterKeySource(data_dir).present()
    assert made is not None
    assert told == ["virtual key mine: api_key", f"given up; master key in force: {made.id}"]
    assert json.loads(shell.succeed("secrets", "forget", "--yes", "--json")) == {
        "done": False,
        "virtual_keys": [],
        "configs": [],
        "lost_master_key_id": None,
    }
    assert json.loads(shell.succeed("virtual-key", "show", "mine", "--json"))["fields"] == {"api_key": "********"}


def test_a_master_key_in_place_of_the_lost_one_is_taken_and_a_damaged_one_is_not(shell: CommandLine, data_dir: Path) -> None:
    asyncio.run(with_virtual_key(data_dir, None, make=True))
    (data_dir / "master.key").write_text("no key")
    assert "fileplane secrets forget" in shell.fail(1, "secrets", "forget", "--yes")
    given = bytes(range(32))
    shell.where(FILEPLANE_MASTER_KEY=given.hex()).succeed("secrets", "forget", "--yes")
    assert (data_dir / "master.key").read_text() == "no key"
    shell.where(FILEPLANE_MASTER_KEY=given.hex()).succeed("secrets", "rotate")
