"""The part of the MetadataStore protocol that resumable uploads are recorded by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fileplane.model import Remains
from fileplane.resumable import Append, NewResumable, Resumable
from fileplane.uploads import NewPart, Part


class ResumableStore(Protocol):
    """See :class:`~fileplane.metadata.base.MetadataStore`, whose rules hold here too.

    A resumable upload is an upload, with an upload's life, and every method of :class:`~fileplane.metadata.uploads.UploadStore` knows it;
    but only these methods give it parts and complete it. At most one request has its turn. A turn that is not kept for as long as was said
    may be taken by another; one that was taken, or ended by anybody, can append nothing any more.
    """

    async def create_resumable(self, project_id: str, new: NewResumable, lifetime_seconds: int) -> Resumable:
        """Records an upload, to expire after so many seconds. Reserves nothing."""
        ...

    async def get_resumable(self, project_id: str, upload_id: str) -> Resumable:
        """Whatever its state. Raises :class:`~fileplane.errors.UploadNotFound`, also for uploads that are not resumable."""
        ...

    async def take_turn(self, project_id: str, upload_id: str, offset: int, length: int | None, seconds: int) -> Resumable:
        """Begins to append at ``offset``, and needs not be heard of again for so many seconds; ``length`` is told if it was deferred.

        A length that has come already is recorded by :meth:`append_part`, with the file: no upload has come to its length without one.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadGone`,
        :class:`~fileplane.errors.UploadLocked` while another has the turn, :class:`~fileplane.errors.UploadOffsetMismatch`, and
        :class:`~fileplane.errors.InvalidValue` for a length other than one that is known already, or less than what has come.
        """
        ...

    async def ask_turn(self, project_id: str, upload_id: str, turn: int) -> None:
        """Asks whoever has this turn to end it, which :meth:`get_resumable` tells."""
        ...

    async def keep_turn(self, project_id: str, upload_id: str, turn: int, seconds: int) -> bool:
        """Whoever has this turn is there, for so many seconds more; False when it is another's, or nobody's."""
        ...

    async def end_turn(self, project_id: str, upload_id: str, turn: int) -> None:
        """Ends this turn, whosever it is: it appends nothing any more. Idempotent."""
        ...

    async def append_part(self, project_id: str, upload_id: str, turn: int, wanted: Append) -> Resumable:
        """Records a part at the offset that the upload has come to, as :meth:`UploadStore.add_part`, if it is still this turn.

        With the last byte of the upload the file is made, as :meth:`UploadStore.complete_upload` does, and the turn ends. All of it happens
        or nothing. Raises as these two, and :class:`~fileplane.errors.UploadLocked` for a turn that is over,
        :class:`~fileplane.errors.UploadGone`, and :class:`~fileplane.errors.FileTooLarge` for a part that goes beyond the length.
        """
        ...

    async def resumable_parts(self, project_id: str, upload_id: str) -> list[Part]:
        """The parts in the order of the upload's bytes."""
        ...

    async def merge_parts(self, project_id: str, upload_id: str, turn: int, merged: Sequence[Part], new: NewPart) -> list[Remains]:
        """Puts one part with the same bytes in place of some that lie side by side, which are given up and returned.

        Raises :class:`~fileplane.errors.UploadLocked` for a turn that is over, or parts that are not the upload's, and
        :class:`~fileplane.errors.StorageUnavailable` with ``nothing_changed`` for a blob that has been condemned.
        """
        ...
