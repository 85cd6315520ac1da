"""What the transactions of the catalog have in common: rows, owners, counters, and lists of several virtual keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from fileplane.catalog import CatalogFile, Claim, FileState, ProviderFile
from fileplane.errors import FileNotFound
from fileplane.ids import uuid7
from fileplane.metadata.catalog import IntentNotFound
from fileplane.metadata.control import VirtualKeyNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements

SQL: Final = load_statements("catalog.sql")
LONGEST_CLAIM_SECONDS: Final = 86_400
_LEFT_OUT: Final = " AND virtual_key_id NOT IN (SELECT value FROM json_each(:without))"
UNRESOLVED: Final = frozenset({FileState.RESERVED, FileState.UNKNOWN, FileState.DELETING})


def read_file(row: tuple[Any, ...]) -> CatalogFile:
    """A row of the columns that every statement selects alike."""
    values = list(row)
    values[4] = FileState(values[4])
    values[19:21] = [bool(value) for value in values[19:21]]
    return CatalogFile(*values)


def intent(connection: Connection, project_id: str, intent_id: str) -> CatalogFile:
    """The file with this id of ours, whatever its state. Raises :class:`IntentNotFound`."""
    row = connection.execute(SQL["select_intent"], {"project_id": project_id, "id": intent_id}).fetchone()
    if row is None:
        raise IntentNotFound(intent_id)
    return read_file(row)


def bound(connection: Connection, project_id: str, virtual_key_id: str, provider_file_id: str, now: int) -> CatalogFile:
    """See :meth:`CatalogStore.get_catalog_file`."""
    values = {"project_id": project_id, "virtual_key_id": virtual_key_id, "provider_file_id": provider_file_id, "now": now}
    row = connection.execute(SQL["select_bound"], values).fetchone()
    if row is None:
        raise FileNotFound(provider_file_id)
    return read_file(row)


def live(connection: Connection, project_id: str, virtual_key_id: str, provider_file_id: str) -> CatalogFile | None:
    """The file that is there, or about to be deleted there."""
    values = {"project_id": project_id, "virtual_key_id": virtual_key_id, "provider_file_id": provider_file_id}
    row = connection.execute(SQL["select_live"], values).fetchone()
    return None if row is None else read_file(row)


def owner(connection: Connection, account_id: str, provider_file_id: str) -> CatalogFile | None:
    """Whose file of a credential it is."""
    row = connection.execute(SQL["select_owner"], {"account_id": account_id, "provider_file_id": provider_file_id}).fetchone()
    return None if row is None else read_file(row)


def target(connection: Connection, project_id: str, virtual_key_id: str) -> dict[str, Any]:
    """Provider and credential of a virtual key, as columns. Raises :class:`VirtualKeyNotFound` when the project may not use it."""
    row = connection.execute(SQL["select_target"], {"project_id": project_id, "virtual_key_id": virtual_key_id}).fetchone()
    if row is None:
        raise VirtualKeyNotFound(virtual_key_id)
    return {"project_id": project_id, "virtual_key_id": virtual_key_id, "provider": row[0], "account_id": row[1]}


def insert_bound(connection: Connection, at: dict[str, Any], file: ProviderFile, created_by: str | None, now_ms: int) -> CatalogFile:
    """Records a file that is at the provider already; ``at`` as :func:`target` has it."""
    now = now_ms // 1000
    created_at = now if file.created_at is None else min(file.created_at, now)
    position = uuid7(now_ms if created_at == now else created_at * 1000)
    values = at | asdict(file) | {"id": uuid7(now_ms), "position": position, "created_at": created_at, "now": now, "created_by": created_by}
    connection.execute(SQL["insert_bound"], values)
    made = intent(connection, at["project_id"], values["id"])
    count(connection, made, 1)
    return made


def count(connection: Connection, file: CatalogFile, files: int, size: int | None = None) -> None:
    """Moves the counters by ``files``, and by ``size`` or as many times the file's own."""
    values = {"project_id": file.project_id, "virtual_key_id": file.virtual_key_id, "purpose": file.purpose, "files": files}
    connection.execute(SQL["count"], values | {"bytes": files * (file.bytes or 0) if size is None else size})


def claimed(claim: Claim, now: int) -> dict[str, Any]:
    """A claim as columns."""
    return {"claimed_by": claim.holder, "due_at": now + min(claim.seconds, LONGEST_CLAIM_SECONDS)}


def due(connection: Connection, statement: str, limit: int, now: int, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """Project and id of what is due; also what no claim can be so far ahead of, after a clock has leapt.

    ``without`` are virtual keys whose rows are passed over. They are one value, for a statement takes no more than 32,766 of SQLite.
    """
    left_out = {"without": json.dumps(sorted(without))} if without else {}
    statement = statement.format(without=_LEFT_OUT if without else "")
    found: list[tuple[str, str]] = []
    for above, up_to in ((-1, now), (now + LONGEST_CLAIM_SECONDS, 2**62)):
        values = {"above": above, "up_to": up_to, "limit": limit - len(found), **left_out}
        found += [(str(project), str(key)) for project, key in connection.execute(statement, values)]
    return found


def merged_list(statement: str, arm: str, virtual_keys: int, *, newest_first: bool, **parts: str) -> str:
    """The statement of a list that merges the orders of several virtual keys, which are ``:key0``, ``:key1`` and so on."""
    beyond, direction = ("<", "DESC") if newest_first else (">", "ASC")
    arms = [arm.rstrip(";").format(key=f"key{number}", beyond=beyond, **parts) for number in range(virtual_keys)]
    return statement.format(arms="\nUNION ALL ".join(_without_comments(arms)), direction=direction)


def _without_comments(statements: Iterable[str]) -> list[str]:
    return ["\n".join(line for line in statement.splitlines() if not line.startswith("--")) for statement in statements]


def key_values(virtual_key_ids: Sequence[str]) -> dict[str, str]:
    """The values of ``:key0`` and so on."""
    return {f"key{number}": key for number, key in enumerate(virtual_key_ids)}
