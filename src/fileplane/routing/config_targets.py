"""The tree of targets: each by itself. What depends on those around it is in :mod:`fileplane.routing.config_rules`."""

from __future__ import annotations

import json
import re
from typing import Final

from fileplane.routing.config_conditions import MOST_CONDITIONS, read_condition
from fileplane.routing.config_credentials import read_credential
from fileplane.routing.config_fields import (
    FILE_OPTIONS,
    OTHER_FIELDS,
    OTHER_STRATEGY_FIELDS,
    PROVIDER_FIELDS,
    STRATEGY_FIELDS,
    TARGET_FIELDS,
    meant_by,
)
from fileplane.routing.config_options import read_options
from fileplane.routing.config_problems import inside
from fileplane.routing.config_reader import ObjectReader
from fileplane.routing.config_values import Condition, Mode, Strategy, Target
from fileplane.routing.slugs import parse_config_slug

MOST_TARGETS: Final = 100
"""Of a whole document, groups counted."""
DEEPEST_TARGET: Final = 5
LARGEST_WEIGHT: Final = 1_000_000
LONGEST_NAME: Final = 128

_MODES: Final = frozenset(mode.value for mode in Mode)
_FIELDS: Final = TARGET_FIELDS | PROVIDER_FIELDS.keys() | FILE_OPTIONS.keys()
_OF_A_MODE: Final = {"on_status_codes": Mode.FALLBACK, "conditions": Mode.CONDITIONAL, "default": Mode.CONDITIONAL}
_WHOLE_NAME: Final = re.compile(r"\S(?:.*\S)?", re.DOTALL)


def read_target(reader: ObjectReader, depth: int = 0) -> Target:
    """A target with all that is in it; what is wrong with them is in the reader's notes."""
    ignored = tuple((name, json.dumps(reader.values[name])) for name in reader.unused(_FIELDS, OTHER_FIELDS))
    strategy, targets = _strategy(reader), _targets(reader, depth)
    weight = reader.number("weight", 0, LARGEST_WEIGHT)
    name = reader.text("name", longest=LONGEST_NAME)
    if name is not None and not _WHOLE_NAME.fullmatch(name):
        reader.problem("name", "This must neither begin nor end with a space.")
    return Target(
        path=reader.path,
        name=name,
        weight=1 if weight is None else weight,
        credential=read_credential(reader),
        options=read_options(reader),
        strategy=strategy,
        targets=targets,
        config=_reference(reader, depth),
        ignored=ignored,
    )


def _targets(reader: ObjectReader, depth: int) -> tuple[Target, ...]:
    elements = reader.array("targets", most=MOST_TARGETS)
    if elements is None:
        return ()
    notes, path = reader.notes, reader.at("targets")
    if depth >= DEEPEST_TARGET:
        reader.problem("targets", f"Targets are nested deeper than {DEEPEST_TARGET} levels.")
        return ()
    before = notes.targets
    notes.targets += len(elements)
    if notes.targets > MOST_TARGETS:
        if before <= MOST_TARGETS:
            reader.problem("targets", f"The document has more than {MOST_TARGETS} targets. Split it into several configs.")
        return ()
    targets = []
    for number, element in enumerate(elements):
        if isinstance(element, dict):
            targets.append(read_target(ObjectReader(element, inside(path, number), notes), depth + 1))
        else:
            notes.problems.add(inside(path, number), "This must be a target, which is an object such as {'provider': '@slug'}.")
    return tuple(targets)


def _reference(reader: ObjectReader, depth: int) -> str | None:
    text = reader.text("config")
    if text is None:
        return None
    slug = parse_config_slug(text)
    if slug is None:
        reader.problem("config", "This must be the slug of a config, such as 'pc-name-1f09ac'.")
    elif depth == 0:
        reader.problem("config", "Only a target may refer to another config. Use that config itself.")
        return None
    return slug


def _strategy(reader: ObjectReader) -> Strategy | None:
    if isinstance(reader.values.get("strategy"), str):
        reader.problem("strategy", "This must be an object, such as {'mode': 'fallback'}.")
        return None
    strategy = reader.object("strategy")
    if strategy is None:
        return None
    unused = list(strategy.unused(STRATEGY_FIELDS, OTHER_STRATEGY_FIELDS))
    mode = _mode(strategy)
    if mode is None:
        return None
    of_other_modes = [name for name, only in _OF_A_MODE.items() if strategy.has(name) and mode is not only]
    strategy.notes.ignored += [strategy.at(name) for name in of_other_modes]
    ignored = tuple((name, json.dumps(strategy.values[name])) for name in unused + of_other_modes)
    if mode is Mode.FALLBACK:
        return Strategy(mode, on_status_codes=strategy.status_codes("on_status_codes"), ignored=ignored)
    if mode is Mode.CONDITIONAL:
        return Strategy(mode, conditions=_conditions(strategy), default=strategy.text("default"), ignored=ignored)
    return Strategy(mode, ignored=ignored)


def _mode(strategy: ObjectReader) -> Mode | None:
    text = strategy.text("mode")
    if text in _MODES:
        return Mode(text)
    if text is not None:
        meant = meant_by(text, _MODES)
        hint = f"Did you mean '{meant}'?" if meant else f"There are {', '.join(Mode)}."
        strategy.problem("mode", f"There is no such mode. {hint}")
    elif not strategy.has("mode"):
        strategy.problem("mode", f"This is missing: one of {', '.join(Mode)}.")
    return None


def _conditions(strategy: ObjectReader) -> tuple[Condition, ...]:
    elements = strategy.array("conditions", most=MOST_CONDITIONS)
    if elements is None:
        if not strategy.has("conditions"):
            strategy.problem("conditions", "This is missing: at least one {'query': …, 'then': …}.")
        return ()
    path, found = strategy.at("conditions"), []
    for number, element in enumerate(elements):
        if isinstance(element, dict):
            found.append(read_condition(ObjectReader(element, inside(path, number), strategy.notes)))
        else:
            strategy.notes.problems.add(inside(path, number), "This must be an object with 'query' and 'then'.")
    return tuple(condition for condition in found if condition is not None)
