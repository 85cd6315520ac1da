"""New keys in place of old ones, while everything stays readable. Whatever interrupts it, the next run finishes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from fileplane.credentials import Sealed, SealedRecord
from fileplane.metadata.control import ControlStore, DataKeysChanged
from fileplane.model import Origin
from fileplane.secrets.envelope import MasterKey
from fileplane.secrets.master_key import MasterKeySource
from fileplane.secrets.vault import CredentialDamaged, Vault

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation of the data key did. ``problems`` names what does not open; they were left as they are."""

    resumed: bool
    """Whether it finished an earlier one, and made no data key of its own."""
    records: int
    """How many virtual keys and documents of configs were encrypted anew."""
    dropped_data_keys: int
    problems: tuple[str, ...]


async def rotate_data_key(metadata: ControlStore, vault: Vault, origin: Origin) -> Rotation:
    """Makes a new data key, encrypts every stored credential with it, and removes the data keys that nothing needs any more.

    Interrupted, it leaves some credentials under the old data key, which stays until the next run has gone through them.
    Raises :class:`~fileplane.secrets.master_key.MasterKeyUnusable`.
    """
    stale = await metadata.stale_records("", 1)
    readable = [key for key in stale if await _readable(vault, key)]
    resumed = bool(readable)
    if not resumed:
        active = next((key.id for key in await metadata.list_data_keys() if key.active), None)
        await vault.renew(active, origin)
    resealed, problems = await _reseal_all(metadata, vault, origin)
    dropped = await metadata.drop_unused_data_keys(origin)
    return Rotation(resumed, resealed, len(dropped), tuple(problems))


async def _readable(vault: Vault, key: SealedRecord) -> bool:
    try:
        await vault.open_stored(key.id, key.label, key.sealed)
    except CredentialDamaged:
        return False
    return True


async def _reseal_all(metadata: ControlStore, vault: Vault, origin: Origin) -> tuple[int, list[str]]:
    """Goes round until nobody has changed anything between its being read and being written, so that none is left out."""
    resealed, overtaken = 0, True
    problems: list[str] = []
    while overtaken:
        overtaken, problems, after = False, [], ""
        while page := await metadata.stale_records(after, _PAGE):
            for key in page:
                try:
                    done = await _reseal(metadata, vault, key, origin)
                except CredentialDamaged as error:
                    problems.append(str(error))
                else:
                    resealed += done
                    overtaken = overtaken or not done
            after = page[-1].id
    return resealed, problems


async def _reseal(metadata: ControlStore, vault: Vault, key: SealedRecord, origin: Origin) -> bool:
    fields = await vault.open_stored(key.id, key.label, key.sealed)

    async def store(sealed: Sealed) -> bool:
        return await metadata.reseal_record(key, sealed, origin)

    return await vault.stored(key.id, fields, store)


async def rotate_master_key(metadata: ControlStore, source: MasterKeySource, old: MasterKey, new: MasterKey, origin: Origin) -> None:
    """Wraps every data key by ``new`` and puts it in force, in one transaction.

    A key in the data directory is put in its place afterwards, and the old one kept under a name with its id; wherever that is
    interrupted, one of the two files there is the key in force, which the next start finds. A key that was given by the setting is the
    operator's to change. Raises :class:`~fileplane.secrets.envelope.SealBroken` for a data key that is damaged,
    :class:`~fileplane.metadata.base.MasterKeyChanged` and OSError.
    """
    await asyncio.to_thread(source.stage, new)
    while True:
        keys = await metadata.list_data_keys()
        wrapped = {key.id: new.wrap(key.id, old.unwrap(key.id, key.wrapped)) for key in keys}
        try:
            await metadata.rewrap_data_keys(old.id, new.id, wrapped, origin)
            break
        except DataKeysChanged:
            continue
    await asyncio.to_thread(source.settle, new.id)
