"""The values of stored credentials that cross the seams: frozen, without I/O, and without any secret in the clear.

A virtual key is a provider's credential that Fileplane keeps and callers address by its slug. What is secret in it is ciphertext
everywhere but in :mod:`fileplane.secrets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Sharing(StrEnum):
    """What a project sees of the files at a virtual key's provider."""

    PROJECT = "project"
    """Only those that the catalog gives to the project."""
    ACCOUNT = "account"
    """Everything that the credential sees."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that encrypts fields, itself encrypted ("wrapped") by the master key. Only the one that is not retired encrypts."""

    id: str
    wrapped: bytes = field(repr=False)
    uses: int
    """Values encrypted with it so far."""
    created_at: int
    retired_at: int | None

    @property
    def active(self) -> bool:
        """Whether new values may be encrypted with it."""
        return self.retired_at is None


@dataclass(frozen=True, slots=True)
class NewDataKey:
    """A data key about to be recorded, wrapped by the master key that ``master_key_id`` names."""

    id: str
    wrapped: bytes = field(repr=False)
    master_key_id: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Encrypted fields: base64 ciphertext by field name, and the ids of the data keys that they are encrypted with."""

    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    data_key_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NewVirtualKey:
    """A virtual key as it is to be recorded. ``id`` is made by the caller, because ciphertexts are bound to it."""

    id: str
    slug: str
    name: str
    provider: str
    note: str | None = None
    custom_host: str | None = None
    sharing: Sharing = Sharing.PROJECT
    project_ids: frozenset[str] = frozenset()
    """The projects that may use it."""
    clear: Mapping[str, str] = field(default_factory=dict)
    """Fields that are no secret."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Where fields are to be read at use, such as ``env:NAME``."""
    sealed: Sealed = field(default_factory=Sealed)
    integration: str | None = None
    """The slug of another virtual key whose credential and host it uses; it then has none of its own."""
    expires_at: int | None = None
    keep_copy: bool = False
    """Whether the bytes of uploads are kept in the native store too, for a provider that does not give them back."""


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """A virtual key as recorded. ``version`` grows with every change."""

    id: str
    slug: str
    name: str
    provider: str
    note: str | None
    custom_host: str | None
    sharing: Sharing
    project_ids: frozenset[str]
    clear: Mapping[str, str]
    references: Mapping[str, str]
    sealed: Sealed
    integration: str | None
    expires_at: int | None
    version: int
    created_at: int
    updated_at: int
    keep_copy: bool = False


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """Something with ciphertexts, whatever it is: a virtual key, or one document of a config."""

    kind: str
    """``virtual_key`` or ``config_version``."""
    id: str
    """What the ciphertexts are bound to."""
    label: str
    """What people call it, such as ``virtual key 'production'``."""
    sealed: Sealed
    version: int
