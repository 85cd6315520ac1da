"""What the commands need from the composition root, which they may not import."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import typer

from fileplane.blobs.base import BlobStore
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """Both halves of a data directory."""

    metadata: MetadataStore
    blobs: BlobStore


class Runtime(Protocol):
    """Made by ``fileplane.__main__`` and handed to every command as the context's object."""

    def serve(self, settings: Settings) -> None:
        """Runs the server until it is stopped. Raises :class:`CommandRefused`."""
        ...

    def open_metadata(self, settings: Settings) -> AbstractAsyncContextManager[MetadataStore]:
        """The metadata of an existing data directory, whether or not a server is running on it. Raises :class:`CommandRefused`."""
        ...

    def open_stores(self, settings: Settings) -> AbstractAsyncContextManager[Stores]:
        """Metadata and blobs of an existing data directory, for work that may take long. Raises :class:`CommandRefused`."""
        ...


class CommandRefused(Exception):
    """A command cannot be carried out; the message says why and what to do."""


def runtime_of(context: typer.Context) -> Runtime:
    """The runtime that the context carries."""
    runtime: Runtime = context.obj
    return runtime
