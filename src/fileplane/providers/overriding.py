"""Puts what an operator knows of a provider in the place of what this version assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fileplane.model import SHORTEST_EXPIRY_SECONDS
from fileplane.provider_overrides import read_overrides
from fileplane.providers.base import Capabilities, Expiry, Paging, Target
from fileplane.providers.dialects import Dialect, DialectOf, ListOrder
from fileplane.providers.near import NEAR
from fileplane.settings import SettingsError

_AS_THEY_ARE: Final = ("max_bytes", "max_bytes_of", "max_list_limit", "default_list_limit", "default_expiry_seconds", "get", "download",
                       "delete", "ranges")  # fmt: skip
_OTHERS: Final = frozenset({"openai", "azure-openai", "anthropic", "cohere", "fireworks-ai", "google", "vertex-ai"})


def require_known(text: str | None) -> None:
    """Raises :class:`~fileplane.settings.SettingsError` when the setting names a provider that cannot be called, or contradicts itself."""
    for name, given in read_overrides(text).items():
        if name not in NEAR and name not in _OTHERS:
            names = ", ".join(sorted({*NEAR, *_OTHERS}))
            raise SettingsError(f"provider_overrides names '{name}', which is no provider that can be called. There are {names}.")
        if name == "azure-openai" and "base_url" in given:
            raise SettingsError("provider_overrides can give azure-openai no base_url: it is made of the name of the resource.")
        dialect = overridden(NEAR[name], given) if name in NEAR else None
        if dialect is not None and dialect.capabilities.default_list_limit > dialect.capabilities.max_list_limit:
            raise SettingsError(f"provider_overrides gives {name} a default_list_limit that is above its max_list_limit.")


def overriding(name: str, dialect_of: DialectOf, text: str | None) -> DialectOf:
    """The dialects of a provider as the setting has them. A host of the caller's own at ``openai`` keeps what it is assumed to be."""
    given = read_overrides(text).get(name)
    if not given:
        return dialect_of
    known: dict[int, tuple[Dialect, Dialect]] = {}

    def of(target: Target) -> Dialect:
        dialect = dialect_of(target)
        if name == "openai" and target.custom_host is not None:
            return dialect
        if id(dialect) not in known:
            # With the original, so that its id stands for nothing else.
            known[id(dialect)] = (dialect, overridden(dialect, given))
        return known[id(dialect)][1]

    return of


def overridden(dialect: Dialect, given: Mapping[str, Any]) -> Dialect:
    """A dialect with these facts in place of its own; what is set counts as verified."""
    capabilities = dialect.capabilities
    changes: dict[str, Any] = {name: given[name] for name in _AS_THEY_ARE if name in given}
    if "purposes" in given:
        changes["purposes"] = None if given["purposes"] is None else frozenset(given["purposes"])
    if "paging" in given:
        changes["paging"] = Paging(given["paging"])
    if "longest_expiry_seconds" in given or "shortest_expiry_seconds" in given:
        changes["expiry"] = _expiry(capabilities, given)
    if "max_list_limit" in given and "default_list_limit" not in given:
        changes["default_list_limit"] = min(capabilities.default_list_limit, given["max_list_limit"])
    changes["unverified"] = capabilities.unverified - {*changes, *given}
    return replace(
        dialect,
        base_url=given.get("base_url", dialect.base_url),
        order=ListOrder(given.get("order", dialect.order)),
        get_by_list=dialect.get_by_list and "get" not in given,
        capabilities=replace(capabilities, **changes),
    )


def _expiry(capabilities: Capabilities, given: Mapping[str, Any]) -> Expiry | None:
    known = capabilities.expiry
    longest = given.get("longest_expiry_seconds", None if known is None else known.longest)
    shortest = given.get("shortest_expiry_seconds", SHORTEST_EXPIRY_SECONDS if known is None else known.shortest)
    return None if longest is None else Expiry(min(shortest, longest), longest)
