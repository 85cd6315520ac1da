"""What a config refers to: virtual keys, providers, and other configs, which may not lead back to itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol

from fileplane.routing.config_problems import Problems, inside
from fileplane.routing.config_rules import check_rules
from fileplane.routing.config_targets import DEEPEST_TARGET, MOST_TARGETS
from fileplane.routing.config_values import PARAMS, Comparison, Config, Query, Target

DEEPEST_REFERENCE: Final = 3
"""How many configs may lead to one another, the first included."""


class Directory(Protocol):
    """What exists and may be used by the project that a config belongs to. Pure: whoever calls has read it already."""

    def has_virtual_key(self, slug: str) -> bool:
        """Whether there is such a virtual key that the project may use; those of others are as good as absent."""

    def has_provider(self, name: str) -> bool:
        """Whether there is an adapter for a provider of this name."""

    def config(self, slug: str) -> Config | None:
        """The project's config of that slug as it stands, or None. It must not have been expanded."""


def every_target(target: Target) -> Iterator[Target]:
    """A target and all that are in it, in the order of the document."""
    yield target
    for child in target.targets:
        yield from every_target(child)


def virtual_keys_of(config: Config) -> frozenset[str]:
    """The slugs of the virtual keys that a config names itself, for reading them from a store, and for saying what uses them."""
    return frozenset(one.credential.virtual_key for one in every_target(config.root) if one.credential.virtual_key is not None)


def configs_of(config: Config) -> frozenset[str]:
    """The slugs of the configs that a config names itself."""
    return frozenset(one.config for one in every_target(config.root) if one.config is not None)


def compares_params(config: Config) -> bool:
    """Whether a condition of a config, which is expanded, compares members of a JSON body."""
    return any(
        _compares_params(condition.query)
        for one in every_target(config.root)
        if one.strategy is not None
        for condition in one.strategy.conditions
    )


def _compares_params(query: Query) -> bool:
    if isinstance(query, Comparison):
        return query.field.startswith(PARAMS)
    return any(_compares_params(part) for part in query.parts)


def check_references(config: Config, directory: Directory, *, own_slug: str | None = None) -> None:
    """Raises :class:`~fileplane.errors.InvalidValue` when something does not exist, or a config leads back to itself.

    ``own_slug`` is the slug under which ``config`` is about to be saved: the one that ``directory`` still has is then of no account.
    """
    problems = Problems()
    for target in every_target(config.root):
        _check_named(target, directory, problems)
    _Expansion(directory, problems).expanded(config.root, () if own_slug is None else (own_slug,))
    problems.refuse_if_any()


def expand(config: Config, directory: Directory, *, own_slug: str | None = None) -> Config:
    """``config`` with every config it refers to in the place of the target that does; that target then is a group of one.

    Raises :class:`~fileplane.errors.InvalidValue` when one is gone since it was saved, leads back, or makes the whole too large.
    """
    problems = Problems()
    root = _Expansion(directory, problems).expanded(config.root, () if own_slug is None else (own_slug,))
    problems.refuse_if_any()
    return replace(config, root=root)


def _check_named(target: Target, directory: Directory, problems: Problems) -> None:
    slug, provider = target.credential.virtual_key, target.credential.provider
    if slug is not None and not directory.has_virtual_key(slug):
        problems.add(inside(target.path, "virtual_key"), "There is no such virtual key that this project may use. Create it first.")
    if provider is not None and not directory.has_provider(provider):
        problems.add(inside(target.path, "provider"), "There is no provider of this name.")


class _Expansion:
    def __init__(self, directory: Directory, problems: Problems) -> None:
        self._directory = directory
        self._problems = problems
        self._left = MOST_TARGETS + 1  # the first document itself is none

    def expanded(self, root: Target, way: tuple[str, ...]) -> Target:
        """``way`` is the slugs from the first document to this one."""
        whole = self._target(root, way, "")
        if not self._problems.found:
            check_rules(whole, self._problems)
        return whole

    def _target(self, target: Target, way: tuple[str, ...], place: str) -> Target:
        """``place`` is the path of the target of the first document that everything in here comes from, empty within that document."""
        self._left -= 1
        if self._left == -1:
            self._problems.add(
                inside(place, "config"), f"Together with the configs it refers to, this has more than {MOST_TARGETS} targets."
            )
        if self._left < 0:
            return target
        if target.config is None:
            return replace(target, targets=tuple(self._target(child, way, place) for child in target.targets))
        found = self._found(target.config, way, inside(place or target.path, "config"))
        if found is None:
            return target
        inner = _moved(replace(found.root, referenced=True), inside(inside(target.path, "targets"), 0))
        if inner.path.count("targets[") > 2 * DEEPEST_TARGET:
            self._problems.add(inside(place or target.path, "config"), "Targets are nested too deep together with this config.")
            return target
        whole = self._target(inner, (*way, target.config), place or target.path)
        return replace(target, config=None, targets=(whole,))

    def _found(self, slug: str, way: tuple[str, ...], path: str) -> Config | None:
        if slug in way:
            self._problems.add(path, "This config leads back to itself. Break the circle.")
        elif len(way) >= DEEPEST_REFERENCE:
            self._problems.add(path, f"More than {DEEPEST_REFERENCE} configs lead to one another.")
        elif (found := self._directory.config(slug)) is None:
            self._problems.add(path, "There is no such config in this project. Create it first.")
        else:
            return found
        return None


def _moved(target: Target, path: str) -> Target:
    """The same tree at another path."""
    children = tuple(_moved(child, inside(inside(path, "targets"), number)) for number, child in enumerate(target.targets))
    return replace(target, path=path, targets=children)
