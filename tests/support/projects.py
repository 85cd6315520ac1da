"""Projects and keys made beside a running server through its own metadata store, which takes a tenth of what a command takes."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from fileplane.access import ALL_SCOPES, NewApiKey
from fileplane.ids import hash_api_key, new_api_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import Usage
from fileplane.opening import open_metadata
from fileplane.settings import Settings
from fileplane.testing.metadata_store_suite import NOBODY, make_project

_AT_ONCE = 16

_numbers = itertools.count()
_spare: dict[Path, list[Key]] = defaultdict(list)


@dataclass(frozen=True)
class Key:
    """``plain`` is what a caller sends."""

    plain: str
    id: str
    project_id: str


def new_tenant_key(data_dir: Path) -> Key:
    """A key with every scope in a new and empty project. Several are made at once, since they then cost one commit."""
    if not _spare[data_dir]:
        _spare[data_dir] = asyncio.run(_make_several(data_dir))
    return _spare[data_dir].pop()


async def _make_several(data_dir: Path) -> list[Key]:
    async with open_metadata(Settings(data_dir=data_dir)) as metadata:
        return list(await asyncio.gather(*(make_key(metadata) for _ in range(_AT_ONCE))))


def new_key(
    data_dir: Path,
    *,
    project_id: str | None = None,
    scopes: frozenset[str] = ALL_SCOPES,
    expires_in: int | None = None,
    database_url: str | None = None,
) -> Key:
    """A new key of a project, or of a new and empty one when none is given."""

    async def make() -> Key:
        async with open_metadata(Settings(data_dir=data_dir, database_url=database_url)) as metadata:
            expires_at = None if expires_in is None else int(time.time()) + expires_in
            return await make_key(metadata, project_id=project_id, scopes=scopes, expires_at=expires_at)

    return asyncio.run(make())


async def make_key(
    metadata: MetadataStore,
    *,
    project_id: str | None = None,
    scopes: frozenset[str] = ALL_SCOPES,
    expires_at: int | None = None,
) -> Key:
    if project_id is None:
        project_id = (await make_project(metadata, f"tenant-{os.getpid()}-{next(_numbers)}")).id
    plain = new_api_key()
    made = await metadata.create_api_key(
        NewApiKey(project_id, "test", hash_api_key(plain), plain[-4:], scopes, expires_at=expires_at), NOBODY
    )
    return Key(plain, made.id, project_id)


def usage_of(data_dir: Path, project_id: str) -> Usage:
    """What the project keeps, as the database has it."""

    async def read() -> Usage:
        async with open_metadata(Settings(data_dir=data_dir)) as metadata:
            return await metadata.usage(project_id)

    return asyncio.run(read())
