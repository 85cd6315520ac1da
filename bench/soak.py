"""Half an hour of mixed traffic by several tenants while the server is killed again and again; `make soak`.

Usage: PYTHONPATH=tests soak.py [--minutes 30] [--seed N] [--output FILE]

Each tenant is a thread that knows what its project must hold: what was acknowledged is there with its bytes until it is deleted, what
was deleted is not. For two thirds of the time the server, or one of its workers, is killed or stopped at random moments; for the last
third it runs undisturbed, and its memory and descriptors are watched. In the end everything is downloaded once more, and
`fileplane check --read-data` must find nothing at all. The result goes to docs/benchmarks.md after a run of full length.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from document import SOAK_BEGIN, SOAK_END, soak_of
from soak_tenant import Ledger, Tenant
from support.server import run_fileplane, start_server

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
FULL_MINUTES = 30
TENANTS = 6
SETTINGS = {
    "workers": 2,
    "deleted_retention_seconds": 60,
    "tombstone_seconds": 60,
    "orphan_grace_seconds": 60,
    "janitor_interval_seconds": 5,
    "sweep_interval_seconds": 20,
    "scrub_bytes_per_second": "20 MiB",
    "scrub_interval_seconds": 60,
}
SETTLE_SECONDS = 90
STARTS = 20
SAMPLE_SECONDS = 2.0
LARGEST_GROWTH = 48 << 20
SPARE_DESCRIPTORS = 40


class Soak:
    """The server, its tenants, and what was seen."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = start_server(directory / "data", **SETTINGS)
        self.ready = threading.Event()
        self.ready.set()
        self.ended = threading.Event()
        self.ledger = Ledger()
        self.kills = {"server killed": 0, "worker killed": 0, "server stopped": 0}
        keys = [self.server.create_key(project=f"tenant{number}") for number in range(TENANTS)]
        self.tenants = [
            Tenant(f"{self.server.url}/v1", key, random.Random(f"{seed} {number}"), self.ledger, self.ready, self.ended)
            for number, key in enumerate(keys)
        ]
        self.samples: list[tuple[int, int]] = []

    def disturb(self, until: float) -> None:
        """Kills or stops the server, or one worker, until a monotonic time."""
        while (left := until - time.monotonic()) > 0:
            self._watch(min(left, self.chance.uniform(8, 40)))
            if time.monotonic() >= until:
                return
            kind = self.chance.choices(list(self.kills), (6, 3, 2))[0]
            self.kills[kind] += 1
            if kind == "worker killed":
                self.chance.choice(self.server.workers()).kill()
                continue
            self.ready.clear()
            if kind == "server killed":
                self.server.kill()
            else:
                code = self.server.terminate(90)
                require(code == 0, f"the server ended with {code} when it was asked to stop")
            self._start_again()
            self.ready.set()

    def watch(self, until: float) -> None:
        """Samples memory and descriptors while nothing disturbs the server."""
        while time.monotonic() < until:
            self._watch(SAMPLE_SECONDS)
            workers = self.server.workers()
            self.samples.append((sum(worker.memory_info().rss for worker in workers), sum(worker.num_fds() for worker in workers)))

    def _watch(self, seconds: float) -> None:
        if self.ended.wait(seconds):
            ended = f" (the server had ended with {self.server.process.poll()})" if self.server.process.poll() is not None else ""
            told = [line for line in self.server.log.splitlines() if '"event":"request"' not in line]
            log = "\n".join(told[-20:])
            raise Failed(f"a tenant has found something wrong: {'; '.join(self.ledger.problems)}{ended}\n{log}")

    def _start_again(self) -> None:
        for left in reversed(range(STARTS)):
            try:
                self.server = start_server(self.server.data_dir, key=self.server.api_key, port=self.server.port, **SETTINGS)
            except AssertionError:
                if not left:
                    raise
                time.sleep(0.5)  # the port may still be that of a worker which is ending
            else:
                return

    def finish(self) -> dict[str, object]:
        """Everything once more, then the check; the findings of the check, which should be none."""
        idle = [worker.num_fds() for worker in self.server.workers()]
        for tenant in self.tenants:
            tenant.verify_everything()
        time.sleep(SETTLE_SECONDS)  # for the janitor: retention, grace and tombstones are a minute each
        for tenant in self.tenants:
            tenant.close()
        code = self.server.terminate(90)
        require(code == 0, f"the server ended with {code}")
        left = [path.name for path in (self.server.data_dir / "blobs" / "tmp").iterdir()]
        require(not left, f"temporaries are left: {left}")
        done = run_fileplane("check", "--read-data", "--json", FILEPLANE_DATA_DIR=str(self.server.data_dir), **grace())
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        require(done.returncode == 0 and len(lines) == 1, f"check exits with {done.returncode}: {done.stdout[-2000:]}{done.stderr}")
        kept = {path for path in (self.server.data_dir / "blobs").glob("??/*") if path.parent.name != "tmp"}
        return {**lines[0]["summary"], "blobs": len(kept), "descriptors when idle": sum(idle)}


class Failed(Exception):
    """The soak has found something wrong."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise Failed(message)


def grace() -> dict[str, str]:
    return {"FILEPLANE_ORPHAN_GRACE_SECONDS": str(SETTINGS["orphan_grace_seconds"])}


def growth(samples: list[tuple[int, int]]) -> tuple[int, int]:
    """How much memory and how many descriptors the last quarter of the quiet time has above the second one."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    (memory, descriptors), (old_memory, old_descriptors) = (
        tuple(map(statistics.median, zip(*part, strict=True))) for part in (late, early)
    )
    return int(memory - old_memory), int(descriptors - old_descriptors)


def run(minutes: float, seed: int) -> str:
    """One soak; the section for the page."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fileplane-soak-") as directory:
        soak = Soak(Path(directory), seed)
        threads = [threading.Thread(target=tenant.run, name=f"tenant {number}") for number, tenant in enumerate(soak.tenants)]
        for thread in threads:
            thread.start()
        try:
            soak.disturb(began + minutes * 40)
            soak.watch(began + minutes * 60)
        finally:
            soak.ended.set()
            for thread in threads:
                thread.join()
        require(not soak.ledger.problems, "; ".join(soak.ledger.problems))
        summary = soak.finish()
    memory, descriptors = growth(soak.samples)
    require(memory <= LARGEST_GROWTH, f"memory grew by {memory >> 20} MiB in the quiet third")
    require(descriptors <= SPARE_DESCRIPTORS, f"{descriptors} more descriptors at the end of the quiet third")
    return section(minutes, seed, soak, summary, (memory, descriptors))


def section(minutes: float, seed: int, soak: Soak, summary: dict[str, object], grown: tuple[int, int]) -> str:
    ledger = soak.ledger
    operations = ", ".join(f"{count:,} {name}" for name, count in sorted(ledger.operations.items()))
    rows = [
        ("date, length, seed", f"{datetime.now(UTC):%Y-%m-%d}, {minutes:g} minutes, {seed}"),
        ("tenants, workers", f"{TENANTS}, {SETTINGS['workers']}"),
        ("operations answered", operations),
        ("uploaded, downloaded and compared", f"{ledger.uploaded >> 20:,} MiB, {ledger.downloaded >> 20:,} MiB"),
        ("disturbed", ", ".join(f"{name} {count} times" for name, count in soak.kills.items())),
        ("uploads whose answer was lost", f"{ledger.unknown}, of which {ledger.repeated} were sent again with their key and were one file"),
        ("acknowledged files lost, wrong or back from the dead", "0"),
        ("`fileplane check --read-data` afterwards", f"no findings; {json.dumps(summary)}"),
        ("temporaries and orphans left", "0"),
        ("growth in the undisturbed third", f"{grown[0] / (1 << 20):+.1f} MiB of memory, {grown[1]:+d} descriptors"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"{SOAK_BEGIN}\n## Soak\n\nWritten by `make soak`.\n\n| what | result |\n| --- | --- |\n{table}\n{SOAK_END}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--output", type=Path, help="write the section here instead of into docs/benchmarks.md")
    arguments = parser.parse_args()
    print(f"seed: {arguments.seed}", flush=True)
    try:
        text = run(arguments.minutes, arguments.seed)
    except Failed as failure:
        print(f"soak: FAILED: {failure}", flush=True)
        return 1
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text, "utf-8")
    elif arguments.minutes >= FULL_MINUTES:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(f"{page.replace(soak_of(page), '').rstrip()}\n\n{text}", "utf-8")
    print("soak: passed")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    sys.exit(main())
