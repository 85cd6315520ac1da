"""docs/benchmarks.md: the tables, the machine, and how each row is measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import machine
from plan import Plan
from report import Section, tables

_HEAD = """\
# Benchmarks

Written by `make bench`; do not edit. Everything is measured beside a reference on the same machine in the same run, because a figure
by itself says more about the machine than about the program. `make bench ARGS='--only upload'` measures a part and
`ARGS=--quick` measures less of everything; neither changes this page.
"""

_GENERAL = """\
All sides run on the same machine with the client, over the loopback interface, Fileplane with its default settings (but for the scrub,
which is off) and one worker, access log included. The sides of a row take turns, in {rounds} rounds (a large download in {downloads})
whose order is reversed every other time. A figure is the median of the rounds, and a ratio is the ratio of the two medians, above 1
where Fileplane is better (in the rows on lists and on validation: where it costs more). A row with a bar is a promise of the design; a
row without is for information.
"""


SOAK_BEGIN, SOAK_END = "<!-- soak -->", "<!-- end of soak -->"


def soak_of(page: str) -> str:
    """The section that `make soak` has written into the page, if it has, to be kept when the rest is written anew."""
    return page[page.index(SOAK_BEGIN) : page.index(SOAK_END) + len(SOAK_END) + 1] if SOAK_BEGIN in page else ""


def render(plan: Plan, sections: Sequence[Section], finished: datetime, load_before: float, seconds: float) -> str:
    """The whole page, in Markdown."""
    facts = [
        ("date", finished.strftime("%Y-%m-%d")),
        *machine.shape(plan.directory),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions(plan))),
        ("run", f"{seconds / 60:.0f} minutes, load average {load_before:.1f} before it"),
    ]
    parts = [_HEAD, "\n".join(f"- {name}: {value}" for name, value in facts) + "\n", "## Results\n", tables(sections)]
    parts += ["## How each row is measured\n", _GENERAL.format(rounds=plan.rounds, downloads=2 * plan.rounds)]
    parts += [f"### {section.title}\n\n{section.method}\n" for section in sections]
    return "\n".join(parts)
