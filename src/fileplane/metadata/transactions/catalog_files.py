"""The transactions of catalogued files, from the reservation to the end.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction, except
for :func:`page`, which reads and makes its own. An audit line is about ``files`` and the provider's id wherever there is one, as for
native files, and about ``file_intents`` and the intent's id before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from fileplane.catalog import (
    CatalogFile,
    CatalogPage,
    CatalogQuery,
    Claim,
    FileReport,
    FileState,
    NewUpload,
    ProviderFile,
    Reservation,
    UploadedFile,
)
from fileplane.errors import FileInUse, FileNotFound, IdempotencyConflict
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound, NewCopy
from fileplane.metadata.engine import Connection
from fileplane.metadata.transactions import catalog_rows as rows
from fileplane.metadata.transactions import files as native
from fileplane.metadata.transactions import jobs
from fileplane.metadata.transactions.catalog_rows import SQL
from fileplane.metadata.transactions.lifecycle import count_deletion, record, remember_key, repeated_file_id
from fileplane.model import COPY_PURPOSE, Idempotency, NewFile, Origin

_FIRST: Final = ""
_LAST: Final = "~"
_NAMED_JOBS: Final = 100


def reserve(
    connection: Connection,
    project_id: str,
    new: NewUpload,
    claim: Claim,
    origin: Origin,
    key: Idempotency | None,
    copy: NewCopy | None,
    now_ms: int,
) -> Reservation:
    """See :meth:`CatalogStore.reserve_upload`."""
    now = now_ms // 1000
    target = rows.target(connection, project_id, new.virtual_key_id)
    if key is not None:
        repeated = repeated_file_id(connection, project_id, key, now)
        if repeated is not None:
            return Reservation(_repeated(connection, project_id, repeated, now), repeated=True)
    intent_id = uuid7(now_ms)
    copy_id = None if copy is None else _kept_copy(connection, project_id, new, copy, origin, now_ms)
    details = {"id": intent_id, "now": now, "key_hash": key and key.key_hash, "copy_id": copy_id}
    values = asdict(new) | target | rows.claimed(claim, now) | details
    connection.execute(SQL["insert_reservation"], values)
    if key is not None:
        remember_key(connection, project_id, key, intent_id, now)
    record(connection, project_id, "file_intents.create", intent_id, origin, now_ms)
    return Reservation(rows.intent(connection, project_id, intent_id), repeated=False)


def _kept_copy(connection: Connection, project_id: str, new: NewUpload, copy: NewCopy, origin: Origin, now_ms: int) -> str:
    """The id of the native file: recorded by the transaction that reserves, and ended by the one that ends the catalog's file."""
    file = NewFile(copy.blob, COPY_PURPOSE, new.filename, new.media_type, new.created_by)
    return native.create(connection, project_id, file, copy.quota_bytes, origin, None, copy.limits, now_ms).file.id


def _end_copy(connection: Connection, file: CatalogFile, now_ms: int) -> None:
    """To be called by whatever ends a file of the catalog. The bytes count until the janitor has removed them, as of any deleted file."""
    if file.copy_id is None:
        return
    values = {"project_id": file.project_id, "copy_id": file.copy_id, "now": now_ms // 1000}
    row = connection.execute(SQL["end_copy"], values).fetchone()
    if row is not None:
        count_deletion(connection, file.project_id, *row)


def _repeated(connection: Connection, project_id: str, intent_id: str, now: int) -> CatalogFile:
    try:
        file = rows.intent(connection, project_id, intent_id)
        if file.state is FileState.BOUND:
            return rows.bound(connection, project_id, file.virtual_key_id, file.provider_file_id or "", now)
    except (IntentNotFound, FileNotFound) as error:
        raise IdempotencyConflict from error
    if file.state not in (FileState.RESERVED, FileState.UNKNOWN):
        raise IdempotencyConflict
    return file


def bind(connection: Connection, project_id: str, intent_id: str, uploaded: UploadedFile, origin: Origin, now_ms: int) -> CatalogFile:
    """See :meth:`CatalogStore.bind_upload`."""
    file = rows.intent(connection, project_id, intent_id)
    if file.state is FileState.BOUND and file.provider_file_id == uploaded.provider_file_id:
        return file
    if file.state not in (FileState.RESERVED, FileState.UNKNOWN):
        raise IntentNotFound(intent_id)
    account_id, _, expires_after = _details(connection, file)
    there = rows.owner(connection, account_id, uploaded.provider_file_id)
    if there is not None:
        return _merge(connection, file, there, uploaded, origin, now_ms)
    now = now_ms // 1000
    asked = None if expires_after is None else now + expires_after
    expires_at = _earlier(uploaded.expires_at, asked) if file.ends_here else uploaded.expires_at or asked
    values = asdict(uploaded) | {"project_id": project_id, "id": intent_id, "position": uuid7(now_ms), "now": now, "expires_at": expires_at}
    connection.execute(SQL["bind"], values).fetchone()
    file = rows.intent(connection, project_id, intent_id)
    rows.count(connection, file, 1)
    record(connection, project_id, "files.create", uploaded.provider_file_id, origin, now_ms)
    return file


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _merge(
    connection: Connection, file: CatalogFile, there: CatalogFile, uploaded: UploadedFile, origin: Origin, now_ms: int
) -> CatalogFile:
    """Some providers answer an upload of the same bytes with the file that they have."""
    same = (there.project_id, there.virtual_key_id, there.state) == (file.project_id, file.virtual_key_id, FileState.BOUND)
    if not same or (there.sha256 is not None and uploaded.sha256 not in {None, there.sha256}):
        raise AlreadyBound(there.provider_file_id or "", there.project_id)
    _, key_hash, _ = _details(connection, file)
    values = {"project_id": file.project_id, "id": file.id, "key_hash": key_hash, "other_id": there.id}
    connection.execute(SQL["repoint_key"], values)
    connection.execute(SQL["end_intent"], values | {"state": FileState.CLOSED.value, "now": now_ms // 1000})
    _end_copy(connection, file, now_ms)
    record(connection, file.project_id, "file_intents.merge", file.id, origin, now_ms)
    return there


def _details(connection: Connection, file: CatalogFile) -> tuple[str, bytes | None, int | None]:
    row = connection.execute(SQL["select_intent_details"], {"project_id": file.project_id, "id": file.id}).fetchone()
    assert row is not None
    return str(row[0]), row[1], row[2]


def mark_unknown(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int, *, release_key: bool) -> None:
    """See :meth:`CatalogStore.mark_upload_unknown`."""
    file = rows.intent(connection, project_id, intent_id)
    if file.state not in (FileState.RESERVED, FileState.UNKNOWN):
        raise IntentNotFound(intent_id)
    if release_key:
        _release_key(connection, file)
    if file.state is FileState.RESERVED:
        connection.execute(SQL["mark_unknown"], {"project_id": project_id, "id": intent_id, "now": now_ms // 1000})
        record(connection, project_id, "file_intents.unknown", intent_id, origin, now_ms)


def fail(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`CatalogStore.fail_upload`."""
    file = rows.intent(connection, project_id, intent_id)
    if file.state is FileState.FAILED:
        return
    if file.state not in (FileState.RESERVED, FileState.UNKNOWN):
        raise IntentNotFound(intent_id)
    _release_key(connection, file)
    values = {"project_id": project_id, "id": intent_id, "state": FileState.FAILED.value, "now": now_ms // 1000}
    connection.execute(SQL["end_intent"], values)
    _end_copy(connection, file, now_ms)
    record(connection, project_id, "file_intents.fail", intent_id, origin, now_ms)


def _release_key(connection: Connection, file: CatalogFile) -> None:
    _, key_hash, _ = _details(connection, file)
    connection.execute(SQL["release_key"], {"project_id": file.project_id, "id": file.id, "key_hash": key_hash})


def find(connection: Connection, project_id: str, provider_file_id: str, now: int) -> list[CatalogFile]:
    """See :meth:`CatalogStore.find_catalog_files`."""
    values = {"project_id": project_id, "provider_file_id": provider_file_id, "now": now}
    return [rows.read_file(row) for row in connection.execute(SQL["select_bound_anywhere"], values)]


def list_statement(virtual_keys: int, *, by_purpose: bool, newest_first: bool) -> str:
    """The statement of a list over so many virtual keys."""
    index = f"catalog_files_by_{'purpose' if by_purpose else 'time'}"
    parts = {"index": index, "filter": "purpose = :purpose AND " if by_purpose else ""}
    return rows.merged_list(SQL["list"], SQL["list_arm"], virtual_keys, newest_first=newest_first, **parts)


def page(connection: Connection, project_id: str, query: CatalogQuery, now: int) -> CatalogPage:
    """See :meth:`CatalogStore.list_catalog_files`."""
    keys = tuple(dict.fromkeys(query.virtual_key_ids))
    values: dict[str, Any] = {
        "project_id": project_id,
        "purpose": query.purpose,
        "now": now,
        "limit": query.limit + 1,
        "offset": query.offset,
    }
    connection.execute("BEGIN")
    values["cursor"] = _cursor(connection, project_id, keys, query)
    files: list[CatalogFile] = []
    if keys:
        statement = list_statement(len(keys), by_purpose=query.purpose is not None, newest_first=query.newest_first)
        files = [rows.read_file(row) for row in connection.execute(statement, values | rows.key_values(keys))]
    total = 0
    for key in keys:
        at = values | {"virtual_key_id": key}
        total += _number(connection, "count_live", at) - _number(connection, "count_live_ended", at)
    connection.execute("COMMIT")
    return CatalogPage(tuple(files[: query.limit]), len(files) > query.limit, total)


def _cursor(connection: Connection, project_id: str, keys: Sequence[str], query: CatalogQuery) -> str:
    if query.after is None:
        return _LAST if query.newest_first else _FIRST
    position = _position(connection, project_id, keys, None, query.after)
    if position is None:
        raise CursorNotFound(query.after)
    return position


def known(connection: Connection, project_id: str, query: CatalogQuery, provider_file_ids: Iterable[str]) -> set[str]:
    """See :meth:`CatalogStore.known_file_ids`."""
    keys = tuple(dict.fromkeys(query.virtual_key_ids))
    return {one for one in provider_file_ids if _position(connection, project_id, keys, query.purpose, one) is not None}


def _position(connection: Connection, project_id: str, keys: Iterable[str], purpose: str | None, provider_file_id: str) -> str | None:
    for key in keys:
        values = {"project_id": project_id, "virtual_key_id": key, "provider_file_id": provider_file_id, "purpose": purpose}
        row = connection.execute(SQL["select_cursor"], values).fetchone()
        if row is not None:
            return str(row[0])
    return None


def _number(connection: Connection, name: str, values: dict[str, Any]) -> int:
    row = connection.execute(SQL[name], values).fetchone()
    assert row is not None, name
    return int(row[0])


def reported(file: CatalogFile, report: FileReport) -> dict[str, Any]:
    """What a report says of a file, as columns, with what it does not say as it was."""
    said = {name: value for name, value in asdict(report).items() if value is not None}
    if file.ends_here:
        said["expires_at"] = _earlier(file.expires_at, report.expires_at)
    return {"status": file.status, "bytes": file.bytes, "expires_at": file.expires_at, "filename": file.filename} | said


def changes_nothing(file: CatalogFile, report: FileReport) -> bool:
    """Whether the report says only what is known."""
    return all(getattr(file, name) == value for name, value in reported(file, report).items())


def refresh(
    connection: Connection, project_id: str, virtual_key_id: str, provider_file_id: str, report: FileReport, now: int
) -> CatalogFile:
    """See :meth:`CatalogStore.refresh_catalog_file`."""
    file = rows.bound(connection, project_id, virtual_key_id, provider_file_id, now)
    values = reported(file, report)
    connection.execute(SQL["refresh"], values | {"project_id": project_id, "id": file.id})
    rows.count(connection, file, 0, (values["bytes"] or 0) - (file.bytes or 0))
    return rows.intent(connection, project_id, file.id)


def begin_delete(
    connection: Connection, project_id: str, virtual_key_id: str, provider_file_id: str, claim: Claim, origin: Origin, now_ms: int
) -> CatalogFile:
    """See :meth:`CatalogStore.begin_catalog_delete`."""
    now = now_ms // 1000
    file = rows.live(connection, project_id, virtual_key_id, provider_file_id)
    if file is None:
        raise FileNotFound(provider_file_id)
    if file.state is FileState.BOUND:
        file = rows.bound(connection, project_id, virtual_key_id, provider_file_id, now)
        _refuse_held(connection, file)
        rows.count(connection, file, -1)
        record(connection, project_id, "files.delete", provider_file_id, origin, now_ms)
    return start_deleting(connection, file, claim, now)


def start_deleting(connection: Connection, file: CatalogFile, claim: Claim, now: int) -> CatalogFile:
    """The change itself, for whoever has counted and recorded it."""
    connection.execute(SQL["begin_delete"], {"project_id": file.project_id, "id": file.id} | rows.claimed(claim, now))
    return rows.intent(connection, file.project_id, file.id)


def _refuse_held(connection: Connection, file: CatalogFile) -> None:
    holders = jobs.holders(connection, file, _NAMED_JOBS)
    if holders:
        raise FileInUse((job.provider_job_id or job.id, f"{job.kind.value} job, {job.status or 'being created'}") for job in holders)


def finish_delete(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int) -> bool:
    """See :meth:`CatalogStore.finish_catalog_delete`."""
    file = rows.intent(connection, project_id, intent_id)
    if file.provider_file_id is None or file.state not in (FileState.DELETING, FileState.CLOSED):
        raise IntentNotFound(intent_id)
    if file.state is FileState.CLOSED:
        return False
    connection.execute(SQL["close"], {"project_id": project_id, "id": intent_id, "now": now_ms // 1000})
    _end_copy(connection, file, now_ms)
    record(connection, project_id, "files.confirm_delete", file.provider_file_id, origin, now_ms)
    return True


def cancel_delete(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int) -> CatalogFile:
    """See :meth:`CatalogStore.cancel_catalog_delete`."""
    if connection.execute(SQL["cancel_delete"], {"project_id": project_id, "id": intent_id}).fetchone() is None:
        raise IntentNotFound(intent_id)
    file = rows.intent(connection, project_id, intent_id)
    rows.count(connection, file, 1)
    record(connection, project_id, "files.cancel_delete", file.provider_file_id or "", origin, now_ms)
    return file


def close(connection: Connection, project_id: str, virtual_key_id: str, provider_file_id: str, origin: Origin, now_ms: int) -> bool:
    """See :meth:`CatalogStore.close_catalog_file`."""
    file = rows.live(connection, project_id, virtual_key_id, provider_file_id)
    if file is None:
        return False
    _close(connection, file, "files.vanish", origin, now_ms)
    return True


def _close(connection: Connection, file: CatalogFile, action: str, origin: Origin, now_ms: int) -> None:
    if file.state is FileState.BOUND:
        rows.count(connection, file, -1)
    connection.execute(SQL["close"], {"project_id": file.project_id, "id": file.id, "now": now_ms // 1000})
    _end_copy(connection, file, now_ms)
    record(connection, file.project_id, action, file.provider_file_id or "", origin, now_ms)


def adopt(
    connection: Connection, project_id: str, virtual_key_id: str, file: ProviderFile, origin: Origin, now_ms: int, *, move: bool
) -> CatalogFile:
    """See :meth:`CatalogStore.adopt_catalog_file`."""
    target = rows.target(connection, project_id, virtual_key_id)
    there = rows.owner(connection, target["account_id"], file.provider_file_id)
    if there is not None and there.state is FileState.BOUND and (there.project_id, there.virtual_key_id) == (project_id, virtual_key_id):
        return there
    if there is not None:
        if not move or there.state is FileState.DELETING:
            raise AlreadyBound(file.provider_file_id, there.project_id)
        _refuse_held(connection, there)
        _close(connection, there, "files.give_away", origin, now_ms)
    made = rows.insert_bound(connection, target, file, origin.key_id, now_ms)
    record(connection, project_id, "files.adopt", file.provider_file_id, origin, now_ms)
    return made
