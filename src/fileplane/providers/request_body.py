"""The body of an outbound request: a stream of bytes that knows when the last of them is handed on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fileplane.providers.outcomes import UPLOAD, Outcome
from fileplane.settings import Settings


class Watch:
    """The deadlines until an answer's head: for connecting, for the peer to take each piece of a body, for the answer to begin."""

    def __init__(self, settings: Settings, ends_at: float) -> None:
        self._settings = settings
        self._ends_at = ends_at
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout_at(self._by(settings.egress_connect_seconds + settings.egress_first_byte_seconds))
        self._active = False

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._active = True

    async def __aexit__(self, *error: object) -> None:
        self._active = False
        await self._scope.__aexit__(*error)  # type: ignore[arg-type]  # what a with statement gives is passed on as it is

    def waits_for_source(self) -> None:
        """For the caller's own bytes, whose deadlines are not ours."""
        self._reschedule(self._ends_at)

    def waits_for_peer(self) -> None:
        """To take what was given to it."""
        self._reschedule(self._by(self._settings.egress_idle_seconds))

    def has_ended(self) -> None:
        """The whole request is given over; now the answer is waited for."""
        self._reschedule(self._by(self._settings.egress_first_byte_seconds))

    def _by(self, seconds: float) -> float:
        return min(self._ends_at, self._loop.time() + seconds)

    def _reschedule(self, when: float) -> None:
        if self._active and not self._scope.expired():
            self._scope.reschedule(when)


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that are there already, as a body's content."""
    yield content


class RequestBody:
    """Bytes that are made as they are sent. For one request alone.

    ``length`` is that of the whole body, None when it is not known. What ``content`` raises cuts the body off before its end, so that the
    receiver cannot take it for whole, and is kept in ``failure``. ``outcome`` says what is raised when nobody knows what became of it.
    """

    outcome: Outcome = UPLOAD
    content_type: str = "application/octet-stream"

    def __init__(self, content: AsyncIterator[bytes], length: int | None = None) -> None:
        self._content = content
        self.length = length
        self.failure: Exception | None = None
        self.complete = False
        """Whether the last byte has been, or is being, handed to the connection: from then on the receiver may have it all."""
        self._stopped = False

    def stop(self) -> None:
        """Nothing more is to be sent, because the answer is there already."""
        self._stopped = True

    async def pieces(self, progress: Watch) -> AsyncIterator[bytes]:
        """The bytes, always one piece behind the content: only so is it known which piece is the last."""
        held = b""
        progress.waits_for_source()
        try:
            async for piece in self._content:
                if held:
                    progress.waits_for_peer()
                    await self._listen()
                    yield held
                    progress.waits_for_source()
                held = piece or held
        except Exception as error:
            self.failure = error
            raise
        progress.waits_for_peer()
        await self._listen()
        self.complete = True
        yield held
        progress.has_ended()

    async def _listen(self) -> None:
        """Lets an answer that has arrived be read before more is written, which a connection closed by its peer would not survive."""
        await asyncio.sleep(0)
        if self._stopped:
            await asyncio.Event().wait()
