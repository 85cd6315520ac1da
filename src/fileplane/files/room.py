"""The room that an upload has in its project: looked at before the body and while it streams, made when it has come to its end."""

from __future__ import annotations

from typing import Final, Protocol

from fileplane.access import Principal, Whose
from fileplane.clock import Clock
from fileplane.errors import FileQuotaExceeded, FileTooLarge, IdempotencyConflict, RateLimited, StorageQuotaExceeded
from fileplane.files.allowance import Received
from fileplane.files.form import largest_of
from fileplane.files.janitor import Janitor
from fileplane.metadata.base import MetadataStore
from fileplane.model import Kept
from fileplane.settings import Settings

_DAY_SECONDS: Final = 86_400


class Limited(Protocol):
    """A form with a limit of its own, such as :class:`~fileplane.files.form.UploadForm`."""

    @property
    def limit(self) -> tuple[int, str]:
        """See :func:`~fileplane.files.form.largest_of`."""
        ...


class Room:
    """Of one upload. Where the quota is reached, the project's oldest deleted files go first, but only for bytes that have arrived.

    A limit of the key itself has nothing given up for it: it counts the key's live files alone.
    """

    def __init__(
        self,
        principal: Principal,
        metadata: MetadataStore,
        janitor: Janitor,
        settings: Settings,
        clock: Clock,
        repeated_bytes: int | None,
        received: Received,
    ) -> None:
        """``repeated_bytes`` is the size of the file that the upload's idempotency key stands for: a repetition needs no room."""
        self._principal = principal
        self._limits = principal.limits
        self._project_id = principal.project_id
        self._metadata = metadata
        self._janitor = janitor
        self._settings = settings
        self._clock = clock
        self._repeated_bytes = repeated_bytes
        self._received = received
        self._available = 0
        self._daily = self._limits.any("upload_bytes_per_day")
        self._receivable = 0

    @property
    def quota_bytes(self) -> int:
        """What the project may keep."""
        own = self._principal.project_limits.storage_bytes
        return self._settings.project_quota_bytes if own is None else own

    async def admit(self, declared_length: int | None) -> None:
        """Refuses what cannot fit, whatever is given up. ``declared_length`` is the length of the whole form, if it is known.

        Raises :class:`~fileplane.errors.FileTooLarge`, :class:`~fileplane.errors.StorageQuotaExceeded`,
        :class:`~fileplane.errors.FileQuotaExceeded`, :class:`~fileplane.errors.RateLimited` or, for what cannot be the repetition
        that its key says, :class:`~fileplane.errors.IdempotencyConflict`.
        """
        least = 0 if declared_length is None else declared_length - self._settings.max_form_overhead_bytes
        largest, setter = largest_of(self._settings, self._limits, None)
        if least > largest:
            raise _too_large(largest, setter)
        if self._daily:
            await self._receive(max(declared_length or 0, 1))
        await self._require(max(least, 1))

    async def announce(self, size: int) -> None:
        """Refuses a file of ``size`` bytes that is to come in parts. Raises as :meth:`admit`."""
        if self._daily:
            await self._receive(size)
        await self._require(size)

    async def take(self, form: Limited, size: int) -> None:
        """Refuses a file of ``size`` bytes so far. Raises as :meth:`admit`."""
        limit, setter = form.limit
        if size > limit:
            raise _too_large(limit, setter)
        if self._daily and self._received.bytes > self._receivable:
            await self._receive(self._received.bytes)
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
                raise StorageQuotaExceeded(self.quota_bytes)

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
            raise StorageQuotaExceeded(self.quota_bytes)
        limits = self._limits
        if limits.any("files") or limits.key.storage_bytes is not None:
            self._require_of_limits(await self._kept(), size)

    def _require_of_limits(self, kept: Kept, size: int) -> None:
        limits = self._limits
        for whose, most, files in (
            (Whose.PROJECT, limits.project.files, kept.live_files),
            (Whose.KEY, limits.key.files, kept.key_live_files),
        ):
            if most is not None and files >= most:
                raise FileQuotaExceeded(most, whose)
        most = limits.key.storage_bytes
        if most is not None:
            if kept.key_live_bytes + size > most:
                raise StorageQuotaExceeded(most, Whose.KEY)
            self._available = min(self._available, most - kept.key_live_bytes)

    async def _receive(self, size: int) -> None:
        """Refuses a body of ``size`` bytes that the day has not got left."""
        limits, kept = self._limits, await self._kept()
        left = []
        for whose, most, received in (
            (Whose.PROJECT, limits.project.upload_bytes_per_day, kept.received_bytes),
            (Whose.KEY, limits.key.upload_bytes_per_day, kept.key_received_bytes),
        ):
            if most is None:
                continue
            if received + size > most:
                raise RateLimited.of_bytes(most, whose, _DAY_SECONDS - self._clock.now_ms() // 1000 % _DAY_SECONDS)
            left.append(most - received)
        self._receivable = min(left)

    async def _kept(self) -> Kept:
        return await self._metadata.kept(self._project_id, self._principal.key_id)

    async def _free(self) -> int:
        return self.quota_bytes - (await self._metadata.usage(self._project_id)).stored_bytes


def _too_large(limit: int, setter: str) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than {limit} bytes, the limit {setter}.", param="file")
