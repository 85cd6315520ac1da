"""The MetadataStore protocol.

Every method that touches a file takes the project first: there is no way to address a file without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fileplane.access import NO_LIMITS, UNLIMITED, CallerLimits, Limits
from fileplane.clock import Clock
from fileplane.metadata.catalog import CatalogStore
from fileplane.metadata.control import ControlStore
from fileplane.metadata.limits import LimitsStore
from fileplane.metadata.resumable import ResumableStore
from fileplane.metadata.routed_uploads import RoutedUploadStore
from fileplane.metadata.uploads import UploadStore
from fileplane.model import (
    AuditPage,
    AuditQuery,
    CounterDrift,
    CreatedFile,
    File,
    FilePage,
    FileQuery,
    Hold,
    Idempotency,
    KeptFile,
    NewFile,
    Origin,
    Remains,
    StoreUsage,
    Usage,
)


class CursorNotFound(Exception):
    """The project has no file, live or deleted, with the id that a list was to continue after."""


class DatabaseUnusable(Exception):
    """The database cannot be opened: damaged, made by something else, or by a newer Fileplane. The message says what to do."""


class DatabaseDamaged(DatabaseUnusable):
    """The database is damaged, or lost: only a backup helps."""


class MetadataStore(ControlStore, LimitsStore, CatalogStore, UploadStore, RoutedUploadStore, ResumableStore, Protocol):
    """The record of every file, and with its parts of projects, keys, configs, credentials, of usage, and of what is at providers.

    Each method is one transaction: it happens wholly or not at all, and once it returns the change survives power loss.
    A method that returned is seen by every later call, on every process. All methods raise
    :class:`~fileplane.errors.StorageUnavailable` when the database is full or does not answer within its deadline; a change may
    then have happened all the same, unless the error says ``nothing_changed``. A file past its expiry is treated as deleted by
    every method, collected or not.
    """

    @property
    def clock(self) -> Clock:
        """What its times are read off: where several nodes share it, the database's clock, so that none goes by a wrong one of its own."""
        ...

    async def create_file(
        self,
        project_id: str,
        new: NewFile,
        quota_bytes: int,
        origin: Origin,
        idempotency: Idempotency | None = None,
        limits: CallerLimits = NO_LIMITS,
    ) -> CreatedFile:
        """Records a file whose blob is durable, and counts it, unless the project would then keep more than ``quota_bytes``.

        Of ``limits``, those of files and of the day's bytes are held too, and that of the bytes of the key's live files; all of them
        exactly, whoever else uploads at the same time. Raises :class:`~fileplane.errors.FileQuotaExceeded` or
        :class:`~fileplane.errors.RateLimited` for the first two; it is then certain too that nothing was recorded.

        The id, the creation time and the expiry come from one clock reading inside the transaction. With ``idempotency``, a key that was
        used within 24 hours decides first: for the same fingerprint the file of then is returned and nothing is recorded.
        Raises :class:`~fileplane.errors.StorageQuotaExceeded` or :class:`~fileplane.errors.IdempotencyConflict` (another fingerprint, or
        the file of then is gone), and :class:`~fileplane.errors.StorageUnavailable` with ``nothing_changed`` for a blob
        that has been condemned; after each of them it is certain that nothing was recorded.
        """
        ...

    async def repeated_upload_bytes(self, project_id: str, key_hash: bytes) -> int | None:
        """The size of the live file that the project used this key for within 24 hours: 0 when it is gone, None for a key not used."""
        ...

    async def reclaimable_bytes(self, project_id: str) -> int:
        """What the project's deleted and ended files keep, which could be given up for another."""
        ...

    async def get_file(self, project_id: str, file_id: str) -> File:
        """The live file with this canonical id. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    async def get_copy(self, project_id: str, file_id: str) -> File:
        """The copy of a file that is at a provider, by its canonical id here; no other method gives it to callers.

        Raises :class:`~fileplane.errors.FileNotFound`.
        """
        ...

    async def get_validation(self, project_id: str, file_id: str) -> str:
        """The verdict that the live file was recorded with, as JSON.

        Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.ValidationNotFound`.
        """
        ...

    async def list_files(self, project_id: str, query: FileQuery) -> FilePage:
        """One page of live files, or of those that can be restored, in the total order ``(created_at, id)``, and their number.

        All of it is of one instant. Raises :class:`CursorNotFound`. A cursor whose file has been deleted since still works, until its
        tombstone is forgotten.
        """
        ...

    async def delete_file(self, project_id: str, file_id: str, retention_seconds: int, origin: Origin) -> None:
        """Marks the live file as deleted, to be restorable for ``retention_seconds`` but not beyond its own end.

        Its bytes go on counting until collected. Raises :class:`~fileplane.errors.FileNotFound` or, while it is held,
        :class:`~fileplane.errors.FileInUse`.
        """
        ...

    async def purge_file(self, project_id: str, file_id: str, origin: Origin) -> Remains:
        """Deletes a live or restorable file for good; its bytes may be collected at once.

        Raises :class:`~fileplane.errors.FileNotFound` or, while it is held, :class:`~fileplane.errors.FileInUse`.
        """
        ...

    async def restore_file(self, project_id: str, file_id: str, quota_bytes: int, origin: Origin, limits: Limits = UNLIMITED) -> File:
        """Takes a deletion back. Raises :class:`~fileplane.errors.FileNotFound` when there is nothing that can be restored.

        Raises :class:`~fileplane.errors.StorageQuotaExceeded` when the project keeps more than ``quota_bytes`` as it is, and that or
        :class:`~fileplane.errors.FileQuotaExceeded` when the project's ``limits`` of files, or the limits of the key that uploaded the
        file, would not be kept.
        """
        ...

    async def hold_file(self, project_id: str, file_id: str, reason: str, expires_in: int | None, origin: Origin) -> Hold:
        """Keeps the live file from being deleted or purged, and from expiring, for ``expires_in`` seconds or until released.

        Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.TooManyHolds`.
        """
        ...

    async def list_holds(self, project_id: str, file_id: str) -> list[Hold]:
        """The active holds of the live file, oldest first. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    async def release_hold(self, project_id: str, file_id: str, hold_id: str, origin: Origin) -> None:
        """Ends a hold. A file whose expiry it put off ends now.

        Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.HoldNotFound`.
        """
        ...

    async def usage(self, project_id: str) -> Usage:
        """What the project keeps."""
        ...

    async def list_audit(self, query: AuditQuery) -> AuditPage:
        """One page of the changes that the query admits, newest first. Each was recorded in the transaction of its change."""
        ...

    async def ended_files(self, after: Remains | None, limit: int) -> list[Remains]:
        """Files of all projects that are past their end and not marked yet, in order of their end, after ``after``."""
        ...

    async def mark_ended(self, ended: Sequence[Remains]) -> None:
        """Marks those that still are past their end as deleted and claimed. Idempotent."""
        ...

    async def collectable_files(self, after: Remains | None, limit: int) -> list[Remains]:
        """Deleted files of all projects that can no longer be restored and whose bytes are kept, longest waiting first."""
        ...

    async def claim_collectable(self, due: Sequence[Remains]) -> list[Remains]:
        """Those that are still collectable, which nothing can restore from now on, whatever any clock says: their bytes may go."""
        ...

    async def mark_collected(self, collected: Sequence[Remains]) -> list[Remains]:
        """The bytes of these, which were claimed, are gone: they count no longer. What was not claimed is left alone. Idempotent.

        Returns those of which this was not known yet.
        """
        ...

    async def give_up_oldest_deleted(self, project_id: str, needed: int) -> list[Remains]:
        """Ends the restorability of the project's deleted files, oldest first, until ``needed`` bytes can be collected.

        Ended files that are not marked yet are among them. Returns those that were given up, which are claimed, a bounded number at a time;
        none when all together are not enough.
        """
        ...

    async def tombstones(self, collected_before: int, after: Remains | None, limit: int) -> list[Remains]:
        """Files of all projects collected at or before a time, in that order."""
        ...

    async def forget_files(self, gone: Sequence[Remains]) -> None:
        """Removes the records of files that have been collected. What has not is left alone. Idempotent."""
        ...

    async def forget_old_entries(self, audit_before: int | None, usage_before: int | None = None) -> bool:
        """Removes idempotency keys whose time is over, and the audit log's lines from before a time, if one is given.

        So too catalogued files closed a week ago, the usage of days (since the epoch) before ``usage_before``, if it is given, and what
        leases of limits have left.

        A bounded number at a time, so that nobody waits for it long; whether there may be more.
        """
        ...

    async def unowned_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """Those of the keys that no file and no part of an upload refers to, whatever its state."""
        ...

    async def condemn_blobs(self, blob_keys: Sequence[str]) -> list[str]:
        """Those of the keys that neither file nor part refers to, and :meth:`create_file` and :meth:`add_part` let none refer to any more.

        They may be removed.
        """
        ...

    async def store_identity(self) -> str:
        """The id that tells this database from every other: made once, at the first call, and the same for good, in its copies too."""
        ...

    async def take_lease(self, name: str, holder: str, seconds: int) -> bool:
        """Takes or renews a lease; False while somebody else holds it. A lease is a courtesy: nothing may depend on it for safety."""
        ...

    async def release_lease(self, name: str, holder: str) -> None:
        """Gives a lease back. Idempotent."""
        ...

    async def bookmark(self, name: str) -> str | None:
        """How far some work has come, as :meth:`set_bookmark` last had it."""
        ...

    async def set_bookmark(self, name: str, position: str) -> None:
        """Notes how far some work has come."""
        ...

    async def kept_files(self, after: tuple[str, str], limit: int) -> list[KeptFile]:
        """The blobs that are kept, of files of all projects, as :class:`~fileplane.model.KeptFile` says, in order of their ``place``.

        Begins after ``after``, the place of the last one before, at first two empty texts.
        """
        ...

    async def given_up_files(self, files: Sequence[KeptFile]) -> list[KeptFile]:
        """Those whose bytes may have been removed by now: given up for collection, collected, or forgotten. A part's, with its file's."""
        ...

    async def drop_files(self, files: Sequence[KeptFile]) -> None:
        """Removes the records of files of whatever state, and counts them no longer. Idempotent. Only for the database of a backup.

        With one part of a file all of it goes.
        """
        ...

    async def total_usage(self) -> StoreUsage:
        """What all projects keep together. Reads the counters alone, so that it takes as long however many files there are."""
        ...

    async def database_bytes(self) -> int:
        """Bytes of the database, with its log where it has one of its own. Some minutes old where it costs something to find out."""
        ...

    async def counter_drifts(self) -> list[CounterDrift]:
        """Counters that differ from what the files add up to, at one instant. Reads every file."""
        ...

    async def structural_problems(self) -> list[str]:
        """What the engine finds wrong with its own structures, in words. Reads everything."""
        ...

    async def snapshot(self, destination: Path) -> None:
        """Writes a copy of everything, as of one instant, to a new file, and makes it durable. Others go on reading and writing."""
        ...

    async def check(self) -> None:
        """Returns when the database answers. Raises :class:`~fileplane.errors.StorageUnavailable`."""
        ...

    async def close(self) -> None:
        """Releases everything, after the changes already accepted. No other method may be called afterwards."""
        ...
