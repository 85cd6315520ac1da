"""A large file through a node to and from an object store, beside obstore alone, and what several cost the node in memory."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from engines import Engines, engines
from plan import MIB, SMALL_BYTES, Plan
from report import Bar, Row, Section
from sampling import in_turns, make_file, settle, watched_memory
from servers import REFERENCES, Fileplane, fileplane, new_key, remove
from support.object_servers import BUCKET
from transfer import TransferFailed, download, upload_form

TRANSFER_BAR = Bar("≥", 0.8)
MEMORY_BAR = Bar("≤", 64, "MB")
_AT_ONCE = 4
_ROUNDS = 3
_PART_BYTES = 8 * MIB

METHOD = f"""\
A file of 300 MB up and down through one node on PostgreSQL and SeaweedFS, all on this machine, by the raw-socket client of the other
rows. The reference is a plain script that calls obstore's `put` and `get` on the same SeaweedFS in the same run: parts of 8 MiB as
Fileplane's, otherwise obstore's defaults, which send up to 12 at once; it neither receives anything nor hashes for a record, and starting
Python is not timed. A redirected download (`content_delivery=redirect`) is the request to the node, whose answer names a URL of the store,
and the download from there by the same client. The bytes pass the loopback interface twice on their way through a node and once without
one, and node, store and client share the processor. Memory is measured as in the section on memory: {_AT_ONCE} transfers at once, above
what the node has when idle."""


@dataclass(frozen=True)
class _Sample:
    seconds: float
    cpu_seconds: float


def measure(plan: Plan) -> Section:
    """Throughput, then memory."""
    section = Section("Transfers over PostgreSQL and an object store", METHOD)
    source = make_file(plan.directory / "large", plan.memory_bytes)
    directory, key = plan.directory / "engines", new_key()
    with engines(directory) as found:
        settings = found.settings("bench")
        with fileplane(plan.directory / "node", key, settings) as node:
            section.rows += _upload_rows(plan, found, node, source)
            file_id = json.loads(upload_form(node, source).body)["id"]
            redirecting = {**settings, "FILEPLANE_CONTENT_DELIVERY": "redirect"}
            with fileplane(plan.directory / "redirecting", key, redirecting) as other:
                section.rows += _download_rows(plan, found, (node, other), source, f"/v1/files/{file_id}/content")
        section.rows += [_memory_row(plan, settings, key, source, up=up) for up in (True, False)]
    for name in ("node", "redirecting"):
        remove(plan.directory / name)
    source.unlink()
    return section


def _upload_rows(plan: Plan, found: Engines, node: Fileplane, source: Path) -> list[Row]:
    def ours() -> _Sample:
        settle(plan.memory_bytes)
        cpu = node.cpu_seconds()
        answer = upload_form(node, source)
        return _Sample(answer.seconds, node.cpu_seconds() - cpu)

    def alone() -> _Sample:
        settle(plan.memory_bytes)
        return _obstore(found, "up", source)

    # The first of each makes the store grow its volumes.
    samples = in_turns(2 * min(plan.rounds, _ROUNDS) + 1, {"ours": ours, "alone": alone})
    return [_row(plan, "up", samples["ours"][1:], samples["alone"][1:])]


def _download_rows(plan: Plan, found: Engines, nodes: tuple[Fileplane, Fileplane], source: Path, path: str) -> list[Row]:
    node, redirecting = nodes

    def through() -> _Sample:
        cpu = node.cpu_seconds()
        answer = download(node, path)
        _require(plan, answer.bytes)
        return _Sample(answer.seconds, node.cpu_seconds() - cpu)

    def redirected() -> _Sample:
        cpu = redirecting.cpu_seconds()
        size, seconds = _follow(redirecting, path)
        _require(plan, size)
        return _Sample(seconds, redirecting.cpu_seconds() - cpu)

    sides = {"through": through, "redirected": redirected, "alone": partial(_obstore, found, "down", source)}
    samples = {name: taken[1:] for name, taken in in_turns(2 * min(plan.rounds, _ROUNDS) + 1, sides).items()}
    return [
        _row(plan, "down", samples["through"], samples["alone"]),
        _row(plan, "down by redirect", samples["redirected"], samples["alone"]),
    ]


def _follow(node: Fileplane, path: str) -> tuple[int, float]:
    """The bytes that came and the seconds that both requests took."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request("GET", path, headers=node.headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    seconds = time.perf_counter() - began
    location = urlsplit(answer.headers.get("location", ""))
    if answer.status != 302 or location.port is None:
        raise TransferFailed(f"the node answered {answer.status} instead of a redirect")
    sent = download(replace(node, name="SeaweedFS", port=location.port, headers={}), f"{location.path}?{location.query}")
    return sent.bytes, seconds + sent.seconds


def _obstore(found: Engines, way: str, source: Path) -> _Sample:
    command = [sys.executable, str(REFERENCES / "obstore_transfer.py"), way, found.store.endpoint, BUCKET, "alone/large", str(source)]
    environment = {**os.environ, **found.store.environment}
    result = subprocess.run([*command, str(_PART_BYTES)], env=environment, capture_output=True, text=True, check=True)
    return _Sample(*map(float, result.stdout.split()))


def _memory_row(plan: Plan, settings: Mapping[str, str], key: str, source: Path, *, up: bool) -> Row:
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    with fileplane(plan.directory / "node", key, settings) as node:
        large_path = "" if up else _content_path(node, source)
    with fileplane(plan.directory / "node", key, settings) as node:
        small_path = _content_path(node, small)
        for warm_up in (small_path, small_path.removesuffix("/content"), "/v1/files?limit=100"):
            download(node, warm_up)
        settle(plan.memory_bytes)
        idle = node.resident_bytes()
        run = partial(upload_form, node, source) if up else partial(download, node, large_path)
        with watched_memory(node) as peak, ThreadPoolExecutor(_AT_ONCE) as clients:
            for running in [clients.submit(run) for _ in range(_AT_ONCE)]:
                running.result()
    what = f"memory over SeaweedFS, {_AT_ONCE} x {plan.memory_bytes // 1_000_000} MB {'up' if up else 'down'}"
    return Row(what, f"peak {peak.value / 1e6:.0f} MB", f"idle {idle / 1e6:.0f} MB", (peak.value - idle) / 1e6, "MB", MEMORY_BAR)


def _content_path(node: Fileplane, source: Path) -> str:
    return f"/v1/files/{json.loads(upload_form(node, source).body)['id']}/content"


def _require(plan: Plan, size: int) -> None:
    if size != plan.memory_bytes:
        raise TransferFailed(f"{size} bytes came instead of {plan.memory_bytes}")


def _row(plan: Plan, way: str, ours: list[_Sample], theirs: list[_Sample]) -> Row:
    ratio = median(sample.seconds for sample in theirs) / median(sample.seconds for sample in ours)
    what = f"{plan.memory_bytes // 1_000_000} MB over SeaweedFS {way}"
    return Row(what, _shown(plan, ours), f"obstore alone: {_shown(plan, theirs)}", ratio, bar=TRANSFER_BAR)


def _shown(plan: Plan, samples: list[_Sample]) -> str:
    seconds, cpu = median(sample.seconds for sample in samples), median(sample.cpu_seconds for sample in samples)
    return f"{plan.memory_bytes / MIB / seconds:,.0f} MiB/s, {cpu * 1024 * MIB / plan.memory_bytes:.2f} s CPU a GiB"
