"""The prefixes of a bucket whose objects one project may read through a virtual key, although no catalog knows them: results of batches.

A provider writes the results of a batch into the bucket itself, under a prefix that the batch's document names. Whoever stores the
credential declares such prefixes, each for one project: ``results/team-a/=<project>``. A declaration never applies to another project,
whichever projects may use the virtual key later. None can cover what Fileplane itself puts into the bucket, of which the catalog alone says
whose it is; and prefixes end with a slash, so that ``team-a/`` says nothing of ``team-ab/``.
"""

from __future__ import annotations

import re
from typing import Final

from fileplane.providers.object_ids import OWN_PREFIX

_SEGMENT: Final = r"[A-Za-z0-9!_*'():@+-][A-Za-z0-9!_.*'():@+=-]{0,199}"
_ENTRY: Final = rf"(?!{re.escape(OWN_PREFIX)})(?:{_SEGMENT}/){{1,20}}(?:=[A-Za-z0-9_-]{{1,64}})?"
OUTPUT_PREFIXES: Final = rf"{_ENTRY}(?:,{_ENTRY}){{0,99}}"
"""What the whole field matches. A segment never begins with a dot, so that none climbs."""


def parsed_prefixes(text: str) -> tuple[tuple[str, str], ...]:
    """Every prefix with its project, which is empty where none is named."""
    parts = (entry.rpartition("/") for entry in text.split(",") if entry)
    return tuple((f"{before}/", project.removeprefix("=")) for before, _, project in parts)


def written_prefixes(prefixes: tuple[tuple[str, str], ...]) -> str:
    """The field's text, each entry once."""
    return ",".join(dict.fromkeys(f"{prefix}={project}" if project else prefix for prefix, project in prefixes))


def outputs_of(text: str, project_id: str) -> tuple[str, ...]:
    """The prefixes that are for a project."""
    return tuple(prefix for prefix, project in parsed_prefixes(text) if project and project == project_id)
