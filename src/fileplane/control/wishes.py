"""What callers ask of a virtual key, in the spellings of its several views, told apart and not yet checked.

The same record is shown as a virtual key, as a provider and as an integration; each view has names of its own for the same things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fileplane.errors import InvalidValue, UnknownParameter
from fileplane.routing.providers import PROVIDERS

CREDENTIAL_NAMES: Final = frozenset(
    name for entry in PROVIDERS.values() for found in entry.fields.values() for name in (found.name, *found.aliases)
)
"""Every spelling of every field of a credential."""
SNAKE_CASE: Final = {
    snake: name
    for name in CREDENTIAL_NAMES
    if (snake := re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)) not in CREDENTIAL_NAMES
}
"""What Portkey's SDK for Node makes of a name before it sends it, such as ``resource_name``."""

_OURS: Final = {name: name for name in ("name", "slug", "provider", "note", "custom_host", "sharing", "workspace_id", "expires_at")} | {
    "keep_copy": "keep_copy",
    "customHost": "custom_host",
    "project_ids": "project_ids",
    "workspace_ids": "project_ids",
    "integration_id": "integration",
}
_OF_INTEGRATIONS: Final = {
    "name": "name",
    "slug": "slug",
    "ai_provider_id": "provider",
    "description": "note",
    "custom_host": "custom_host",
    "sharing": "sharing",
    "workspace_id": "workspace_id",
    "project_ids": "project_ids",
    "workspace_ids": "project_ids",
    "expires_at": "expires_at",
    "keep_copy": "keep_copy",
}
NOT_DONE: Final = {
    "usage_limits": "Spending at providers is not counted here. Limits of requests and bytes belong to projects and API keys.",
    "rate_limits": "Requests to providers are not limited here. Limits of requests and bytes belong to projects and API keys.",
    "reset_usage": "Spending at providers is not counted here.",
    "secret_mappings": "Write the reference in the field's own place instead, such as env:NAME or file:/path.",
    "deploymentConfig": "A virtual key is for one deployment: send deploymentName and apiVersion.",
    "deployment_config": "A virtual key is for one deployment: send deploymentName and apiVersion.",
    "azure_deployment_config": "An integration is for one deployment: send azure_deployment_id and azure_api_version.",
    "pricing_adjustments": "Fileplane knows no prices.",
    "custom_headers": "Headers of one's own are not sent to providers.",
    "default_provider_slug": "An integration serves as provider under its own slug.",
}
"""Portkey's fields that mean nothing here. Only null is accepted, so that nobody relies on what is not done."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """``values`` by our names; ``fields`` of the credential by the names they were sent under. What is absent was not sent."""

    values: Mapping[str, object] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    """What the caller calls a value or field, where that is not its name here."""
    inner: str = ""
    """What goes before the name of a field that was not sent, such as ``configurations.``."""

    def param(self, name: str) -> str:
        """What the caller calls it."""
        if name in self.params:
            return self.params[name]
        if name == "api_key":
            return "key"
        return f"{self.inner}{name}" if name in CREDENTIAL_NAMES else name

    def has(self, name: str) -> bool:
        """Whether the value was sent; null counts."""
        return name in self.values


def virtual_key_wishes(given: Mapping[str, object]) -> Wishes:
    """Of a body of ``/v1/virtual-keys`` or ``/v1/providers``. Raises an :class:`~fileplane.errors.InvalidRequest`."""
    return _Reading(_OURS, "model_config").read(given)


def integration_wishes(given: Mapping[str, object]) -> Wishes:
    """Of a body of ``/v1/integrations``. Raises an :class:`~fileplane.errors.InvalidRequest`."""
    return _Reading(_OF_INTEGRATIONS, "configurations", inner="configurations.").read(given)


def refuse_what_is_not_done(given: Mapping[str, object], names: Iterable[str] = NOT_DONE, prefix: str = "") -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` for a field of Portkey's that asks for something that does not happen here."""
    for name in names:
        if given.get(name) is not None:
            param = f"{prefix}{name}"
            raise InvalidValue(f"Fileplane does not do what '{param}' asks for. {NOT_DONE[name]} Leave it out.", param=param)


class _Reading:
    def __init__(self, names: Mapping[str, str], container: str, inner: str = "") -> None:
        self._names = names
        self._container = container
        self._inner = inner
        self._values: dict[str, object] = {}
        self._fields: dict[str, object] = {}
        self._params: dict[str, str] = {}

    def read(self, given: Mapping[str, object]) -> Wishes:
        refuse_what_is_not_done(given)
        for name, value in given.items():
            if name == self._container:
                self._read_container(value)
            elif name in NOT_DONE:
                continue
            elif not self._take(name, value, name):
                raise UnknownParameter(f"Unknown parameter: '{name[:80]}'.", param=name[:80])
        return Wishes(self._values, self._fields, self._params, self._inner)

    def _read_container(self, value: object) -> None:
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise InvalidValue(f"'{self._container}' must be an object.", param=self._container)
        prefix = f"{self._container}."
        refuse_what_is_not_done(value, prefix=prefix)
        for name, inner in value.items():
            if name in {"custom_host", "customHost"} or name not in {*self._names, *NOT_DONE}:
                self._take(name, inner, f"{prefix}{name}"[:160], always=True)
            elif name not in NOT_DONE:
                raise UnknownParameter(f"'{prefix}{name[:80]}' does not belong in there.", param=f"{prefix}{name[:80]}")

    def _take(self, name: str, value: object, param: str, *, always: bool = False) -> bool:
        """Whether there is a place for it; with ``always``, what nobody knows is for the provider's own table to refuse."""
        ours = "custom_host" if name in {"custom_host", "customHost"} else self._names.get(name)
        if ours is not None and ours in self._values:
            other = self._params.get(ours, ours)
            raise InvalidValue(f"'{param}' and '{other}' are the same. Send one of them.", param=param)
        if ours is not None:
            self._values[ours] = value
            self._params[ours] = param
            return True
        name = SNAKE_CASE.get(name, name)
        if name in self._fields:
            raise InvalidValue(f"'{param}' and '{self._params.get(name, name)}' are the same field. Send one of them.", param=param)
        if name not in CREDENTIAL_NAMES and not always:
            return False
        self._fields[name] = value
        self._params[name] = param
        return True
