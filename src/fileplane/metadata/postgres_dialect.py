"""The statements of ``sql/`` as PostgreSQL has them.

One text serves both engines: what differs is either replaced here, by rule, or a statement of its own in ``sql/postgres.sql``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fileplane.metadata.sql import load_statements

OWN: Final = load_statements("postgres.sql")
_OWNERS: Final = ("secrets.sql",)
_MOST_TEXTS: Final = 2_048


def _ended_arm(arm: re.Match[str]) -> str:
    """One of several lists that are merged, cut off after what a page can take from it: else all of each is read and sorted."""
    direction = "DESC" if arm["beyond"] == "<" else "ASC"
    most = "%(limit)s + %(offset)s" if arm["table"] == "catalog_files" else "%(limit)s"
    return f"SELECT * FROM ({arm[0]} ORDER BY position {direction} LIMIT {most}) AS {arm['table']}"  # noqa: S608 - made of a statement of sql/


_ARM: Final = re.compile(
    r"SELECT id, position AS place FROM (?P<table>catalog_files|catalog_jobs)\n(?:(?!UNION).)*?position (?P<beyond>[<>]) %\(cursor\)s",
    re.DOTALL,
)
_RULES: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?m)^--.*\n", ""),
        (r"%", "%%"),
        # Of several values, not of several rows. SQLite's are null when one of the values is; nothing here may depend on that.
        (r"\bmin\((?=[^()]*,)", "least("),
        (r"\bmax\((?=[^()]*,)", "greatest("),
        # A cast (::) is no parameter. What is only asked whether it is null must say its type.
        (r"(?<!:):([a-z]\w*)", r"%(\1)s"),
        (r"(%\(\w+\)s) IS NULL", r"\1::text IS NULL"),
        # Numbers that may be null, which by itself is a text where nothing else decides.
        (r"(%\((?:bytes|\w+_at)\)s)", r"\1::bigint"),
        # The planner chooses its index by itself; an expression keeps it from one that is not meant.
        (r" INDEXED BY \w+", ""),
        (r"\+id = ", "id || '' = "),
        # Row by row in that order, as on SQLite. A plan for any limit would expect a tenth of the table, and read all of it at once.
        (
            r"CROSS JOIN (\w+) USING \(id\)",
            r"JOIN LATERAL (SELECT * FROM \1 AS own WHERE own.project_id = %(project_id)s AND own.id = page.id OFFSET 0) AS \1 USING (id)",
        ),
        (r"json_group_array\((\w+)\)", r"coalesce(json_agg(\1 ORDER BY \1), '[]')::text"),
        (r"json_object\(([^()]*)\)", r"json_build_object(\1)::text"),
        (r"json_extract\((%\(\w+\)s), '\$\.(\w+)'\)", r"(\1::json ->> '\2')"),
        (r"json_each\((%\(\w+\)s)\)", r"json_array_elements_text(\1::json)"),
        # Several statements of one read are of one instant.
        (r"^BEGIN$", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
    )
)


@lru_cache(_MOST_TEXTS)
def translated(statement: str) -> str:
    """A statement of ``sql/`` or made of such, with psycopg's named parameters."""
    text = _REPLACED.get(statement, statement)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _ARM.sub(_ended_arm, text)


def _replaced() -> dict[str, str]:
    shared = {name: text for file in _OWNERS for name, text in load_statements(file).items()}
    return {shared[name]: text for name, text in OWN.items()}


_REPLACED: Final = _replaced()
