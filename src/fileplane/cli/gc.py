"""``fileplane gc``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fileplane.blobs.base import BlobStore
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_table
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.files.janitor import Collected, Janitor

_WAIT_SECONDS: Final = 60
_LONGEST_WAIT_SECONDS: Final = 86_400
_POLL_SECONDS: Final = 0.5
_STEPS: Final = {
    "expire": "expired files that are ended",
    "collect": "files whose bytes are removed, the expired ones among them",
    "forget": "records of files whose bytes are gone",
    "abandoned": "uploads left half-written",
    "orphans": "blobs that no file refers to",
    "uploads": "uploads in parts that have expired",
    "parts": "parts of uploads that are none of a file's",
}

Steps = dict[str, tuple[int, int]]
"""Of each step, how many things and how many bytes."""


def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what there is to do.")] = False,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long to wait while a server is at it itself.", min=0, max=_LONGEST_WAIT_SECONDS)
    ] = _WAIT_SECONDS,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what is no longer needed now, as the server does from time to time; also while it runs.

    Ends what has expired, removes the bytes of deleted files that can no longer be restored, and what nothing refers to.
    """
    runtime, settings = runtime_of(context), settings_for(config, data_dir)
    if dry_run:
        _show(asyncio.run(_planned(runtime, settings)), 0, as_json, dry_run=True)
        return
    done = asyncio.run(_collected(runtime, settings, wait))
    if done is None:
        raise CommandFailed(ExitCode.BUSY, f"Another janitor was at work all the {wait} s. Let it finish, or wait longer with --wait.")
    _show(_steps(done), done.failures, as_json, dry_run=False)
    if done.failures:
        raise CommandFailed(ExitCode.FAILED, f"{done.failures} blobs could not be removed this time; the next pass tries again.")


async def _planned(runtime: Runtime, settings: Settings) -> Steps:
    found = dict.fromkeys(_STEPS, (0, 0))
    async with runtime.open_stores(settings) as stores:
        async for plan in _janitor(stores.metadata, stores.blobs, settings).plans():
            ending = (*plan.expire, *plan.collect)
            parts = {
                "expire": (len(plan.expire), 0),
                "collect": (len(ending), sum(entry.bytes for entry in ending)),
                "forget": (len(plan.forget), 0),
                "abandoned": (len(plan.abandoned), sum(blob.size for blob in plan.abandoned)),
                "orphans": (len(plan.orphans), sum(blob.size for blob in plan.orphans)),
                "uploads": (len(plan.uploads), 0),
                "parts": (len(plan.parts), sum(entry.bytes for entry in plan.parts)),
            }
            found = {name: (count + parts[name][0], size + parts[name][1]) for name, (count, size) in found.items()}
    return found


async def _collected(runtime: Runtime, settings: Settings, wait: int) -> Collected | None:
    from fileplane.ids import new_holder

    holder, deadline = new_holder(), time.monotonic() + wait
    async with runtime.open_stores(settings) as stores:
        janitor = _janitor(stores.metadata, stores.blobs, settings)
        while True:
            done = await janitor.run(holder)
            if done is not None or time.monotonic() >= deadline:
                return done
            await asyncio.sleep(_POLL_SECONDS)


def _janitor(metadata: MetadataStore, blobs: BlobStore, settings: Settings) -> Janitor:
    from fileplane.files.janitor import Janitor

    return Janitor(metadata, blobs, metadata.clock, settings)


def _steps(done: Collected) -> Steps:
    files = done.bytes - done.abandoned_bytes - done.orphan_bytes - done.part_bytes
    return {
        "expire": (done.expired, 0),
        "collect": (done.collected, files),
        "forget": (done.forgotten, 0),
        "abandoned": (done.abandoned, done.abandoned_bytes),
        "orphans": (done.orphans, done.orphan_bytes),
        "uploads": (done.uploads, 0),
        "parts": (done.parts, done.part_bytes),
    }


def _show(steps: Steps, failures: int, as_json: bool, *, dry_run: bool) -> None:
    total = sum(size for _, size in steps.values())
    if as_json:
        shown = {name: {"count": count, "bytes": size} for name, (count, size) in steps.items()}
        print_json({"dry_run": dry_run, "steps": shown, "bytes": total, "failures": failures})
        return
    rows = [[name, str(count), str(size), _STEPS[name]] for name, (count, size) in steps.items()]
    print_table(
        ["step", "count", "bytes", "what"], [*rows, ["total", "", str(total), "bytes that this frees" if dry_run else "bytes freed"]]
    )
