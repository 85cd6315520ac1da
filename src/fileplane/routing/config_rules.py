"""What must be true between a target and those around it and in it."""

from __future__ import annotations

from typing import Final

from fileplane.routing.config_fields import PROVIDER_FIELDS, URL_FORMING, FieldKind
from fileplane.routing.config_inheritance import NOTHING, inherit
from fileplane.routing.config_problems import Problems, inside
from fileplane.routing.config_values import Mode, Target
from fileplane.routing.headers import NATIVE_PROVIDER
from fileplane.secrets.values import Secret

_SEVERAL: Final = frozenset({Mode.FALLBACK, Mode.LOADBALANCE, Mode.CONDITIONAL})


def check_rules(root: Target, problems: Problems) -> None:
    """Notes every breach in the tree; targets that refer to another config are looked at when that is put in their place."""
    _check(root, NOTHING, problems)


def _check(target: Target, above: Target, problems: Problems) -> None:
    effective = inherit(above, target)
    if target.config is not None:
        _check_reference(target, problems)
    elif target.targets:
        _check_group(target, problems)
        for child in target.targets:
            _check(child, effective, problems)
    else:
        _check_leaf(target, effective, problems)


def _check_reference(target: Target, problems: Problems) -> None:
    if target.targets or target.strategy or target.credential:
        problems.add(
            inside(target.path, "config"),
            "A target that refers to another config has no provider, key, strategy or targets of its own. Leave one or the other out.",
        )


def _check_group(target: Target, problems: Problems) -> None:
    _check_names(target, problems)
    strategy, count = target.strategy, len(target.targets)
    if strategy is None:
        if count > 1:
            problems.add(inside(target.path, "strategy"), f"This is missing: with {count} targets, say in 'mode' how one is chosen.")
    elif strategy.mode is Mode.SINGLE and count > 1:
        problems.add(inside(target.path, "targets"), f"The mode 'single' takes one target, and here are {count}. Use another mode.")
    elif strategy.mode is Mode.LOADBALANCE and not sum(child.weight for child in target.targets) > 0:
        problems.add(inside(target.path, "targets"), "All weights are zero, so none could be chosen. Give at least one a weight above 0.")
    elif strategy.mode is Mode.CONDITIONAL:
        _check_conditions(target, problems)


def _check_names(target: Target, problems: Problems) -> None:
    seen: set[str] = set()
    for child in target.targets:
        if child.name in seen:
            problems.add(inside(child.path, "name"), "A target before this one has the same name. Give each a name of its own.")
        seen |= {child.name} if child.name is not None else set()


def _check_conditions(target: Target, problems: Problems) -> None:
    assert target.strategy is not None
    names = {child.name for child in target.targets}
    path, wanted = inside(target.path, "strategy"), "No target beside this strategy has this name. Name one of 'targets[].name'."
    for number, condition in enumerate(target.strategy.conditions):
        if condition.then not in names:
            problems.add(inside(inside(inside(path, "conditions"), number), "then"), wanted)
    if target.strategy.default is not None and target.strategy.default not in names:
        problems.add(inside(path, "default"), wanted)


def _check_leaf(target: Target, effective: Target, problems: Problems) -> None:
    credential, path = effective.credential, target.path
    if target.strategy is not None and target.strategy.mode in _SEVERAL:
        problems.add(inside(path, "targets"), f"This is missing: the mode '{target.strategy.mode}' chooses among targets.")
        return
    if not credential.names_a_provider:
        # Only a document that says nothing of where to go is completed from the request's headers.
        if credential or path or target.referenced:
            problems.add(
                inside(path, "provider"),
                "This is missing: no provider or virtual key stands here or in a target around it, and a key alone belongs to none.",
            )
        return
    if credential.virtual_key is not None:
        check_beside_virtual_key(effective, problems)
    elif credential.provider == NATIVE_PROVIDER and (credential.api_key or credential.fields or effective.options.custom_host):
        problems.add(
            inside(path, "provider"), f"'{NATIVE_PROVIDER}' is this server's own store, which takes no key, host or provider's fields."
        )


def check_beside_virtual_key(effective: Target, problems: Problems) -> None:
    """A stored credential goes only to the host saved with it, and is complete."""
    names = [name for name, value in effective.credential.fields if name in URL_FORMING or isinstance(value, Secret)]
    names += ["custom_host"] if effective.options.custom_host is not None else []
    for name in names:
        secret = PROVIDER_FIELDS.get(name) is FieldKind.HIDDEN
        problems.add(
            inside(effective.path, name),
            "The virtual key brings its own credential. Leave this out, or leave the virtual key out."
            if secret
            else "The virtual key goes only to the host saved with it. Leave this out here and in the targets around it.",
        )
    if effective.credential.api_key is not None:
        problems.add(
            inside(effective.path, "api_key"), "The virtual key brings its own credential. Leave this out, or leave the virtual key out."
        )
