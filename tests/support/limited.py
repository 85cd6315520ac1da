"""Projects and keys with limits, on a real server or in this process."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import replace
from pathlib import Path

from fileplane.access import ALL_SCOPES, UNLIMITED, Limits, NewApiKey, NewProject
from fileplane.ids import hash_api_key, new_api_key
from fileplane.metadata.base import MetadataStore
from fileplane.opening import open_metadata
from fileplane.settings import Settings
from fileplane.testing.metadata_store_suite import NOBODY
from support.projects import Key

_numbers = itertools.count()


async def make_limited_key(
    metadata: MetadataStore, *, project: Limits = UNLIMITED, key: Limits = UNLIMITED, project_id: str | None = None
) -> Key:
    """A key with limits, in a new project with limits or in one that is there."""
    if project_id is None:
        slug = f"limited-{os.getpid()}-{next(_numbers)}"
        project_id = (await metadata.create_project(NewProject(slug, slug, limits=project), NOBODY)).id
    plain = new_api_key()
    made = await metadata.create_api_key(NewApiKey(project_id, "test", hash_api_key(plain), plain[-4:], ALL_SCOPES, limits=key), NOBODY)
    return Key(plain, made.id, project_id)


def limited_key(data_dir: Path, **limits: object) -> Key:
    """The same beside a running server."""

    async def make() -> Key:
        async with open_metadata(Settings(data_dir=data_dir)) as metadata:
            return await make_limited_key(metadata, **limits)

    return asyncio.run(make())


def change_limits(data_dir: Path, project_id: str, limits: Limits) -> None:
    """Of a project, beside a running server."""

    async def change() -> None:
        async with open_metadata(Settings(data_dir=data_dir)) as metadata:
            await metadata.update_project(replace(await metadata.find_project(project_id), limits=limits), NOBODY)

    asyncio.run(change())
