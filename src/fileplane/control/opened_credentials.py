"""The credentials of virtual keys as calls to providers use them: opened, and remembered for a moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from fileplane import errors
from fileplane.clock import Clock
from fileplane.control.failures import told
from fileplane.credentials import Sharing, VirtualKey
from fileplane.metadata.control import ControlStore, VirtualKeyNotFound
from fileplane.secrets.values import Secret
from fileplane.secrets.vault import Vault

CACHE_SECONDS: Final = 3.0
"""For so long a virtual key that was changed elsewhere may still be used as it was before."""
_MOST_CACHED: Final = 1_000


@dataclass(frozen=True, slots=True)
class OpenedCredential:
    """A credential for calls to its provider, to be sent nowhere but to ``custom_host``, or the provider's own."""

    id: str
    """Of the virtual key, by which the catalog knows it."""
    slug: str
    provider: str
    custom_host: str | None
    sharing: Sharing
    clear: Mapping[str, str]
    secrets: Mapping[str, Secret] = field(repr=False)
    keep_copy: bool = False


@dataclass(frozen=True, slots=True)
class _Remembered:
    until: float
    records: tuple[VirtualKey, VirtualKey]
    credential: OpenedCredential


class OpenedCredentials:
    """Finds and opens them. What this process changes is seen at once (:meth:`forget`), changes elsewhere within 3 seconds."""

    def __init__(self, metadata: ControlStore, vault: Vault, clock: Clock) -> None:
        self._metadata = metadata
        self._vault = vault
        self._clock = clock
        self._remembered: OrderedDict[tuple[str | None, str], _Remembered] = OrderedDict()
        self._changes = 0

    def forget(self) -> None:
        """To be called when something has been changed. What is being opened meanwhile is not remembered."""
        self._changes += 1
        self._remembered.clear()

    async def get(self, project_id: str | None, slug: str) -> OpenedCredential:
        """The credential that requests of a project use under this slug. None: for what has begun already, whoever may use it by now.

        Raises :class:`~fileplane.errors.RecordNotFound` for one that does not exist or that the project may not use,
        :class:`~fileplane.errors.InvalidValue` for one that has expired, :class:`~fileplane.errors.CredentialUnavailable`.
        """
        now = self._clock.monotonic()
        found = self._remembered.get((project_id, slug))
        if found is None or found.until <= now:
            found = await self._found(project_id, slug, now + CACHE_SECONDS)
        self._require_current(found.records)
        return found.credential

    async def _found(self, project_id: str | None, slug: str, until: float) -> _Remembered:
        self._remembered.pop((project_id, slug), None)
        changes = self._changes
        with told("virtual key"):
            key = await self._usable(project_id, slug)
            holder = key if key.integration is None else await self._metadata.get_virtual_key(key.integration)
            self._require_current((key, holder))
            widest = key.sharing is Sharing.ACCOUNT and holder.sharing is Sharing.ACCOUNT
            sharing = Sharing.ACCOUNT if widest else Sharing.PROJECT
            secrets = await self._vault.open(holder)
        credential = OpenedCredential(key.id, slug, holder.provider, holder.custom_host, sharing, holder.clear, secrets, key.keep_copy)
        found = _Remembered(until, (key, holder), credential)
        if changes == self._changes:
            self._remembered[project_id, slug] = found
            if len(self._remembered) > _MOST_CACHED:
                self._remembered.popitem(last=False)
        return found

    def _require_current(self, records: tuple[VirtualKey, VirtualKey]) -> None:
        seconds = self._clock.now_ms() // 1000
        for record in records:
            if record.expires_at is not None and record.expires_at <= seconds:
                raise errors.InvalidValue(f"The virtual key '{record.slug}' has expired.", param="virtual_key")

    async def _usable(self, project_id: str | None, slug: str) -> VirtualKey:
        with suppress(VirtualKeyNotFound):
            key = await self._metadata.get_virtual_key(slug)
            if project_id is None or project_id in key.project_ids:
                return key
        raise errors.RecordNotFound("virtual key", slug, param="virtual_key")
