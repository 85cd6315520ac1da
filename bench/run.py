"""Measures Fileplane beside its references and writes docs/benchmarks.md.

Usage: PYTHONPATH=tests run.py [--quick] [--only NAME ...] [--output FILE]
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

import document
import plan as plans
import programs
from load import LoadFailed
from plan import Plan
from report import Section, failed, tables
from rivals import CACHE_NAME
from rows import (
    bucket_targets,
    cluster_lists,
    cluster_transfers,
    gateway,
    gateway_transfers,
    lists,
    memory,
    requests,
    round_trips,
    transfers,
    uploads_in_parts,
    validation,
)
from servers import ServerFailed
from transfer import TransferFailed

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".bench"
OUTPUT = ROOT / "docs" / "benchmarks.md"
NEEDED_BYTES = 8 << 30

MEASUREMENTS: dict[str, Callable[[Plan], Section]] = {
    "download": transfers.measure_download,
    "upload": transfers.measure_upload,
    "uploads-in-parts": uploads_in_parts.measure,
    "small": requests.measure_small_uploads,
    "get": requests.measure_get,
    "list": lists.measure,
    "memory": memory.measure,
    "validation": validation.measure,
    "gateway": gateway.measure,
    "gateway-transfers": gateway_transfers.measure,
    "bucket-targets": bucket_targets.measure,
    "round-trips": round_trips.measure,
    "cluster-transfers": cluster_transfers.measure,
    "cluster-lists": cluster_lists.measure,
}
_FAILURES = (ServerFailed, TransferFailed, LoadFailed, subprocess.CalledProcessError, OSError)


def main() -> int:
    """0 when everything was measured, whatever the verdicts; 1 otherwise."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = programs.find_or_install()
    began, load_before = time.monotonic(), os.getloadavg()[0]
    with _work_directory() as directory:
        make = plans.quick if arguments.quick else plans.full
        plan = make(directory, found["nginx"], found["wrk"])
        sections = [_measure(name, plan, began) for name in arguments.only or MEASUREMENTS]
        text = document.render(plan, sections, datetime.now(UTC), load_before, time.monotonic() - began)
    print(f"\n{tables(sections)}")
    output = arguments.output or (None if arguments.quick or arguments.only else OUTPUT)
    if output is None:
        print("docs/benchmarks.md is left as it is: only a full run writes it (or --output FILE).")
    else:
        kept = document.soak_of(OUTPUT.read_text("utf-8"))
        output.write_text(f"{text}\n{kept}" if kept else text, "utf-8")
        print(f"Written to {os.path.relpath(output)}.")
    return int(any(row.failed for section in sections for row in section.rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measures Fileplane beside nginx, a bare Starlette route, a plain script and other gateways."
    )
    parser.add_argument("--quick", action="store_true", help="128 MiB instead of 1 GiB, and fewer rounds")
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="measure this alone; may be repeated")
    parser.add_argument("--output", type=Path, help="write the results here instead of to docs/benchmarks.md")
    return parser.parse_args()


def _measure(name: str, plan: Plan, began: float) -> Section:
    print(f"[{time.monotonic() - began:4.0f} s] {name}", flush=True)
    try:
        return MEASUREMENTS[name](plan)
    except _FAILURES as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return Section(name, "", [failed(name)])


@contextmanager
def _work_directory() -> Iterator[Path]:
    """A directory of this run's own on the repository's disk. What a killed run has left is removed; the installed rivals stay."""
    WORK.mkdir(exist_ok=True)
    for left in WORK.iterdir():
        if left.name != CACHE_NAME and not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
    if shutil.disk_usage(WORK).free < NEEDED_BYTES:
        sys.exit(f"The benchmark needs {NEEDED_BYTES >> 30} GiB of free disk for a while.")
    directory = WORK / str(os.getpid())
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if not any(WORK.iterdir()):
            WORK.rmdir()


if __name__ == "__main__":
    sys.exit(main())
