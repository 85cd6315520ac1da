"""The transactions of limits: what bounds an upload, leases of requests, uploads in progress.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, or a part of one, which runs it inside a
transaction.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from fileplane.access import CallerLimits, Limits, Whose
from fileplane.errors import FileQuotaExceeded, RateLimited, StorageQuotaExceeded
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.model import Kept, NewFile, RequestLease

SQL: Final = load_statements("limits.sql")
DAY_SECONDS: Final = 86_400
_MINUTE_MS: Final = 60_000
_WHOLE_PROJECT: Final = ""


def require_allowed(connection: Connection, project_id: str, new: NewFile, limits: CallerLimits, now: int) -> None:
    """What bounds a new file besides the project's storage. Asks for nothing that has no limit."""
    kept = _Kept(connection, project_id, new.created_by, now)
    for whose, bounds in ((Whose.PROJECT, limits.project), (Whose.KEY, limits.key)):
        if bounds.upload_bytes_per_day is not None and kept.received(whose) + new.received_bytes > bounds.upload_bytes_per_day:
            raise RateLimited.of_bytes(bounds.upload_bytes_per_day, whose, DAY_SECONDS - now % DAY_SECONDS)
        if bounds.files is not None and kept.files(whose) >= bounds.files:
            raise FileQuotaExceeded(bounds.files, whose)
    most = limits.key.storage_bytes
    if most is not None and kept.key()[1] + new.blob.size > most:
        raise StorageQuotaExceeded(most, Whose.KEY)


def require_received(connection: Connection, project_id: str, key_id: str, received: int, limits: CallerLimits, now: int) -> None:
    """What bounds the bytes that come on a day, of a body that does not become a file by itself."""
    kept = _Kept(connection, project_id, key_id, now)
    for whose, bounds in ((Whose.PROJECT, limits.project), (Whose.KEY, limits.key)):
        most = bounds.upload_bytes_per_day
        if most is not None and kept.received(whose) + received > most:
            raise RateLimited.of_bytes(most, whose, DAY_SECONDS - now % DAY_SECONDS)


def require_restored(connection: Connection, project_id: str, key_id: str, project: Limits, now: int) -> None:
    """What bounds a file that has just been restored, besides the project's storage; ``key_id`` is the key that uploaded it."""
    kept = _Kept(connection, project_id, key_id, now)
    row = connection.execute(SQL["select_key_limits"], {"key_id": key_id}).fetchone()
    key = Limits() if row is None else Limits(**json.loads(row[0]))
    for whose, most in ((Whose.PROJECT, project.files), (Whose.KEY, key.files)):
        if most is not None and kept.files(whose) > most:
            raise FileQuotaExceeded(most, whose)
    if key.storage_bytes is not None and kept.key()[1] > key.storage_bytes:
        raise StorageQuotaExceeded(key.storage_bytes, Whose.KEY)


def kept(connection: Connection, project_id: str, key_id: str, now: int) -> Kept:
    """See :meth:`LimitsStore.kept`, inside a transaction."""
    counted = _Kept(connection, project_id, key_id, now)
    return Kept(*counted.project(), *counted.key(), counted.received(Whose.PROJECT), counted.received(Whose.KEY))


class _Kept:
    """Looks up what is asked for."""

    def __init__(self, connection: Connection, project_id: str, key_id: str, now: int) -> None:
        self._connection = connection
        self._values = {"project_id": project_id, "key_id": key_id, "now": now, "day": now // DAY_SECONDS}

    def project(self) -> tuple[int, int]:
        stored, live = self._row("select_kept")
        return stored, live

    def key(self) -> tuple[int, int]:
        files, size = self._row("select_key_kept")
        ended, ended_size = self._row("select_key_ended") if files else (0, 0)
        return files - ended, size - ended_size

    def files(self, whose: Whose) -> int:
        return self.project()[1] if whose is Whose.PROJECT else self.key()[0]

    def received(self, whose: Whose) -> int:
        of_project = {"key_id": _WHOLE_PROJECT} if whose is Whose.PROJECT else {}
        return int((self._connection.execute(SQL["select_received"], self._values | of_project).fetchone() or (0,))[0])

    def _row(self, name: str) -> tuple[int, int]:
        first, second = self._connection.execute(SQL[name], self._values).fetchone() or (0, 0)
        return int(first), int(second)


def count_day(connection: Connection, project_id: str, key_id: str, now: int, received: int, stored: int | None = None) -> None:
    """Adds an upload to its day; one without ``stored`` has failed."""
    values = {"project_id": project_id, "key_id": key_id, "day": now // DAY_SECONDS, "received_bytes": received}
    connection.execute(SQL["count_day"], values | {"uploads": int(stored is not None), "stored_bytes": stored or 0})


def take_requests(connection: Connection, subject: str, limit: int, most: int, now_ms: int) -> RequestLease:
    """See :meth:`LimitsStore.take_requests`."""
    minute, used = now_ms // _MINUTE_MS, 0
    row = connection.execute(SQL["select_window"], {"subject": subject}).fetchone()
    if row is not None and minute <= row[0] <= minute + 1:
        minute, used = int(row[0]), int(row[1])
    granted = max(0, min(most, limit - used))
    if granted:
        connection.execute(SQL["set_window"], {"subject": subject, "minute": minute, "used": used + granted})
    return RequestLease(minute, granted, max(0, limit - used - granted))


def begin_upload(
    connection: Connection, upload_id: str, project_id: str, key_id: str, limits: CallerLimits, now: int, seconds: float
) -> None:
    """See :meth:`LimitsStore.begin_upload`."""
    lease = math.ceil(seconds)
    values: dict[str, Any] = {
        "id": upload_id,
        "project_id": project_id,
        "key_id": key_id,
        "now": now,
        "expires_at": now + lease,
        "latest": now + 2 * lease,
    }
    connection.execute(SQL["delete_ended_uploads"], values)
    for whose, most, counter in (
        (Whose.PROJECT, limits.project.concurrent_uploads, "count_uploads"),
        (Whose.KEY, limits.key.concurrent_uploads, "count_key_uploads"),
    ):
        if most is not None and _number(connection, counter, values) >= most:
            raise RateLimited.of_uploads(most, whose)
    connection.execute(SQL["insert_upload"], values)


def renew_upload(connection: Connection, upload_id: str, now: int, seconds: float) -> None:
    """See :meth:`LimitsStore.renew_upload`."""
    connection.execute(SQL["renew_upload"], {"id": upload_id, "expires_at": now + math.ceil(seconds)})


def end_upload(connection: Connection, project_id: str, key_id: str, received: int, upload_id: str | None, now: int) -> None:
    """See :meth:`LimitsStore.end_upload`."""
    if upload_id is not None:
        connection.execute(SQL["delete_upload"], {"id": upload_id})
    if received:
        count_day(connection, project_id, key_id, now, received)


def _number(connection: Connection, name: str, values: dict[str, Any]) -> int:
    row = connection.execute(SQL[name], values).fetchone()
    assert row is not None, name
    return int(row[0])
