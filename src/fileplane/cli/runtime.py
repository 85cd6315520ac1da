"""What the commands need from the composition root, which they may not import."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
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

    def open_database(self, path: Path) -> AbstractAsyncContextManager[MetadataStore]:
        """A database that no server uses, such as a backup's, as it is."""
        ...

    def open_blobs(self, root: Path) -> AbstractAsyncContextManager[BlobStore]:
        """A directory of blobs that no server uses, such as a backup's; made when it is missing."""
        ...

    def restoring(self, settings: Settings) -> AbstractAsyncContextManager[Restoring]:
        """A data directory to restore into, locked for the length of the block. Raises :class:`CommandRefused`."""
        ...

    def schema_version(self) -> int:
        """The newest version of the database that this Fileplane knows, to which it brings every data directory that it opens."""
        ...


@dataclass(frozen=True, slots=True)
class Restoring:
    """An empty data directory that is locked, and marked as not yet restored: its blobs, and where its database is to be put."""

    blobs: BlobStore
    database: Path


class CommandRefused(Exception):
    """A command cannot be carried out; the message says why and what to do."""


def runtime_of(context: typer.Context) -> Runtime:
    """The runtime that the context carries."""
    runtime: Runtime = context.obj
    return runtime
