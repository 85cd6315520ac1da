"""Where the master key is, and what happens when it is not."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fileplane.metadata.base import MetadataStore
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.secrets import master_key
from fileplane.secrets.envelope import MasterKey
from fileplane.secrets.master_key import (
    MasterKeyDamaged,
    MasterKeyMissing,
    MasterKeySource,
    MasterKeyWrong,
    read_key_file,
    unlock,
    write_key_file,
)
from fileplane.setting_sources import load_settings
from fileplane.setting_values import parse_key
from fileplane.settings import SettingsError
from fileplane.testing.clock import ManualClock
from fileplane.testing.secrets_suite import new_data_key

GIVEN = os.urandom(32)


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[MetadataStore]:
    prepare_database(tmp_path / "fileplane.db")
    store = SqliteMetadataStore(tmp_path / "fileplane.db", ManualClock())
    yield store
    await store.close()


async def test_the_first_start_makes_a_private_key_and_later_ones_use_it(metadata: MetadataStore, tmp_path: Path) -> None:
    source = MasterKeySource(tmp_path)
    key, made = await unlock(metadata, source)
    assert made
    assert stat.S_IMODE(source.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("master.key")] == ["master.key"]
    again, made = await unlock(metadata, MasterKeySource(tmp_path))
    assert (again.id, made) == (key.id, False)
    assert await metadata.master_key_id() == key.id


async def test_a_given_key_is_used_and_no_file_is_made(metadata: MetadataStore, tmp_path: Path) -> None:
    key, made = await unlock(metadata, MasterKeySource(tmp_path, GIVEN))
    assert (key.id, made) == (MasterKey(GIVEN).id, False)
    assert not (tmp_path / "master.key").exists()


async def test_a_lost_key_is_told_apart_from_a_wrong_and_a_damaged_one(metadata: MetadataStore, tmp_path: Path) -> None:
    source = MasterKeySource(tmp_path)
    key, _ = await unlock(metadata, source)
    await new_data_key(metadata, key.id)
    kept = source.path.read_bytes()

    source.path.unlink()
    with pytest.raises(MasterKeyMissing, match=f"(?s){source.path}.*{key.id}.*FILEPLANE_MASTER_KEY_FILE.*Nothing was changed"):
        await unlock(metadata, source)
    assert not source.path.exists()

    write_key_file(source.path, MasterKey(GIVEN))
    with pytest.raises(MasterKeyWrong, match=f"{MasterKey(GIVEN).id}.*{key.id}"):
        await unlock(metadata, source)
    with pytest.raises(MasterKeyWrong, match="FILEPLANE_MASTER_KEY"):
        await unlock(metadata, MasterKeySource(tmp_path, GIVEN))

    for damage in (b"", kept[:-5], b"x" + kept, b"\xff" * 44, b"A" * 44, b"0" * 64):
        source.path.write_bytes(damage)
        with pytest.raises(MasterKeyDamaged, match="Do not make a new one") as failure:
            await unlock(metadata, source)
        assert kept.decode().strip()[:20] not in str(failure.value)

    source.path.write_bytes(kept)
    assert (await unlock(metadata, source))[0].id == key.id


async def test_while_nothing_is_encrypted_a_lost_key_is_replaced(metadata: MetadataStore, tmp_path: Path) -> None:
    source = MasterKeySource(tmp_path)
    lost, _ = await unlock(metadata, source)
    source.path.unlink()
    key, made = await unlock(metadata, source)
    assert made
    assert key.id != lost.id
    assert await metadata.master_key_id() == key.id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    write_key_file(path, MasterKey(GIVEN))
    path.chmod(mode)
    with pytest.raises(MasterKeyDamaged, match="chmod 600"):
        read_key_file(path)


def test_a_link_a_pipe_or_a_directory_is_no_key(tmp_path: Path) -> None:
    write_key_file(tmp_path / "real", MasterKey(GIVEN))
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "directory", "pipe"):
        with pytest.raises(MasterKeyDamaged):
            read_key_file(tmp_path / name)
    assert read_key_file(tmp_path / "nothing") is None


def test_starts_at_once_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: MasterKeySource(tmp_path).make().id, range(16)))
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_a_new_key_is_on_disk_with_its_name_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named_when_synced: list[bool] = []

    def noted(_: int) -> None:
        named_when_synced.append((tmp_path / "master.key").exists())

    monkeypatch.setattr(master_key, "_sync_descriptor", noted)
    MasterKeySource(tmp_path).make()
    assert named_when_synced == [False, True]


def test_a_failed_fsync_leaves_no_key_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(5, "the disk failed")

    monkeypatch.setattr(master_key, "_sync_descriptor", failing)
    with pytest.raises(OSError, match="the disk failed"):
        MasterKeySource(tmp_path).make()
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_read_from_base64_or_hex_and_never_shown(tmp_path: Path) -> None:
    text = MasterKey(GIVEN).text().reveal()
    (tmp_path / "given").write_text(text + "\n")
    for environment in ({"FILEPLANE_MASTER_KEY": GIVEN.hex()}, {"FILEPLANE_MASTER_KEY_FILE": str(tmp_path / "given")}):
        loaded = load_settings(environment=environment)
        assert loaded.settings.master_key == GIVEN
        shown = repr(loaded.settings) + "".join(row.shown_value for row in loaded.rows())
        assert not any(form in shown for form in (text, GIVEN.hex(), repr(GIVEN)[2:-1]))
    for wrong in (text[:-4], text + "AAAA", GIVEN.hex()[:-2], "A" * 43 + "=", "00" * 32, "secret", 5, None):
        with pytest.raises(ValueError, match="openssl rand"):
            parse_key(wrong)
    with pytest.raises(SettingsError) as failure:
        load_settings(environment={"FILEPLANE_MASTER_KEY": text[:-4]})
    assert text[:20] not in str(failure.value)
