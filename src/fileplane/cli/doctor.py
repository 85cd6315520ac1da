"""``fileplane doctor``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import typer

from fileplane.blobs.probes import Probe, ProbeFailed
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, JsonOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def doctor(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Try the object store that the setting blob_store names, as every start of a server does; neither server nor database is needed.

    Writes, reads, lists and deletes a few blobs beside those of files, 8 MiB in all, and names the first promise that is not kept.
    """
    settings = load_settings(config=config).settings
    if settings.blob_store.is_local:
        raise CommandFailed(
            ExitCode.USAGE, "blob_store is the data directory: there is no object store to try. `fileplane check` checks it."
        )
    passed: list[Probe] = []
    try:
        asyncio.run(_examine(runtime_of(context), settings, passed, as_json))
    except ProbeFailed as error:
        if as_json:
            print_json(_document(settings, passed, failed={"probe": error.probe, "seen": error.seen}))
        raise CommandFailed(ExitCode.FAILED, f"{settings.blob_store} fails the probe '{error.probe}': {error.seen}") from error
    if as_json:
        print_json(_document(settings, passed, failed=None))
    else:
        print_line(f"{settings.blob_store} is fit for files.")


async def _examine(runtime: Runtime, settings: Settings, passed: list[Probe], as_json: bool) -> None:
    async with aclosing(cast("AsyncGenerator[Probe, None]", runtime.examine_blobs(settings))) as probes:
        async for probe in probes:
            passed.append(probe)
            if not as_json:
                print_line(f"{probe.name}: passed in {probe.seconds:.3f} s")


def _document(settings: Settings, passed: list[Probe], *, failed: dict[str, str] | None) -> dict[str, object]:
    probes = [{"probe": probe.name, "seconds": round(probe.seconds, 6)} for probe in passed]
    return {"blob_store": str(settings.blob_store), "passed": probes, "failed": failed}
