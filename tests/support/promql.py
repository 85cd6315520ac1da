"""What a PromQL expression asks for, found by parsing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

_INSIDE = ("lhs", "rhs", "expr", "args", "param", "vector_selector")
_RANGE = "$__rate_interval"


@dataclass(frozen=True)
class Selected:
    """A metric with its matchers, each as label, operator and value."""

    name: str
    matchers: tuple[tuple[str, promql_parser.MatchOp, str], ...]


@dataclass(frozen=True)
class Asked:
    """Every selector of an expression, and every label that it groups or joins by."""

    selected: tuple[Selected, ...]
    grouped_by: frozenset[str]


def parse(expression: str) -> Asked:
    """Raises ValueError for what is no PromQL. The dashboard's own variable for a range is put in its place first."""
    nodes = list(_nodes(promql_parser.parse(expression.replace(_RANGE, "5m"))))
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    selected = tuple(
        Selected(node.name, tuple((entry.name, entry.op, entry.value) for entry in node.matchers.matchers)) for node in selectors
    )
    return Asked(selected, frozenset(label for node in nodes for label in _labels(node)))


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for name in _INSIDE:
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if isinstance(child, promql_parser.Expr):
                yield from _nodes(child)


def _labels(node: Any) -> Iterator[str]:
    modifier = getattr(node, "modifier", None)
    yield from getattr(modifier, "labels", None) or []
    yield from getattr(getattr(modifier, "matching", None), "labels", None) or []
    yield from getattr(modifier, "group_labels", None) or []
