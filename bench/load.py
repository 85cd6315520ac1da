"""Many small requests, by wrk: what comes back in a second, how long one takes, and what it costs the server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from servers import Server

_SCRIPT = Path(__file__).parent / "wrk.lua"


class LoadFailed(Exception):
    """wrk could not run, or some answers were errors."""


@dataclass(frozen=True)
class Load:
    """``p50_ms`` and ``p99_ms`` are times from sending a request to having its answer; ``cpu_ms`` is the server's CPU time for one."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def send_requests(wrk: str, server: Server, path: str, *, connections: int, seconds: float, kind: Sequence[str] = ("get",)) -> Load:
    """Closed loop: every connection sends its next request when it has its answer. Raises :class:`LoadFailed`."""
    headers = [argument for name, value in server.headers.items() for argument in ("-H", f"{name}: {value}")]
    command = [
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "30s",
        "-s",
        str(_SCRIPT),
        *headers,
        server.url + path,
        "--",
        *kind,
    ]
    cpu_before = server.cpu_seconds()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu = server.cpu_seconds() - cpu_before
    if result.returncode:
        raise LoadFailed(f"wrk failed against {server.name}: {result.stderr or result.stdout}")
    figures = json.loads(result.stdout.strip().splitlines()[-1])
    count = figures["requests"]
    if not count or figures["failures"]:
        raise LoadFailed(f"{server.name} answered {figures['failures']} of {count} requests for {path} with an error or not at all")
    rate = count / figures["microseconds"] * 1e6
    return Load(count, rate, figures["p50"] / 1000, figures["p99"] / 1000, cpu / count * 1000)


def middle(loads: Sequence[Load]) -> Load:
    """The median of each figure by itself."""
    return Load(
        sum(load.requests for load in loads),
        median(load.per_second for load in loads),
        median(load.p50_ms for load in loads),
        median(load.p99_ms for load in loads),
        median(load.cpu_ms for load in loads),
    )
