"""``fileplane check``."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.progress import status_line
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import CommandRefused, Runtime, runtime_of
from fileplane.errors import StorageUnavailable
from fileplane.files.findings import Finding, Kind
from fileplane.files.integrity import Checked, IntegrityCheck
from fileplane.files.selection import Selection, parse_selection
from fileplane.metadata.base import DatabaseDamaged
from fileplane.settings import Settings

_READ_DATA: Final = "--read-data"
_EVERYTHING: Final = "1/1"


class OptionalReadData(TyperCommand):
    """Lets ``--read-data`` stand without a value, which Typer's options cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with the value that is meant."""
        return super().parse_args(ctx, [f"{_READ_DATA}={_EVERYTHING}" if argument == _READ_DATA else argument for argument in args])


def check(
    context: typer.Context,
    read_data: Annotated[
        str | None,
        typer.Option(
            _READ_DATA,
            metavar="[=N/T|=X%]",
            help="Read the files too, and compare their SHA-256: all of them, the n-th of t parts (=2/7), or a random sample (=5%).",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Take the random sample of an earlier check, which has printed its seed.")] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Afterwards, have servers read those files of parts again that were found damaged after their upload, and whose parts are "
            "all there now.",
        ),
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: one object a finding, then one for the summary.")] = False,
) -> None:
    """Check the store: database, counters, a blob of the right size for every file, nothing left over. Changes nothing without --repair.

    A server may be running. Each finding is printed as it is made. Errors make the exit code 8; warnings are of what the server clears
    away by itself.
    """
    try:
        selection = None if read_data is None else parse_selection(read_data, seed)
    except ValueError as error:
        raise CommandFailed(ExitCode.USAGE, f"--read-data={error}") from error
    report = _Report(selection, as_json)
    try:
        checked = asyncio.run(_check(runtime_of(context), settings_for(config, data_dir), selection, report, repair=repair))
    except StorageUnavailable as error:
        raise CommandFailed(ExitCode.UNAVAILABLE, f"The check is incomplete: {error.__cause__ or error}") from error
    report.close(checked)
    if checked.errors:
        raise typer.Exit(ExitCode.DAMAGED)


async def _check(runtime: Runtime, settings: Settings, selection: Selection | None, report: _Report, *, repair: bool) -> Checked:
    try:
        async with runtime.open_stores(settings) as stores:
            checking = IntegrityCheck(stores.metadata, stores.blobs, stores.metadata.clock, settings.orphan_grace_seconds)
            with status_line() as show:
                shown = asyncio.create_task(_keep_showing(show, checking.checked))
                try:
                    async for finding in checking.findings(selection):
                        report.add(finding)
                finally:
                    shown.cancel()
            if repair:
                from fileplane.files.settling import settle_mended

                report.repaired = await settle_mended(stores.metadata, stores.blobs)
            return checking.checked
    except CommandRefused as error:
        if not isinstance(error.__cause__, DatabaseDamaged):
            raise
        report.add(Finding(Kind.DATABASE, str(error)))
        return Checked(errors=1)


async def _keep_showing(show: Any, checked: Checked) -> None:
    while True:
        show(f"{checked.files} files, {checked.bytes_read / 1e6:.0f} MB read, {checked.blobs} blobs, {checked.errors} errors")
        await asyncio.sleep(0.2)


class _Report:
    """Prints findings as they come, and what they come to."""

    def __init__(self, selection: Selection | None, as_json: bool) -> None:
        self._selection = selection
        self._as_json = as_json
        self.repaired: int | None = None
        """Files that are read through again, if that was asked for."""

    def add(self, finding: Finding) -> None:
        if self._as_json:
            print_json({"severity": finding.severity, **asdict(finding)})
            return
        named = {"file": finding.file_id, "project": finding.project_id, "blob": finding.blob_key}
        about = ", ".join(f"{what} {value}" for what, value in named.items() if value is not None)
        print_line(f"{finding.severity}: {finding.kind}: " + (f"{about}: " if about else "") + finding.words)

    def close(self, checked: Checked) -> None:
        chosen = self._selection
        if self._as_json:
            seed = None if chosen is None else chosen.seed
            repaired = {} if self.repaired is None else {"read_again": self.repaired}
            print_json({"summary": {**asdict(checked), "read_data": None if chosen is None else str(chosen), "seed": seed, **repaired}})
            return
        read = "" if chosen is None else f", {checked.files_read} of them read ({checked.bytes_read} bytes)"
        sample = "" if chosen is None or chosen.seed is None else f"; the seed of the sample is {chosen.seed}"
        print_line(f"{checked.files} files{read}, {checked.blobs} blobs: {checked.errors} errors, {checked.warnings} warnings{sample}")
        if self.repaired is not None:
            print_line(f"{self.repaired} files are read through again by servers, which takes a moment")
