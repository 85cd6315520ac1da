"""The transactions that look after the catalog: claims, expiry, and counting everything anew.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction, except
for :func:`drifts`, which reads and makes its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from fileplane.catalog import CatalogFile, Claim, FileState
from fileplane.metadata.catalog import IntentNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.transactions import catalog_files as files
from fileplane.metadata.transactions import catalog_rows as rows
from fileplane.metadata.transactions.catalog_rows import SQL
from fileplane.metadata.transactions.lifecycle import record
from fileplane.model import CounterDrift, Origin, Usage

LONGEST_REST_SECONDS: Final = 3_600
"""Between two attempts at a deletion, and between two at finding an upload that was not found for as long."""
_MOST_DOUBLINGS: Final = 12
_COUNTERS: Final = ("live_files", "stored_bytes")
_USERS: Final = (("file at a provider", "files at providers"), ("job", "jobs"))


def renew_claim(connection: Connection, project_id: str, intent_id: str, claim: Claim, now: int) -> bool:
    """See :meth:`CatalogStore.renew_claim`."""
    values = {"project_id": project_id, "id": intent_id} | rows.claimed(claim, now)
    return connection.execute(SQL["renew_claim"], values).fetchone() is not None


def unresolved(connection: Connection, after: CatalogFile | None, limit: int) -> list[CatalogFile]:
    """See :meth:`CatalogStore.unresolved_files`."""
    values: dict[str, Any] = {"due_at": -1, "project_id": "", "id": "", "limit": limit}
    if after is not None:
        values |= {"due_at": after.due_at, "project_id": after.project_id, "id": after.id}
    return [rows.read_file(row) for row in connection.execute(SQL["select_unresolved"], values)]


def is_due(connection: Connection, now: int, without: Collection[str] = ()) -> bool:
    """Whether :func:`claim_unresolved` would find something."""
    return bool(rows.due(connection, SQL["select_due"], 1, now, without))


def claim_unresolved(connection: Connection, claim: Claim, limit: int, now: int, without: Collection[str] = ()) -> list[CatalogFile]:
    """See :meth:`CatalogStore.claim_unresolved_files`."""
    due = rows.due(connection, SQL["select_due"], limit, now, without)
    return [_claimed(connection, rows.intent(connection, project_id, intent_id), claim, now) for project_id, intent_id in due]


def _claimed(connection: Connection, file: CatalogFile, claim: Claim, now: int) -> CatalogFile:
    connection.execute(SQL["claim"], {"project_id": file.project_id, "id": file.id, "now": now} | rows.claimed(claim, now))
    return rows.intent(connection, file.project_id, file.id)


def put_off(connection: Connection, project_id: str, intent_id: str, claim: Claim, now: int) -> bool:
    """See :meth:`CatalogStore.put_off_unresolved_file`.

    What keeps a provider away may last for days, and what cannot be found out here waits for an operator.
    """
    try:
        file = rows.intent(connection, project_id, intent_id)
    except IntentNotFound:
        return False
    seconds = claim.seconds
    if file.state is FileState.DELETING:
        seconds = max(seconds, min(seconds << min(file.tries, _MOST_DOUBLINGS), LONGEST_REST_SECONDS))
    elif file.unresolved_since is not None and now - file.unresolved_since >= LONGEST_REST_SECONDS:
        seconds = max(seconds, LONGEST_REST_SECONDS)
    values = {"project_id": project_id, "id": intent_id} | rows.claimed(Claim(claim.holder, seconds), now)
    return connection.execute(SQL["put_off"], values).fetchone() is not None


def is_held_too_long(connection: Connection, now: int, without: Collection[str] = ()) -> bool:
    """Whether :func:`claim_held` would find something."""
    return bool(rows.due(connection, SQL["select_held"], 1, now, without))


def claim_held(connection: Connection, claim: Claim, limit: int, now: int, without: Collection[str] = ()) -> list[CatalogFile]:
    """See :meth:`CatalogStore.claim_held_catalog_files`."""
    held = rows.due(connection, SQL["select_held"], limit, now, without)
    return [_claimed(connection, rows.intent(connection, project_id, intent_id), claim, now) for project_id, intent_id in held]


def has_ended(connection: Connection, now: int) -> bool:
    """Whether :func:`expire` would find something."""
    return connection.execute(SQL["select_ending"], {"now": now, "limit": 1}).fetchone() is not None


def expire(connection: Connection, claim: Claim, limit: int, now_ms: int) -> list[CatalogFile]:
    """See :meth:`CatalogStore.expire_catalog_files`."""
    now = now_ms // 1000
    ended: list[tuple[Any, ...]] = connection.execute(SQL["select_ending"], {"now": now, "limit": limit}).fetchall()
    begun = []
    for project_id, intent_id in ended:
        file = rows.intent(connection, project_id, intent_id)
        rows.count(connection, file, -1)
        record(connection, project_id, "files.expire", file.provider_file_id or "", Origin(), now_ms)
        begun.append(files.start_deleting(connection, file, claim, now))
    return begun


def catalogued(connection: Connection, virtual_key_id: str, provider_file_ids: Sequence[str]) -> set[str]:
    """See :meth:`CatalogStore.catalogued_ids`."""
    row = connection.execute(SQL["select_account"], {"virtual_key_id": virtual_key_id}).fetchone()
    account_id = virtual_key_id if row is None else str(row[0])
    return {file_id for file_id in provider_file_ids if rows.owner(connection, account_id, file_id) is not None}


def usage(connection: Connection, project_id: str, virtual_key_id: str | None) -> Usage:
    """See :meth:`CatalogStore.catalog_usage`."""
    row = connection.execute(SQL["select_usage"], {"project_id": project_id, "virtual_key_id": virtual_key_id}).fetchone()
    return Usage(*(row or (0, 0)))


def users_of_project(connection: Connection, project_id: str) -> list[str]:
    """What a project still has at providers, as :class:`~fileplane.metadata.control.StillInUse` says it."""
    return _users(connection, "count_users_of_project", project_id)


def users_of_virtual_key(connection: Connection, virtual_key_id: str) -> list[str]:
    """What still needs a virtual key, as :class:`~fileplane.metadata.control.StillInUse` says it."""
    return _users(connection, "count_users_of_virtual_key", virtual_key_id)


def _users(connection: Connection, name: str, key: str) -> list[str]:
    counts = connection.execute(SQL[name], {"id": key}).fetchone()
    assert counts is not None
    return [f"{count} {words[count > 1]}" for count, words in zip(counts, _USERS, strict=True) if count]


def drifts(connection: Connection) -> list[CounterDrift]:
    """As :meth:`MetadataStore.counter_drifts`; the counters are named with their virtual key."""
    connection.execute("BEGIN")
    kept, counted = (_counters(connection, name) for name in ("select_catalog_counters", "recount_catalog"))
    connection.execute("COMMIT")
    return [
        CounterDrift(project_id, purpose, f"{counter} at virtual key {virtual_key_id}", is_kept, is_counted)
        for project_id, virtual_key_id, purpose in sorted(kept.keys() | counted.keys())
        for counter, is_kept, is_counted in zip(
            _COUNTERS,
            kept.get((project_id, virtual_key_id, purpose), (0, 0)),
            counted.get((project_id, virtual_key_id, purpose), (0, 0)),
            strict=True,
        )
        if is_kept != is_counted
    ]


def _counters(connection: Connection, name: str) -> dict[tuple[str, str, str], tuple[int, ...]]:
    table: list[tuple[Any, ...]] = connection.execute(SQL[name]).fetchall()
    return {(project_id, virtual_key_id, purpose): tuple(numbers) for project_id, virtual_key_id, purpose, *numbers in table}
