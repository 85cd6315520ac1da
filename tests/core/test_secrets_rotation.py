"""The vault, and new keys in place of old ones, interrupted at every step."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from fileplane.credentials import Sealed, VirtualKey
from fileplane.ids import uuid7
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import RecordChanged
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import connect, prepare_database
from fileplane.secrets import envelope, master_key, vault
from fileplane.secrets.envelope import MasterKey, SealBroken
from fileplane.secrets.master_key import MasterKeySource, MasterKeyUnusable, unlock
from fileplane.secrets.references import References
from fileplane.secrets.rotation import rotate_data_key, rotate_master_key
from fileplane.secrets.values import Secret
from fileplane.secrets.vault import CredentialDamaged, Vault
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import Fails, NaughtyMetadataStore, Plan
from fileplane.testing.metadata_store_suite import NOBODY
from fileplane.testing.secrets_suite import changed, new_virtual_key

CANARY = "sk-canary-vault-5a6b7c8d"
FIELDS = {"api_key": Secret(CANARY), "token": Secret("another")}


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[SqliteMetadataStore]:
    prepare_database(data_dir / "fileplane.db")
    store = SqliteMetadataStore(data_dir / "fileplane.db", ManualClock())
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[MetadataStore]:
    async with opened(tmp_path) as store:
        yield store


async def vault_of(metadata: MetadataStore, data_dir: Path, given: bytes | None = None) -> Vault:
    source = MasterKeySource(data_dir, given)
    key, _ = await unlock(metadata, source)
    return Vault(metadata, source, key, References(["env:*"], data_dir, {"NAME": CANARY}), ManualClock())


async def make(metadata: MetadataStore, kept: Vault, slug: str) -> VirtualKey:
    key_id = uuid7(1)

    async def store(sealed: Sealed) -> VirtualKey:
        return await metadata.create_virtual_key(new_virtual_key(slug, id=key_id, sealed=sealed), NOBODY)

    return await kept.stored(key_id, FIELDS, store)


async def require_readable(metadata: MetadataStore, reader: Vault, number: int) -> None:
    keys = await metadata.list_virtual_keys()
    assert len(keys) == number
    for key in keys:
        assert await reader.open(key) == FIELDS


async def test_fields_are_read_as_they_were_stored_by_any_process(metadata: MetadataStore, tmp_path: Path) -> None:
    made = await make(metadata, await vault_of(metadata, tmp_path), "mine")
    another = await vault_of(metadata, tmp_path)
    assert await another.open(await metadata.get_virtual_key("mine")) == FIELDS
    assert made.sealed.data_key_ids == {key.id for key in await metadata.list_data_keys()}


async def test_references_are_read_with_the_stored_fields(metadata: MetadataStore, tmp_path: Path) -> None:
    kept = await vault_of(metadata, tmp_path)
    made = await metadata.create_virtual_key(new_virtual_key("mine", references={"api_key": "env:NAME"}), NOBODY)
    assert await kept.open(made) == {"api_key": Secret(CANARY)}
    assert await metadata.list_data_keys() == []


async def test_a_secret_is_in_no_byte_of_the_data_directory(tmp_path: Path) -> None:
    async with opened(tmp_path) as metadata:
        kept = await vault_of(metadata, tmp_path)
        made = await make(metadata, kept, "mine")
        await rotate_data_key(metadata, kept, NOBODY)
        await metadata.delete_virtual_key("mine", NOBODY)
        assert CANARY not in repr(made) + repr(kept) + repr(vars(kept))
        await metadata.snapshot(tmp_path / "snapshot.db")
        keys = [MasterKeySource(tmp_path).make().text().reveal().encode(), *(kept._opened.values())]
        databases = [path for path in tmp_path.iterdir() if ".db" in path.name]
        assert len(databases) >= 2
        for path in databases:
            stored = path.read_bytes()
            assert not any(secret in stored for secret in [CANARY.encode(), CANARY[4:].encode(), *keys]), path


async def test_fields_swapped_between_virtual_keys_are_noticed(metadata: MetadataStore, tmp_path: Path) -> None:
    kept = await vault_of(metadata, tmp_path)
    one, two = await make(metadata, kept, "one"), await make(metadata, kept, "two")
    swapped = replace(two, sealed=one.sealed)
    with pytest.raises(CredentialDamaged, match="'api_key' of virtual key 'two'") as failure:
        await kept.open(swapped)
    assert CANARY not in str(failure.value)
    fields = {"api_key": one.sealed.fields["token"], "token": one.sealed.fields["api_key"]}
    with pytest.raises(CredentialDamaged):
        await kept.open(replace(one, sealed=replace(one.sealed, fields=fields)))


async def test_damage_is_told_apart_from_a_wrong_master_key(metadata: MetadataStore, tmp_path: Path) -> None:
    made = await make(metadata, await vault_of(metadata, tmp_path), "mine")
    (data_key,) = await metadata.list_data_keys()
    key = MasterKeySource(tmp_path).make()
    await metadata.rewrap_data_keys(key.id, key.id, {data_key.id: data_key.wrapped[:-1] + bytes([data_key.wrapped[-1] ^ 1])}, NOBODY)
    fresh = await vault_of(metadata, tmp_path)
    with pytest.raises(CredentialDamaged, match="Set it anew"):
        await fresh.open(made)
    again = await make(metadata, fresh, "again")
    assert await fresh.open(again) == FIELDS
    rotation = await rotate_data_key(metadata, await vault_of(metadata, tmp_path), NOBODY)
    assert len(rotation.problems) == 1
    assert "mine" in rotation.problems[0]
    assert await metadata.get_virtual_key("mine") == made


async def test_a_data_key_that_is_used_up_is_replaced(metadata: MetadataStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "MOST_USES", 6)
    kept = await vault_of(metadata, tmp_path)
    for number in range(7):
        await make(metadata, kept, f"key {number}")
    assert sorted(key.uses for key in await metadata.list_data_keys()) == [2, 6, 6]
    await require_readable(metadata, kept, 7)


async def test_a_rotation_leaves_no_ciphertext_and_no_key_of_before(metadata: MetadataStore, tmp_path: Path) -> None:
    kept = await vault_of(metadata, tmp_path)
    before = [await make(metadata, kept, f"key {number}") for number in range(5)]
    (old,) = await metadata.list_data_keys()
    rotation = await rotate_data_key(metadata, kept, NOBODY)
    assert (rotation.resumed, rotation.records, rotation.dropped_data_keys, rotation.problems) == (False, 5, 1, ())
    (new,) = await metadata.list_data_keys()
    assert new.id != old.id
    after = await metadata.list_virtual_keys()
    assert not {text for key in before for text in key.sealed.fields.values()} & {
        text for key in after for text in key.sealed.fields.values()
    }
    await require_readable(metadata, await vault_of(metadata, tmp_path), 5)


async def test_others_read_and_write_while_a_rotation_goes_on(metadata: MetadataStore, tmp_path: Path) -> None:
    kept, other = await vault_of(metadata, tmp_path), await vault_of(metadata, tmp_path)
    for number in range(10):
        await make(metadata, kept, f"key {number}")
    rotating = asyncio.ensure_future(rotate_data_key(metadata, kept, NOBODY))
    made = 10
    while not rotating.done():
        await make(metadata, other, f"key {made}")
        made += 1
        renamed = await metadata.get_virtual_key("key 9")
        with suppress(RecordChanged):
            await metadata.update_virtual_key(renamed, changed(renamed, name=f"name {made}"), NOBODY)
        await require_readable(metadata, other, made)
    assert (await rotating).problems == ()
    assert await metadata.stale_records("", 10) == []
    await require_readable(metadata, other, made)


async def test_a_new_master_key_takes_the_place_of_the_old_which_stays_beside_it(metadata: MetadataStore, tmp_path: Path) -> None:
    serving = await vault_of(metadata, tmp_path)
    made = await make(metadata, serving, "mine")
    late = await vault_of(metadata, tmp_path)
    source, new = MasterKeySource(tmp_path), MasterKey(os.urandom(32))
    old = source.make()
    await rotate_master_key(metadata, source, old, new, NOBODY)
    assert source.make().id == new.id == await metadata.master_key_id()
    assert source.find(old.id) is not None
    for reader in (serving, late, await vault_of(metadata, tmp_path)):
        assert await reader.open(made) == FIELDS
    await make(metadata, late, "later")
    await rotate_data_key(metadata, serving, NOBODY)
    await require_readable(metadata, late, 2)
    (data_key,) = await metadata.list_data_keys()
    with pytest.raises(SealBroken):
        old.unwrap(data_key.id, data_key.wrapped)


async def test_a_server_with_a_given_key_reads_on_and_is_told_when_it_needs_the_new_one(metadata: MetadataStore, tmp_path: Path) -> None:
    given, new = os.urandom(32), MasterKey(os.urandom(32))
    serving, late = await vault_of(metadata, tmp_path, given), await vault_of(metadata, tmp_path, given)
    made = await make(metadata, serving, "mine")
    await rotate_master_key(metadata, MasterKeySource(tmp_path, given), MasterKey(given), new, NOBODY)
    assert await serving.open(made) == FIELDS
    with pytest.raises(MasterKeyUnusable, match=new.id):
        await late.open(made)
    assert not list(tmp_path.glob("master.key*"))


async def prepared(data_dir: Path, number: int = 3) -> None:
    async with opened(data_dir) as metadata:
        kept = await vault_of(metadata, data_dir)
        for index in range(number):
            await make(metadata, kept, f"key {index}")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_rotation_interrupted_at_any_call_is_finished_by_the_next(tmp_path: Path, after: bool) -> None:
    await prepared(tmp_path)
    async with opened(tmp_path) as metadata:
        reader = await vault_of(metadata, tmp_path)
        for point in count(1):
            plan = Plan({point: Fails(KeyError("interrupted"), after=after)})
            naughty = cast("MetadataStore", NaughtyMetadataStore(metadata, plan))
            source = MasterKeySource(tmp_path)
            interrupted = Vault(naughty, source, source.make(), References((), tmp_path), ManualClock())
            try:
                await rotate_data_key(naughty, interrupted, NOBODY)
            except KeyError:
                await require_readable(metadata, reader, 3)
                await require_readable(metadata, await vault_of(metadata, tmp_path), 3)
            rotation = await rotate_data_key(metadata, await vault_of(metadata, tmp_path), NOBODY)
            assert rotation.problems == ()
            (key,) = await metadata.list_data_keys()
            assert {key.id} == {needed for entry in await metadata.list_virtual_keys() for needed in entry.sealed.data_key_ids}
            await require_readable(metadata, reader, 3)
            if not plan.struck:
                assert point > 8
                break


async def rotated_master_key(metadata: MetadataStore, data_dir: Path, new: MasterKey) -> None:
    source = MasterKeySource(data_dir)
    old, _ = await unlock(metadata, source)
    await rotate_master_key(metadata, source, old, new, NOBODY)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_new_master_key_interrupted_at_any_call_of_the_database_loses_nothing(tmp_path: Path, after: bool) -> None:
    await prepared(tmp_path)
    async with opened(tmp_path) as metadata:
        for point in count(1):
            plan = Plan({point: Fails(KeyError("interrupted"), after=after)})
            new = MasterKey(os.urandom(32))
            try:
                await rotated_master_key(cast("MetadataStore", NaughtyMetadataStore(metadata, plan)), tmp_path, new)
            except KeyError:
                await require_readable(metadata, await vault_of(metadata, tmp_path), 3)
            if await metadata.master_key_id() != new.id:
                await rotated_master_key(metadata, tmp_path, new)
            await require_readable(metadata, await vault_of(metadata, tmp_path), 3)
            assert MasterKeySource(tmp_path).make().id == new.id
            if not plan.struck:
                assert point > 3
                break


class PowerCut(BaseException):
    pass


def counted(call: Callable[..., Any], steps: list[str], stop_at: int, *, after: bool) -> Callable[..., Any]:
    def step(*args: Any, **kwargs: Any) -> Any:
        steps.append(call.__name__)
        stop = len(steps) == stop_at
        if stop and not after:
            raise PowerCut
        result = call(*args, **kwargs)
        if stop:
            raise PowerCut
        return result

    return step


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_new_master_key_interrupted_at_any_change_of_files_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    await prepared(tmp_path)
    real = {"link": os.link, "open": os.open, "fdopen": os.fdopen}
    sync, replace_file = master_key._sync_descriptor, Path.replace
    async with opened(tmp_path) as metadata:
        for stop_at in count(1):
            steps: list[str] = []
            new = MasterKey(os.urandom(32))
            with monkeypatch.context() as patch:
                for name, call in real.items():
                    patch.setattr(os, name, counted(call, steps, stop_at, after=after and name == "link"))
                patch.setattr(master_key, "_sync_descriptor", counted(sync, steps, stop_at, after=after))
                patch.setattr(Path, "replace", counted(replace_file, steps, stop_at, after=after))
                await _interrupted(rotated_master_key(metadata, tmp_path, new))
            await require_readable(metadata, await vault_of(metadata, tmp_path), 3)
            if await metadata.master_key_id() != new.id:
                await rotated_master_key(metadata, tmp_path, new)
            await require_readable(metadata, await vault_of(metadata, tmp_path), 3)
            assert MasterKeySource(tmp_path).make().id == new.id
            if len(steps) < stop_at:
                assert stop_at > 12
                break
    assert not list(tmp_path.glob("*.tmp"))


async def _interrupted(work: Awaitable[None]) -> None:
    with suppress(PowerCut):
        await work


async def test_bytes_flipped_in_the_database_are_damage_and_nothing_else(tmp_path: Path) -> None:
    await prepared(tmp_path, 1)
    connection: apsw.Connection = connect(tmp_path / "fileplane.db")
    ((text,),) = connection.execute("SELECT encrypted_fields FROM virtual_keys").fetchall()
    start = text.index('"api_key": "') + 12
    async with opened(tmp_path) as metadata:
        kept = await vault_of(metadata, tmp_path)
        for position in range(start, start + 60, 7):
            spoilt = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
            connection.execute("UPDATE virtual_keys SET encrypted_fields = ?", (spoilt,))
            with pytest.raises(CredentialDamaged, match="api_key"):
                await kept.open(await metadata.get_virtual_key("key 0"))
    connection.close()


def test_the_limit_of_a_data_key_keeps_nonces_apart() -> None:
    # The birthday bound: uses squared over twice the number of nonces.
    assert envelope.MOST_USES**2 / 2**97 < 2**-50
