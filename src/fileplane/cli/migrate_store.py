"""``fileplane migrate-store``."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import MovePlanned, Runtime, runtime_of
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fileplane.files.moving import Moved

_PREFIX: Final = "FILEPLANE_TO_"
_VARIABLES: Final = ("DATABASE_URL", "DATABASE_URL_FILE", "BLOB_STORE")
_SHOWN_PROBLEMS: Final = 20
_TELL_SECONDS: Final = 5.0


def migrate_store(  # noqa: PLR0913, PLR0917 - each is an option
    context: typer.Context,
    to_config: Annotated[
        Path | None,
        typer.Option("--to-config", help="TOML file of the new servers; its database_url and blob_store are moved to.", dir_okay=False),
    ] = None,
    to_blob_store: Annotated[
        str | None, typer.Option("--to-blob-store", metavar="URL", help="Object store to move to; also FILEPLANE_TO_BLOB_STORE.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Move although the bytes of some files are missing or damaged here; their records are moved."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Use the data directory again as it was moved, or was being moved, without what came after.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this, it is shown what would be done, and nothing is changed.")
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a store from SQLite and local disk to PostgreSQL and an object store, or only one of both, also while a server runs.

    The new database is named by FILEPLANE_TO_DATABASE_URL, the file that FILEPLANE_TO_DATABASE_URL_FILE names, or --to-config. Blobs are
    copied and read back first. Then changes are refused, reading goes on, and the records are copied and compared. After an
    interruption, run the same command again. The data directory stays as it is, and is not served any more.
    """
    settings = settings_for(config, data_dir)
    if undo:
        _show_undone(asyncio.run(runtime_of(context).take_back(settings, really=yes)), yes)
        return
    named = _named(to_config, to_blob_store)
    plan, moved = asyncio.run(_move(runtime_of(context), settings, named, (yes, allow_missing)))
    if as_json:
        print_json({"plan": asdict(plan), "moved": None if moved is None else _described(moved)})  # type: ignore[call-overload]  # a protocol of the fields of a dataclass
        return
    _show_plan(plan)
    if moved is None:
        print_line("Nothing was changed. To do it: --yes")
        return
    _show(moved)


async def _move(runtime: Runtime, settings: Settings, named: Settings, wishes: tuple[bool, bool]) -> tuple[MovePlanned, Moved | None]:
    from fileplane.files.moving import BytesMissing

    yes, allow_missing = wishes
    async with runtime.open_migration(settings, named) as migration:
        plan = await migration.plan()
        if not yes:
            return plan, None
        try:
            return plan, await migration.run(allow_missing=allow_missing, tell=_Told())
        except BytesMissing as error:
            for file, outcome in error.problems[:_SHOWN_PROBLEMS]:
                complain(f"{outcome.value}: file {file.file_id} of project {file.project_id}, blob {file.blob_key}")
            raise CommandFailed(ExitCode.FAILED, str(error)) from error


def _named(to_config: Path | None, to_blob_store: str | None) -> Settings:
    """Only what says where to, so that no setting of the old servers is taken for one of the new ones."""
    given = {f"FILEPLANE_{name}": os.environ[_PREFIX + name] for name in _VARIABLES if os.environ.get(_PREFIX + name)}
    try:
        return load_settings(environment=given, config=to_config, options={"blob_store": to_blob_store}).settings
    except SettingsError as error:
        raise SettingsError(f"What is to be moved to cannot be used: {str(error).replace('FILEPLANE_', _PREFIX)}") from error


class _Told:
    """Says on standard error how far the work is, every few seconds: a short one is done in silence."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _TELL_SECONDS

    def __call__(self, message: str) -> None:
        if time.monotonic() >= self._next or "changes" in message:
            self._next = time.monotonic() + _TELL_SECONDS
            complain(message)


def _show_plan(plan: MovePlanned) -> None:
    print_line(f"{plan.files} files, {plan.bytes} bytes")
    if plan.blobs is not None:
        before = f"; {plan.brought_blobs} are there already" if plan.brought_blobs else ""
        print_line(f"blobs: to {plan.blobs}{before}")
    if plan.database:
        print_line("records: to PostgreSQL" + ("; begun before" if plan.begun else ""))
    if plan.master_key_id is not None:
        print_line(f"stored credentials: the new servers need the same master key, of the id {plan.master_key_id}")
    if plan.stage is not None:
        print_line(f"changes are refused here already ({plan.stage.value})")


def _described(moved: Moved) -> dict[str, Any]:
    return {
        "files": moved.brought.files,
        "bytes": moved.brought.bytes,
        "without_bytes": [
            {"project_id": file.project_id, "file_id": file.file_id, "blob_key": file.blob_key, "problem": outcome.value}
            for file, outcome in moved.brought.problems
        ],
        "rows": dict(moved.rows),
        "seconds_refused": round(moved.seconds_refused, 3),
    }


def _show(moved: Moved) -> None:
    print_line(f"moved: {moved.brought.files} blobs, {moved.brought.bytes} bytes; {sum(moved.rows.values())} rows")
    if moved.brought.problem_count:
        print_line(f"without their bytes: {moved.brought.problem_count} files")
    print_line(f"changes were refused for {moved.seconds_refused:.1f} s, and stay refused here")
    print_line("Start the new servers, then stop this one. To go back instead: fileplane migrate-store --undo")


def _show_undone(stage: Any, yes: bool) -> None:
    if stage is None:
        print_line("Nothing to take back: changes are admitted here.")
    elif yes:
        print_line(f"Changes are admitted here again (it was: {stage.value}). Do not use the new place any more.")
    else:
        print_line(f"Changes are refused here ({stage.value}). With --yes they are admitted again.")
        print_line("What has been changed at the new place since is not here. Stop the servers there first.")
