"""``fileplane catalog reconcile``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from fileplane.cli.administration import settings_for
from fileplane.cli.catalog_rows import Names, described, read_names, unresolved_files, unresolved_jobs, why
from fileplane.cli.credentials import opened_credentials
from fileplane.cli.exits import CommandFailed, ExitCode, complain
from fileplane.cli.options import ConfigOption, DataDirOption, JsonOption
from fileplane.cli.output import print_json, print_line
from fileplane.cli.providers import opened_routes
from fileplane.cli.runtime import Runtime, runtime_of
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import IntentNotFound
from fileplane.model import Origin
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.catalog import CatalogFile, Job
    from fileplane.control.routes import Routes

_LONGEST_WAIT_SECONDS: Final = 86_400
_POLL_SECONDS: Final = 0.5
_OUTCOMES: Final = {
    "bind_upload": "bound",
    "fail_upload": "failed",
    "finish_catalog_delete": "deleted",
    "cancel_catalog_delete": "kept",
    "bind_job": "bound",
    "fail_job": "failed",
}
"""What a row has become once one of these steps was taken."""
_WORDS: Final = {
    "bound": "is at the provider as {id}",
    "failed": "never came to be",
    "deleted": "is deleted",
    "kept": "is there as before: the provider refused to delete it",
}


def reconcile(
    context: typer.Context,
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long to wait for what is not due yet.", min=0, max=_LONGEST_WAIT_SECONDS)
    ] = 0,
    give_up: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="An unresolved upload, by Fileplane's id, that you know never came to be; repeat for several."),
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find out now what became of uploads and deletions at providers that nobody lived to tell of, as the server does by itself.

    Tells what each has become. The exit code is 0 when nothing is left, and 1 when something could not be decided or somebody is at it
    still. A server may be running.
    """
    done = asyncio.run(_run(runtime_of(context), settings_for(config, data_dir), wait, give_up or [], as_json=as_json))
    if not done:
        raise typer.Exit(ExitCode.FAILED)


async def _run(runtime: Runtime, settings: Settings, wait: int, give_up: list[str], *, as_json: bool) -> bool:
    async with opened_credentials(runtime, settings) as (credentials, metadata):
        names = await read_names(metadata)
        watched = _Watched(metadata, names, quiet=as_json)
        for intent_id in give_up:
            await _give_up(watched, intent_id)
        async with opened_routes(credentials, settings) as routes:
            with _reasons_told():
                await _rounds(watched, routes, wait)
        left = [row async for row in unresolved_files(metadata)] + [row async for row in unresolved_jobs(metadata)]
    if as_json:
        print_json({"resolved": watched.resolved, "left": [described(row, names) for row in left]})
    else:
        _tell(left, names)
    return not left


async def _rounds(metadata: _Watched, routes: Routes, wait: int) -> None:
    from fileplane.clock import SystemClock
    from fileplane.files.reconciling import Reconciler

    reconciler = Reconciler(cast("MetadataStore", metadata), routes.of_virtual_key, SystemClock())
    deadline = time.monotonic() + wait
    while True:
        while await reconciler.run():
            pass
        if time.monotonic() >= deadline or not await _anything_left(cast("MetadataStore", metadata)):
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _anything_left(metadata: MetadataStore) -> bool:
    return bool(await metadata.unresolved_files(None, 1) or await metadata.unresolved_jobs(None, 1))


async def _give_up(metadata: _Watched, intent_id: str) -> None:
    store = cast("MetadataStore", metadata)
    async for row in unresolved_files(store):
        if row.id == intent_id:
            try:
                await store.fail_upload(row.project_id, row.id, Origin())
            except IntentNotFound as error:
                raise CommandFailed(ExitCode.REFUSED, f"{intent_id} is no upload, or is resolved by now.") from error
            return
    raise CommandFailed(ExitCode.NOT_FOUND, f"No unresolved upload has the id {intent_id}: `fileplane catalog ls` shows them.")


def _tell(left: list[CatalogFile | Job], names: Names) -> None:
    for row in left:
        print_line(f"{_about(row, names)}: {why(row)}")
    if not left:
        print_line("nothing is left to find out")
        return
    print_line(
        f"{len(left)} left. If you know which file at the provider it is, give it to its project with `fileplane catalog adopt`; if you "
        "know that there is none, end it with `fileplane catalog reconcile --give-up ID`. Else the server goes on trying."
    )


def _about(row: CatalogFile | Job, names: Names) -> str:
    named = getattr(row, "filename", None) or getattr(row, "provider_file_id", None) or row.provider
    return f"{row.id} ({named}, project {names.project(row.project_id)}, virtual key {names.key(row.virtual_key_id)})"


class _Watched:
    """A metadata store, which tells of every step that resolves a row."""

    def __init__(self, metadata: MetadataStore, names: Names, *, quiet: bool) -> None:
        self._metadata = metadata
        self._names = names
        self._quiet = quiet
        self.resolved: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._metadata, name)
        outcome = _OUTCOMES.get(name)
        if outcome is None:
            return step

        async def told(project_id: str, intent_id: str, *arguments: Any, **options: Any) -> Any:
            result = await step(project_id, intent_id, *arguments, **options)
            provider_id = getattr(getattr(result, "job", result), "provider_job_id", None) or getattr(result, "provider_file_id", None)
            self._add(project_id, intent_id, outcome, provider_id)
            return result

        return told

    def _add(self, project_id: str, intent_id: str, outcome: str, provider_id: str | None) -> None:
        project = self._names.project(project_id)
        self.resolved.append({"id": intent_id, "project": project, "outcome": outcome, "provider_id": provider_id})
        if not self._quiet:
            print_line(f"{intent_id} of project {project} {_WORDS[outcome].format(id=provider_id)}")


class _Reasons(logging.Handler):
    """Says why something cannot be found out."""

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        complain(record.getMessage())


@contextmanager
def _reasons_told() -> Iterator[None]:
    log, handler = logging.getLogger("fileplane.files.reconciling"), _Reasons(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
