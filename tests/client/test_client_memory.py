"""A transfer takes the same memory however large the file, and nothing of the server or of other packages is loaded for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import RunningServer, fileplane_environment

ALLOWED_KIB = 48 << 10
MEASURED = """
import json, os, pathlib, sys
from fileplane.client import Client
size, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
source = directory / f"source-{size}"
with source.open("wb") as file:
    file.truncate(size)
with Client(state_directory=directory) as client:
    uploaded = client.upload(source, purpose="user_data")
    done = client.download(uploaded.id, directory / f"copy-{size}")
status = pathlib.Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
print(json.dumps({"peak": peak, "size": done.size, "loaded": sorted(sys.modules)}))
"""


def measured(server: RunningServer, directory: Path, size: int, seconds: float) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(size), str(directory)],
        env=fileplane_environment(FILEPLANE_BASE_URL=server.base_url, FILEPLANE_API_KEY=server.api_key),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def test_a_transfer_loads_nothing_but_pythons_own_library(server: RunningServer, tmp_path: Path) -> None:
    loaded = {name.partition(".")[0] for name in measured(server, tmp_path, 10, 60)["loaded"]}
    ours = {name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert ours <= {"fileplane", "sitecustomize", "usercustomize"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's count of a process's memory is Linux's")
@pytest.mark.full
def test_a_large_file_goes_both_ways_in_little_more_memory_than_a_small_one(server: RunningServer, tmp_path: Path) -> None:
    size = 3 << 30
    small, large = measured(server, tmp_path, 10, 60), measured(server, tmp_path, size, 60 + size / (8 << 20))
    assert large["size"] == size
    assert large["peak"] < small["peak"] + ALLOWED_KIB
