"""The values of saved configs that cross the seams: frozen, without I/O. The document itself is ciphertext, since it may hold keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from fileplane.credentials import Sealed


@dataclass(frozen=True, slots=True)
class NewConfigVersion:
    """A document about to be saved. ``id`` is made by the caller, because the ciphertext is bound to it."""

    id: str
    sealed: Sealed
    virtual_keys: frozenset[str] = frozenset()
    """The slugs of the virtual keys that the document names."""
    configs: frozenset[str] = frozenset()
    """The slugs of the configs that the document names."""


@dataclass(frozen=True, slots=True)
class NewConfig:
    """A config about to be saved, with its first version."""

    project_id: str
    slug: str
    name: str
    version: NewConfigVersion


@dataclass(frozen=True, slots=True)
class SavedConfig:
    """A project's config with its present document. ``number`` counts its versions from 1; ``version_id`` names the present one."""

    id: str
    project_id: str
    slug: str
    name: str
    number: int
    version_id: str
    sealed: Sealed = field(repr=False)
    is_default: bool
    """Whether its project's requests go by it that name no other route."""
    created_at: int
    updated_at: int
    created_by: str | None
    updated_by: str | None


@dataclass(frozen=True, slots=True)
class ConfigVersion:
    """One document that a config has or had."""

    id: str
    number: int
    sealed: Sealed = field(repr=False)
    created_at: int
    created_by: str | None
