"""What the answers about usage look like, as types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from fileplane.access import Limits, Principal, Project
from fileplane.model import DayUsage, PurposeUsage, Spent, UsageReport
from fileplane.settings import Settings

DAY_SECONDS = 86_400
Count = Annotated[int, msgspec.Meta(ge=0)]


class LimitState(msgspec.Struct, frozen=True, kw_only=True):
    """A limit with what is used and left of it. ``limit`` and ``left`` are null where there is none, ``used`` where it is not counted."""

    limit: Count | None
    used: Count | None
    left: Count | None


class LimitStates(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit in effect. ``file_bytes``, of one file, is used up by nothing."""

    storage_bytes: LimitState
    files: LimitState
    file_bytes: Count | None
    upload_bytes_per_day: LimitState
    requests_per_minute: LimitState
    concurrent_uploads: LimitState


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    """The calling key: its limits count what it has uploaded itself, and of that the live files alone."""

    id: str
    limits: LimitStates


class PurposeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a project keeps of one purpose. Deleted bytes are among the stored ones until they are collected."""

    purpose: str
    live_files: Count
    stored_bytes: Count
    deleted_files: Count
    deleted_bytes: Count


class DayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A day of UTC: files made, bytes of the bodies of all uploads (failed ones too), bytes of the files made."""

    day: str
    uploads: Count
    received_bytes: Count
    stored_bytes: Count


class ProjectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of a project, at one instant. ``key`` is the calling key where it works in this project."""

    object: Literal["usage"] = "usage"
    project_id: str
    project: str
    live_files: Count
    stored_bytes: Count
    deleted_files: Count
    deleted_bytes: Count
    uploads_in_progress: Count | None
    limits: LimitStates
    key: KeyState | None
    by_purpose: list[PurposeEntry]
    by_day: list[DayEntry]


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of projects, the oldest first; ``total`` counts all that the caller may see."""

    object: Literal["list"] = "list"
    data: list[ProjectUsage]
    has_more: bool
    total: int


def project_usage(report: UsageReport, project: Project, caller: Principal, settings: Settings) -> ProjectUsage:
    """A project's usage as callers see it."""
    limits = project.limits
    quota = settings.project_quota_bytes if limits.storage_bytes is None else limits.storage_bytes
    of_project = _states(limits, report.project, quota, settings)
    return ProjectUsage(
        project_id=project.id,
        project=project.slug,
        live_files=_sum(report, lambda entry: entry.live_files),
        stored_bytes=_sum(report, lambda entry: entry.stored_bytes),
        deleted_files=_sum(report, lambda entry: entry.deleted_files),
        deleted_bytes=_sum(report, lambda entry: entry.deleted_bytes),
        uploads_in_progress=of_project.concurrent_uploads.used,
        limits=of_project,
        key=None
        if report.key is None
        else KeyState(id=caller.key_id, limits=_states(caller.key_limits, report.key, caller.key_limits.storage_bytes, settings)),
        by_purpose=[_purpose_entry(entry) for entry in report.by_purpose],
        by_day=[_day_entry(entry) for entry in report.by_day],
    )


def _states(limits: Limits, spent: Spent, storage: int | None, settings: Settings) -> LimitStates:
    largest = max(settings.max_file_bytes, settings.max_batch_file_bytes)
    return LimitStates(
        storage_bytes=_state(storage, spent.bytes),
        files=_state(limits.files, spent.files),
        file_bytes=largest if limits.file_bytes is None else min(largest, limits.file_bytes),
        upload_bytes_per_day=_state(limits.upload_bytes_per_day, spent.received_bytes),
        requests_per_minute=_state(limits.requests_per_minute, spent.requests, counted=limits.requests_per_minute is not None),
        concurrent_uploads=_state(limits.concurrent_uploads, spent.uploads_in_progress, counted=limits.concurrent_uploads is not None),
    )


def _state(limit: int | None, used: int, *, counted: bool = True) -> LimitState:
    return LimitState(limit=limit, used=used if counted else None, left=None if limit is None else max(0, limit - used))


def _sum(report: UsageReport, of: Callable[[PurposeUsage], int]) -> int:
    return sum(of(entry) for entry in report.by_purpose)


def _purpose_entry(entry: PurposeUsage) -> PurposeEntry:
    return PurposeEntry(
        purpose=entry.purpose,
        live_files=entry.live_files,
        stored_bytes=entry.stored_bytes,
        deleted_files=entry.deleted_files,
        deleted_bytes=entry.deleted_bytes,
    )


def _day_entry(entry: DayUsage) -> DayEntry:
    day = datetime.fromtimestamp(entry.day * DAY_SECONDS, UTC).date().isoformat()
    return DayEntry(day=day, uploads=entry.uploads, received_bytes=entry.received_bytes, stored_bytes=entry.stored_bytes)
