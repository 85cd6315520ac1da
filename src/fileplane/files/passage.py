"""What bounds an upload that only passes through: the limits of project and key on one file's bytes, and on a day's."""

from __future__ import annotations

from typing import Final

from fileplane.access import Principal, Whose
from fileplane.clock import Clock
from fileplane.errors import FileTooLarge, RateLimited
from fileplane.files.allowance import Received
from fileplane.metadata.base import MetadataStore

_DAY_SECONDS: Final = 86_400


class Passage:
    """Of one upload to a provider. Nothing of it is kept here, so the quota of what is kept does not count it."""

    def __init__(self, principal: Principal, metadata: MetadataStore, clock: Clock, received: Received, form_bytes: int) -> None:
        """``form_bytes`` is what the form may have besides its file."""
        self._principal = principal
        self._metadata = metadata
        self._clock = clock
        self._received = received
        self._form_bytes = form_bytes
        self._largest = principal.limits.least("file_bytes")
        self._daily = principal.limits.any("upload_bytes_per_day")
        self._receivable = 0

    async def admit(self, declared_length: int | None) -> None:
        """Refuses what is too large before its body is read: ``declared_length`` is the length of the whole form, if it is known.

        Raises :class:`~fileplane.errors.FileTooLarge` or :class:`~fileplane.errors.RateLimited`.
        """
        if declared_length is not None:
            self._check(declared_length - self._form_bytes)
        if self._daily:
            await self._receive(max(declared_length or 0, 1))

    async def take(self, size: int) -> None:
        """Refuses a file of ``size`` bytes so far. Raises as :meth:`admit`."""
        self._check(size)
        if self._daily and self._received.bytes > self._receivable:
            await self._receive(self._received.bytes)

    def _check(self, size: int) -> None:
        if self._largest is not None and size > self._largest:
            raise FileTooLarge(
                f"The file is larger than {self._largest} bytes, the limit of this project or API key. Split it, or ask the operator to "
                "raise file_bytes.",
                param="file",
            )

    async def _receive(self, size: int) -> None:
        limits, kept = self._principal.limits, await self._metadata.kept(self._principal.project_id, self._principal.key_id)
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
