"""The conditions of a conditional strategy: what a document says of them, and whether they hold for a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fileplane.routing.config_fields import CONDITION_FIELDS, meant_by
from fileplane.routing.config_problems import inside
from fileplane.routing.config_reader import Notes, ObjectReader
from fileplane.routing.config_values import AllOf, AnyOf, Comparison, Condition, Operator, Query, Scalar
from fileplane.routing.pattern_syntax import PatternError
from fileplane.routing.patterns import compiled

MOST_CONDITIONS: Final = 100
MOST_OPERANDS: Final = 200
DEEPEST_QUERY: Final = 8
MOST_PATTERN_STEPS: Final = 1_024
"""Of all patterns of a document together, since one request may be compared with each of them."""
PATHNAME: Final = "url.pathname"

_FIELD: Final = re.compile(r"(?:metadata|params)\..{1,256}|url\.pathname", re.ASCII | re.DOTALL)
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LISTS: Final = frozenset({Operator.IN, Operator.NOT_IN})
_ORDERS: Final = frozenset({Operator.GREATER, Operator.GREATER_OR_EQUAL, Operator.LESS, Operator.LESS_OR_EQUAL})
_OPERATORS: Final = frozenset(operator.value for operator in Operator)
_LONGEST_NUMBER: Final = 64


def read_condition(reader: ObjectReader) -> Condition | None:
    """One element of ``strategy.conditions``, or None together with its problems."""
    reader.refuse_unknown(CONDITION_FIELDS)
    for name, wanted in (("query", "what is compared"), ("then", "the name of a target")):
        if not reader.has(name):
            reader.problem(name, f"This is missing: {wanted}.")
    query, then = reader.object("query"), reader.text("then")
    parsed = None if query is None else _query(query, 0)
    return None if parsed is None or then is None else Condition(parsed, then)


def _query(reader: ObjectReader, depth: int) -> Query | None:
    if depth >= DEEPEST_QUERY:
        reader.notes.problems.add(reader.path, f"Queries are nested deeper than {DEEPEST_QUERY} levels.")
        return None
    if not reader.values:
        reader.notes.problems.add(
            reader.path, "This must compare something. What is to be taken otherwise belongs into 'strategy.default'."
        )
        return None
    parts = [_part(reader, name, depth) for name in reader.values]
    return _joined(parts, AllOf)


def _part(reader: ObjectReader, name: str, depth: int) -> Query | None:
    if name in {"$and", "$or"}:
        queries = reader.array(name, most=MOST_CONDITIONS)
        if queries is None:
            if not reader.has(name):
                reader.problem(name, "This must be an array of queries.")
            return None
        parts = [_element(query, inside(reader.at(name), number), reader.notes, depth) for number, query in enumerate(queries)]
        return _joined(parts, AnyOf if name == "$or" else AllOf)
    if not _FIELD.fullmatch(name):
        reader.problem(name, f"A query compares 'metadata.<name>', 'params.<name>' or '{PATHNAME}', or joins queries by $and and $or.")
        return None
    value = reader.values[name]
    if isinstance(value, dict):
        return _operators(ObjectReader(value, reader.at(name), reader.notes), name)
    if isinstance(value, list):
        reader.problem(name, "This must be a single value. Write {'$in': […]} to compare with several.")
        return None
    return Comparison(name, Operator.EQUAL, (value,))


def _element(query: object, path: str, notes: Notes, depth: int) -> Query | None:
    if isinstance(query, dict):
        return _query(ObjectReader(query, path, notes), depth + 1)
    notes.problems.add(path, "This must be a query, which is an object.")
    return None


def _joined(parts: list[Query | None], kind: type[AllOf | AnyOf]) -> Query | None:
    good: list[Query] = []
    for part in parts:
        if part is None:
            return None
        good += part.parts if isinstance(part, kind) else (part,)
    return good[0] if len(good) == 1 else kind(tuple(good))


def _operators(reader: ObjectReader, field: str) -> Query | None:
    if not reader.values:
        reader.notes.problems.add(reader.path, "This must have an operator such as $eq.")
        return None
    parts: list[Query | None] = []
    for name in reader.values:
        if name in _OPERATORS:
            operands = _operands(reader, Operator(name))
            parts.append(None if operands is None else Comparison(field, Operator(name), operands))
        else:
            meant = meant_by(name, _OPERATORS)
            hint = f"Did you mean {meant}?" if meant else f"There are {', '.join(Operator)}."
            reader.problem(name, f"There is no such operator. {hint}")
            parts.append(None)
    return _joined(parts, AllOf)


def _operands(reader: ObjectReader, operator: Operator) -> tuple[Scalar, ...] | None:
    value: Any = reader.values[operator.value]
    wanted = None
    if operator in _LISTS:
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_OPERANDS or any(isinstance(one, dict | list) for one in value):
            wanted = f"an array of 1 to {MOST_OPERANDS} single values"
    elif operator in _ORDERS:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or number_in(value) is None:
            wanted = "a number"
    elif operator is Operator.REGEX:
        return _pattern(reader, value)
    elif isinstance(value, dict | list):
        wanted = "a single value"
    if wanted is not None:
        reader.problem(operator.value, f"This must be {wanted}.")
        return None
    return tuple(value) if operator in _LISTS else (value,)


def _pattern(reader: ObjectReader, value: object) -> tuple[str] | None:
    if not isinstance(value, str):
        reader.problem(Operator.REGEX.value, "This must be a text.")
        return None
    try:
        steps = compiled(value).steps
    except PatternError as error:
        reader.problem(Operator.REGEX.value, str(error))
        return None
    notes = reader.notes
    notes.pattern_steps += steps
    if notes.pattern_steps > MOST_PATTERN_STEPS >= notes.pattern_steps - steps:
        reader.problem(
            Operator.REGEX.value, "The patterns of this document are too large together. Use fewer, or compare with $eq and $in."
        )
    return (value,)


def holds(query: Query, values: Mapping[str, object]) -> bool:
    """Whether a query holds; ``values`` by field name, such as ``metadata.plan``.

    Values of different types are never equal, as in Portkey; the orders compare numbers, also where these are written as text.
    A value that is missing is unequal to everything, in no list, in no order, and matches no pattern.
    """
    if isinstance(query, AllOf):
        return all(holds(part, values) for part in query.parts)
    if isinstance(query, AnyOf):
        return any(holds(part, values) for part in query.parts)
    missing = query.field not in values
    value, operator = values.get(query.field), query.operator
    if operator in {Operator.EQUAL, Operator.IN}:
        return not missing and any(_same(value, operand) for operand in query.operands)
    if operator in {Operator.NOT_EQUAL, Operator.NOT_IN}:
        return missing or not any(_same(value, operand) for operand in query.operands)
    if operator is Operator.REGEX:
        return isinstance(value, str) and compiled(str(query.operands[0])).search(value)
    return _in_order(operator, number_in(value), number_in(query.operands[0]))


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _in_order(operator: Operator, value: float | None, limit: float | None) -> bool:
    if value is None or limit is None:
        return False
    if operator is Operator.GREATER:
        return value > limit
    if operator is Operator.GREATER_OR_EQUAL:
        return value >= limit
    return value < limit if operator is Operator.LESS else value <= limit


def number_in(value: object) -> float | None:
    """The number that a value is, or that a text begins with, or None."""
    if isinstance(value, str):
        found = _NUMBER.match(value[:_LONGEST_NUMBER])
        return None if found is None else float(found[0])
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
