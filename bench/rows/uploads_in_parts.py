"""Files far larger than memory: sent in parts at once beside one request of curl's, and by OpenAI's SDK as it comes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import httpx2

from plan import MIB, Plan
from report import Bar, Row, Section, not_measured
from sampling import in_turns, settle, watched_memory
from servers import REFERENCES, Fileplane, fileplane, new_key, remove

SPEED_BAR = Bar("≥", 1.0, aim=True)
MEMORY_BAR = Bar("≤", 64, "MB")
_CONNECTIONS = 4
_ROUNDS = 2
_SETTLING_SECONDS = 600
_SETTINGS = {"FILEPLANE_MAX_FILE_BYTES": str(64 << 30), "FILEPLANE_MIN_FREE_DISK_BYTES": "0"}

METHOD = f"""\
`fileplane upload` with {_CONNECTIONS} connections sends a sparse file in parts, and ends when the server has made the file and every
part's SHA-256 is what was read here; `curl` sends the same file as one form over one connection and ends with the answer, hashed by the
server alone. Both processes are timed from their start to their end, on the machine whose processors the server uses too, so that what
the hash here costs is taken from the server. Between two uploads the file is purged and the disk synced. OpenAI's Python SDK
(`upload_file_chunked`) sends a sparse file in its parts of 64 MiB, one after another; memory is the server's highest while it comes and
is read through afterwards, above what it has after a small upload of the same kind. The completions are those of the large file and of
a file of 1 MiB."""


def measure(plan: Plan) -> Section:
    """Speed beside curl, memory, and what a completion takes."""
    section = Section("Uploads in parts", METHOD)
    needed = plan.huge_bytes + (2 << 30)
    if shutil.disk_usage(plan.directory).free < needed:
        section.rows.append(not_measured("uploads in parts", SPEED_BAR, f"{needed >> 30} GiB of free disk are needed"))
        return section
    with fileplane(plan.directory / "parts", new_key(), _SETTINGS) as server:
        section.rows += _memory_rows(plan, server)
    with fileplane(plan.directory / "parts2", new_key(), _SETTINGS) as server:
        section.rows.append(_speed_row(plan, server))
    return section


def _speed_row(plan: Plan, server: Fileplane) -> Row:
    what, curl = f"upload of {plan.huge_bytes >> 30} GiB, {_CONNECTIONS} connections", shutil.which("curl")
    if curl is None:
        return not_measured(what, SPEED_BAR, "curl is missing")
    source = _sparse(plan.directory / "sparse.bin", plan.huge_bytes)
    taken = in_turns(
        _ROUNDS,
        {"ours": partial(_by_command, plan, server, source), "curl": partial(_by_curl, plan, server, source, curl)},
    )
    source.unlink()
    remove(plan.directory / "parts2")
    ours, theirs = median(taken["ours"]), median(taken["curl"])
    return Row(what, _shown(plan, ours), f"curl, 1 connection: {_shown(plan, theirs)}", theirs / ours, bar=SPEED_BAR)


def _shown(plan: Plan, seconds: float) -> str:
    return f"{seconds:.1f} s, {plan.huge_bytes / MIB / seconds:,.0f} MiB/s"


def _by_command(plan: Plan, server: Fileplane, source: Path) -> float:
    environment = {
        **os.environ,
        "FILEPLANE_BASE_URL": f"{server.url}/v1",
        "FILEPLANE_API_KEY": server.headers["Authorization"].removeprefix("Bearer "),
        "XDG_CACHE_HOME": str(plan.directory / "cache"),
    }
    command = [sys.executable, "-m", "fileplane", "upload", str(source), "--purpose", "user_data", "--connections", str(_CONNECTIONS)]
    return _timed(server, command, environment)


def _by_curl(plan: Plan, server: Fileplane, source: Path, curl: str) -> float:
    authorization = plan.directory / "authorization"
    authorization.write_text(f"Authorization: {server.headers['Authorization']}\n", "utf-8")
    form = ["--form", "purpose=user_data", "--form", f"file=@{source}"]
    return _timed(
        server, [curl, "--silent", "--show-error", "--fail", "--header", f"@{authorization}", *form, f"{server.url}/v1/files"], {}
    )


def _timed(server: Fileplane, command: list[str], environment: dict[str, str]) -> float:
    settle(1 << 30)
    began = time.perf_counter()
    subprocess.run(command, env=environment or None, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - began
    _purge_all(server)
    return seconds


def _purge_all(server: Fileplane) -> None:
    with httpx2.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=120, trust_env=False) as client:
        for file in client.get("/files").raise_for_status().json()["data"]:
            client.delete(f"/files/{file['id']}", params={"purge": "true"}).raise_for_status()
    while server.blob_paths():
        time.sleep(0.1)  # what is purged is removed in the background


def _memory_rows(plan: Plan, server: Fileplane) -> list[Row]:
    small, large = _sparse(plan.directory / "small.bin", MIB), _sparse(plan.directory / "sparse.bin", plan.huge_bytes // 2)
    _, small_completion = _by_openai(server, small)
    settle(1 << 30)
    idle = server.resident_bytes()
    with watched_memory(server) as peak:
        seconds, large_completion = _by_openai(server, large)
    large.unlink()
    remove(plan.directory / "parts")
    size = f"{plan.huge_bytes >> 31} GiB" if plan.huge_bytes >> 31 else f"{plan.huge_bytes // 2 // MIB} MiB"
    added = (peak.value - idle) / 1e6
    return [
        Row(
            f"memory, upload_file_chunked, {size}",
            f"peak {peak.value / 1e6:.0f} MB, {seconds:.1f} s",
            f"idle {idle / 1e6:.0f} MB",
            added,
            "MB",
            MEMORY_BAR,
        ),
        Row(f"completion of {size} in parts", f"{large_completion * 1e3:.1f} ms", f"of 1 MiB: {small_completion * 1e3:.1f} ms"),
    ]


def _by_openai(server: Fileplane, source: Path) -> tuple[float, float]:
    """Seconds of the upload and of its completion; afterwards the file has been read through."""
    key = server.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, str(REFERENCES / "openai_chunked.py"), f"{server.url}/v1", str(source)]
    result = subprocess.run(command, env={**os.environ, "OPENAI_API_KEY": key}, capture_output=True, text=True, check=True)
    seconds, completing, file_id = result.stdout.split()
    deadline = time.monotonic() + _SETTLING_SECONDS
    with httpx2.Client(base_url=f"{server.url}/v1", headers=server.headers, timeout=120, trust_env=False) as client:
        while client.get(f"/files/{file_id}").raise_for_status().json()["status"] == "uploaded" and time.monotonic() < deadline:
            time.sleep(0.1)  # the pass over its bytes runs in the background and tells nobody
    return float(seconds), float(completing)


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path
