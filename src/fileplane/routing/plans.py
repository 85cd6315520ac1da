"""The plan for one request: which targets of a config are called, in which order, and after which failure one goes on to which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fileplane.errors import InvalidValue
from fileplane.routing.config_conditions import PATHNAME, holds
from fileplane.routing.config_fields import URL_FORMING
from fileplane.routing.config_inheritance import NOTHING, inherit, inherited_options
from fileplane.routing.config_problems import inside, refuse
from fileplane.routing.config_values import PARAMS, Config, Credential, Mode, Options, Target
from fileplane.routing.headers import PROVIDER_HEADER
from fileplane.routing.route_requests import CONFIG_HEADER, CUSTOM_HOST_HEADER, RouteRequest, header_of
from fileplane.secrets.values import Secret

Random: TypeAlias = Callable[[], float]
"""Gives numbers from 0 up to but not 1, such as ``random.Random(seed).random``."""

_SUCCESSES: Final = range(200, 300)
_FALLS_BACK: Final = Mode.FALLBACK


@dataclass(frozen=True, slots=True)
class ConcreteTarget:
    """One upstream with everything that holds for the call to it.

    ``path`` is what ``x-portkey-last-used-option-index`` says: ``config``, or such as ``config.targets[1].targets[0]``.
    """

    path: str
    name: str | None
    credential: Credential
    options: Options
    from_caller: bool = True
    """Whether its credential is the caller's own."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Leads to the attempt of that number after one of these statuses; None stands for every one that is no success."""

    on_status_codes: tuple[int, ...] | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A target, and what may come after it: the exits of the innermost fallback first."""

    target: ConcreteTarget
    exits: tuple[Exit, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Attempts in order, at least one, beginning with the first."""

    attempts: tuple[Attempt, ...]

    def after(self, attempt: int, status: int) -> int | None:
        """The number of the attempt that follows one that ended with ``status``, or None when its outcome is the answer.

        A failure without a status counts as the one the caller would be told: 502, or 504 for a timeout.
        """
        for way in self.attempts[attempt].exits:
            if status in way.on_status_codes if way.on_status_codes is not None else status not in _SUCCESSES:
                return way.attempt
        return None


def plan_route(config: Config, request: RouteRequest, random: Random, *, from_caller: bool) -> Plan:
    """The plan of an expanded config for a request.

    ``from_caller`` when the caller sent the document itself, so that its secrets are the caller's own and may go to the caller's host.
    Raises :class:`~fileplane.errors.InvalidValue` when no condition holds and there is no default, when nothing says where to go, and
    when a header would send a stored credential elsewhere.
    """
    return Plan(tuple(_Planning(request, random).attempts(config.root, NOTHING, from_caller=from_caller)))


def every_target(config: Config, request: RouteRequest, *, from_caller: bool) -> tuple[ConcreteTarget, ...]:
    """All upstreams that requests by a config can go to, in the order of the document: where a file may be that is named by its id.

    Raises as :func:`plan_route`, but for conditions, which are not looked at.
    """
    return tuple(_Planning(request, lambda: 0.0).leaves(config.root, NOTHING, from_caller=from_caller))


class _Planning:
    def __init__(self, request: RouteRequest, random: Random) -> None:
        self._request = request
        self._random = random

    def attempts(self, target: Target, above: Target, *, from_caller: bool) -> list[Attempt]:
        assert target.config is None, "the config is not expanded"
        from_caller = from_caller and not target.referenced
        effective = inherit(above, target)
        if not target.targets:
            return [Attempt(self._concrete(effective, from_caller=from_caller))]
        if target.strategy is not None and target.strategy.mode is _FALLS_BACK:
            return _one_after_another(
                [self.attempts(child, effective, from_caller=from_caller) for child in target.targets], target.strategy.on_status_codes
            )
        return self.attempts(self._chosen(target, effective), effective, from_caller=from_caller)

    def leaves(self, target: Target, above: Target, *, from_caller: bool) -> Iterator[ConcreteTarget]:
        """The concrete targets in ``target``, of whatever strategy."""
        from_caller = from_caller and not target.referenced
        effective = inherit(above, target)
        if not target.targets:
            yield self._concrete(effective, from_caller=from_caller)
        for child in target.targets:
            yield from self.leaves(child, effective, from_caller=from_caller)

    def _chosen(self, target: Target, effective: Target) -> Target:
        mode = Mode.SINGLE if target.strategy is None else target.strategy.mode
        if mode is Mode.LOADBALANCE:
            return by_weight(target.targets, self._random())
        return self._by_condition(target, effective) if mode is Mode.CONDITIONAL else target.targets[0]

    def _by_condition(self, target: Target, effective: Target) -> Target:
        assert target.strategy is not None
        metadata: dict[str, object] = {**dict(effective.options.metadata), **dict(self._request.metadata)}
        values: dict[str, object] = {f"metadata.{name}": value for name, value in metadata.items()}
        values |= {PARAMS + name: value for name, value in self._request.params}
        values[PATHNAME] = self._request.pathname
        name = next((one.then for one in target.strategy.conditions if holds(one.query, values)), target.strategy.default)
        if name is None:
            where = inside(target.path, "strategy")
            raise refuse(CONFIG_HEADER, f"No condition of '{where}' holds for this request, and it has no default. Give it one.")
        return next(child for child in target.targets if child.name == name)

    def _concrete(self, effective: Target, *, from_caller: bool) -> ConcreteTarget:
        credential, sent = effective.credential, self._request.options
        if not credential:
            credential = self._completed()
            if credential.virtual_key is not None and effective.options.custom_host is not None:
                raise _goes_elsewhere(inside(effective.path, "custom_host"))
        elif credential.virtual_key is None and from_caller:
            return _concrete(effective, credential, sent, from_caller=True)
        stored = credential.virtual_key is not None or (bool(effective.credential) and _has_secret(credential))
        if stored and sent.custom_host is not None:
            raise _goes_elsewhere(CUSTOM_HOST_HEADER)
        return _concrete(effective, credential, sent, from_caller=not stored)

    def _completed(self) -> Credential:
        credential = self._request.credential
        if not credential.names_a_provider:
            raise refuse(
                CONFIG_HEADER, f"The config names no provider, and the request neither. Add {PROVIDER_HEADER}, or one to the config."
            )
        if credential.virtual_key is None:
            return credential
        for name, _ in credential.fields:
            if name in URL_FORMING:
                raise _goes_elsewhere(header_of(name))
        # What the caller sends as a credential beside a stored one is of no account.
        own = tuple((name, value) for name, value in credential.fields if not isinstance(value, Secret))
        return replace(credential, provider=None, api_key=None, fields=own)


def _concrete(effective: Target, credential: Credential, sent: Options, *, from_caller: bool) -> ConcreteTarget:
    path = f"config.{effective.path}" if effective.path else "config"
    return ConcreteTarget(path, effective.name, credential, inherited_options(effective.options, sent), from_caller)


def _has_secret(credential: Credential) -> bool:
    return credential.api_key is not None or any(isinstance(value, Secret) for _, value in credential.fields)


def _goes_elsewhere(param: str) -> InvalidValue:
    return refuse(param, "A stored credential goes only to the host saved with it. Leave this out, or send a credential of your own.")


def _one_after_another(groups: Sequence[list[Attempt]], codes: tuple[int, ...] | None) -> list[Attempt]:
    joined: list[Attempt] = []
    for number, group in enumerate(groups):
        start, following = len(joined), len(joined) + len(group)
        way = (Exit(codes, following),) if number + 1 < len(groups) else ()
        for attempt in group:
            moved = tuple(replace(one, attempt=one.attempt + start) for one in attempt.exits)
            joined.append(replace(attempt, exits=moved + way))
    return joined


def by_weight(targets: Sequence[Target], chance: float) -> Target:
    """The target on which ``chance``, from 0 up to but not 1, falls; one of weight zero is never chosen."""
    eligible = [target for target in targets if target.weight > 0]
    left = chance * sum(target.weight for target in eligible)
    for target in eligible:
        left -= target.weight
        if left < 0:
            return target
    return eligible[-1]
