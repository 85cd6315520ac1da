"""The room that an upload has in its project: checked before the body, while it streams, and made where that can be."""

from __future__ import annotations

from fileplane.errors import FileTooLarge, StorageQuotaExceeded
from fileplane.files.form import UploadForm
from fileplane.files.janitor import Janitor
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings


class Room:
    """Of one upload. Where the quota is reached, the project's oldest deleted files go first."""

    def __init__(self, project_id: str, metadata: MetadataStore, janitor: Janitor, settings: Settings, *, unlimited: bool) -> None:
        """With ``unlimited`` the quota is left to the record: the upload is the repetition of one that was recorded."""
        self._project_id = project_id
        self._metadata = metadata
        self._janitor = janitor
        self._settings = settings
        self._unlimited = unlimited
        self._free = 0

    async def admit(self, declared_length: int | None) -> None:
        """Refuses what cannot fit. ``declared_length`` is the length of the whole form, if it is known.

        Raises :class:`~fileplane.errors.FileTooLarge` or :class:`~fileplane.errors.StorageQuotaExceeded`.
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
        if size > self._free:
            await self._require(size)

    async def _require(self, size: int) -> None:
        if self._unlimited:
            return
        self._free = await self._measure()
        if size > self._free:
            await self._janitor.make_room(self._project_id, size - self._free)
            self._free = await self._measure()
        if size > self._free:
            raise StorageQuotaExceeded(self._settings.project_quota_bytes)

    async def _measure(self) -> int:
        return self._settings.project_quota_bytes - (await self._metadata.usage(self._project_id)).stored_bytes


def _too_large(limit: int, setting: str) -> FileTooLarge:
    return FileTooLarge(
        f"The file is larger than {limit} bytes, the limit here. Split it, or ask the operator to raise {setting}.", param="file"
    )
