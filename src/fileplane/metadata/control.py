"""The ControlStore protocol: the records of projects, API keys, configs and credentials.

A :class:`~fileplane.metadata.base.MetadataStore` is one too; what is said there of all methods holds for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from fileplane.access import ApiKey, KnownKey, NewApiKey, NewProject, Project
from fileplane.credentials import DataKey, NewDataKey, NewVirtualKey, Sealed, SealedRecord, VirtualKey
from fileplane.model import Origin
from fileplane.saved_configs import ConfigVersion, NewConfig, NewConfigVersion, SavedConfig


class SlugTaken(Exception):
    """Something of that kind has that slug already; slugs are the organisation's."""


class UnknownProject(Exception):
    """There is no project with that id."""


class ApiKeyNotFound(Exception):
    """There is no API key with that id, or it was revoked."""


class VirtualKeyNotFound(Exception):
    """No virtual key has that slug."""


class ConfigNotFound(Exception):
    """No config has that slug."""


class RecordChanged(Exception):
    """It was changed since it was read. Nothing was changed now; read it again."""


class ReferenceMissing(Exception):
    """What is to be stored names a config or a virtual key that does not exist, or that the project may not use."""

    def __init__(self, kind: str, slug: str) -> None:
        super().__init__(f"{kind} {slug}")
        self.kind = kind
        """``config``, ``virtual key`` or ``integration``."""
        self.slug = slug


class StillInUse(Exception):
    """It cannot be removed, since others need it. ``users`` says who, such as ``config pc-nightl-1f09ac`` or ``3 files``."""

    def __init__(self, users: Iterable[str]) -> None:
        self.users = tuple(users)
        super().__init__(", ".join(self.users))


class DataKeyRetired(Exception):
    """Fields were encrypted with a data key that encrypts no more, or is gone. Nothing was changed; encrypt them again."""


class DataKeysChanged(Exception):
    """There are other data keys than those that were to be wrapped anew. Nothing was changed; read them again."""


class MasterKeyChanged(Exception):
    """The data keys are wrapped by another master key by now. Nothing was changed."""


class ControlStore(Protocol):
    """See the module. What an update takes as ``after`` is what was read, with new values: its ``version`` says what it replaces."""

    async def create_project(self, new: NewProject, origin: Origin) -> Project:
        """Raises :class:`SlugTaken` or, for its default config, :class:`ReferenceMissing`."""
        ...

    async def list_projects(self) -> list[Project]:
        """Every project, oldest first."""
        ...

    async def find_project(self, id_or_slug: str) -> Project:
        """Raises :class:`UnknownProject`."""
        ...

    async def update_project(self, after: Project, origin: Origin) -> Project:
        """Records name, description, limits and defaults. Raises :class:`UnknownProject`, :class:`RecordChanged` or ReferenceMissing."""
        ...

    async def delete_project(self, project_id: str, origin: Origin, *, force: bool = False) -> None:
        """Removes a project that has no files. Its slug may be used again.

        Raises :class:`UnknownProject`, and :class:`StillInUse` while it has live files, files at providers, jobs there that are not over,
        or keys of the organisation work in it, or,
        without ``force``, while it has API keys, configs or virtual keys. With ``force``, its keys are revoked, its configs removed, and
        virtual keys are no longer for it.
        """
        ...

    async def create_api_key(self, new: NewApiKey, origin: Origin) -> ApiKey:
        """Raises :class:`UnknownProject` or, for its default config, :class:`ReferenceMissing`."""
        ...

    async def list_api_keys(self, project_id: str | None = None, *, with_revoked: bool = True) -> list[ApiKey]:
        """The keys of one project or of all, oldest first, expired ones included.

        Without ``with_revoked``, none of those that were revoked: they are kept for ever, and so there are ever more of them.
        """
        ...

    async def get_api_key(self, key_id: str, project_id: str | None = None) -> ApiKey:
        """With ``project_id``, only one of that project, and what has that id elsewhere takes as long as what nothing has.

        Raises :class:`ApiKeyNotFound`.
        """
        ...

    async def update_api_key(self, after: ApiKey, origin: Origin) -> ApiKey:
        """Records name, description, scopes, limits, defaults and expiry.

        Raises :class:`ApiKeyNotFound`, :class:`RecordChanged` or :class:`ReferenceMissing`.
        """
        ...

    async def rotate_api_key(self, before: ApiKey, key_hash: bytes, hint: str, overlap_seconds: int, origin: Origin) -> ApiKey:
        """Puts a new key in the place of the one before, which goes on working for ``overlap_seconds``; nothing else of it changes.

        Keys that earlier rotations replaced go on until their own ends. Raises :class:`ApiKeyNotFound` or :class:`RecordChanged`.
        """
        ...

    async def revoke_api_key(self, key_id: str, origin: Origin) -> bool:
        """Ends a key now, with all that rotations have replaced; idempotent. False when there is no such key."""
        ...

    async def find_api_key(self, key_hash: bytes) -> KnownKey | None:
        """The key with this hash, or that had it before a rotation, whether or not it still works."""
        ...

    async def note_key_use(self, key_id: str, used_at: int) -> None:
        """Records when a key was last used, unless a time less than a minute before, or a later one, is known."""
        ...

    async def bootstrap(self, key_hash: bytes, hint: str, scopes: frozenset[str]) -> bool:
        """Makes the project ``default`` and an organisation key in it, if there is no API key at all. Whether it did."""
        ...

    async def create_config(self, new: NewConfig, origin: Origin) -> SavedConfig:
        """Raises :class:`SlugTaken`, :class:`UnknownProject`, :class:`ReferenceMissing` or :class:`DataKeyRetired`."""
        ...

    async def update_config(self, before: SavedConfig, name: str | None, version: NewConfigVersion | None, origin: Origin) -> SavedConfig:
        """Renames a config, unless ``name`` is None, and with ``version`` puts a new document in force. Earlier ones are kept.

        Raises :class:`ConfigNotFound`, :class:`RecordChanged`, :class:`ReferenceMissing` or :class:`DataKeyRetired`.
        """
        ...

    async def delete_config(self, slug: str, origin: Origin) -> None:
        """Removes a config with all its versions for good. Raises :class:`ConfigNotFound` or :class:`StillInUse`."""
        ...

    async def get_config(self, slug: str) -> SavedConfig:
        """Raises :class:`ConfigNotFound`. Whose it is, the caller has to heed."""
        ...

    async def list_configs(self, project_id: str | None = None) -> list[SavedConfig]:
        """Those of a project, or all, oldest first."""
        ...

    async def list_config_versions(self, slug: str) -> list[ConfigVersion]:
        """Every document that the config has had, newest first. Raises :class:`ConfigNotFound`."""
        ...

    async def master_key_id(self) -> str | None:
        """The id of the master key that the data keys are wrapped by, or None when none was ever adopted."""
        ...

    async def adopt_master_key(self, key_id: str) -> str:
        """Puts a master key in force, if none is, or if nothing is wrapped by the one that is. Returns the one in force now."""
        ...

    async def list_data_keys(self) -> list[DataKey]:
        """Every data key, oldest first. At most one is active."""
        ...

    async def replace_data_key(self, new: NewDataKey, replaced_id: str | None, origin: Origin) -> bool:
        """Makes ``new`` the active data key and retires the one before, unless another than ``replaced_id`` is active. Whether it did.

        Raises :class:`MasterKeyChanged`.
        """
        ...

    async def rewrap_data_keys(self, old_master_key_id: str, new_master_key_id: str, wrapped: Mapping[str, bytes], origin: Origin) -> None:
        """Puts a new master key in force together with all data keys, by id, as it has wrapped them.

        Raises :class:`MasterKeyChanged` when the old one is not in force, and :class:`DataKeysChanged`.
        """
        ...

    async def drop_unused_data_keys(self, origin: Origin) -> list[str]:
        """Removes the retired data keys that no ciphertext needs, for good. Returns their ids."""
        ...

    async def forget_ciphertexts(self, lost_master_key_id: str, new_master_key_id: str, origin: Origin) -> None:
        """Gives up all that is encrypted, with the data keys, and puts another master key in force, in one transaction.

        Every encrypted field and document stays as an empty text, which no key opens, until it is set anew; all else stays as it is.
        Raises :class:`MasterKeyChanged` when the lost one is not in force.
        """
        ...

    async def create_virtual_key(self, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """Raises :class:`SlugTaken`, :class:`UnknownProject`, :class:`ReferenceMissing` or :class:`DataKeyRetired`."""
        ...

    async def update_virtual_key(self, before: VirtualKey, new: NewVirtualKey, origin: Origin) -> VirtualKey:
        """Puts everything of ``new`` but slug and provider in place of ``before``, which has the same id.

        Ciphertexts of ``before`` may be carried over as they are. Raises :class:`VirtualKeyNotFound`, :class:`RecordChanged` when it
        is no longer as ``before``, :class:`UnknownProject`, :class:`DataKeyRetired`, or :class:`StillInUse` when a config of a project
        that may no longer use it names it, or when its files are to be the account's while the catalog gives some to projects.
        """
        ...

    async def delete_virtual_key(self, slug: str, origin: Origin) -> None:
        """Removes a virtual key and its ciphertexts for good.

        Raises :class:`VirtualKeyNotFound`, or :class:`StillInUse` while others name it, or the catalog has files or jobs there.
        """
        ...

    async def get_virtual_key(self, slug: str) -> VirtualKey:
        """Raises :class:`VirtualKeyNotFound`. Which projects may use it, the caller has to heed."""
        ...

    async def list_virtual_keys(self, project_id: str | None = None) -> list[VirtualKey]:
        """Those that a project may use, or all, oldest first."""
        ...

    async def stale_records(self, after: str, limit: int) -> list[SealedRecord]:
        """Whatever has ciphertexts under a retired data key, in the order of the ids, after the id ``after`` (at first an empty text)."""
        ...

    async def reseal_record(self, before: SealedRecord, sealed: Sealed, origin: Origin) -> bool:
        """Puts the same fields, encrypted anew, in place of those of ``before``. False when it was changed or deleted meanwhile.

        Raises :class:`DataKeyRetired`.
        """
        ...
