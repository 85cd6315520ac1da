"""GET of one file's metadata through gateways: what a gateway adds, and how many requests a second it passes on."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from gateways import OURS, RIVALS, bare_gateway, fake_provider
from load import Load, LoadFailed, middle, send_requests
from plan import SMALL_BYTES, Plan
from report import Bar, Row, Section, not_measured
from rivals import LITELLM_VERSION, PORTKEY_VERSION, Unavailable
from sampling import in_turns, make_file
from servers import Server, remove
from transfer import TransferFailed, upload_form

ADDED_BAR = Bar("≤", 1, "ms")
RATE_BARS = {"Portkey": (Bar("≥", 3), Bar("≥", 5, aim=True)), "LiteLLM": (Bar("≥", 50),)}

_CONNECTIONS = 16
_DIRECT = "direct"
_BARE = "a bare route"
_SLOW = 200
_SLOW_SECONDS = 4.0

METHOD = f"""\
`GET /v1/files/ID` by wrk, over one connection and over {_CONNECTIONS}, straight from Fileplane's fake provider (the rows "direct") and
through each gateway, which asks the same fake provider: Fileplane twice, with the caller's own credential and the provider's address
in the headers (`auth=passthrough`, as Portkey's gateway is called), and with an API key and a virtual key, so that a
key is checked and the catalog asked; Portkey's gateway {PORTKEY_VERSION} (npm, without its console, on the Node.js of the development
requirements); LiteLLM's proxy {LITELLM_VERSION} (PyPI, its master key, no database, `files_settings` and environment for the provider).
Each is one serving process with its default settings, its log included, and all run at once while one of them is asked. Before the
rounds each answers such a load, since a just-in-time compiler needs to warm up. What a gateway adds is the median over
the rounds of its p50 less that of "direct" in the same round, over one connection. The ceiling of these rows is "direct": the fake
provider shares the machine's cores with wrk and the gateway, and no gateway can pass on more than it answers. "{_BARE}" is a
Starlette route on the server that Fileplane's own code starts, which asks the provider through aiohttp and passes the answer on: no
header is looked at, nothing is logged, and the provider's address is its only one. What it costs is what the libraries cost."""


@dataclass(frozen=True)
class _Asked:
    """A server, the path of a file that it has, and for how long it is asked at a time: a slow one longer, so that it answers at all."""

    server: Server
    path: str
    seconds: float

    def load(self, wrk: str, connections: int) -> Load:
        return send_requests(wrk, self.server, self.path, connections=connections, seconds=self.seconds)


@dataclass(frozen=True)
class _Figures:
    """One server's: what it adds in milliseconds, its load over one connection, and over several."""

    added_ms: float
    alone: Load
    many: Load

    @property
    def rate(self) -> str:
        return f"{self.many.per_second:,.0f} a second, {self.many.cpu_ms:.2f} ms CPU"

    @property
    def latency(self) -> str:
        return f"p50 {self.alone.p50_ms:.2f} ms, +{self.added_ms:.2f}"


def measure(plan: Plan) -> Section:
    """GET of metadata beside the fake provider itself, Portkey's gateway and LiteLLM's proxy."""
    section = Section("Gateway, GET of metadata", METHOD)
    if plan.wrk is None:
        section.rows.append(not_measured("gateway GET", ADDED_BAR, "wrk is missing"))
        return section
    wrk, missing = plan.wrk, dict[str, str]()
    with ExitStack() as stack:
        upstream = stack.enter_context(fake_provider(plan.directory))
        asked = {_DIRECT: _warmed_up(plan, wrk, upstream)}
        for name, start in OURS.items():
            asked[name] = _warmed_up(plan, wrk, stack.enter_context(start(upstream, plan.directory)))
        bare = _Asked(stack.enter_context(bare_gateway(upstream, plan.directory)), asked[_DIRECT].path, plan.seconds)
        bare.load(wrk, _CONNECTIONS)
        asked[_BARE] = bare
        for name, start in RIVALS.items():
            try:
                asked[name] = _warmed_up(plan, wrk, stack.enter_context(start(upstream, plan.directory)))
            except Unavailable as error:
                missing[name] = str(error)
            except (LoadFailed, TransferFailed) as error:
                print(error, file=sys.stderr)
                missing[name] = f"{name} answers with errors"
        figures = _measured(plan, wrk, asked)
    for left in ("passing", "keys"):
        remove(plan.directory / left)
    section.rows += _rows(figures, missing)
    return section


def _warmed_up(plan: Plan, wrk: str, server: Server) -> _Asked:
    """The server after some load."""
    small = make_file(plan.directory / "small.bin", SMALL_BYTES)
    path = f"/v1/files/{json.loads(upload_form(server, small).body)['id']}"
    load = _Asked(server, path, _SLOW_SECONDS).load(wrk, _CONNECTIONS)
    return _Asked(server, path, plan.seconds if load.per_second > _SLOW else max(plan.seconds, _SLOW_SECONDS))


def _measured(plan: Plan, wrk: str, asked: dict[str, _Asked]) -> dict[str, _Figures]:
    sides = {f"{name} {count}": partial(server.load, wrk, count) for count in (1, _CONNECTIONS) for name, server in asked.items()}
    loads = in_turns(plan.rounds, sides)
    direct = loads[f"{_DIRECT} 1"]
    return {
        name: _Figures(
            median(load.p50_ms - base.p50_ms for load, base in zip(loads[f"{name} 1"], direct, strict=True)),
            middle(loads[f"{name} 1"]),
            middle(loads[f"{name} {_CONNECTIONS}"]),
        )
        for name in asked
    }


def _rows(figures: dict[str, _Figures], missing: dict[str, str]) -> list[Row]:
    direct = figures[_DIRECT]
    rows = []
    for way in OURS:
        mine, what = figures[way], f"gateway GET, {way}"
        base = f"direct: p50 {direct.alone.p50_ms:.2f} ms"
        rows.append(Row(f"{what}, added p50", mine.latency, base, mine.added_ms, "ms", ADDED_BAR))
        for name in (_DIRECT, _BARE):
            ratio = mine.many.per_second / figures[name].many.per_second
            rows.append(Row(f"{what}, {_CONNECTIONS} connections", mine.rate, f"{name}: {figures[name].rate}", ratio))
        for name, bars in RATE_BARS.items():
            barred = bars if mine is figures[next(iter(OURS))] else (None,)
            if name in missing:
                rows += [not_measured(f"{what}, beside {name}", bar, missing[name]) for bar in barred]
                continue
            theirs = figures[name]
            ratio = mine.many.per_second / theirs.many.per_second
            rows += [Row(f"{what}, {_CONNECTIONS} connections", mine.rate, f"{name}: {theirs.rate}", ratio, bar=bar) for bar in barred]
            added = theirs.added_ms / mine.added_ms
            rows.append(Row(f"{what}, added p50", mine.latency, f"{name}: {theirs.latency}", added))
    return rows
