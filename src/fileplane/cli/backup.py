"""``fileplane backup`` and ``fileplane restore``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.files.backup import BackupOptions, BackupReport, Tally
    from fileplane.files.backup_directory import Manifest

_KEPT: Final = 7
_MOST_KEPT: Final = 100
_SHOWN_PROBLEMS: Final = 20

T = TypeVar("T")

DirectoryArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the backups.", file_okay=False)]


def backup(
    context: typer.Context,
    directory: DirectoryArgument,
    keep: Annotated[int, typer.Option(help="Snapshots to keep, the new one included.", min=1, max=_MOST_KEPT)] = _KEPT,
    link: Annotated[bool, typer.Option("--link", help="Link blobs instead of copying them, where DIR is on the same file system.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read and hash also the blobs that are there already or are linked.")] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the database and every file to DIR, also while a server runs; only new blobs are copied.

    An interrupted backup leaves the earlier ones as they are, and the next one goes on from it. When the bytes of a file cannot be had, the
    backup is finished without them, the file is named, and the exit code is 1.
    """
    from fileplane.files.backup import BackupOptions

    options = BackupOptions(keep, link=link, verify=verify)
    report = _run(_back_up(runtime_of(context), settings_for(config, data_dir), directory, options))
    if as_json:
        print_json(_described(report))
    else:
        _show(report)
    _report_problems(report.tally, f"The backup {report.manifest.name} lacks their bytes; run `fileplane check` on the data directory.")


async def _back_up(runtime: Runtime, settings: Settings, directory: Path, options: BackupOptions) -> BackupReport:
    from fileplane.clock import SystemClock
    from fileplane.files.backup import Backup
    from fileplane.files.backup_directory import opened_for_backup

    async with runtime.open_stores(settings) as stores:
        projects = [project.id for project in await stores.metadata.list_projects()] or [""]
        with opened_for_backup(directory, settings.data_dir, projects) as opened:
            async with runtime.open_blobs(opened.blobs) as pool:
                work = Backup(
                    stores.metadata, stores.blobs, opened, pool, runtime.open_database, runtime.schema_version(), SystemClock(), options
                )
                return await work.run()


def restore(
    context: typer.Context,
    directory: DirectoryArgument,
    snapshot: Annotated[str | None, typer.Option(metavar="NAME", help="A snapshot's name. Without it, the newest.")] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup from DIR into a data directory that is empty or missing.

    No server starts in the data directory until it is restored. After an interruption, run the same command again.
    """
    settings = settings_for(config, data_dir)
    manifest, tally = _run(_restore(runtime_of(context), settings, directory, snapshot))
    if as_json:
        files, size = tally.whole
        print_json(
            {
                "snapshot": _summary(manifest),
                "files": files,
                "bytes": size,
                "problem_count": tally.problem_count,
                "problems": tally.problems,
            }
        )
    else:
        files, size = tally.whole
        print_line(f"restored {manifest.name}: {files} files, {size} bytes, into {settings.data_dir}")
        print_line(f"Check it before it is used: fileplane check --read-data --data-dir {settings.data_dir}")
    _report_problems(tally, "They are in the database, but downloading them will fail.")


async def _restore(runtime: Runtime, settings: Settings, directory: Path, name: str | None) -> tuple[Manifest, Tally]:
    from fileplane.files.backup_directory import chosen_snapshot, opened_for_restore
    from fileplane.files.restore import restore as put_back

    with opened_for_restore(directory) as opened:
        manifest = chosen_snapshot(opened, name, runtime.schema_version())
        async with runtime.restoring(settings) as target, runtime.open_blobs(opened.blobs) as pool:
            return manifest, await put_back(opened, manifest, pool, target.blobs, target.database, runtime.open_database)


def _run(work: Coroutine[Any, Any, T]) -> T:
    from fileplane.files.backup_directory import BackupFailed

    try:
        return asyncio.run(work)
    except BackupFailed as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from error


def _summary(manifest: Manifest) -> dict[str, Any]:
    """A snapshot as the JSON output shows it."""
    shown = asdict(manifest)
    del shown["problems"], shown["format"]
    return shown


def _described(report: BackupReport) -> dict[str, Any]:
    tally = report.tally
    return {
        "snapshot": _summary(report.manifest),
        "outcomes": {outcome.value: {"files": count, "bytes": tally.bytes[outcome]} for outcome, count in sorted(tally.files.items())},
        "deleted_meanwhile": tally.gone,
        "problems": tally.problems,
        "removed": {"snapshots": list(report.removed_snapshots), "blobs": report.removed_blobs, "bytes": report.removed_bytes},
    }


def _show(report: BackupReport) -> None:
    manifest, tally = report.manifest, report.tally
    outcomes = ", ".join(f"{count} {outcome.value} ({tally.bytes[outcome]} bytes)" for outcome, count in sorted(tally.files.items()))
    print_line(f"{manifest.name}: {manifest.files} files, {manifest.bytes} bytes" + (f": {outcomes}" if outcomes else ""))
    if tally.gone:
        print_line(f"left out: {tally.gone} files that were deleted for good meanwhile")
    if report.removed_snapshots or report.removed_blobs:
        print_line(f"removed: {len(report.removed_snapshots)} snapshots, {report.removed_blobs} blobs ({report.removed_bytes} bytes)")


def _report_problems(tally: Tally, consequence: str) -> None:
    """Names what is wrong, and exits with 1 when something is."""
    if not tally.problem_count:
        return
    for problem in tally.problems[:_SHOWN_PROBLEMS]:
        complain(f"{problem['problem']}: file {problem['file_id']} of project {problem['project_id']}, blob {problem['blob_key']}")
    raise CommandFailed(ExitCode.FAILED, f"{tally.problem_count} files have a problem. {consequence}")
