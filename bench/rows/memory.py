"""What four large transfers at once add to the server's memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from plan import SMALL_BYTES, Plan
from report import Bar, Row, Section
from sampling import make_file, settle, watched_memory
from servers import Fileplane, fileplane, new_key, remove
from transfer import Answer, download, upload_form

BAR = Bar("≤", 64, "MB")
_AT_ONCE = 4
_SLOW_MEGABYTES = 50

METHOD = f"""\
A server that has just started answers one upload, one download, one list and one GET of a small file; its resident memory then
is what "idle" means. {_AT_ONCE} clients then transfer 300 MB each at once, while the memory of the process that serves is read every 20 ms;
the figure is the highest reading less idle. Uploads go as fast as the server takes them, downloads as fast as it sends; the
slow readers take {_SLOW_MEGABYTES} MB a second each through a small socket buffer, so that the file would pile up in a server that does not
wait for its reader. The rows by Range are downloads of `bytes=0-`, which are streamed through Python. Each row has a server of
its own."""


@dataclass(frozen=True)
class _Transfer:
    """``bytes_a_second`` is how fast a slow reader reads."""

    name: str
    up: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    bytes_a_second: int | None = None


_RANGED = {"Range": "bytes=0-"}
_TRANSFERS = (
    _Transfer("up", up=True),
    _Transfer("down"),
    _Transfer("down, slow readers", bytes_a_second=_SLOW_MEGABYTES * 1_000_000),
    _Transfer("down by Range", headers=_RANGED),
    _Transfer("down by Range, slow readers", headers=_RANGED, bytes_a_second=_SLOW_MEGABYTES * 1_000_000),
)


def measure(plan: Plan) -> Section:
    """Memory up and down."""
    section = Section("Memory", METHOD)
    source = make_file(plan.directory / "large", plan.memory_bytes)
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    data_dir, key = plan.directory / "memory", new_key()
    with fileplane(data_dir, key) as server:
        large_path = _content_path(upload_form(server, source))
    for transfer in _TRANSFERS:
        with fileplane(data_dir, key) as server:
            _warm_up(server, small)

            def run(server: Fileplane = server, transfer: _Transfer = transfer) -> Answer:
                if transfer.up:
                    return upload_form(server, source)
                return download(server, large_path, transfer.headers, bytes_a_second=transfer.bytes_a_second)

            section.rows.append(_row(plan, server, transfer, run))
    remove(data_dir)
    source.unlink()
    return section


def _warm_up(server: Fileplane, small: Path) -> None:
    path = _content_path(upload_form(server, small))
    for warm_up in (path, path.removesuffix("/content"), "/v1/files?limit=100"):
        download(server, warm_up)


def _row(plan: Plan, server: Fileplane, transfer: _Transfer, run: Callable[[], Answer]) -> Row:
    settle(plan.memory_bytes)
    idle = server.resident_bytes()
    with watched_memory(server) as peak, ThreadPoolExecutor(_AT_ONCE) as clients:
        for running in [clients.submit(run) for _ in range(_AT_ONCE)]:
            running.result()
    what = f"memory, {_AT_ONCE} x {plan.memory_bytes // 1_000_000} MB {transfer.name}"
    return Row(what, f"peak {peak.value / 1e6:.0f} MB", f"idle {idle / 1e6:.0f} MB", (peak.value - idle) / 1e6, "MB", BAR)


def _content_path(answer: Answer) -> str:
    return f"/v1/files/{json.loads(answer.body)['id']}/content"
