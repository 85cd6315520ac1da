"""Where a copy comes from and goes to: ``fileplane:ID``, ``@virtual-key:ID``, ``provider:ID``, a local path, or ``-``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.routing.headers import NATIVE_PROVIDER, PROVIDER_HEADER
from fileplane.routing.providers import PROVIDER_ALIASES, PROVIDERS, ProviderEntry

_VIRTUAL_KEY: Final = re.compile(r"@([A-Za-z0-9][A-Za-z0-9._-]*):(.*)", re.DOTALL)
_PROVIDER: Final = re.compile(r"([a-z][a-z0-9-]*):(.*)", re.DOTALL)
_STANDARD_STREAM: Final = "-"
_CHANGING: Final = frozenset({"bedrock", "vertex-ai", "cohere"})
_CHANGED_PURPOSES: Final = frozenset({"batch", "fine-tune", "embed-input"})
KEY_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "azure-openai": ("AZURE_OPENAI_API_KEY",),
    "cohere": ("CO_API_KEY", "COHERE_API_KEY"),
    "databricks": ("DATABRICKS_TOKEN",),
    "fireworks-ai": ("FIREWORKS_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral-ai": ("MISTRAL_API_KEY",),
    "novita-ai": ("NOVITA_API_KEY",),
    "perplexity-ai": ("PERPLEXITY_API_KEY",),
    "together-ai": ("TOGETHER_API_KEY",),
    "vertex-ai": ("VERTEX_API_KEY",),
    "x-ai": ("XAI_API_KEY",),
}
"""The variables that providers' own SDKs and tools read their key from, the first that is set; ``OPENAI_API_KEY`` and so on otherwise."""


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A path of this machine; ``-`` is standard input or output."""

    path: str

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output."""
        return self.path == _STANDARD_STREAM

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A file that a server is asked for, or a place for a new one when ``file_id`` is empty.

    ``name`` is as it was written, before the colon: ``fileplane``, ``@slug`` or a provider.
    """

    name: str
    file_id: str

    @property
    def is_native(self) -> bool:
        """Whether it is Fileplane's own store."""
        return self.name == NATIVE_PROVIDER

    def may_change(self, purpose: str) -> bool:
        """Whether files of this purpose may be kept there in the provider's own form: with another size, and other bytes."""
        return (self.name in _CHANGING or self.name.startswith("@")) and purpose in _CHANGED_PURPOSES

    def __str__(self) -> str:
        return f"{self.name}:{self.file_id}"


Place = LocalPlace | RemotePlace


def read_place(text: str) -> Place:
    """What a location on the command line means. Only names that are known make it remote: ``./openai:x`` is a file here.

    Raises :class:`CommandFailed` for nothing at all and for a provider's name that is nearly right.
    """
    if not text:
        raise CommandFailed(ExitCode.USAGE, "A location is a path, or such as fileplane:ID, @virtual-key:ID or openai:ID.")
    if (found := _VIRTUAL_KEY.fullmatch(text)) is not None:
        return RemotePlace(f"@{found[1]}", found[2])
    if (found := _PROVIDER.fullmatch(text)) is not None:
        if found[1] == NATIVE_PROVIDER or found[1] in PROVIDERS:
            return RemotePlace(found[1], found[2])
        if found[1] in PROVIDER_ALIASES and not os.path.lexists(text):
            raise CommandFailed(
                ExitCode.USAGE,
                f"There is no provider '{found[1]}', but '{PROVIDER_ALIASES[found[1]]}'. A file of that name here is ./{text}",
            )
    return LocalPlace(text)


def way_to(place: RemotePlace, environment: Mapping[str, str], api_key: str, hosts: Mapping[str, str]) -> dict[str, str]:
    """The headers with which calls get to ``place``. A provider's credential is read from ``environment``, and sent to Fileplane alone.

    ``api_key`` is the key for Fileplane; ``hosts`` are base URLs by provider. Raises :class:`CommandFailed` when the environment has
    less than the provider needs.
    """
    if place.is_native:
        return {PROVIDER_HEADER: NATIVE_PROVIDER}
    if place.name.startswith("@"):
        return {"x-portkey-virtual-key": place.name[1:]}
    entry = PROVIDERS[place.name]
    values = _values(entry, environment)
    if not any(all(_has(values, need) for need in way) for way in entry.ways):
        raise CommandFailed(ExitCode.NOT_AUTHORISED, _incomplete(entry))
    if values.get("api_key") == api_key:
        variable = variables_of(entry, "api_key")[0]
        raise CommandFailed(
            ExitCode.USAGE,
            f"The key for Fileplane and the one for {entry.title} are the same. Set FILEPLANE_API_KEY for the first beside {variable}.",
        )
    headers = {PROVIDER_HEADER: entry.name, "x-portkey-api-key": api_key}
    headers |= {field.header: values[field.name] for field in entry.fields.values() if field.header and field.name in values}
    headers["authorization"] = f"Bearer {values.get('api_key', api_key)}"
    if entry.name in hosts:
        headers["x-portkey-custom-host"] = hosts[entry.name]
    return headers


def variables_of(entry: ProviderEntry, field: str) -> tuple[str, ...]:
    """The environment variables that a field of a provider's credential is read from, the first that is set."""
    if field != "api_key":
        return (field.upper(),)
    return KEY_VARIABLES.get(entry.name, (f"{entry.name.upper().replace('-', '_')}_API_KEY",))


def _values(entry: ProviderEntry, environment: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for field in entry.fields.values():
        found = next((environment[name].strip() for name in variables_of(entry, field.name) if environment.get(name, "").strip()), None)
        if found is None or not field.header:
            continue
        if not found.isprintable() or not found.isascii():
            raise CommandFailed(ExitCode.USAGE, f"{variables_of(entry, field.name)[0]} has characters that it cannot have.")
        values[field.name] = found
    return values


def _has(values: Mapping[str, str], need: str) -> bool:
    name, equals, value = need.partition("=")
    return values.get(name) == value if equals else name in values


def _incomplete(entry: ProviderEntry) -> str:
    ways = []
    for way in entry.ways:
        names = [need.partition("=") for need in way]
        ways.append(" and ".join(" or ".join(variables_of(entry, name)) + (f"={value}" if equals else "") for name, equals, value in names))
    return f"The environment has no credential for {entry.title}. Set {', or '.join(ways)}; or use a virtual key, as @slug:"
