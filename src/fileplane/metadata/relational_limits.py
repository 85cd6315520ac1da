"""The LimitsStore protocol, and its reports: each method hands one operation to the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fileplane.access import CallerLimits, Whose
from fileplane.clock import Clock
from fileplane.metadata.engine import Connection, Engine
from fileplane.metadata.transactions import limits as transactions
from fileplane.model import DayUsage, Kept, KeyUsage, PurposeUsage, RequestLease, Spent, UsageReport

_MINUTE_SECONDS: Final = 60


class RelationalLimitsStore:
    """See :class:`fileplane.metadata.limits.LimitsStore`."""

    _clock: Clock
    _engine: Engine

    def _seconds(self) -> int:
        return self._clock.now_ms() // 1000

    async def kept(self, project_id: str, key_id: str) -> Kept:
        """See :meth:`LimitsStore.kept`."""
        now = self._seconds()

        def operation(connection: Connection) -> Kept:
            connection.execute("BEGIN")
            counted = transactions.kept(connection, project_id, key_id, now)
            connection.execute("COMMIT")
            return counted

        return await self._engine.read(operation)

    async def take_requests(self, subject: str, limit: int, most: int) -> RequestLease:
        """See :meth:`LimitsStore.take_requests`."""
        return await self._engine.write(
            lambda connection: transactions.take_requests(connection, subject, limit, most, self._clock.now_ms())
        )

    async def begin_upload(self, upload_id: str, project_id: str, key_id: str, limits: CallerLimits, seconds: float) -> None:
        """See :meth:`LimitsStore.begin_upload`."""
        await self._engine.write(
            lambda connection: transactions.begin_upload(connection, upload_id, project_id, key_id, limits, self._seconds(), seconds)
        )

    async def renew_upload(self, upload_id: str, seconds: float) -> None:
        """See :meth:`LimitsStore.renew_upload`."""
        await self._engine.write(lambda connection: transactions.renew_upload(connection, upload_id, self._seconds(), seconds))

    async def end_upload(self, project_id: str, key_id: str, received_bytes: int, upload_id: str | None = None) -> None:
        """See :meth:`LimitsStore.end_upload`."""
        await self._engine.write(
            lambda connection: transactions.end_upload(connection, project_id, key_id, received_bytes, upload_id, self._seconds())
        )

    async def usage_report(self, project_id: str, first_day: int, last_day: int, key_id: str | None = None) -> UsageReport:
        """See :meth:`LimitsStore.usage_report`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: _report(connection, project_id, (first_day, last_day), key_id, now))

    async def usage_by_key(self, project_id: str) -> list[KeyUsage]:
        """See :meth:`LimitsStore.usage_by_key`."""
        now = self._seconds()
        return await self._engine.read(lambda connection: _by_key(connection, project_id, now))


def _report(connection: Connection, project_id: str, days: tuple[int, int], key_id: str | None, now: int) -> UsageReport:
    values = {"project_id": project_id, "now": now, "first": days[0], "last": days[1]}
    connection.execute("BEGIN")
    by_purpose = _by_purpose(connection, values)
    by_day = tuple(DayUsage(*row) for row in _rows(connection, "select_days", values))
    counted = transactions.kept(connection, project_id, key_id or "", now)
    project = Spent(
        counted.live_files,
        counted.stored_bytes,
        counted.received_bytes,
        _requests(connection, Whose.PROJECT.subject(project_id), now),
        _number(connection, "count_uploads", values),
    )
    key = None
    if key_id is not None:
        key = Spent(
            counted.key_live_files,
            counted.key_live_bytes,
            counted.key_received_bytes,
            _requests(connection, Whose.KEY.subject(key_id), now),
            _number(connection, "count_key_uploads", {"key_id": key_id, "now": now}),
        )
    connection.execute("COMMIT")
    return UsageReport(project_id, by_purpose, by_day, project, key)


def _by_purpose(connection: Connection, values: dict[str, Any]) -> tuple[PurposeUsage, ...]:
    """By the counters, but with what has ended counted as deleted, marked or not."""
    found = {row[0]: PurposeUsage(*row) for row in _rows(connection, "select_purposes", values)}
    for purpose, files, size in _rows(connection, "select_purposes_ended", values):
        counted = found[purpose]
        found[purpose] = replace(
            counted,
            live_files=counted.live_files - files,
            deleted_files=counted.deleted_files + files,
            deleted_bytes=counted.deleted_bytes + size,
        )
    return tuple(entry for entry in found.values() if entry.live_files or entry.deleted_files)


def _by_key(connection: Connection, project_id: str, now: int) -> list[KeyUsage]:
    values = {"project_id": project_id, "now": now}
    connection.execute("BEGIN")
    counted = _rows(connection, "select_keys", values)
    ended = {key_id: (files, size) for key_id, files, size in _rows(connection, "select_keys_ended", values)}
    connection.execute("COMMIT")
    found = []
    for key_id, files, size in counted:
        gone, gone_size = ended.get(key_id, (0, 0))
        if files > gone:
            found.append(KeyUsage(key_id, files - gone, size - gone_size))
    return found


def _requests(connection: Connection, subject: str, now: int) -> int:
    rows = _rows(connection, "select_window", {"subject": subject})
    minute = now // _MINUTE_SECONDS
    return next((used for latest, used in rows if minute <= latest <= minute + 1), 0)


def _rows(connection: Connection, name: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(transactions.SQL[name], values).fetchall()


def _number(connection: Connection, name: str, values: dict[str, Any]) -> int:
    return int(_rows(connection, name, values)[0][0])
