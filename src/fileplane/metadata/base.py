"""The MetadataStore protocol.

Every method that touches a file takes the project first: there is no way to address a file without it.
"""

from __future__ import annotations

from typing import Protocol

from fileplane.model import ApiKey, File, FilePage, FileQuery, NewApiKey, NewFile, Project, Usage


class CursorNotFound(Exception):
    """The project has no file, live or deleted, with the id that a list was to continue after."""


class NameTaken(Exception):
    """A project of that name exists."""


class DatabaseUnusable(Exception):
    """The database cannot be opened: damaged, made by something else, or by a newer Fileplane. The message says what to do."""


class MetadataStore(Protocol):
    """The record of every file, project and API key.

    Each method is one transaction: it happens wholly or not at all, and once it returns the change survives power loss.
    A method that returned is seen by every later call, on every process. All methods raise
    :class:`~fileplane.errors.StorageUnavailable` when the database is full or does not answer within its deadline; a change may
    then have happened all the same, unless the error says ``nothing_changed``. A file past its expiry is treated as deleted by
    every method, collected or not.
    """

    async def create_file(self, project_id: str, new: NewFile, quota_bytes: int) -> File:
        """Records a file whose blob is durable, and counts it, unless the project would then keep more than ``quota_bytes``.

        The id, the creation time and the expiry come from one clock reading inside the transaction.
        Raises :class:`~fileplane.errors.StorageQuotaExceeded`, after which it is certain that nothing was recorded.
        """
        ...

    async def get_file(self, project_id: str, file_id: str) -> File:
        """The live file with this canonical id. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    async def list_files(self, project_id: str, query: FileQuery) -> FilePage:
        """One page of live files in the total order ``(created_at, id)``, and their number, of one instant.

        Raises :class:`CursorNotFound`. A cursor whose file has been deleted since still works.
        """
        ...

    async def delete_file(self, project_id: str, file_id: str) -> None:
        """Marks the live file as deleted; its bytes go on counting until collected. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    async def usage(self, project_id: str) -> Usage:
        """What the project keeps."""
        ...

    async def create_project(self, name: str) -> Project:
        """Raises :class:`NameTaken`."""
        ...

    async def list_projects(self) -> list[Project]:
        """Every project, oldest first."""
        ...

    async def create_api_key(self, new: NewApiKey) -> ApiKey:
        """Records a key for an existing project."""
        ...

    async def list_api_keys(self, project_id: str | None = None) -> list[ApiKey]:
        """The keys of one project or of all, oldest first, revoked and expired ones included."""
        ...

    async def revoke_api_key(self, key_id: str) -> bool:
        """Ends a key now; idempotent. False when there is no such key."""
        ...

    async def find_api_key(self, key_hash: bytes) -> ApiKey | None:
        """The key with this hash, whether or not it still works."""
        ...

    async def bootstrap(self, key_hash: bytes, hint: str, scopes: frozenset[str]) -> bool:
        """Makes the project ``default`` and an organisation key in it, if there is no API key at all. Whether it did."""
        ...

    async def check(self) -> None:
        """Returns when the database answers. Raises :class:`~fileplane.errors.StorageUnavailable`."""
        ...

    async def close(self) -> None:
        """Releases everything, after the changes already accepted. No other method may be called afterwards."""
        ...
