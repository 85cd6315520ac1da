"""The part of the MetadataStore protocol that uploads in parts are recorded by, and the files that consist of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fileplane.access import NO_LIMITS, CallerLimits
from fileplane.model import File, KeptFile, Origin, Remains
from fileplane.uploads import Completion, NewPart, NewUpload, Part, Settlement, Upload, UploadPage, UploadQuery


class UploadStore(Protocol):
    """See :class:`~fileplane.metadata.base.MetadataStore`, whose rules hold here too.

    An upload's life: ``pending``, then ``completed``, ``cancelled`` or ``expired``, for good; one past its time is treated as expired by
    every method, marked or not. A part counts towards what its project keeps from when it is recorded. Of a completed upload, the listed
    parts are the bytes of the file and live as long as it does; all others, and those of an upload that came to nothing, are given up: no
    method gives them to anybody again, their blobs may be removed, and they count until they are forgotten.
    """

    async def create_upload(self, project_id: str, new: NewUpload, lifetime_seconds: int) -> Upload:
        """Records an upload, to expire after so many seconds. Reserves nothing."""
        ...

    async def get_upload(self, project_id: str, upload_id: str) -> Upload:
        """The upload with this canonical id, whatever its state. Raises :class:`~fileplane.errors.UploadNotFound`."""
        ...

    async def list_uploads(self, project_id: str, query: UploadQuery) -> UploadPage:
        """One page in the total order ``(created_at, id)``. Raises :class:`~fileplane.metadata.base.CursorNotFound`."""
        ...

    async def put_off_upload(self, project_id: str, upload_id: str, seconds: int) -> None:
        """A pending upload expires in so many seconds at the earliest.

        Raises :class:`~fileplane.errors.UploadNotFound` or :class:`~fileplane.errors.UploadNotPending`.
        """
        ...

    async def add_part(self, project_id: str, upload_id: str, new: NewPart, quota_bytes: int, limits: CallerLimits = NO_LIMITS) -> Part:
        """Records a part whose blob is durable, unless the project would then keep more than ``quota_bytes``.

        Of ``limits``, that of the day's bytes is held too, and counts what was received, and that of the bytes of the key's live files, to
        which the parts of uploads that it began and can still complete are added. Raises
        :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadNotPending`, :class:`~fileplane.errors.TooManyParts`,
        :class:`~fileplane.errors.StorageQuotaExceeded`, :class:`~fileplane.errors.RateLimited`, and
        :class:`~fileplane.errors.StorageUnavailable` with ``nothing_changed`` for a blob that has been condemned; after each of them it is
        certain that nothing was recorded.
        """
        ...

    async def upload_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """The parts of a pending upload as they came, or of a completed one in the order of its file."""
        ...

    async def listed_parts(self, project_id: str, upload_id: str, part_ids: Sequence[str]) -> list[Part]:
        """The parts of a pending upload in this order: what completing it with them would be made of. Raises as :meth:`complete_upload`."""
        ...

    async def manifest_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """The parts that the file of an upload consists of, in order, whatever the state of the file, until it is forgotten."""
        ...

    async def complete_upload(
        self, project_id: str, upload_id: str, wanted: Completion, origin: Origin, limits: CallerLimits = NO_LIMITS
    ) -> Upload:
        """Makes a file of the listed parts, without touching a byte, and gives the others up. Takes as long for whatever sizes.

        The file's id, creation time and expiry come from one clock reading inside the transaction. Without a settlement its status is
        ``uploaded`` and its hash empty, until :meth:`settle_file`. An upload that was completed with the very same list, and whose file is
        live, is returned as it is: so that of several at once all get the same, and one whose answer was lost can be repeated.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadNotPending`,
        :class:`~fileplane.errors.InvalidValue` for a list with parts that are not this upload's, or twice, or whose bytes are not as many
        as announced, and, for limits, :class:`~fileplane.errors.FileQuotaExceeded` or :class:`~fileplane.errors.StorageQuotaExceeded`.
        """
        ...

    async def cancel_upload(self, project_id: str, upload_id: str) -> list[Remains]:
        """Ends a pending upload; one that is cancelled already stays so. Returns a bounded number of its parts, which are given up.

        Raises :class:`~fileplane.errors.UploadNotFound` or :class:`~fileplane.errors.UploadNotPending`.
        """
        ...

    async def ended_uploads(self, after: Remains | None, limit: int) -> list[Remains]:
        """Pending uploads of all projects that are past their time, in order of it, with their ids as ``file_id`` and no blob."""
        ...

    async def expire_uploads(self, ended: Sequence[Remains]) -> int:
        """Marks those that still are past their time as expired, and gives their parts up. Idempotent.

        Returns how many of ``ended`` it has seen to, from the first on and at least one: fewer where they have many parts, since nothing
        else can change while it does.
        """
        ...

    async def given_up_parts(self, after: Remains | None, limit: int) -> list[Remains]:
        """Parts of all projects that are given up, longest waiting first, with their ids as ``file_id``."""
        ...

    async def forget_parts(self, removed: Sequence[Remains]) -> list[Remains]:
        """The blobs of these, which were given up, are gone: they count no longer. What was not given up is left alone. Idempotent.

        Returns those of which this was not known yet. A blob that comes back, since its removal did not survive a power cut, is one that
        nothing refers to.
        """
        ...

    async def unsettled_files(self, after: File | None, limit: int) -> list[File]:
        """Files of all projects whose bytes nobody has read through since they were completed, oldest first, after ``after``.

        Deleted ones that can be restored are among them.
        """
        ...

    async def settle_file(self, project_id: str, file_id: str, settlement: Settlement) -> bool:
        """Records what reading a file through has come to. Once for each file; False when it was known already or the file is gone."""
        ...

    async def damaged_files(self, after: tuple[str, str], limit: int) -> list[File]:
        """Files of all projects that were settled without a hash, since their bytes could not be read, ordered by project and id.

        Begins after the pair ``after``, at first two empty texts.
        """
        ...

    async def settle_again(self, project_id: str, file_id: str) -> bool:
        """Makes one of :meth:`damaged_files` one of :meth:`unsettled_files` again. False for any other file."""
        ...

    async def incomplete_files(self, limit: int) -> list[tuple[KeptFile, int]]:
        """Files of all projects whose parts are not as many bytes as the file has, and how many they are. Only damage makes one."""
        ...
