"""Whose turn it is to append to a resumable upload, across workers and nodes.

A connection that is dead often is so for its server last of all: the client comes back and asks for the offset while the request of the
old connection still waits for bytes. So whoever asks for the offset ends that request, wherever it runs: it is told, here or through the
database, keeps what it has received, and lets go; the answer waits for that. If it does not within :data:`WAIT_SECONDS`, as when its
worker is gone, the turn is taken from it. What it then still does comes to nothing, since an append names its turn. So the wait saves
bytes from being sent twice, and carries no safety.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from fileplane.clock import Clock
from fileplane.errors import FileplaneError
from fileplane.metadata.base import MetadataStore
from fileplane.resumable import Resumable
from fileplane.settings import Settings

WAIT_SECONDS: Final = 3.0
_ASKED_EVERY: Final = 0.1
_LOOKS_EVERY: Final = 0.5
_RENEWALS: Final = 3
_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Somebody asks for the offset of the upload, or has taken the turn."""


class Turn:
    """Of one request. ``upload`` is the upload as of the last change that this request has made."""

    def __init__(self, upload: Resumable) -> None:
        self.upload = upload
        self._stopped = False
        self._waiting: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Lets :meth:`following` raise, also when it is waiting."""
        self._stopped = True
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def following(self, body: AsyncIterator[bytes]) -> bytes | None:
        """The next bytes of a body, or None at its end. Raises :class:`Interrupted` once, and whenever, the turn is to end."""
        if self._stopped:
            raise Interrupted
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await anext(body, None)
        except TimeoutError as error:
            raise Interrupted from error
        finally:
            self._waiting = None


class Turns:
    """Those of a worker's own requests, and how to end any."""

    def __init__(self, metadata: MetadataStore, settings: Settings, clock: Clock) -> None:
        self._metadata = metadata
        self._clock = clock
        self._lease_seconds = max(1, int(settings.upload_lease_seconds))
        self._own: dict[tuple[str, str], Turn] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        """To be called before the database is closed: returns when every turn that was taken here has been given back."""
        while self._ending:
            await asyncio.wait(self._ending)

    @asynccontextmanager
    async def taken(self, project_id: str, upload_id: str, offset: int, length: int | None) -> AsyncIterator[Turn]:
        """A turn for as long as the block runs. Raises as :meth:`ResumableStore.take_turn`."""
        turn = Turn(await self._metadata.take_turn(project_id, upload_id, offset, length, self._lease_seconds))
        number = turn.upload.turn
        place = (project_id, upload_id)
        self._own[place] = turn
        watching = asyncio.create_task(self._watch(turn, number), name="fileplane-turn")
        try:
            yield turn
        finally:
            watching.cancel()
            if self._own.get(place) is turn:
                del self._own[place]
            if turn.upload.held:
                # A task of its own, since nothing that this one waits for is certain to be done once it is cancelled.
                await asyncio.shield(self._later(self._end(project_id, upload_id, number)))

    async def ended(self, project_id: str, upload_id: str) -> Resumable:
        """The upload once nobody appends to it. Raises :class:`~fileplane.errors.UploadNotFound`."""
        found = await self._metadata.get_resumable(project_id, upload_id)
        number, until = found.turn, self._clock.monotonic() + WAIT_SECONDS
        if not found.held:
            return found
        own = self._own.get((project_id, upload_id))
        if own is not None:
            own.stop()
        await self._metadata.ask_turn(project_id, upload_id, number)
        while found.turn == number and found.held:
            if self._clock.monotonic() >= until:
                await self._metadata.end_turn(project_id, upload_id, number)
            else:
                await asyncio.sleep(_ASKED_EVERY)
            found = await self._metadata.get_resumable(project_id, upload_id)
        return found

    async def _watch(self, turn: Turn, number: int) -> None:
        project_id, upload_id = turn.upload.upload.project_id, turn.upload.upload.id
        renewed = self._clock.monotonic()
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            with suppress(FileplaneError):  # the next look is soon enough, and without a look nothing is appended wrongly
                found = await self._metadata.get_resumable(project_id, upload_id)
                if found.asked or found.turn != number:
                    turn.stop()
                if self._clock.monotonic() - renewed >= self._lease_seconds / _RENEWALS:
                    await self._metadata.keep_turn(project_id, upload_id, number, self._lease_seconds)
                    renewed = self._clock.monotonic()

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="fileplane-turn-end")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, project_id: str, upload_id: str, number: int) -> None:
        try:
            await self._metadata.end_turn(project_id, upload_id, number)
        except FileplaneError as error:
            _log.warning("the turn of an upload could not be given back and runs out: %s", error, exc_info=error)
