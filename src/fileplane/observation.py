"""What no request tells, looked at from time to time for the metrics: how much is stored, the room on the disks, what a worker uses."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fileplane import __version__, metrics
from fileplane.clock import Clock
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

_STATUS: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = Path("/proc/self/fd")


class Observation:
    """Brings the levels up to date, each worker by itself: the newest look counts, and it costs one sum over the counters."""

    def __init__(self, metadata: MetadataStore, clock: Clock, disks: Mapping[str, Path]) -> None:
        """``disks`` are directories by what is kept in them; they may be on different disks, and are all on this machine."""
        self._metadata = metadata
        self._clock = clock
        self._disks = disks
        self._processor_seconds = 0.0

    async def look(self) -> None:
        """Raises :class:`~fileplane.errors.StorageUnavailable` or OSError; the numbers are then those of the last time."""
        self._look_at_process()
        usage = await self._metadata.total_usage()
        metrics.LIVE_FILES.set(usage.live_files)
        metrics.DELETED_FILES.set(usage.deleted_files)
        metrics.STORED_BYTES.set(usage.stored_bytes)
        metrics.DATABASE_BYTES.set(await self._metadata.database_bytes())
        rooms = await asyncio.to_thread(self._look_at_disks)
        for disk, (free, total) in rooms.items():
            metrics.DISK_FREE.set(free, disk)
            metrics.DISK_SIZE.set(total, disk)
        metrics.STORAGE_LOOKED_AT.set(self._clock.now_ms() / 1000)

    def _look_at_disks(self) -> Mapping[str, tuple[int, int]]:
        return {disk: _room(path) for disk, path in self._disks.items()}

    def _look_at_process(self) -> None:
        used = time.process_time()
        metrics.CPU_SECONDS.add(max(0.0, used - self._processor_seconds))
        self._processor_seconds = used
        if sys.platform == "linux":
            metrics.RESIDENT_BYTES.set(int(_STATUS.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE"))
            metrics.DESCRIPTORS.set(sum(1 for _ in _DESCRIPTORS.iterdir()))


def tell_of_start(settings: Settings, clock: Clock) -> None:
    """What is so from a worker's start to its end. The settings are those that alerts have to know."""
    metrics.BUILD.set(1, __version__)
    metrics.STARTED.set(clock.now_ms() / 1000)
    metrics.WORKERS.set(1)
    metrics.WORKER_STARTS.add(1)
    metrics.LEAST_FREE.set(settings.min_free_disk_bytes)
    metrics.JANITOR_INTERVAL.set(settings.janitor_interval_seconds)
    metrics.SCRUB_RATE.set(settings.scrub_bytes_per_second)
    metrics.SCRUB_INTERVAL.set(settings.scrub_interval_seconds if settings.scrub_bytes_per_second else 0)


def _room(path: Path) -> tuple[int, int]:
    """Bytes that a user other than root may still write, and bytes of the whole file system."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
