"""Pages of 100 files, out of a thousand and out of a million."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from fill import Filled, fill
from load import Load, middle, send_requests
from plan import Plan
from report import NOTHING, Bar, Row, Section, not_measured
from sampling import in_turns
from servers import Fileplane, fileplane, new_key, remove

CPU_BAR = Bar("<", 5, "ms")
RATIO_BAR = Bar("≤", 1.5)

Sides = tuple[tuple[Fileplane, Filled], tuple[Fileplane, Filled]]
"""The server with few files and the one with many."""

METHOD = """\
`GET /v1/files?limit=100` by wrk over one connection: the first page, and the page after the middle file (`after`). Two servers run, one
with few files and one with many, and are asked in turns. The files are rows written straight into the database with the
project's own statements while the server was stopped; one in six has an expiry. CPU is the user and system time of the process that
serves, all its threads, divided by the requests it answered. A ratio is the cost with many files divided by the cost with few.
`offset` (half the files) walks an index and so costs more the further it goes; it is shown for information, as are a page
of one purpose and GET of one file's metadata."""


def measure(plan: Plan) -> Section:
    """Lists at both sizes."""
    section = Section("Lists", METHOD)
    if plan.wrk is None:
        section.rows += [not_measured("list limit=100", bar, "wrk is missing") for bar in (CPU_BAR, RATIO_BAR)]
        return section
    with ExitStack() as stack:
        few = _filled_server(plan, stack, plan.few_files)
        many = _filled_server(plan, stack, plan.many_files)
        for what, template, barred in (
            ("list limit=100, first page", "?limit=100", True),
            ("list limit=100, after the middle", "?limit=100&after={filled.middle_id}", True),
            ("list limit=100 of one purpose", "?limit=100&purpose=batch", False),
            ("list limit=100, offset to the middle", "?limit=100&offset={half}", False),
            ("GET metadata, 1 connection", "/{filled.middle_id}", False),
        ):
            section.rows += compared(plan, plan.wrk, (few, many), (what, template), barred=barred)
    for count in (plan.few_files, plan.many_files):
        remove(plan.directory / f"list-{count}")
    return section


def _filled_server(plan: Plan, stack: ExitStack, count: int) -> tuple[Fileplane, Filled]:
    data_dir, key = plan.directory / f"list-{count}", new_key()
    with fileplane(data_dir, key):
        pass
    filled = fill(data_dir, count)
    return stack.enter_context(fileplane(data_dir, key)), filled


def compared(plan: Plan, wrk: str, servers: Sides, query: tuple[str, str], *, barred: bool) -> list[Row]:
    """What one query costs at both sizes; ``query`` is what it is called and what follows the path of all files."""
    what, template = query

    def once(server: Fileplane, filled: Filled) -> Load:
        path = "/v1/files" + template.format(filled=filled, half=filled.count // 2)
        return send_requests(wrk, server, path, connections=1, seconds=plan.seconds)

    samples = in_turns(plan.rounds, {str(filled.count): partial(once, server, filled) for server, filled in servers})
    few, many = (middle(samples[str(filled.count)]) for _, filled in servers)
    few_count, many_count = (f"{filled.count:,}" for _, filled in servers)
    ratio_bar = RATIO_BAR if barred else None
    rows = [
        Row(
            f"{what}, CPU",
            f"{many.cpu_ms:.2f} ms with {many_count}",
            f"{few.cpu_ms:.2f} ms with {few_count}",
            many.cpu_ms / few.cpu_ms,
            bar=ratio_bar,
        ),
        Row(
            f"{what}, p50",
            f"{many.p50_ms:.2f} ms with {many_count}",
            f"{few.p50_ms:.2f} ms with {few_count}",
            many.p50_ms / few.p50_ms,
            bar=ratio_bar,
        ),
    ]
    if barred:
        rows.insert(0, Row(f"{what}, CPU", f"{many.cpu_ms:.2f} ms with {many_count}", NOTHING, many.cpu_ms, "ms", CPU_BAR))
    return rows
