"""What an upload may take besides room: a place among those in progress, and its part of the day's bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from fileplane.access import Principal
from fileplane.errors import FileplaneError, RateLimited, StorageUnavailable
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

_RENEWALS: Final = 3
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Received:
    """How much of a request's body has come, whatever has become of it; counted by whoever reads the body."""

    bytes: int = 0
    recorded: bool = False
    """Whether it has been counted towards the day, which the transaction that makes a file does."""


class Uploads:
    """Those that a worker takes. What has to be done when one ends is done even when its task was cancelled."""

    def __init__(self, metadata: MetadataStore, settings: Settings) -> None:
        self._metadata = metadata
        self._lease_seconds = settings.upload_lease_seconds
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def going_on(self, principal: Principal, received: Received) -> AsyncIterator[None]:
        """One upload. Where uploads at once are limited, it holds a place as long as the block runs.

        When it ends without a file, what it has sent is counted towards the day all the same. Raises
        :class:`~fileplane.errors.RateLimited` when there is no place.
        """
        upload_id = await self._begin(principal) if principal.limits.any("concurrent_uploads") else None
        renewing = None if upload_id is None else asyncio.create_task(self._renew(upload_id), name="fileplane-upload-lease")
        database_answers = True
        try:
            yield
        except StorageUnavailable:
            database_answers = False
            raise
        finally:
            if renewing is not None:
                renewing.cancel()
            uncounted = 0 if received.recorded else received.bytes
            if upload_id is not None or uncounted:
                # A task of its own, since nothing that this one waits for is certain to be done once it is cancelled.
                ending = self._later(self._end(principal, uncounted, upload_id))
                if database_answers:
                    await asyncio.shield(ending)

    async def _begin(self, principal: Principal) -> str:
        upload_id = new_holder()
        try:
            await self._metadata.begin_upload(upload_id, principal.project_id, principal.key_id, principal.limits, self._lease_seconds)
        except RateLimited:
            raise
        except BaseException:
            # Whether it has a place is not known.
            self._later(self._end(principal, 0, upload_id))
            raise
        return upload_id

    async def settle(self) -> None:
        """Returns when whatever has ended has been seen to. To be called before the database is closed."""
        while self._ending:
            await asyncio.wait(self._ending)

    async def _renew(self, upload_id: str) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / _RENEWALS)
            try:
                await self._metadata.renew_upload(upload_id, self._lease_seconds)
            except FileplaneError as error:
                _log.warning("the place of an upload could not be kept, and is tried again: %s", error, exc_info=error)

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fileplane-upload-end")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, principal: Principal, received: int, upload_id: str | None) -> None:
        try:
            await self._metadata.end_upload(principal.project_id, principal.key_id, received, upload_id)
        except Exception as error:  # noqa: BLE001 - the upload's own outcome goes before; the place ends by itself
            _log.warning("the end of an upload could not be recorded: %s", error, exc_info=error)
