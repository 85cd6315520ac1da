"""300 MB up and down through gateways: how fast, what it adds to their memory, and whether the bytes are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import httpx2

from gateways import OURS, RIVALS, Starts, fake_provider, fileplane_with_keys
from plan import MIB, SMALL_BYTES, Plan
from report import NOTHING, Bar, Row, Section, not_measured
from rivals import Unavailable
from sampling import make_file, settle, watched_memory
from servers import Server, remove
from transfer import Answer, TransferFailed, download, fetch, upload_form

MEMORY_BAR = Bar("≤", 64, "MB")
_AT_ONCE = 4
_ROUNDS = 3
_SLOW_MEGABYTES = 50
_DIRECT = "direct"
_TEXT_BYTES = MIB

METHOD = f"""\
A form with 300 MB of random bytes as `application/octet-stream` up, and the same file down, straight to and from the fake provider
("direct"), which writes, hashes and reads it on the same disk, and through the gateways of the rows above. A gateway that has just
started answers an upload and a download of {SMALL_BYTES} bytes, which is what "idle" means, then transfers the file {_ROUNDS} times. The
time is the median, the memory the highest resident memory of its processes, read every 20 ms, less idle. Uploads and downloads
have a process of their own each. Where a gateway does not answer with the file, the row says what it answers. The rows with a
bar are {_AT_ONCE} transfers at once through Fileplane with a virtual key; the slow readers take {_SLOW_MEGABYTES} MB a second each. The
last rows compare, byte for byte, what a gateway makes of a text file of 1 MiB."""


@dataclass(frozen=True)
class _Outcome:
    """``seconds`` is None for a transfer that failed, and ``failure`` is then the answer."""

    seconds: float | None
    growth: float = 0.0
    failure: str = ""

    def shown(self, size: int) -> str:
        if self.seconds is None:
            return self.failure
        return f"{self.seconds:.2f} s, {size / self.seconds / 1e6:,.0f} MB/s, +{self.growth / 1e6:.0f} MB"


@dataclass(frozen=True)
class _Side:
    """One gateway's: up, down, and what it makes of text."""

    up: _Outcome
    down: _Outcome
    text: str


def measure(plan: Plan) -> Section:
    """Large transfers beside the fake provider itself, Portkey's gateway and LiteLLM's proxy."""
    section = Section("Gateway, transfers", METHOD)
    source = make_file(plan.directory / "large.bin", plan.memory_bytes)
    sides: dict[str, _Side] = {}
    missing: dict[str, str] = {}
    with fake_provider(plan.directory) as upstream:
        sides[_DIRECT] = _Side(_up(upstream, upstream, source), _down(upstream, upstream, source, _upload(upstream, source)), NOTHING)
        for name, start in {**OURS, **RIVALS}.items():
            try:
                sides[name] = _side(plan, upstream, start, source)
            except Unavailable as error:
                missing[name] = str(error)
        section.rows += _memory_rows(plan, upstream, source)
    for left in ("passing", "keys"):
        remove(plan.directory / left)
    section.rows += _rows(plan.memory_bytes, sides, missing)
    source.unlink()
    return section


def _side(plan: Plan, upstream: Server, start: Starts, source: Path) -> _Side:
    with start(upstream, plan.directory) as gateway:
        up = _up(upstream, gateway, source)
        try:
            file_id = _upload(gateway, source)
        except TransferFailed as error:
            return _Side(up, _Outcome(None, failure=str(error)), NOTHING)
        text = _text(upstream, gateway)
    with start(upstream, plan.directory) as gateway:
        return _Side(up, _down(upstream, gateway, source, file_id), text)


def _up(upstream: Server, gateway: Server, source: Path) -> _Outcome:
    def once() -> float:
        answer = upload_form(gateway, source)
        _delete(upstream, json.loads(answer.body)["id"])
        return answer.seconds

    return _watched(upstream, gateway, source, once)


def _down(upstream: Server, gateway: Server, source: Path, file_id: str) -> _Outcome:
    def once() -> float:
        answer = fetch(gateway, f"/v1/files/{file_id}/content")
        if answer.bytes != source.stat().st_size:
            raise TransferFailed(f"{answer.bytes} bytes of {source.stat().st_size}")
        return answer.seconds

    outcome = _watched(upstream, gateway, source, once)
    _delete(upstream, file_id)
    return outcome


def _watched(upstream: Server, gateway: Server, source: Path, once: Callable[[], float]) -> _Outcome:
    _warm_up(upstream, gateway, source.parent)
    idle = gateway.resident_bytes()
    seconds = []
    try:
        with watched_memory(gateway) as peak:
            for _ in range(_ROUNDS):
                settle(source.stat().st_size)
                seconds.append(once())
    except (TransferFailed, OSError) as error:
        return _Outcome(None, failure=_in_one_line(str(error).removeprefix(f"{gateway.name} ")))
    return _Outcome(median(seconds), peak.value - idle)


def _warm_up(upstream: Server, gateway: Server, directory: Path) -> None:
    file_id = _upload(gateway, make_file(directory / "small.bin", SMALL_BYTES))
    try:
        fetch(gateway, f"/v1/files/{file_id}")
        fetch(gateway, f"/v1/files/{file_id}/content")
    except TransferFailed:
        return  # The row of the large download says what is answered.
    finally:
        _delete(upstream, file_id)


def _text(upstream: Server, gateway: Server) -> str:
    """What becomes of a text file."""
    content = (b"The same bytes, please. \xe2\x82\xac\r\n" * (_TEXT_BYTES // 29 + 1))[:_TEXT_BYTES]
    url, options = f"{gateway.url}/v1/files", {"headers": gateway.headers, "timeout": 60, "trust_env": False}
    sent = httpx2.post(url, data={"purpose": "user_data"}, files={"file": ("a.txt", content, "text/plain")}, **options)
    if sent.status_code != 200:
        return _answered(sent)
    file_id = sent.json()["id"]
    received = httpx2.get(f"{url}/{file_id}/content", **options)
    _delete(upstream, file_id)
    if received.content == content:
        return "the same bytes"
    return _answered(received)


def _answered(response: httpx2.Response) -> str:
    return f"{response.status_code}, {len(response.content):,} other bytes: {_in_one_line(response.text)}"


def _memory_rows(plan: Plan, upstream: Server, source: Path) -> list[Row]:
    with fileplane_with_keys(upstream, plan.directory) as gateway:
        path = f"/v1/files/{_upload(gateway, source)}/content"
    ways: dict[str, Callable[[Server], Answer]] = {
        "up": partial(upload_form, source=source),
        "down": partial(download, path=path),
        "down, slow readers": partial(download, path=path, bytes_a_second=_SLOW_MEGABYTES * 1_000_000),
    }
    rows = []
    for name, run in ways.items():
        with fileplane_with_keys(upstream, plan.directory) as gateway:
            _warm_up(upstream, gateway, plan.directory)
            settle(source.stat().st_size)
            idle = gateway.resident_bytes()
            with watched_memory(gateway) as peak, ThreadPoolExecutor(_AT_ONCE) as clients:
                answers = [running.result() for running in [clients.submit(run, gateway) for _ in range(_AT_ONCE)]]
        if name == "up":
            for answer in answers:
                _delete(upstream, json.loads(answer.body)["id"])
        what = f"gateway memory, {_AT_ONCE} x {source.stat().st_size // 1_000_000} MB {name}"
        shown, base = f"peak {peak.value / 1e6:.0f} MB", f"idle {idle / 1e6:.0f} MB"
        rows.append(Row(what, shown, base, (peak.value - idle) / 1e6, "MB", MEMORY_BAR))
    return rows


def _rows(size: int, sides: dict[str, _Side], missing: dict[str, str]) -> list[Row]:
    rows = []
    for way in OURS:
        mine = sides[way]
        for direction in ("up", "down"):
            what = f"gateway, {size // 1_000_000} MB {direction}, {way}"
            for name in (_DIRECT, *RIVALS):
                if name in missing:
                    rows.append(not_measured(what, None, missing[name]))
                    continue
                ours, theirs = (getattr(side, direction) for side in (mine, sides[name]))
                ratio = theirs.seconds / ours.seconds if theirs.seconds and ours.seconds else None
                rows.append(Row(what, ours.shown(size), f"{name}: {theirs.shown(size)}", ratio))
    ours = sides[next(iter(OURS))]
    rows += [Row("gateway, text/plain down", ours.text, f"{name}: {sides[name].text}") for name in RIVALS if name not in missing]
    return rows


def _upload(server: Server, source: Path) -> str:
    file_id: str = json.loads(upload_form(server, source).body)["id"]
    return file_id


def _delete(upstream: Server, file_id: str) -> None:
    httpx2.delete(f"{upstream.url}/v1/files/{file_id}", headers=upstream.headers, timeout=60, trust_env=False).raise_for_status()


def _in_one_line(text: str) -> str:
    """Some of a text, fit for a table."""
    return " ".join(text.split()).replace("|", "/")[:90]
