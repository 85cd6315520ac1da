"""Small requests: GET of one file's metadata beside a bare route, and small uploads beside a plain script and nginx."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from load import Load, middle, send_requests
from plan import SMALL_BYTES, Plan
from report import Bar, Row, Section, not_measured
from sampling import in_turns, make_file
from servers import REFERENCES, Server, bare_route, fileplane, new_key, nginx, remove
from transfer import upload_form

GET_BAR = Bar("≥", 0.4)
GET_CPU_BAR = Bar("<", 2, "ms")

_CONNECTIONS = 32

GET_METHOD = f"""\
`GET /v1/files/ID` by wrk with {_CONNECTIONS} connections, each asking again when it has its answer, with an API key. The reference is a
Starlette application of one route, on a Granian that Fileplane's own code starts with its own settings, sent the same requests;
it answers with an object of the same fields, looks at no key and no database, and writes no log. CPU is the user and system time
of the process that serves, all its threads, divided by the requests it answered."""

SMALL_METHOD = f"""\
Upload forms with a file of {SMALL_BYTES} bytes by wrk, over one connection and over 64 at once, each sending its next upload when the
last one is durable and recorded. The plain script reads a file of that size, hashes it, writes it under a new name and fsyncs
file and directory, on one thread and on 64. nginx's WebDAV PUT of the same bytes under a new name each time neither hashes nor fsyncs."""


def measure_get(plan: Plan) -> Section:
    """GET of metadata."""
    section = Section("GET of metadata", GET_METHOD)
    if plan.wrk is None:
        section.rows += [not_measured("GET metadata", bar, "wrk is missing") for bar in (GET_BAR, GET_CPU_BAR)]
        return section
    wrk = plan.wrk
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    with fileplane(plan.directory / "get", new_key()) as ours, bare_route(plan.directory) as bare:
        path = f"/v1/files/{json.loads(upload_form(ours, small).body)['id']}"
        bare.headers.update(ours.headers)

        def once(server: Server, connections: int) -> Load:
            return send_requests(wrk, server, path, connections=connections, seconds=plan.seconds)

        samples = in_turns(
            plan.rounds,
            {
                "ours": lambda: once(ours, _CONNECTIONS),
                "bare": lambda: once(bare, _CONNECTIONS),
                "ours alone": lambda: once(ours, 1),
                "bare alone": lambda: once(bare, 1),
            },
        )
    remove(plan.directory / "get")
    loads = {name: middle(values) for name, values in samples.items()}
    mine, base, mine_alone, base_alone = (loads[name] for name in ("ours", "bare", "ours alone", "bare alone"))
    section.rows += [
        Row(
            f"GET metadata, {_CONNECTIONS} connections",
            f"{mine.per_second:,.0f} a second",
            f"bare Starlette route: {base.per_second:,.0f} a second",
            mine.per_second / base.per_second,
            bar=GET_BAR,
        ),
        Row("GET metadata, CPU", f"{mine.cpu_ms:.3f} ms", f"bare Starlette route: {base.cpu_ms:.3f} ms", mine.cpu_ms, "ms", GET_CPU_BAR),
        Row(
            "GET metadata, 1 connection, p50",
            f"{mine_alone.p50_ms:.2f} ms, {mine_alone.cpu_ms:.2f} ms CPU",
            f"bare Starlette route: {base_alone.p50_ms:.2f} ms, {base_alone.cpu_ms:.2f} ms CPU",
            mine_alone.p50_ms / base_alone.p50_ms,
        ),
    ]
    return section


def measure_small_uploads(plan: Plan) -> Section:
    """Small uploads, one at a time and 64 at a time."""
    section = Section(f"Uploads of {SMALL_BYTES} bytes", SMALL_METHOD)
    if plan.wrk is None:
        section.rows.append(not_measured("small uploads", None, "wrk is missing"))
        return section
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    with fileplane(plan.directory / "uploads", new_key()) as ours:
        for connections in (1, 64):
            section.rows += _small_rows(plan, plan.wrk, ours, small, connections)
    remove(plan.directory / "uploads")
    return section


def _small_rows(plan: Plan, wrk: str, ours: Server, small: Path, connections: int) -> list[Row]:
    kind = str(SMALL_BYTES)

    def upload() -> Load:
        return send_requests(wrk, ours, "/v1/files", connections=connections, seconds=plan.seconds, kind=("form", kind))

    def plain() -> float:
        return _plain_rate(plan, small, connections)

    sides: dict[str, Callable[[], Load | float]] = {"ours": upload, "plain": plain}
    if plan.nginx is not None:
        with nginx(plan.nginx, plan.directory / "nginx", plan.directory) as theirs:

            def put() -> float:
                return send_requests(wrk, theirs, "/put/", connections=connections, seconds=plan.seconds, kind=("put", kind)).per_second

            samples = in_turns(plan.rounds, sides | {"put": put})
        remove(plan.directory / "nginx")
    else:
        samples = in_turns(plan.rounds, sides)
    mine = middle([load for load in samples["ours"] if isinstance(load, Load)])
    what = f"small uploads, {connections} at a time"
    shown = f"{mine.per_second:,.0f} a second, p50 {mine.p50_ms:.1f} ms, p99 {mine.p99_ms:.1f} ms, {mine.cpu_ms:.2f} ms CPU"
    rows = []
    for name, reference in (("plain", "plain script"), ("put", "nginx PUT, no fsync")):
        rates = [rate for rate in samples.get(name, []) if isinstance(rate, float)]
        if rates:
            rows.append(Row(what, shown, f"{reference}: {median(rates):,.0f} a second", mine.per_second / median(rates)))
    return rows


def _plain_rate(plan: Plan, small: Path, threads: int) -> float:
    directory = plan.directory / "plain"
    directory.mkdir()
    count = 250 if threads == 1 else 2_000
    command = [sys.executable, str(REFERENCES / "plain_write.py"), str(small), str(directory), str(count), str(threads)]
    seconds, _ = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    remove(directory)
    return count / seconds
