"""Finds out how uploads, deletions and jobs at providers began or ended of which nobody lived to tell, and deletes what has expired."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fileplane.catalog import CatalogFile, Claim, FileState, UploadedFile
from fileplane.clock import Clock
from fileplane.errors import FileNotFound, ProviderRefused
from fileplane.files.reconciling_apart import each_apart
from fileplane.files.reconciling_jobs import JobReconciler
from fileplane.files.remote_route import RemoteTarget
from fileplane.files.remote_shapes import status_word
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.model import Origin
from fileplane.providers.base import RemoteFile, RemoteQuery

CLAIM_SECONDS: Final = 300
SURE_AFTER_SECONDS: Final = 3_600
"""So long after its reservation a file that is in no list is taken for one that never came to be."""
_AT_ONCE: Final = 20
_MOST_PAGES: Final = 20
_CLOCKS_DIFFER_SECONDS: Final = 600
_CLIENT_ERRORS: Final = range(400, 500)

TargetOf = Callable[[str, str], Awaitable[RemoteTarget]]
"""The target of a project's virtual key, by their ids. Raises FileplaneError where it cannot be used now."""

_log = logging.getLogger(__name__)


class Reconciler:
    """Any number may run at once: claims share the work out, and what is decided is decided in the catalog's transactions."""

    def __init__(self, metadata: MetadataStore, target_of: TargetOf, clock: Clock) -> None:
        self._metadata = metadata
        self._target_of = target_of
        self._clock = clock
        self._claim = Claim(new_holder(), CLAIM_SECONDS)
        self._jobs = JobReconciler(
            metadata,
            target_of,
            clock,
            self._claim,
            sure_after_seconds=SURE_AFTER_SECONDS,
            clocks_differ_seconds=_CLOCKS_DIFFER_SECONDS,
        )

    async def run(self) -> int:
        """One round; how many files and jobs it has looked at. What could not be decided is looked at again once its claim has run out."""
        rows = [
            *await self._metadata.expire_catalog_files(self._claim, _AT_ONCE),
            *await self._metadata.claim_unresolved_files(self._claim, _AT_ONCE),
        ]
        # Once the claim has run out, they are somebody else's.
        await each_apart(rows, self._resolve_unless_done, CLAIM_SECONDS)
        return len(rows) + await self._jobs.run()

    async def _resolve_unless_done(self, row: CatalogFile) -> None:
        try:
            await self._resolve(row)
        except (IntentNotFound, AlreadyBound):
            _log.info("somebody else has resolved %s meanwhile", row.id)

    async def _resolve(self, row: CatalogFile) -> None:
        target = await self._target_of(row.project_id, row.virtual_key_id)
        if row.state is FileState.DELETING:
            await self._delete(row, target)
        else:
            await self._find(row, target)

    async def _delete(self, row: CatalogFile, target: RemoteTarget) -> None:
        assert row.provider_file_id is not None
        try:
            await target.provider.delete(target.target, row.provider_file_id)
        except FileNotFound:
            _log.info("%s was gone at %s already", row.id, row.provider)
        except ProviderRefused as error:
            expired = row.expires_at is not None and row.expires_at <= self._now()
            if error.status in _CLIENT_ERRORS and not expired:
                await self._metadata.cancel_catalog_delete(row.project_id, row.id, Origin())
            raise
        await self._metadata.finish_catalog_delete(row.project_id, row.id, Origin())

    async def _find(self, row: CatalogFile, target: RemoteTarget) -> None:
        candidates = [file async for file in self._like(row, target)]
        taken = await self._metadata.catalogued_ids(row.virtual_key_id, [file.id for file in candidates])
        free = [file for file in candidates if file.id not in taken]
        for file in free:
            # Another project may have sent a file of the same name: only the bytes themselves prove whose it is.
            if row.sha256 is not None and await _sha256(target, file.id) == row.sha256:
                uploaded = UploadedFile(file.id, file.bytes or row.bytes or 0, status_word(file), row.sha256, file.expires_at)
                await self._metadata.bind_upload(row.project_id, row.id, uploaded, Origin())
                return
        if free and row.sha256 is None:
            _log.warning("%s may be one of %d files at %s; an operator can adopt it", row.id, len(free), row.provider)
        elif self._now() - row.reserved_at >= SURE_AFTER_SECONDS:
            await self._metadata.fail_upload(row.project_id, row.id, Origin())

    async def _like(self, row: CatalogFile, target: RemoteTarget) -> AsyncIterator[RemoteFile]:
        since, after = row.reserved_at - _CLOCKS_DIFFER_SECONDS, None
        for _ in range(_MOST_PAGES):
            page = await target.provider.list(target.target, RemoteQuery(after=after))
            for file in page.files:
                recent = file.created_at is None or file.created_at >= since
                if recent and file.filename in {None, row.filename} and (row.bytes is None or file.bytes in {None, row.bytes}):
                    yield file
            oldest = page.files[-1].created_at if page.files else None
            if not page.has_more or (oldest is not None and oldest < since):
                return
            after = page.next_cursor

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


async def _sha256(target: RemoteTarget, file_id: str) -> str:
    digest = hashlib.sha256()
    async with target.provider.open(target.target, file_id) as content:
        async for piece in content:
            digest.update(piece)
    return digest.hexdigest()
