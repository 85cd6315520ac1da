"""Takes files at a provider out of the catalog for an operator, on behalf of the project that has them.

For what the project cannot do itself: it may use the virtual key no longer, or the provider is not to be asked any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from fileplane.access import Project
from fileplane.catalog import CatalogFile, CatalogQuery
from fileplane.control.authority import OPERATOR
from fileplane.credentials import VirtualKey
from fileplane.errors import FileInUse, FileNotFound, FileplaneError
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Trace
from fileplane.metadata.base import MetadataStore
from fileplane.model import Origin
from fileplane.settings import Settings

_AT_ONCE: Final = 500


class Verdict(StrEnum):
    """What becomes of a file."""

    DELETE = "delete"
    """It is deleted at the provider, or was gone there."""
    FORGET = "forget"
    """It is in the catalog no longer, and at the provider as it was."""
    ABSENT = "absent"
    """The project has no such file at this virtual key."""
    HELD = "held"
    """A job uses it."""
    FAILED = "failed"
    """It could not be deleted, or nobody knows whether it was."""


@dataclass(frozen=True, slots=True)
class Removed:
    """One file, what becomes of it, and why, where that is not what was asked for."""

    file_id: str
    verdict: Verdict
    file: CatalogFile | None = None
    why: str = ""


class Removal:
    """Of files that a project has at a virtual key, by the same steps as its own deletions; ``target`` is None to forget them.

    To forget asks nobody: neither the provider nor whether a job uses the file.
    """

    def __init__(self, metadata: MetadataStore, settings: Settings, target: RemoteTarget | None, project: Project, key: VirtualKey) -> None:
        self._metadata = metadata
        self._files = RemoteFiles(metadata, settings)
        self._target = target
        self._project = project
        self._key = key
        self._planned = Verdict.FORGET if target is None else Verdict.DELETE

    async def named(self, file_ids: Iterable[str]) -> AsyncIterator[Removed]:
        """Of these ids, in their order."""
        for file_id in file_ids:
            found = await self._metadata.find_catalog_files(self._project.id, file_id)
            file = next((one for one in found if one.virtual_key_id == self._key.id), None)
            yield Removed(file_id, Verdict.ABSENT if file is None else self._planned, file)

    async def every(self) -> AsyncIterator[Removed]:
        """All that the project has there, the oldest first. Deleted ones go on serving as cursors."""
        after = None
        while True:
            query = CatalogQuery((self._key.id,), _AT_ONCE, after=after, newest_first=False)
            page = await self._metadata.list_catalog_files(self._project.id, query)
            for file in page.files:
                assert file.provider_file_id is not None
                yield Removed(after := file.provider_file_id, self._planned, file)
            if not page.has_more:
                return

    async def remove(self, planned: Removed) -> Removed:
        """Does what is planned. What goes wrong with one file is its verdict; raises what the catalog's own store does."""
        if planned.verdict is Verdict.FORGET:
            there = await self._metadata.close_catalog_file(self._project.id, self._key.id, planned.file_id, Origin())
            return planned if there else replace(planned, verdict=Verdict.ABSENT)
        if planned.verdict is not Verdict.DELETE or self._target is None:
            return planned
        route = RemoteRoute((self._target,), _nothing_follows, (self._target,), Trace())
        try:
            await self._files.delete(route, replace(OPERATOR, project_id=self._project.id), planned.file_id, Origin())
        except FileNotFound:
            return replace(planned, verdict=Verdict.ABSENT)
        except FileInUse as error:
            return replace(planned, verdict=Verdict.HELD, why=error.message)
        except FileplaneError as error:
            return replace(planned, verdict=Verdict.FAILED, why=error.message)
        return planned


def _nothing_follows(_number: int, _status: int) -> None:
    return None
