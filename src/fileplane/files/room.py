"""The room that an upload has in its project: looked at before the body and while it streams, made when it has come to its end."""

from __future__ import annotations

from fileplane.errors import FileTooLarge, IdempotencyConflict, StorageQuotaExceeded
from fileplane.files.form import UploadForm
from fileplane.files.janitor import Janitor
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings


class Room:
    """Of one upload. Where the quota is reached, the project's oldest deleted files go first, but only for bytes that have arrived."""

    def __init__(self, project_id: str, metadata: MetadataStore, janitor: Janitor, settings: Settings, repeated_bytes: int | None) -> None:
        """``repeated_bytes`` is the size of the file that the upload's idempotency key stands for: a repetition needs no room."""
        self._project_id = project_id
        self._metadata = metadata
        self._janitor = janitor
        self._settings = settings
        self._repeated_bytes = repeated_bytes
        self._available = 0

    async def admit(self, declared_length: int | None) -> None:
        """Refuses what cannot fit, whatever is given up. ``declared_length`` is the length of the whole form, if it is known.

        Raises :class:`~fileplane.errors.FileTooLarge`, :class:`~fileplane.errors.StorageQuotaExceeded` or, for what cannot be the
        repetition that its key says, :class:`~fileplane.errors.IdempotencyConflict`.
        """
        settings = self._settings
        least = 0 if declared_length is None else declared_length - settings.max_form_overhead_bytes
        largest = max(settings.max_file_bytes, settings.max_batch_file_bytes)
        if least > largest:
            raise _too_large(largest, "max_file_bytes")
        await self._require(max(least, 1))

    async def take(self, form: UploadForm, size: int) -> None:
        """Refuses a file of ``size`` bytes so far. Raises as :meth:`admit`."""
        if size > form.limit:
            raise _too_large(form.limit, form.limiting_setting)
        if size > self._available:
            await self._require(max(size, 1))

    async def settle(self, size: int) -> None:
        """Makes the room for a file that has arrived whole. Raises :class:`~fileplane.errors.StorageQuotaExceeded`."""
        if self._repeated_bytes is not None:
            return
        missing = size - await self._free()
        if missing > 0:
            await self._janitor.make_room(self._project_id, missing)
            if size > await self._free():
                raise StorageQuotaExceeded(self._settings.project_quota_bytes)

    async def _require(self, size: int) -> None:
        if self._repeated_bytes is not None:
            self._available = self._repeated_bytes
            if size > max(self._repeated_bytes, 1):
                raise IdempotencyConflict
            return
        self._available = await self._free()
        if size > self._available:
            self._available += await self._metadata.reclaimable_bytes(self._project_id)
        if size > self._available:
            raise StorageQuotaExceeded(self._settings.project_quota_bytes)

    async def _free(self) -> int:
        return self._settings.project_quota_bytes - (await self._metadata.usage(self._project_id)).stored_bytes


def _too_large(limit: int, setting: str) -> FileTooLarge:
    return FileTooLarge(
        f"The file is larger than {limit} bytes, the limit here. Split it, or ask the operator to raise {setting}.", param="file"
    )
