"""Where client commands get their client from."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fileplane.setting_sources import load_settings

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient


@contextmanager
def connected(config: Path | None, connections: int = 4, part_bytes: int | None = None) -> Iterator[FilesClient]:
    """A client as the settings say, for the length of a block; being terminated unwinds the block, as Ctrl-C does.

    Raises :class:`~fileplane.settings.SettingsError`, and :class:`~fileplane.cli.exits.CommandFailed` without a usable key or URL.
    """
    from fileplane.cli.client import FilesClient

    unwound_when_terminated()
    client = FilesClient(load_settings(config=config).settings, connections=connections, part_bytes=part_bytes)
    try:
        yield client
    finally:
        client.close()


def unwound_when_terminated() -> None:
    """From now on being terminated unwinds what is going on, as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminated)


def _terminated(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)
