"""What a caller may do, and how much of it may be handed on to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Final

from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES, UNLIMITED, ApiKey, Defaults, Limits, NewApiKey, Principal, Project, Scope
from fileplane.errors import BeyondOwnRights, MissingScope

OPERATOR: Final = Principal("", "", ALL_SCOPES, organisation=True)
"""Whoever has the data directory, on the machine itself: may do everything, and works in no project."""


def has_scope(principal: Principal, scope: Scope) -> bool:
    """Whether the caller may do what ``scope`` allows; what is the organisation's, no project's key ever may."""
    return scope.value in principal.scopes and (principal.organisation or scope.value not in ORGANISATION_SCOPES)


def require_scope(principal: Principal, scope: Scope, *others: Scope) -> None:
    """Raises :class:`~fileplane.errors.MissingScope` unless the caller may do what one of the scopes allows."""
    wanted = (scope, *others)
    if not any(has_scope(principal, one) for one in wanted):
        raise MissingScope(*(one.value for one in wanted), organisation=all(one.value in ORGANISATION_SCOPES for one in wanted))


@dataclass(frozen=True, slots=True)
class Rights:
    """Everything that holding an API key gives.

    ``route`` is the config that requests have to go by, as ``(config,)``, or None where they may choose another.
    """

    scopes: frozenset[str]
    limits: Limits = UNLIMITED
    expires_at: int | None = None
    route: tuple[str | None] | None = None


EVERYTHING: Final = Rights(ALL_SCOPES)


def rights_of(key: ApiKey | NewApiKey, organisation: bool, project: Project) -> Rights:
    """What this key gives, in effect: names of scopes that it has, but that only the organisation's keys can use, give it nothing."""
    scopes = key.scopes if organisation else key.scopes - ORGANISATION_SCOPES
    allow_override = key.defaults.allow_override and project.defaults.allow_override
    route = None if allow_override else (key.defaults.config or project.defaults.config,)
    return Rights(scopes, key.limits, key.expires_at, route)


def require_within(wanted: Rights, own: Rights) -> None:
    """Nobody hands on more than they have. Raises MissingScope or :class:`BeyondOwnRights`, which name the field."""
    for scope in sorted(wanted.scopes - own.scopes):
        raise MissingScope(scope, param="scopes")
    for name, most in _set_limits(own.limits):
        value = getattr(wanted.limits, name)
        if value is None or value > most:
            raise BeyondOwnRights(f"Your own API key is limited to {most} for '{name}'. Give another key at most that.", f"limits.{name}")
    if own.expires_at is not None and (wanted.expires_at is None or wanted.expires_at > own.expires_at):
        raise BeyondOwnRights("Your own API key expires earlier than this one would. Give it an earlier expiry.", "expires_at")
    if own.route is not None and wanted.route != own.route:
        raise BeyondOwnRights(
            "Your own API key has to go by its default config. Give another key the same one, and no leave to override it.",
            "defaults",
        )


def require_power_over(target: Rights, own: Rights) -> None:
    """Whoever changes or rotates a key could hold it afterwards. Raises MissingScope or :class:`BeyondOwnRights` for the whole key."""
    try:
        require_within(target, own)
    except (MissingScope, BeyondOwnRights) as error:
        missing = ", ".join(f"'{scope}'" for scope in sorted(target.scopes - own.scopes))
        why = f"It has {missing}, which yours has not." if missing else "It is limited less than yours."
        raise BeyondOwnRights(f"This API key may do more than your own. {why} Use one that may do as much.", "id") from error


def inherited(new: NewApiKey, own: Rights, own_defaults: Defaults) -> NewApiKey:
    """A new key with what it was not given itself, but whoever makes it is bound by."""
    limits = {name: most for name, most in _set_limits(own.limits) if getattr(new.limits, name) is None}
    defaults = new.defaults
    if own.route is not None:
        defaults = replace(defaults, config=defaults.config or own_defaults.config, allow_override=False)
    return replace(new, limits=replace(new.limits, **limits), expires_at=new.expires_at or own.expires_at, defaults=defaults)


def _set_limits(limits: Limits) -> Iterable[tuple[str, int]]:
    for entry in fields(limits):
        value = getattr(limits, entry.name)
        if value is not None:
            yield entry.name, value
