"""Work that goes on beside the requests, again and again, as long as the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fileplane.errors import FileplaneError

_log = logging.getLogger(__name__)


@asynccontextmanager
async def repeated(name: str, seconds: float, work: Callable[[], Awaitable[object]], *, at_once: bool = False) -> AsyncIterator[None]:
    """While the block runs, rests for ``seconds`` and then does ``work``, over and over; never when they are 0. ``at_once`` begins with it.

    What goes wrong is logged, and tried again in the next round. Leaving the block cancels the work where it stands.
    """
    task = asyncio.create_task(_rounds(name, seconds, work, at_once=at_once), name=f"fileplane-{name}") if seconds else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _rounds(name: str, seconds: float, work: Callable[[], Awaitable[object]], *, at_once: bool) -> None:
    rest = 0.0 if at_once else seconds
    while True:
        await asyncio.sleep(rest)
        rest = seconds
        try:
            await work()
        except FileplaneError as error:
            _log.warning("%s stopped early and goes on in %g s: %s", name, seconds, error, exc_info=error)
        except Exception:  # noqa: BLE001 - a defect in one round must not end all later ones
            _log.exception("%s failed and is tried again in %g s", name, seconds)
