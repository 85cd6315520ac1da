"""What the commands need from the composition root, which they may not import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from fileplane.blobs.base import BlobStore
from fileplane.blobs.probes import Probe
from fileplane.metadata.base import MetadataStore
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.files.moving import Moved
    from fileplane.metadata.moves import Stage


@dataclass(frozen=True, slots=True)
class Stores:
    """Both halves of a data directory."""

    metadata: MetadataStore
    blobs: BlobStore


class Runtime(Protocol):
    """:class:`fileplane.runtime.ServerRuntime`, handed to every command as the context's object."""

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
        """A database that no server uses, such as a backup's, as it is; one of an older version as a copy in the newest schema."""
        ...

    def open_blobs(self, root: Path) -> AbstractAsyncContextManager[BlobStore]:
        """A directory of blobs that no server uses, such as a backup's; made when it is missing."""
        ...

    def restoring(self, settings: Settings) -> AbstractAsyncContextManager[Restoring]:
        """A data directory to restore into, locked for the length of the block. Raises :class:`CommandRefused`."""
        ...

    def examine_blobs(self, settings: Settings) -> AsyncIterator[Probe]:
        """Tries the object store of the settings with blobs of its own: every probe as it is passed.

        Raises :class:`~fileplane.blobs.probes.ProbeFailed` for the first that is not, and :class:`CommandRefused`.
        """
        ...

    def open_migration(self, settings: Settings, named: Settings) -> AbstractAsyncContextManager[Migrating]:
        """The way from the data directory of ``settings`` to the database and the blob store of ``named``.

        Raises :class:`CommandRefused`, also for what goes wrong within the block.
        """
        ...

    async def take_back(self, settings: Settings, *, really: bool) -> Stage | None:
        """Lets a data directory that was moved away be used again, if ``really``. Returns how far the move was, None for none.

        Raises :class:`CommandRefused`.
        """
        ...

    def schema_version(self) -> int:
        """The newest version of the database that this Fileplane knows, to which it brings every data directory that it opens."""
        ...


@dataclass(frozen=True, slots=True)
class Restoring:
    """An empty data directory that is locked, and marked as not yet restored: its blobs, and where its database is to be put."""

    blobs: BlobStore
    database: Path


class MovePlanned(Protocol):
    """See :class:`fileplane.migrating.MovePlan`."""

    files: int
    bytes: int
    database: bool
    blobs: str | None
    brought_blobs: int
    begun: bool
    stage: Stage | None
    master_key_id: str | None


class Migrating(Protocol):
    """See :class:`fileplane.migrating.Migration`."""

    async def plan(self) -> MovePlanned: ...  # noqa: D102 - see there
    async def run(self, *, allow_missing: bool, tell: Callable[[str], None]) -> Moved: ...  # noqa: D102 - see there


class CommandRefused(Exception):
    """A command cannot be carried out; the message says why and what to do."""


def runtime_of(context: typer.Context) -> Runtime:
    """The runtime that the context carries."""
    runtime: Runtime = context.obj
    return runtime
