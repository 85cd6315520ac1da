"""Pages of 100 files, lookups and uploads, out of a thousand and out of a million files in PostgreSQL."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from engines import Engines, engines
from fill import Filled
from load import send_requests
from plan import SMALL_BYTES, Plan
from report import Row, Section, not_measured
from rows.lists import CPU_BAR, RATIO_BAR, Sides, compared
from sampling import in_turns
from servers import Fileplane, fileplane, new_key, remove
from support.many_files import fill_files

METHOD = f"""\
As the section on lists, with two nodes on one PostgreSQL (fsync on, 32 MB of shared buffers) and one SeaweedFS: one node's database
has few files and the other's has many, inserted there by SQL with their counters while no node ran. The uploads are of {SMALL_BYTES}
bytes, one at a time, and go to the object store as well, which knows nothing of the other files. Fewer and shorter rounds than there.
CPU is the node's; what the database spends is in the times."""

_ROUNDS = 3
_SECONDS = 1.0


def measure(plan: Plan) -> Section:
    """Lists, lookups and uploads at both sizes."""
    section = Section("Lists over PostgreSQL", METHOD)
    if plan.wrk is None:
        section.rows += [not_measured("list limit=100 over PostgreSQL", bar, "wrk is missing") for bar in (CPU_BAR, RATIO_BAR)]
        return section
    plan = replace(plan, rounds=min(plan.rounds, _ROUNDS), seconds=min(plan.seconds, _SECONDS))
    with ExitStack() as stack:
        found = stack.enter_context(engines(plan.directory / "engines"))
        many = _filled_node(plan, stack, found, "many", plan.many_files)
        few = _filled_node(plan, stack, found, "few", plan.few_files)
        for what, template, barred in (
            ("list limit=100 over PostgreSQL, first page", "?limit=100", True),
            ("list limit=100 over PostgreSQL, after the middle", "?limit=100&after={filled.middle_id}", True),
            ("GET metadata over PostgreSQL, 1 connection", "/{filled.middle_id}", True),
        ):
            section.rows += compared(plan, plan.wrk, (few, many), (what, template), barred=barred)
        section.rows.append(_uploads(plan, plan.wrk, (few, many)))
    for name in ("few", "many"):
        remove(plan.directory / name)
    return section


def _filled_node(plan: Plan, stack: ExitStack, found: Engines, name: str, count: int) -> tuple[Fileplane, Filled]:
    data_dir, key, settings = plan.directory / name, new_key(), found.settings(name)
    with fileplane(data_dir, key, settings):
        pass
    ((project_id, key_id),) = found.postgres.execute("SELECT project_id, id FROM api_keys", database=name)
    filled = fill_files(found.postgres.url(name), str(project_id), str(key_id), count)
    return stack.enter_context(fileplane(data_dir, key, settings)), Filled(count, filled.middle_id, filled.newest_id)


def _uploads(plan: Plan, wrk: str, sides: Sides) -> Row:
    def once(server: Fileplane) -> float:
        return send_requests(wrk, server, "/v1/files", connections=1, seconds=plan.seconds, kind=("form", str(SMALL_BYTES))).p50_ms

    (few, few_filled), (many, many_filled) = sides
    samples = in_turns(plan.rounds, {"few": lambda: once(few), "many": lambda: once(many)})
    few_ms, many_ms = (sorted(samples[name])[plan.rounds // 2] for name in ("few", "many"))
    return Row(
        "small uploads over PostgreSQL, 1 at a time, p50",
        f"{many_ms:.2f} ms with {many_filled.count:,}",
        f"{few_ms:.2f} ms with {few_filled.count:,}",
        many_ms / few_ms,
        bar=RATIO_BAR,
    )
