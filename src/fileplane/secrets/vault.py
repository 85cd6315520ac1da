"""Seals the credentials of virtual keys, and opens them for whoever calls a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from fileplane.clock import Clock
from fileplane.credentials import DataKey, NewDataKey, Sealed, VirtualKey
from fileplane.ids import uuid7
from fileplane.metadata.control import ControlStore, DataKeyRetired, MasterKeyChanged
from fileplane.model import Origin
from fileplane.secrets import envelope
from fileplane.secrets.envelope import MOST_USES, MasterKey, SealBroken
from fileplane.secrets.master_key import MasterKeySource, MasterKeyUnusable
from fileplane.secrets.references import Reference, References, parse_reference
from fileplane.secrets.values import Secret

T = TypeVar("T")
_ATTEMPTS: Final = 5


class CredentialDamaged(Exception):
    """A stored field does not open, although the master key is right. It has to be set anew; the message names owner and field."""


class Vault:
    """Keeps the data keys in memory, opened, and follows rotations that happen in other processes.

    Reading goes on during a rotation: a data key that was opened once stays readable, and one that is not known is looked up, if need
    be with the master key that has taken the place of the one that this process began with.
    """

    def __init__(
        self, metadata: ControlStore, source: MasterKeySource, master_key: MasterKey, references: References, clock: Clock
    ) -> None:
        """``master_key`` as :func:`~fileplane.secrets.master_key.unlock` has found it."""
        self._metadata = metadata
        self._source = source
        self._master_key = master_key
        self._references = references
        self._clock = clock
        self._opened: dict[str, bytes] = {}

    async def seal(self, owner_id: str, fields: Mapping[str, Secret]) -> Sealed:
        """Encrypts the fields of something, with the active data key; the first of all is made for it.

        The result may be refused by the store with :class:`~fileplane.metadata.control.DataKeyRetired` when a rotation comes between:
        :meth:`stored` does both and tries again. Raises ValueError for a value that is too long, and
        :class:`~fileplane.secrets.master_key.MasterKeyUnusable`.
        """
        if not fields:
            return Sealed()
        active_id, key = await self._active()
        return Sealed(
            {name: envelope.seal(key, active_id, owner_id, name, value) for name, value in fields.items()}, frozenset({active_id})
        )

    async def stored(self, owner_id: str, fields: Mapping[str, Secret], store: Callable[[Sealed], Coroutine[Any, Any, T]]) -> T:
        """Seals fields and stores them by ``store``, again if the data key was retired in between. Raises what ``store`` raises."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return await store(await self.seal(owner_id, fields))
            except DataKeyRetired:
                continue
        return await store(await self.seal(owner_id, fields))

    async def open(self, key: VirtualKey) -> dict[str, Secret]:
        """Every secret field of a virtual key: decrypted, or read from where a reference says.

        Raises :class:`CredentialDamaged`, :class:`~fileplane.secrets.master_key.MasterKeyUnusable`,
        :class:`~fileplane.secrets.references.ReferenceNotAllowed` or :class:`~fileplane.secrets.references.ReferenceUnreadable`.
        """
        opened = await self.open_stored(key.id, f"virtual key '{key.slug}'", key.sealed)
        for name, text in key.references.items():
            reference = parse_reference(text)
            assert isinstance(reference, Reference)
            opened[name] = await self._references.read(reference)
        return opened

    async def open_stored(self, owner_id: str, label: str, sealed: Sealed) -> dict[str, Secret]:
        """The fields that are stored encrypted; ``label`` is what errors call their owner. Raises as :meth:`open`."""
        return {name: await self._unsealed(owner_id, label, name, text) for name, text in sealed.fields.items()}

    async def _unsealed(self, owner_id: str, label: str, name: str, sealed: str) -> Secret:
        try:
            data_key_id = envelope.data_key_id_of(sealed)
            known = self._opened.get(data_key_id) or await self._data_key(await self._recorded(data_key_id))
            return envelope.unseal(known, owner_id, name, sealed)
        except SealBroken as error:
            raise CredentialDamaged(
                f"The field '{name}' of {label} cannot be decrypted: {error} Set it anew, or restore a backup."
            ) from error

    async def _recorded(self, data_key_id: str) -> DataKey:
        for key in await self._metadata.list_data_keys():
            if key.id == data_key_id:
                return key
        raise SealBroken(f"There is no data key {data_key_id}.")

    async def _active(self) -> tuple[str, bytes]:
        """The data key that encrypts, with its id. One that is used up, or does not open any more, is replaced."""
        for _ in range(_ATTEMPTS):
            active = next((key for key in await self._metadata.list_data_keys() if key.active), None)
            if active is not None and active.uses < MOST_USES:
                try:
                    return active.id, await self._data_key(active)
                except SealBroken:
                    pass
            await self.renew(None if active is None else active.id, Origin())
        raise AssertionError("A data key that was made is not there.")

    async def renew(self, replaced_id: str | None, origin: Origin) -> bool:
        """Makes a data key that encrypts from now on, unless another than ``replaced_id`` does. Whether it did.

        Raises :class:`~fileplane.secrets.master_key.MasterKeyUnusable`.
        """
        data_key, data_key_id = envelope.new_data_key(), uuid7(self._clock.now_ms())
        try:
            new = NewDataKey(data_key_id, self._master_key.wrap(data_key_id, data_key), self._master_key.id)
            return await self._metadata.replace_data_key(new, replaced_id, origin)
        except MasterKeyChanged:
            await self._follow()
            return False

    async def _data_key(self, key: DataKey) -> bytes:
        if key.id not in self._opened:
            try:
                self._opened[key.id] = self._master_key.unwrap(key.id, key.wrapped)
            except SealBroken:
                if await self._metadata.master_key_id() == self._master_key.id:
                    raise
                await self._follow()
                self._opened[key.id] = self._master_key.unwrap(key.id, (await self._recorded(key.id)).wrapped)
        return self._opened[key.id]

    async def _follow(self) -> None:
        """Takes up the master key in force, after somebody has put another one there."""
        in_force = await self._metadata.master_key_id()
        if in_force is None or in_force == self._master_key.id:
            return
        key = await asyncio.to_thread(self._source.find, in_force)
        if key is None:
            raise MasterKeyUnusable(
                f"The master key was changed to the one with the id {in_force}. Start the server again with it in FILEPLANE_MASTER_KEY or "
                "FILEPLANE_MASTER_KEY_FILE."
            )
        self._master_key = key
