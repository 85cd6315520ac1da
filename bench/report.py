"""The table: what was measured, what it is compared with, the bar and the verdict."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}
NOTHING = "-"


@dataclass(frozen=True)
class Bar:
    """What the figure must be, such as ``≥ 0.9``. An aim is wished for, not required."""

    comparison: str
    limit: float
    unit: str = ""
    aim: bool = False

    def verdict(self, figure: float) -> str:
        """What is said of a figure."""
        met = _COMPARISONS[self.comparison](figure, self.limit)
        return ("aim met" if met else "aim not met") if self.aim else ("met" if met else "missed")

    def __str__(self) -> str:
        return f"{'aim: ' if self.aim else ''}{self.comparison} {self.limit:g}{self.unit and ' '}{self.unit}"


@dataclass(frozen=True)
class Row:
    """One line. ``figure`` is what is held against the bar; a row without a bar is for information."""

    what: str
    ours: str
    reference: str
    figure: float | None = None
    unit: str = ""
    bar: Bar | None = None
    remark: str = ""
    failed: bool = False

    @property
    def shown_figure(self) -> str:
        """The figure, with its unit; a ratio has none."""
        if self.figure is None:
            return NOTHING
        return f"{self.figure:.2f}" if not self.unit else f"{self.figure:.3g} {self.unit}"

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, the same for an aim, or why there is none."""
        if self.remark:
            return self.remark
        if self.bar is None or self.figure is None:
            return NOTHING
        return self.bar.verdict(self.figure)


@dataclass
class Section:
    """The rows of one measurement and how it is made."""

    title: str
    method: str
    rows: list[Row] = field(default_factory=list)


def not_measured(what: str, bar: Bar | None, why: str) -> Row:
    """A row whose tool is missing."""
    return Row(what, NOTHING, NOTHING, bar=bar, remark=f"not measured: {why}")


def failed(what: str) -> Row:
    """A row whose measurement ended in an error."""
    return Row(what, NOTHING, NOTHING, remark="failed", failed=True)


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown that is also readable as it is."""
    lines = [("what", "Fileplane", "reference", "ratio or figure", "bar", "verdict")]
    lines += [(row.what, row.ours, row.reference, row.shown_figure, str(row.bar or NOTHING), row.verdict) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)


def tables(sections: Sequence[Section]) -> str:
    """Both tables: what has a bar, and the rest."""
    rows = [row for section in sections for row in section.rows]
    barred, others = [row for row in rows if row.bar], [row for row in rows if not row.bar]
    parts = [f"{table(barred)}\n"] if barred else []
    if others:
        parts.append(f"For information:\n\n{table(others)}\n")
    return "\n".join(parts)
