"""One large file: down beside nginx, up beside a plain script and beside nginx."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from plan import MIB, Plan
from report import Bar, Row, Section, not_measured
from sampling import in_turns, make_file, settle
from servers import REFERENCES, Fileplane, Server, fileplane, new_key, nginx, remove
from transfer import TransferFailed, download, upload_form, upload_put

DOWNLOAD_BAR = Bar("≥", 0.9)
UPLOAD_BAR = Bar("≥", 0.8)
UPLOAD_AIM = Bar("≥", 1.0, aim=True)

DOWNLOAD_METHOD = """\
GET of the whole file by a raw-socket client that receives into one buffer of 1 MiB, over the loopback interface, from connecting to
the last byte. nginx (one worker, `sendfile on`, `tcp_nopush on`) serves the very same file on disk, which is in the page cache for both.
The ranged row asks both for `bytes=0-`, which Fileplane streams through Python instead of handing the file to the server."""

UPLOAD_METHOD = """\
POST of a form by a raw-socket client that sends the file from the page cache with sendfile(2), from connecting to the answer: Fileplane
has by then received, parsed, hashed (SHA-256), written and fsynced file and directory, and committed the record. The plain script reads
the same source file, hashes it with SHA-256, writes it in slices of 1 MiB and fsyncs file and directory; it receives nothing over a
network, and starting Python is not timed. nginx's WebDAV PUT of the same file (one worker, `client_body_buffer_size 1m`) neither hashes
nor fsyncs; the row that is an aim adds the fsync of file and directory that makes the upload as durable as Fileplane's. Before each
upload of any side, the results of the last are deleted, the disk is synced, and memory for the file is taken from the system and
given back, since some virtual machines hand out memory slowly."""


@dataclass(frozen=True)
class _Sample:
    seconds: float
    cpu_seconds: float


def measure_download(plan: Plan) -> Section:
    """1 GiB down."""
    section = Section(f"Download of {plan.large_name}", DOWNLOAD_METHOD)
    if plan.nginx is None:
        section.rows.append(not_measured(section.title, DOWNLOAD_BAR, "nginx is missing"))
        return section
    source = make_file(plan.directory / "large", plan.large_bytes)
    with fileplane(plan.directory / "download", new_key()) as ours:
        file_id = json.loads(upload_form(ours, source).body)["id"]
        source.unlink()
        (blob,) = ours.blob_paths()
        with nginx(plan.nginx, plan.directory / "nginx", blob.parent) as theirs:
            targets = {"ours": (ours, f"/v1/files/{file_id}/content"), "theirs": (theirs, f"/{blob.name}")}
            for ranged in (False, True):
                section.rows.append(_download_row(plan, targets, ranged=ranged))
    remove(plan.directory / "download")
    remove(plan.directory / "nginx")
    return section


def _download_row(plan: Plan, targets: dict[str, tuple[Server, str]], *, ranged: bool) -> Row:
    headers = {"Range": "bytes=0-"} if ranged else {}

    def once(server: Server, path: str) -> _Sample:
        cpu = server.cpu_seconds()
        answer = download(server, path, headers)
        if answer.bytes != plan.large_bytes:
            raise TransferFailed(f"{server.name} sent {answer.bytes} bytes instead of {plan.large_bytes}")
        return _Sample(answer.seconds, server.cpu_seconds() - cpu)

    for server, path in targets.values():
        once(server, path)
    os.sync()
    samples = in_turns(2 * plan.rounds, {name: partial(once, *target) for name, target in targets.items()})
    what = f"download of {plan.large_name}{' by Range' if ranged else ''}"
    return _row(plan, what, samples["ours"], samples["theirs"], "nginx", None if ranged else DOWNLOAD_BAR)


def measure_upload(plan: Plan) -> Section:
    """1 GiB up."""
    section = Section(f"Upload of {plan.large_name}", UPLOAD_METHOD)
    source = make_file(plan.directory / "large", plan.large_bytes)
    with fileplane(plan.directory / "upload", new_key()) as ours:
        sides = {"ours": lambda: _upload(plan, ours, source), "plain": lambda: _plain(plan, source)}
        if plan.nginx is None:
            samples = in_turns(plan.rounds, sides)
        else:
            with nginx(plan.nginx, plan.directory / "nginx", plan.directory) as theirs:
                fsyncs: list[float] = []
                samples = in_turns(plan.rounds, sides | {"put": lambda: _put(plan, theirs, source, fsyncs)})
            remove(plan.directory / "nginx")
    remove(plan.directory / "upload")
    source.unlink()
    what = f"upload of {plan.large_name}"
    section.rows.append(_row(plan, what, samples["ours"], samples["plain"], "plain script", UPLOAD_BAR))
    if plan.nginx is None:
        section.rows.append(not_measured(f"{what}, nginx PUT", UPLOAD_AIM, "nginx is missing"))
        return section
    durable = [_Sample(put.seconds + fsync, put.cpu_seconds) for put, fsync in zip(samples["put"], fsyncs, strict=True)]
    section.rows.append(_row(plan, what, samples["ours"], durable, "nginx PUT, then fsync", UPLOAD_AIM))
    section.rows.append(_row(plan, what, samples["ours"], samples["put"], "nginx PUT, no fsync", None))
    return section


def _upload(plan: Plan, server: Fileplane, source: Path) -> _Sample:
    for blob in server.blob_paths():
        blob.unlink()
    settle(plan.large_bytes)
    cpu = server.cpu_seconds()
    answer = upload_form(server, source)
    return _Sample(answer.seconds, server.cpu_seconds() - cpu)


def _plain(plan: Plan, source: Path) -> _Sample:
    directory = plan.directory / "plain"
    directory.mkdir()
    settle(plan.large_bytes)
    command = [sys.executable, str(REFERENCES / "plain_write.py"), str(source), str(directory), "1", "1"]
    seconds, cpu_seconds = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    remove(directory)
    return _Sample(seconds, cpu_seconds)


def _put(plan: Plan, server: Server, source: Path, fsyncs: list[float]) -> _Sample:
    result = plan.directory / "nginx" / "put" / "large"
    settle(plan.large_bytes)
    cpu = server.cpu_seconds()
    answer = upload_put(server, source, result.name)
    cpu = server.cpu_seconds() - cpu
    began = time.perf_counter()
    for path in (result, result.parent):
        _fsync(path)
    fsyncs.append(time.perf_counter() - began)
    result.unlink()
    return _Sample(answer.seconds, cpu)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _row(plan: Plan, what: str, ours: list[_Sample], theirs: list[_Sample], reference: str, bar: Bar | None) -> Row:
    ratio = median(sample.seconds for sample in theirs) / median(sample.seconds for sample in ours)
    return Row(what, _shown(plan, ours), f"{reference}: {_shown(plan, theirs)}", ratio, bar=bar)


def _shown(plan: Plan, samples: list[_Sample]) -> str:
    seconds, cpu = median(sample.seconds for sample in samples), median(sample.cpu_seconds for sample in samples)
    return f"{plan.large_bytes / MIB / seconds:,.0f} MiB/s, {cpu * 1024 * MIB / plan.large_bytes:.2f} s CPU a GiB"
