"""Finds out how uploads, deletions and jobs at providers began or ended of which nobody lived to tell, and deletes what has expired."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from fileplane.catalog import CatalogFile, Claim, FileState, UploadedFile
from fileplane.clock import Clock
from fileplane.errors import FileNotFound, FileplaneError, ProviderRefused, UnsupportedProviderOperation
from fileplane.files.job_refreshing import JobRefresher
from fileplane.files.known_bytes import Known
from fileplane.files.reconciling_apart import each_apart
from fileplane.files.reconciling_jobs import JobReconciler
from fileplane.files.remote_route import RemoteTarget
from fileplane.files.remote_shapes import status_word
from fileplane.files.together import together
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.metrics import EXPIRED_AT_PROVIDERS
from fileplane.model import Origin
from fileplane.providers.base import RemoteFile, RemoteQuery

CLAIM_SECONDS: Final = 300
HELD_SECONDS: Final = 1_800
"""Between two questions whether the jobs have ended that keep a file beyond its expiry."""
SURE_AFTER_SECONDS: Final = 3_600
"""So long after it was found that nobody sends it any more, a file that is in no list is taken for one that never came to be."""
_ENDED_AT_ONCE: Final = 100
_MOST_ENDED: Final = 10_000
"""Files whose deletion one round begins. Beginning costs no call, so that no provider can hold it up."""
_MOST_PAGES: Final = 20
_PAGE: Final = 1_000
_CLOCKS_DIFFER_SECONDS: Final = 600
_EXPIRIES: Final = ("deleted", "gone", "failed")
_CLIENT_ERRORS: Final = range(400, 500)
_INVALID: Final = frozenset({400, 422})

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
        self._refresher = JobRefresher(metadata)
        for outcome in _EXPIRIES:
            EXPIRED_AT_PROVIDERS.add(0, outcome)  # an alert on what has not happened yet needs its 0
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
        await self._begin_with_expired()
        # Beside each other: a provider that takes its time over one of them keeps nobody from the others.
        return sum(await together(lambda part: part(), (self._held, self._unresolved, self._jobs.run)))

    async def _begin_with_expired(self) -> None:
        """They are claimed for no time, and so come to be deleted in their turn, like everything else that is unresolved."""
        at_once = Claim(self._claim.holder, 0)
        for _ in range(_MOST_ENDED // _ENDED_AT_ONCE):
            if len(await self._metadata.expire_catalog_files(at_once, _ENDED_AT_ONCE)) < _ENDED_AT_ONCE:
                return

    async def _held(self) -> int:
        claim = Claim(self._claim.holder, HELD_SECONDS)
        return await each_apart(partial(self._metadata.claim_held_catalog_files, claim), self._ask_about_holders, CLAIM_SECONDS)

    async def _unresolved(self) -> int:
        # Once the claim has run out, they are somebody else's.
        return await each_apart(partial(self._metadata.claim_unresolved_files, self._claim), self._resolve_unless_done, CLAIM_SECONDS)

    async def _ask_about_holders(self, row: CatalogFile) -> None:
        await self._refresher.refresh_holders(await self._target_of(row.project_id, row.virtual_key_id), row, Origin())

    async def _resolve_unless_done(self, row: CatalogFile) -> None:
        resolved = False
        try:
            resolved = await self._resolve(row)
        except (IntentNotFound, AlreadyBound):
            resolved = True
            _log.info("somebody else has resolved %s meanwhile", row.id)
        finally:
            if not resolved:
                await self._metadata.put_off_unresolved_file(row.project_id, row.id, self._claim)

    async def _resolve(self, row: CatalogFile) -> bool:
        """Whether it is known now what became of it."""
        if row.state is FileState.DELETING:
            await self._delete(row)
            return True
        return await self._find(row, await self._target_of(row.project_id, row.virtual_key_id))

    async def _delete(self, row: CatalogFile) -> None:
        expired = row.expires_at is not None and row.expires_at <= self._now()
        try:
            target = await self._target_of(row.project_id, row.virtual_key_id)
            outcome = await self._deleted(row, target, expired=expired)
        except FileplaneError as error:
            if isinstance(error, ProviderRefused) and error.status in _CLIENT_ERRORS and not expired:
                await self._metadata.cancel_catalog_delete(row.project_id, row.id, Origin())
            if expired:
                EXPIRED_AT_PROVIDERS.add(1, "failed")
            raise
        await self._metadata.finish_catalog_delete(row.project_id, row.id, Origin())
        if expired:
            EXPIRED_AT_PROVIDERS.add(1, outcome)
        _log.info("%s is %s at %s%s", row.id, outcome, row.provider, ", as it has expired" if expired else "")

    async def _deleted(self, row: CatalogFile, target: RemoteTarget, *, expired: bool) -> str:
        assert row.provider_file_id is not None
        target.require_bucket_of(row.provider_file_id)
        if expired and not row.ends_here and not target.provider.capabilities(target.target).delete:
            return "gone"  # where nothing can be deleted, what has expired is gone when its provider says so
        try:
            await target.provider.delete(target.target, row.provider_file_id)
        except FileNotFound:
            return "gone"
        return "deleted"

    async def _find(self, row: CatalogFile, target: RemoteTarget) -> bool:
        candidates, seen_all = await self._like(row, target)
        taken = await self._metadata.catalogued_ids(row.virtual_key_id, [file.id for file in candidates])
        free = [file for file in candidates if file.id not in taken and (file.mark is None or file.mark.upload == row.id)]
        for file in free:
            if file.mark is not None:
                size = row.bytes if file.bytes is None else file.bytes
                found = UploadedFile(file.id, size or 0, status_word(file), row.sha256, file.expires_at, file.mark.transformed)
                await self._metadata.bind_upload(row.project_id, row.id, found, Origin())
                return True
        known = Known(row.sha256, await self._metadata.completion_parts(row.project_id, row.id) if row.sha256 is None else [])
        provable = bool(known) and target.gives_back
        for file in free:
            # Another project may have sent a file of the same name: only the bytes themselves prove whose it is.
            sha256 = await known.sha256_if_same(target, file.id) if provable and file.bytes in {None, row.bytes} else None
            if sha256 is not None:
                uploaded = UploadedFile(file.id, file.bytes or row.bytes or 0, status_word(file), sha256, file.expires_at)
                await self._metadata.bind_upload(row.project_id, row.id, uploaded, Origin())
                return True
        if free and (not provable or target.provider.capabilities(target.target).transforms):
            _log.warning("%s may be one of %d files at %s; an operator can adopt it", row.id, len(free), row.provider)
        elif row.unresolved_since is not None and self._now() - row.unresolved_since >= SURE_AFTER_SECONDS:
            if seen_all:
                await self._metadata.fail_upload(row.project_id, row.id, Origin())
                return True
            _log.warning("%s may be beyond the files of %s that can be looked through; an operator can adopt it", row.id, row.provider)
        return False

    async def _like(self, row: CatalogFile, target: RemoteTarget) -> tuple[list[RemoteFile], bool]:
        """Files that may be the one, and whether all of its time were looked at."""
        since, after = row.reserved_at - _CLOCKS_DIFFER_SECONDS, None
        can = target.provider.capabilities(target.target)
        any_size = row.bytes is None or can.transforms
        found: list[RemoteFile] = []
        limit: int | None = min(can.max_list_limit, _PAGE)
        for _ in range(_MOST_PAGES):
            try:
                page = await target.provider.list(target.target, RemoteQuery(limit, after))
            except ProviderRefused as error:
                if error.status not in _INVALID or limit is None:
                    raise
                limit = None  # a host of a provider's API may take fewer at a time than the provider does
                continue
            except UnsupportedProviderOperation as error:
                _log.info("the files of %s cannot be looked through to the end: %s", row.provider, error.message)
                return found, False
            for file in page.files:
                recent = file.created_at is None or file.created_at >= since
                if recent and file.filename in {None, row.filename} and (any_size or file.bytes in {None, row.bytes}):
                    found.append(file)
            oldest = page.files[-1].created_at if page.files else None
            if not page.has_more or (oldest is not None and oldest < since):
                return found, True
            after = page.next_cursor
        return found, False

    def _now(self) -> int:
        return self._clock.now_ms() // 1000
