"""How often one request makes a server wait for its database and its object store."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median

from counting import turns_counted
from engines import engines
from plan import SMALL_BYTES, Plan
from report import Bar, Row, Section
from sampling import make_file
from servers import REFERENCES, Server, fileplane, new_key, remove
from transfer import TransferFailed, upload_form

GET_BAR = Bar("≤", 1, "round trips")

_REPEATED = 5
_QUIET = {"FILEPLANE_JANITOR_INTERVAL_SECONDS": "0"}

METHOD = f"""\
One request at a time by one caller without limits, each {_REPEATED} times; the figure is the median, after every call has been made
before. Between one node and its engines stands a proxy that counts how often the node spoke again after it was answered: a round trip
of PostgreSQL, or a request to the object store (SeaweedFS). On the other side is one server with SQLite and a local disk, of which
every statement and every transaction that is committed is counted; there none of them leaves the process. The figures do not depend
on the machine."""

Counts = dict[str, list[float]]


def measure(plan: Plan) -> Section:
    """Of every call on both engines."""
    section = Section("Round trips", METHOD)
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    on_sqlite = _on_sqlite(plan, small)
    on_postgres = _on_postgres(plan, small)
    for call, (trips, requests) in on_postgres.items():
        statements, transactions = on_sqlite[call]
        section.rows.append(
            Row(
                f"round trips, {call}",
                f"PostgreSQL: {trips:g}, object store: {requests:g}",
                f"SQLite: {statements:g} statements, {transactions:g} transactions",
                trips,
                "round trips",
                GET_BAR if call == "metadata" else None,
            )
        )
    return section


def _on_postgres(plan: Plan, small: Path) -> Counts:
    directory = plan.directory / "engines"
    with (
        engines(directory) as found,
        turns_counted(found.postgres.port) as database,
        turns_counted(found.store_port) as store,
        fileplane(
            plan.directory / "node",
            new_key(),
            {**found.settings("bench", postgres_port=database.port, store_port=store.port), **_QUIET},
        ) as node,
    ):
        counts = _counted(node, small, lambda: (database.turns, store.turns))
    remove(plan.directory / "node")
    return counts


def _on_sqlite(plan: Plan, small: Path) -> Counts:
    statements = plan.directory / "statements"
    environment = {"PYTHONPATH": str(REFERENCES / "statements"), "STATEMENTS_FILE": str(statements), **_QUIET}
    with fileplane(plan.directory / "one-server", new_key(), environment) as server:

        def seen() -> tuple[int, int]:
            ran = statements.read_bytes()
            return len(ran), ran.count(b"t")

        counts = _counted(server, small, seen)
    remove(plan.directory / "one-server")
    return counts


def _counted(server: Server, small: Path, seen: Callable[[], tuple[int, int]]) -> Counts:
    """What each call adds to what is ``seen``."""
    kept = _upload(server, small)
    calls: dict[str, Callable[[], object]] = {
        "upload of 4 KiB": lambda: _upload(server, small),
        "metadata": lambda: _call(server, "GET", f"/v1/files/{kept}"),
        "list limit=100": lambda: _call(server, "GET", "/v1/files?limit=100"),
        "content": lambda: _call(server, "GET", f"/v1/files/{kept}/content"),
    }
    counts: Counts = {}
    for call, run in calls.items():
        run()
        counts[call] = _medians(seen, [run] * _REPEATED)
    doomed = [_upload(server, small) for _ in range(_REPEATED + 1)]
    deletions = [lambda file_id=file_id: _call(server, "DELETE", f"/v1/files/{file_id}") for file_id in doomed]
    deletions.pop()()
    counts["deletion"] = _medians(seen, deletions)
    return counts


def _medians(seen: Callable[[], tuple[int, int]], runs: list[Callable[[], object]]) -> list[float]:
    added = []
    for run in runs:
        before = seen()
        run()
        added.append([after - count for after, count in zip(seen(), before, strict=True)])
    return [median(counts) for counts in zip(*added, strict=True)]


def _upload(server: Server, small: Path) -> str:
    return str(json.loads(upload_form(server, small).body)["id"])


def _call(server: Server, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, headers=server.headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status >= 300:
        raise TransferFailed(f"{server.name} answered {answer.status} to {method} {path}")
