"""Request bodies, read as they come, with patience that has an end.

A client is judged only by the time spent waiting for it: while the store is writing, no clock runs against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.types import Receive

from fileplane.clock import Clock
from fileplane.errors import ClientDisconnected, InvalidValue, RequestTimeout, UnsupportedMediaType
from fileplane.settings import Settings

_LONGEST_LENGTH_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Patience:
    """``idle_seconds`` for the next bytes; ``min_rate`` bytes a second once ``grace_seconds`` have been spent waiting."""

    idle_seconds: float
    min_rate: int
    grace_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings) -> Patience:
        """As the operator has set it."""
        return cls(settings.body_idle_seconds, settings.min_upload_rate, settings.upload_grace_seconds)

    def left(self, received: int, waited: float) -> float:
        """Seconds that the client may take for its next bytes, having sent ``received`` in ``waited``."""
        if not self.min_rate:
            return self.idle_seconds
        return max(0.0, min(self.idle_seconds, max(self.grace_seconds, received / self.min_rate) - waited))


async def read_body(receive: Receive, patience: Patience, clock: Clock) -> AsyncIterator[bytes]:
    """The body's bytes as the server hands them over, never empty.

    Raises :class:`~fileplane.errors.RequestTimeout` and :class:`~fileplane.errors.ClientDisconnected`.
    """
    received, waited = 0, 0.0
    while True:
        before = clock.monotonic()
        try:
            async with asyncio.timeout(patience.left(received, waited)):
                message = await receive()
        except TimeoutError as error:
            raise RequestTimeout(
                f"The request body stalled or came too slowly after {received} bytes. Send it again over a better connection."
            ) from error
        waited += clock.monotonic() - before
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk = message.get("body", b"")
        if chunk:
            received += len(chunk)
            yield chunk
        if not message.get("more_body", False):
            return


def declared_length(request: Request) -> int | None:
    """The Content-Length, if the body has one. Raises :class:`~fileplane.errors.InvalidValue`."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_LENGTH_DIGITS:
        raise InvalidValue("The Content-Length header is not a whole number of bytes.", param="content-length")
    return int(text)


def refuse_encodings(request: Request) -> None:
    """Bodies are stored as they are and never decompressed.

    Raises :class:`~fileplane.errors.UnsupportedMediaType`, or InvalidValue for a transfer coding (RFC 9112, section 7).
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType(
            "Request bodies with a Content-Encoding are not accepted. Send the form uncompressed; a compressed file inside it is fine.",
            param="content-encoding",
        )
    coding = ",".join(request.headers.getlist("transfer-encoding")).strip().lower()
    if coding not in {"", "chunked"}:
        # The server takes the chunks apart, and leaves any other coding beneath them as it is.
        raise InvalidValue("A Transfer-Encoding other than 'chunked' is not accepted. Send the body as it is.", param="transfer-encoding")
