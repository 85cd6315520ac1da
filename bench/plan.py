"""What a run measures and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SMALL_BYTES = 4096


@dataclass(frozen=True)
class Plan:
    """``directory`` is on the repository's disk and emptied afterwards. ``nginx`` and ``wrk`` are paths, or None where missing."""

    directory: Path
    large_bytes: int
    huge_bytes: int
    memory_bytes: int
    few_files: int
    many_files: int
    rounds: int
    seconds: float
    nginx: str | None
    wrk: str | None

    @property
    def large_name(self) -> str:
        """The size of the large file as it is shown."""
        return f"{self.large_bytes // MIB // 1024} GiB" if self.large_bytes >= 1024 * MIB else f"{self.large_bytes // MIB} MiB"


def full(directory: Path, nginx: str | None, wrk: str | None) -> Plan:
    return Plan(directory, 1024 * MIB, 20 * 1024 * MIB, 300_000_000, 1_000, 1_000_000, 5, 2.0, nginx, wrk)


def quick(directory: Path, nginx: str | None, wrk: str | None) -> Plan:
    return Plan(directory, 128 * MIB, 1024 * MIB, 300_000_000, 1_000, 1_000_000, 2, 1.0, nginx, wrk)
