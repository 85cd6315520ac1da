"""The way on after the master key was lost for good: what it encrypted is given up, and everything else stays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fileplane.metadata.control import ControlStore
from fileplane.model import Origin
from fileplane.secrets.master_key import MasterKeySource


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost with the master key of the id ``master_key_id``, or None when there is nothing to give up."""

    master_key_id: str | None
    virtual_keys: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Slugs, with the names of the fields."""
    configs: tuple[tuple[str, int], ...] = ()
    """Slugs, with the number of documents."""


async def planned_loss(metadata: ControlStore, source: MasterKeySource) -> Loss:
    """What :func:`forget` would give up. Changes nothing. Raises :class:`~fileplane.secrets.master_key.MasterKeyDamaged`."""
    in_force = await metadata.master_key_id()
    if in_force is None or not await metadata.list_data_keys() or await asyncio.to_thread(source.find, in_force) is not None:
        return Loss(None)
    virtual_keys = [(key.slug, tuple(sorted(key.sealed.fields))) for key in await metadata.list_virtual_keys() if key.sealed.fields]
    configs = [(config.slug, len(await metadata.list_config_versions(config.slug))) for config in await metadata.list_configs()]
    return Loss(in_force, tuple(virtual_keys), tuple(configs))


async def forget(metadata: ControlStore, source: MasterKeySource, lost: Loss, origin: Origin) -> str:
    """Gives up what the lost master key encrypted, and puts another in force: the one that is in its place, or one made now. Its id.

    Slugs, names, projects, references and whatever refers to them stay, so that setting the secrets and documents anew is all there is
    to do. Raises :class:`~fileplane.metadata.control.MasterKeyChanged`, MasterKeyDamaged and OSError.
    """
    assert lost.master_key_id is not None
    key = await asyncio.to_thread(lambda: source.present() or source.make())
    await metadata.forget_ciphertexts(lost.master_key_id, key.id, origin)
    return key.id
