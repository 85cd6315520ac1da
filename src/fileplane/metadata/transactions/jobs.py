"""The transactions of jobs at providers: the record, the holds on their inputs, and the binding of their results.

Each function is one operation for :class:`~fileplane.metadata.engine.Engine`, which runs it inside a transaction, except
for :func:`page`, which reads and makes its own. An audit line is about ``batches`` or ``fine_tuning_jobs`` and the provider's id
wherever there is one, and about ``job_intents`` and the intent's id before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from fileplane.catalog import (
    CatalogFile,
    Claim,
    Job,
    JobKind,
    JobPage,
    JobQuery,
    JobReport,
    JobState,
    NewJob,
    ProviderFile,
    RefreshedJob,
    job_state,
)
from fileplane.ids import uuid7
from fileplane.metadata.base import CursorNotFound
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound, JobNotFound
from fileplane.metadata.engine import Connection
from fileplane.metadata.sql import load_statements
from fileplane.metadata.transactions import catalog_rows as rows
from fileplane.metadata.transactions.lifecycle import record
from fileplane.model import Origin

SQL: Final = load_statements("jobs.sql")
_RESOURCES: Final = {JobKind.BATCH: "batches", JobKind.FINE_TUNING: "fine_tuning_jobs"}
_UNRESOLVED: Final = (JobState.RESERVED, JobState.UNKNOWN)
_BOUND: Final = (JobState.ACTIVE, JobState.ENDED)


def begin(connection: Connection, project_id: str, new: NewJob, claim: Claim, origin: Origin, now_ms: int) -> Job:
    """See :meth:`CatalogStore.begin_job`."""
    now = now_ms // 1000
    target = rows.target(connection, project_id, new.virtual_key_id)
    inputs = [rows.bound(connection, project_id, new.virtual_key_id, name, now) for name in dict.fromkeys(new.input_file_ids)]
    values = target | rows.claimed(claim, now) | {"id": uuid7(now_ms), "kind": new.kind.value, "now": now, "created_by": new.created_by}
    connection.execute(SQL["insert_job"], values)
    for file in inputs:
        _link(connection, project_id, values["id"], file, "input")
        connection.execute(SQL["put_off_end"], {"project_id": project_id, "file_id": file.id})
    record(connection, project_id, "job_intents.create", values["id"], origin, now_ms)
    return _job(connection, project_id, values["id"])


def _link(connection: Connection, project_id: str, job_id: str, file: CatalogFile, role: str) -> None:
    values = {"project_id": project_id, "job_id": job_id, "role": role, "provider_file_id": file.provider_file_id, "file_id": file.id}
    connection.execute(SQL["insert_job_file"], values | {"holding": role == "input"})


def bind(
    connection: Connection, project_id: str, intent_id: str, provider_job_id: str, report: JobReport, origin: Origin, now_ms: int
) -> RefreshedJob:
    """See :meth:`CatalogStore.bind_job`."""
    job = _job(connection, project_id, intent_id)
    values = {"project_id": project_id, "id": intent_id, "kind": job.kind.value, "provider_job_id": provider_job_id}
    if job.state in _UNRESOLVED:
        account = {"account_id": _account(connection, job)}
        there = connection.execute(SQL["select_job_owner"], values | account).fetchone()
        if there is not None:
            raise AlreadyBound(provider_job_id, str(there[0]))
        connection.execute(SQL["bind_job"], values | {"position": uuid7(now_ms), "now": now_ms // 1000})
        record(connection, project_id, f"{_RESOURCES[job.kind]}.create", provider_job_id, origin, now_ms)
    elif job.state not in _BOUND or job.provider_job_id != provider_job_id:
        raise IntentNotFound(intent_id)
    return _apply(connection, _job(connection, project_id, intent_id), report, origin, now_ms)


def _account(connection: Connection, job: Job) -> str:
    row = connection.execute(SQL["select_job_account"], {"project_id": job.project_id, "id": job.id}).fetchone()
    assert row is not None
    return str(row[0])


def _job(connection: Connection, project_id: str, intent_id: str) -> Job:
    row = connection.execute(SQL["select_job"], {"project_id": project_id, "id": intent_id}).fetchone()
    if row is None:
        raise IntentNotFound(intent_id)
    return _read(row)


def _read(row: tuple[Any, ...]) -> Job:
    values = list(row)
    values[4], values[5] = JobKind(values[4]), JobState(values[5])
    values[-2:] = [tuple(json.loads(names)) for names in values[-2:]]
    return Job(*values)


def mark_unknown(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`CatalogStore.mark_job_unknown`."""
    job = _job(connection, project_id, intent_id)
    if job.state not in _UNRESOLVED:
        raise IntentNotFound(intent_id)
    if job.state is JobState.RESERVED:
        connection.execute(SQL["mark_job_unknown"], {"project_id": project_id, "id": intent_id, "now": now_ms // 1000})
        record(connection, project_id, "job_intents.unknown", intent_id, origin, now_ms)


def fail(connection: Connection, project_id: str, intent_id: str, origin: Origin, now_ms: int) -> None:
    """See :meth:`CatalogStore.fail_job`."""
    job = _job(connection, project_id, intent_id)
    if job.state is JobState.FAILED:
        return
    if job.state not in _UNRESOLVED:
        raise IntentNotFound(intent_id)
    _set_state(connection, job, JobState.FAILED, job.status, now_ms)
    record(connection, project_id, "job_intents.fail", intent_id, origin, now_ms)


def _set_state(connection: Connection, job: Job, state: JobState, status: str | None, now_ms: int) -> None:
    values = {"project_id": job.project_id, "id": job.id, "state": state.value, "status": status, "now": now_ms // 1000}
    connection.execute(SQL["set_job_state"], values)
    if state is JobState.ACTIVE:
        return
    released = connection.execute(SQL["release_holds"], {"project_id": job.project_id, "job_id": job.id}).fetchall()
    for (file_id,) in released:
        connection.execute(SQL["resume_end"], {"project_id": job.project_id, "file_id": file_id})


def get(connection: Connection, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str) -> Job:
    """See :meth:`CatalogStore.get_job`."""
    values = {"project_id": project_id, "virtual_key_id": virtual_key_id, "kind": kind.value, "provider_job_id": provider_job_id}
    row = connection.execute(SQL["select_bound_job"], values).fetchone()
    if row is None:
        raise JobNotFound(provider_job_id)
    return _read(row)


def find(connection: Connection, project_id: str, kind: JobKind, provider_job_id: str) -> list[Job]:
    """See :meth:`CatalogStore.find_jobs`."""
    values = {"project_id": project_id, "kind": kind.value, "provider_job_id": provider_job_id}
    return [_read(row) for row in connection.execute(SQL["select_bound_jobs_anywhere"], values)]


def known_already(connection: Connection, job: Job, report: JobReport) -> RefreshedJob | None:
    """The job as a refresh would leave it, if that would change nothing."""
    if _next_state(job, report) != (job.state, job.status):
        return None
    refused = []
    for result in report.results:
        there = rows.owner(connection, _account(connection, job), result.provider_file_id)
        if there is not None and there.project_id != job.project_id:
            refused.append(result.provider_file_id)
        elif not _is_result(connection, job, result):
            return None
    return RefreshedJob(job, tuple(refused))


def _next_state(job: Job, report: JobReport) -> tuple[JobState, str | None]:
    """A job that has ended stays so, whatever an answer says that was overtaken by a later one."""
    state = job_state(job.kind, report.status)
    return (job.state, job.status) if job.state is JobState.ENDED and state is JobState.ACTIVE else (state, report.status)


def _is_result(connection: Connection, job: Job, result: ProviderFile) -> bool:
    values = {"project_id": job.project_id, "job_id": job.id, "provider_file_id": result.provider_file_id}
    return connection.execute(SQL["select_result"], values).fetchone() is not None


def refresh(
    connection: Connection,
    project_id: str,
    virtual_key_id: str,
    kind: JobKind,
    provider_job_id: str,
    report: JobReport,
    origin: Origin,
    now_ms: int,
) -> RefreshedJob:
    """See :meth:`CatalogStore.refresh_job`."""
    return _apply(connection, get(connection, project_id, virtual_key_id, kind, provider_job_id), report, origin, now_ms)


def _apply(connection: Connection, job: Job, report: JobReport, origin: Origin, now_ms: int) -> RefreshedJob:
    state, status = _next_state(job, report)
    if state is JobState.ENDED and job.state is not JobState.ENDED:
        record(connection, job.project_id, f"{_RESOURCES[job.kind]}.end", job.provider_job_id or "", origin, now_ms)
    _set_state(connection, job, state, status, now_ms)
    refused = [result.provider_file_id for result in report.results if not _take_result(connection, job, result, origin, now_ms)]
    return RefreshedJob(_job(connection, job.project_id, job.id), tuple(refused))


def _take_result(connection: Connection, job: Job, result: ProviderFile, origin: Origin, now_ms: int) -> bool:
    """Makes a result the project's. False when it is another's: a provider that says so lies, or errs."""
    account_id = _account(connection, job)
    file = rows.owner(connection, account_id, result.provider_file_id)
    if file is not None and file.project_id != job.project_id:
        return False
    if _is_result(connection, job, result):
        return True
    if file is None:
        at = {"project_id": job.project_id, "virtual_key_id": job.virtual_key_id, "provider": job.provider, "account_id": account_id}
        file = rows.insert_bound(connection, at, result, job.created_by, now_ms)
        record(connection, job.project_id, "files.create", result.provider_file_id, origin, now_ms)
    _link(connection, job.project_id, job.id, file, "result")
    return True


def close(
    connection: Connection, project_id: str, virtual_key_id: str, kind: JobKind, provider_job_id: str, origin: Origin, now_ms: int
) -> bool:
    """See :meth:`CatalogStore.close_job`."""
    try:
        job = get(connection, project_id, virtual_key_id, kind, provider_job_id)
    except JobNotFound:
        return False
    _set_state(connection, job, JobState.CLOSED, job.status, now_ms)
    record(connection, project_id, f"{_RESOURCES[kind]}.vanish", provider_job_id, origin, now_ms)
    return True


def holders(connection: Connection, file: CatalogFile, limit: int) -> list[Job]:
    """The jobs that hold a file, oldest first."""
    values = {"project_id": file.project_id, "file_id": file.id, "limit": limit}
    return [_read(row) for row in connection.execute(SQL["select_holders"], values)]


def list_statement(virtual_keys: int, *, newest_first: bool) -> str:
    """The statement of a list over so many virtual keys."""
    return rows.merged_list(SQL["list_jobs"], SQL["list_jobs_arm"], virtual_keys, newest_first=newest_first)


def page(connection: Connection, project_id: str, query: JobQuery) -> JobPage:
    """See :meth:`CatalogStore.list_jobs`."""
    keys = tuple(dict.fromkeys(query.virtual_key_ids))
    values: dict[str, Any] = {"project_id": project_id, "kind": query.kind.value, "limit": query.limit + 1}
    connection.execute("BEGIN")
    values["cursor"] = _cursor(connection, project_id, keys, query)
    jobs: list[Job] = []
    if keys:
        statement = list_statement(len(keys), newest_first=query.newest_first)
        jobs = [_read(row) for row in connection.execute(statement, values | rows.key_values(keys))]
    connection.execute("COMMIT")
    return JobPage(tuple(jobs[: query.limit]), len(jobs) > query.limit)


def _cursor(connection: Connection, project_id: str, keys: Sequence[str], query: JobQuery) -> str:
    if query.after is None:
        return "~" if query.newest_first else ""
    position = _position(connection, project_id, keys, query.kind, query.after)
    if position is None:
        raise CursorNotFound(query.after)
    return position


def known(connection: Connection, project_id: str, query: JobQuery, provider_job_ids: Iterable[str]) -> set[str]:
    """See :meth:`CatalogStore.known_job_ids`."""
    keys = tuple(dict.fromkeys(query.virtual_key_ids))
    return {one for one in provider_job_ids if _position(connection, project_id, keys, query.kind, one) is not None}


def _position(connection: Connection, project_id: str, keys: Iterable[str], kind: JobKind, provider_job_id: str) -> str | None:
    for key in keys:
        values = {"project_id": project_id, "virtual_key_id": key, "kind": kind.value, "provider_job_id": provider_job_id}
        row = connection.execute(SQL["select_job_cursor"], values).fetchone()
        if row is not None:
            return str(row[0])
    return None


def unresolved(connection: Connection, after: Job | None, limit: int) -> list[Job]:
    """See :meth:`CatalogStore.unresolved_jobs`."""
    values: dict[str, Any] = {"due_at": -1, "project_id": "", "id": "", "limit": limit}
    if after is not None:
        values |= {"due_at": after.due_at, "project_id": after.project_id, "id": after.id}
    return [_read(row) for row in connection.execute(SQL["select_unresolved_jobs"], values)]


def is_due(connection: Connection, now: int, without: Collection[str] = ()) -> bool:
    """Whether :func:`claim_unresolved` would find something."""
    return bool(rows.due(connection, SQL["select_due_jobs"], 1, now, without))


def claim_unresolved(connection: Connection, claim: Claim, limit: int, now: int, without: Collection[str] = ()) -> list[Job]:
    """See :meth:`CatalogStore.claim_unresolved_jobs`."""
    due = rows.due(connection, SQL["select_due_jobs"], limit, now, without)
    for project_id, intent_id in due:
        connection.execute(SQL["claim_job"], {"project_id": project_id, "id": intent_id} | rows.claimed(claim, now))
    return [_job(connection, project_id, intent_id) for project_id, intent_id in due]
