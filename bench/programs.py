"""The programs from Debian that the references need: found, or installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk"}
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])


def find_or_install() -> dict[str, str | None]:
    """The path of each program; None, after saying what to do, for one that is missing and cannot be installed."""
    missing = [package for program, package in _PACKAGES.items() if _find(program) is None]
    if missing and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {' and '.join(missing)} ...", flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.DEVNULL, check=False)
    found = {program: _find(program) for program in _PACKAGES}
    for program, path in found.items():
        if path is None:
            print(f"{program} is missing, so the rows that need it are not measured. On Debian: apt-get install {_PACKAGES[program]}")
    return found


def _find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)
