"""Programs and libraries that some tests need and Debian has: found, or installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from support.limits import skip_or_fail

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
_LOCK_SECONDS = 120
_INSTALL_SECONDS = 300


def require_program(program: str, package: str) -> str:
    """The path of ``program``, which is installed from Debian's ``package`` when it is missing; skips the test when it cannot be."""
    return _require(program, package, lambda: shutil.which(program, path=_PATH))


def require_library(file_name: str, package: str) -> str:
    """The path of a shared library, found or installed in the same way."""
    return _require(file_name, package, lambda: next((str(path) for root in _LIBRARIES for path in Path(root).rglob(file_name)), None))


def _require(name: str, package: str, find: Callable[[], str | None]) -> str:
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        # The lists of packages may be missing or old: only then are they fetched.
        for command in (["install"], ["update"], ["install"]):
            arguments = ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}", *command]
            if command == ["install"]:
                arguments += ["-y", "--no-install-recommends", package]
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, timeout=_INSTALL_SECONDS, check=False)
            found = find()
            if found is not None:
                break
    if found is None:
        skip_or_fail(f"{name} is missing (on Debian: apt-get install {package})")
    return found
