"""Signals that tell a worker to stop, held back until its event loop can hear them.

A worker runs its loop twice, to start the application and to serve. uvloop hears signals only while it runs: one that comes in between
is lost, and the worker would go on until it is killed ``drain_seconds`` later.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

_STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_SECOND_RUN_SECONDS: Final = 0.1  # the first run of the loop ends as soon as the server knows that the application is up


def hold_stop_signals() -> None:
    """Leaves them to the kernel from now on. To be called in the main thread, before others are started, which do as it does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


def release_stop_signals() -> None:
    """Lets those that came meanwhile, and all others, through a moment from now. To be called in the loop when the application is up."""
    asyncio.get_running_loop().call_later(_SECOND_RUN_SECONDS, signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOP_SIGNALS)
