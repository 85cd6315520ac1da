"""Runs the tests of the cluster in a folder of their own, and fails if anything of them is left afterwards.

Whatever they start is told that folder in TMPDIR, by which it is found again among the processes of this machine. What is left is
ended and removed, after it has been named.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from support.namespaces import prefix_of

ROOT = Path(__file__).parent.parent
PYTEST = ("--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "cluster")
PYTESTS_OWN = "pytest-of-"
NAMESPACES = Path("/run/netns")
MOUNTS = Path("/proc/self/mounts")
SECONDS_TO_END = 10.0


def main(arguments: list[str]) -> int:
    """The exit code of pytest, or 1 if it is 0 and something was left."""
    folder = Path(tempfile.mkdtemp(prefix="fileplane-cluster-"))
    # Servers that refuse to run as root are run as somebody who has to get through here.
    folder.chmod(0o755)
    try:
        command = [sys.executable, "-m", "pytest", *PYTEST, *arguments]
        code = subprocess.run(command, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)}, check=False).returncode
        left = left_behind(folder)
        for what in left:
            print(f"left behind: {what}", file=sys.stderr)
        return code or int(bool(left))
    finally:
        end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def left_behind(folder: Path) -> list[str]:
    """Processes, files and folders, mounts and network namespaces, each in words."""
    psutil.wait_procs(processes_of(folder), SECONDS_TO_END)
    left = [f"process {process.pid}: {' '.join(command_of(process))}" for process in processes_of(folder)]
    left += [f"{path}" for path in sorted(folder.iterdir()) if not path.name.startswith(PYTESTS_OWN)]
    left += [f"mount {line.split()[1]}" for line in mounts() if str(folder) in line]
    return left + [f"network namespace {name}" for name in namespaces_of(folder)]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that were told the folder, whoever has started them."""
    return [process for process in psutil.process_iter() if environment_of(process).get("TMPDIR") == str(folder)]


def environment_of(process: psutil.Process) -> dict[str, str]:
    """What it was started with, if that may be known."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def command_of(process: psutil.Process) -> list[str]:
    """Its command line, if it still has one."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def namespaces_of(folder: Path) -> list[str]:
    """Those of the tests with this folder, whose names say so."""
    return sorted(path.name for path in NAMESPACES.glob(f"{prefix_of(str(folder))}*"))


def mounts() -> list[str]:
    """The lines of what is mounted."""
    return MOUNTS.read_text("utf-8", "replace").splitlines() if MOUNTS.exists() else []


def end_processes(folder: Path) -> None:
    """Kills those that were told the folder, and waits until they are gone."""
    for process in processes_of(folder):
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes_of(folder), SECONDS_TO_END)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
