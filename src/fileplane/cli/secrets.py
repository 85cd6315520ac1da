"""``fileplane secrets rotate|forget``."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.project import settings_for
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.settings import Settings

if TYPE_CHECKING:  # loading the encryption takes time that other commands have no use for
    from fileplane.control.forgetting import Loss
    from fileplane.secrets.envelope import MasterKey
    from fileplane.secrets.rotation import Rotation

secrets = typer.Typer(
    help="Look after the encryption of stored credentials, on the machine that has the data directory.", no_args_is_help=True
)


@secrets.command("rotate")
def rotate_secrets(
    context: typer.Context,
    master_key_file: Annotated[
        Path | None,
        typer.Option(help="Put the master key in this file in force as well; the file is made, with a new key, if there is none."),
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encrypt all stored credentials with a new data key, and with a new master key if one is given.

    Running servers go on reading and writing. If it is interrupted, run it again: it goes on where it was.
    """
    settings = settings_for(config, data_dir)
    rotation, master_key_id = _run(runtime_of(context), settings, master_key_file)
    if as_json:
        print_json(asdict(rotation) | {"master_key_id": master_key_id})
    else:
        print_line(f"encrypted anew: {rotation.records} records; removed: {rotation.dropped_data_keys} data keys")
        print_line(f"master key in force: {master_key_id}")
    if master_key_file is not None:
        _say_what_to_do(settings, master_key_file)
    if rotation.problems:
        for problem in rotation.problems:
            complain(problem)
        raise CommandFailed(ExitCode.FAILED, f"{len(rotation.problems)} records could not be encrypted anew. Set them anew.")


def _run(runtime: Runtime, settings: Settings, master_key_file: Path | None) -> tuple[Rotation, str]:
    from fileplane.secrets.envelope import SealBroken
    from fileplane.secrets.master_key import MasterKeyUnusable

    try:
        return asyncio.run(_rotate(runtime, settings, master_key_file))
    except MasterKeyUnusable as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from error
    except SealBroken as error:
        advice = "Run `fileplane secrets rotate` without --master-key-file, which names what to set anew, and then again."
        raise CommandFailed(ExitCode.FAILED, f"{error} {advice}") from error


async def _rotate(runtime: Runtime, settings: Settings, master_key_file: Path | None) -> tuple[Rotation, str]:
    from fileplane.clock import SystemClock
    from fileplane.model import Origin
    from fileplane.secrets.master_key import MasterKeySource, unlock
    from fileplane.secrets.references import References
    from fileplane.secrets.rotation import rotate_data_key, rotate_master_key
    from fileplane.secrets.vault import Vault

    async with runtime.open_metadata(settings) as metadata:
        source = MasterKeySource(settings.data_dir, settings.master_key, shared=settings.database_url is not None)
        new = None if master_key_file is None else _read_or_made(master_key_file)
        if new is not None and await metadata.master_key_id() == new.id:
            # An earlier run was interrupted once the key was in force.
            source.stage(new)
            source.settle(new.id)
            master_key = new
        else:
            master_key, _ = await unlock(metadata, source)
            if new is not None:
                await rotate_master_key(metadata, source, master_key, new, Origin())
                master_key = new
        references = References((), settings.data_dir)
        vault = Vault(metadata, source, master_key, references, SystemClock())
        return await rotate_data_key(metadata, vault, Origin()), master_key.id


def _read_or_made(path: Path) -> MasterKey:
    from fileplane.secrets.envelope import KEY_BYTES, MasterKey
    from fileplane.secrets.master_key import read_key_file, write_key_file

    found = read_key_file(path)
    if found is None:
        write_key_file(path, MasterKey(os.urandom(KEY_BYTES)))
        found = read_key_file(path)
    assert found is not None
    return found


def _say_what_to_do(settings: Settings, master_key_file: Path) -> None:
    if settings.master_key is not None:
        complain(f"start the servers again with FILEPLANE_MASTER_KEY_FILE={master_key_file.absolute()}")
    complain("backups made before need the master key that was in force then: keep it as long as them")


@secrets.command("forget")
def forget_secrets(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Give it up. Without this, what would be lost is shown and nothing is changed.")
    ] = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up what a master key encrypted that is lost for good, so that the server starts again with a new one.

    Make a backup first: should the master key be found after all, it opens that. Slugs, names, projects and references stay, and so do
    the files; the secrets of virtual keys and the documents of configs have to be set anew.
    """
    lost, master_key_id = _run_forget(runtime_of(context), settings_for(config, data_dir), yes=yes)
    done = master_key_id is not None
    if as_json:
        virtual_keys = [{"slug": slug, "fields": list(fields)} for slug, fields in lost.virtual_keys]
        configs = [{"slug": slug, "documents": count} for slug, count in lost.configs]
        print_json({"done": done, "virtual_keys": virtual_keys, "configs": configs, "lost_master_key_id": lost.master_key_id})
        return
    if lost.master_key_id is None:
        print_line("nothing is lost: the master key is in its place, or nothing is encrypted")
        return
    for slug, fields in lost.virtual_keys:
        print_line(f"virtual key {slug}: {', '.join(fields)}")
    for slug, count in lost.configs:
        print_line(f"config {slug}: {count} {'document' if count == 1 else 'documents'}")
    print_line(f"given up; master key in force: {master_key_id}" if done else "nothing was changed; give these up with --yes")


def _run_forget(runtime: Runtime, settings: Settings, *, yes: bool) -> tuple[Loss, str | None]:
    from fileplane.secrets.master_key import MasterKeyUnusable

    try:
        return asyncio.run(_forget(runtime, settings, yes=yes))
    except MasterKeyUnusable as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from error


async def _forget(runtime: Runtime, settings: Settings, *, yes: bool) -> tuple[Loss, str | None]:
    from fileplane.control.forgetting import forget, planned_loss
    from fileplane.model import Origin
    from fileplane.secrets.master_key import MasterKeySource

    async with runtime.open_metadata(settings) as metadata:
        source = MasterKeySource(settings.data_dir, settings.master_key, shared=settings.database_url is not None)
        lost = await planned_loss(metadata, source)
        if lost.master_key_id is None or not yes:
            return lost, None
        return lost, await forget(metadata, source, lost, Origin())
