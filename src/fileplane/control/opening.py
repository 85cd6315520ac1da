"""What the use cases stand on, for the server and for the command line alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fileplane.clock import Clock, SystemClock
from fileplane.control.configs import Configs
from fileplane.control.virtual_keys import VirtualKeys
from fileplane.metadata.control import ControlStore
from fileplane.secrets.master_key import MasterKeySource, unlock
from fileplane.secrets.references import References
from fileplane.secrets.vault import Vault
from fileplane.settings import Settings


@dataclass(frozen=True, slots=True)
class Credentials:
    """The use cases that need the master key."""

    vault: Vault
    virtual_keys: VirtualKeys
    configs: Configs
    made_master_key: Path | None = None
    """Where a master key was made just now, of which somebody should be told to keep a copy."""


async def open_credentials(metadata: ControlStore, settings: Settings, clock: Clock | None = None) -> Credentials:
    """``clock`` tells what has expired; the machine's own if there is none.

    Raises :class:`~fileplane.secrets.master_key.MasterKeyUnusable`.
    """
    source = MasterKeySource(settings.data_dir, settings.master_key, shared=settings.database_url is not None)
    master_key, made = await unlock(metadata, source)
    clock = clock or SystemClock()
    opened = credentials_over(metadata, Vault(metadata, source, master_key, _references(settings), clock), settings, clock)
    return replace(opened, made_master_key=source.path) if made else opened


def credentials_over(metadata: ControlStore, vault: Vault, settings: Settings, clock: Clock | None = None) -> Credentials:
    """The use cases over a vault that is open."""
    clock = clock or SystemClock()
    return Credentials(vault, VirtualKeys(metadata, vault, _references(settings), clock), Configs(metadata, vault, clock))


def _references(settings: Settings) -> References:
    return References(settings.secret_refs_allow, settings.data_dir)
