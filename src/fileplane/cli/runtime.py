"""What the commands need from the composition root, which they may not import."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import typer

from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings


class Runtime(Protocol):
    """Made by ``fileplane.__main__`` and handed to every command as the context's object."""

    def serve(self, settings: Settings) -> None:
        """Runs the server until it is stopped. Raises :class:`CommandRefused`."""
        ...

    def open_metadata(self, settings: Settings) -> AbstractAsyncContextManager[MetadataStore]:
        """The metadata of an existing data directory, whether or not a server is running on it. Raises :class:`CommandRefused`."""
        ...


class CommandRefused(Exception):
    """A command cannot be carried out; the message says why and what to do."""


def runtime_of(context: typer.Context) -> Runtime:
    """The runtime that the context carries."""
    runtime: Runtime = context.obj
    return runtime
