"""What the commands over projects and API keys share: they run the use cases with full authority, beside a server or without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.options import ConfigOption, DataDirOption
from fileplane.cli.runtime import runtime_of
from fileplane.errors import Conflict, FileplaneError, InvalidRequest, NotFound
from fileplane.metadata.base import MetadataStore
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings

T = TypeVar("T")


def settings_for(config: ConfigOption, data_dir: DataDirOption) -> Settings:
    """The settings of an administrative command."""
    return load_settings(config=config, options={"data_dir": str(data_dir) if data_dir else None}).settings


def with_metadata(
    context: typer.Context, config: ConfigOption, data_dir: DataDirOption, work: Callable[[MetadataStore], Awaitable[T]]
) -> T:
    """What ``work`` makes of the data directory's records; what it may not do becomes a message and an exit code."""
    settings = settings_for(config, data_dir)

    async def run() -> T:
        async with runtime_of(context).open_metadata(settings) as metadata:
            return await work(metadata)

    with _refusals_told():
        return asyncio.run(run())


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise CommandFailed(ExitCode.NOT_FOUND, error.message) from error
    except Conflict as error:
        raise CommandFailed(ExitCode.REFUSED, error.message) from error
    except InvalidRequest as error:
        raise CommandFailed(ExitCode.USAGE, error.message) from error
    except FileplaneError as error:
        raise CommandFailed(ExitCode.FAILED, error.message) from error
