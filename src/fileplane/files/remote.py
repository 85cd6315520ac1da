"""Files at providers: the five operations of :mod:`fileplane.files.native`, along a route.

Through a stored credential, what the catalog does not give to the caller's project does not exist. Through a caller's own credential,
or one whose files are shared, there is what the provider says that there is.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from fileplane.access import Principal
from fileplane.catalog import CatalogFile, Claim, FileReport, FileState
from fileplane.clock import Clock, SystemClock
from fileplane.errors import (
    CredentialUnavailable,
    FileInUse,
    FileNotFound,
    FileplaneError,
    InvalidRequest,
    ProviderRefused,
    StorageUnavailable,
    UnsupportedProviderOperation,
    UpstreamBusy,
    UpstreamSuspended,
)
from fileplane.files.allowance import Received
from fileplane.files.attempts import repeated
from fileplane.files.begun_content import begun
from fileplane.files.form import UploadEvent
from fileplane.files.job_refreshing import JobRefresher
from fileplane.files.native import NativeFiles
from fileplane.files.remote_lists import list_along
from fileplane.files.remote_route import RemoteRoute, RemoteTarget
from fileplane.files.remote_shapes import RemoteList, RemoteListQuery, file_at_provider, file_in_catalog, status_word
from fileplane.files.remote_uploads import CLAIM_SECONDS, RemoteUploads
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import IntentNotFound
from fileplane.model import CreatedFile, File, Origin
from fileplane.providers.base import ByteRange, Capabilities, RemoteContent, RemoteFile
from fileplane.providers.object_ids import canonical_id
from fileplane.providers.remote_ids import is_file_id
from fileplane.settings import Settings

_CLIENT_ERRORS: Final = range(400, 500)
_NEVER_SENT: Final = (InvalidRequest, CredentialUnavailable, UnsupportedProviderOperation)
_NOT_SENT_THIS_TIME: Final = (UpstreamBusy, UpstreamSuspended)
_GONE_ON_WITH: Final = (
    "The file is not served any more, and its deletion is gone on with here until the provider confirms or refuses it. "
    "Delete it again to be told."
)

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A download that has begun. ``filename`` and ``size`` (of the whole file) are None where they are not known.

    ``size_is_sure`` where it was counted here; else it is what a provider says, which it need not keep to.
    """

    content: RemoteContent
    filename: str | None
    size: int | None
    size_is_sure: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a file's content without fetching it; ``size`` is that of what a download would be."""

    filename: str | None
    size: int | None
    transformed: bool = False
    """Whether the download has other bytes than the provider."""


class RemoteFiles:
    """See the module. One for a process; what is between two requests is in the catalog."""

    def __init__(self, metadata: MetadataStore, settings: Settings, clock: Clock | None = None, native: NativeFiles | None = None) -> None:
        """``native`` is needed only for routes that have the native store beside providers."""
        self._metadata = metadata
        self._uploads = RemoteUploads(metadata, settings, clock or SystemClock(), native)
        self._refresher = JobRefresher(metadata)
        self._holder = new_holder()

    @property
    def uploads(self) -> RemoteUploads:
        """What sends files."""
        return self._uploads

    async def settle(self) -> None:
        """To be called before the stores are closed."""
        await self._uploads.settle()

    async def create(
        self,
        route: RemoteRoute,
        principal: Principal,
        origin: Origin,
        events: AsyncIterator[UploadEvent],
        declared_length: int | None,
        idempotency_key: str | None = None,
        received: Received | None = None,
    ) -> CreatedFile:
        """Sends one upload; it is then at one target, or at none, or nobody knows and the error says so."""
        return await self._uploads.create(route, principal, origin, events, declared_length, idempotency_key, received or Received())

    async def get(self, route: RemoteRoute, principal: Principal, file_id: str) -> File:
        """One file as its provider describes it now. Raises :class:`~fileplane.errors.FileNotFound`."""
        target, row = await self._owner(route, principal, file_id)
        if target is None or row is None:
            remote = await self._first(route, file_id, lambda one: one.provider.get(one.target, file_id))
            return file_at_provider(principal.project_id, remote)
        target.require_bucket_of(file_id)
        if not target.provider.capabilities(target.target).get:
            route.trace.path, route.trace.provider = target.path, target.provider.name
            return file_in_catalog(row)
        try:
            remote = await repeated(target, lambda one: one.provider.get(one.target, file_id), route.trace)
        except FileNotFound:
            await self._forgotten(row)
            raise
        return file_in_catalog(await self._refreshed(row, remote), remote.status_details)

    async def copy_of(self, route: RemoteRoute, principal: Principal, file_id: str) -> File | None:
        """The native file that has the bytes of a file whose provider does not give them back; None where there is none, or no need.

        Raises :class:`~fileplane.errors.FileNotFound`.
        """
        if not any(target.keep_copy or not target.gives_back for target in route.everywhere if target.virtual_key_id is not None):
            return None
        target, row = await self._owner(route, principal, file_id)
        if target is None or row is None or row.copy_id is None or (target.gives_back and not row.transformed):
            return None
        try:
            copy = await self._metadata.get_copy(row.project_id, row.copy_id)
        except FileNotFound:
            return None
        route.trace.path, route.trace.provider = target.path, target.provider.name
        return copy

    async def outline(self, route: RemoteRoute, principal: Principal, file_id: str) -> Outline:
        """Says of a file's content what its provider says of the file. Raises as :meth:`get` and :meth:`open`."""
        target, row = await self._owner(route, principal, file_id)
        if target is None or row is None:
            return await self._first(route, file_id, lambda one: _outline(one, file_id))
        target.require_bucket_of(file_id)
        if target.provider.capabilities(target.target).get:
            try:
                outline = await repeated(target, lambda one: _outline(one, file_id), route.trace)
            except FileNotFound:
                await self._forgotten(row)
                raise
        else:
            route.trace.path, route.trace.provider = target.path, target.provider.name
            outline = Outline(None, None)
        if not _downloadable(target).original_bytes or row.transformed or outline.transformed:
            return Outline(row.filename or None, None)
        size = row.counted_bytes if row.counted_bytes is not None else outline.size
        return Outline(row.filename or outline.filename, size if size is not None else row.bytes or None)

    @asynccontextmanager
    async def open(self, route: RemoteRoute, principal: Principal, file_id: str, span: ByteRange | None = None) -> AsyncIterator[OpenFile]:
        """A download. Raises :class:`~fileplane.errors.FileNotFound` and :class:`~fileplane.errors.InvalidRange`."""
        target, row = await self._owner(route, principal, file_id)
        async with AsyncExitStack() as stack:

            async def enter(one: RemoteTarget) -> RemoteContent:
                async with AsyncExitStack() as attempt:
                    content = await attempt.enter_async_context(one.provider.open(one.target, file_id, span))
                    if one.repeats.attempts:
                        # What breaks off before its first byte can still be repeated, since nobody has been sent anything.
                        content = await begun(content)
                    stack.push_async_exit(attempt.pop_all())
                return content

            if target is None or row is None:
                content = await self._first(route, file_id, enter)
                yield OpenFile(content, None, None)
                return
            target.require_bucket_of(file_id)
            try:
                content = await repeated(target, enter, route.trace)
            except FileNotFound as error:
                raise await self._without_content(route, target, row, error) from error
            original = target.provider.capabilities(target.target).original_bytes and not (row.transformed or content.transformed)
            # Where a provider keeps no sizes, that of a job's result is 0 here without being known.
            size = row.counted_bytes if row.counted_bytes is not None else row.bytes or None
            yield OpenFile(content, row.filename or None, size if original else None, original and row.counted_bytes is not None)

    async def delete(self, route: RemoteRoute, principal: Principal, file_id: str, origin: Origin) -> None:
        """Deletes a file at its provider, for good.

        Of several deletions of one file at once, one succeeds. One that fails without a refusal is gone on with by whoever reconciles.
        Raises :class:`~fileplane.errors.FileNotFound` and, while a job uses it, :class:`~fileplane.errors.FileInUse`.
        """
        try:
            target, row = await self._owner(route, principal, file_id, reading=False)
        except FileNotFound:
            target, intent = await self._unfinished(route, principal, file_id, origin)
        else:
            if target is None or row is None:
                await self._first(route, file_id, lambda one: one.provider.delete(one.target, file_id), reading=False)
                return
            target.require_bucket_of(file_id)
            if not target.provider.capabilities(target.target).delete:
                raise UnsupportedProviderOperation(
                    f"{target.provider.name} cannot delete files through this API.", param="x-portkey-provider"
                )
            intent = await self._deleting(target, row, file_id, origin)
        await self._deleted_there(target, intent, file_id, route, origin)
        try:
            finished = await self._metadata.finish_catalog_delete(principal.project_id, intent.id, origin)
        except (IntentNotFound, StorageUnavailable) as error:
            # It is gone, and callers see it no longer; whoever reconciles finds that out too.
            _log.warning("the end of a deletion could not be recorded, and is found out later: %s", error, exc_info=error)
        else:
            if not finished:
                raise FileNotFound(file_id)

    async def list(self, route: RemoteRoute, principal: Principal, query: RemoteListQuery) -> RemoteList:
        """One page: of the catalog, of a provider, or of several of them one after another. Raises InvalidValue for an unknown cursor."""
        if query.after is not None:
            query = replace(query, after=canonical_id(query.after))
        return await list_along(self._metadata, route, principal.project_id, query)

    async def _owner(
        self, route: RemoteRoute, principal: Principal, file_id: str, *, reading: bool = True
    ) -> tuple[RemoteTarget | None, CatalogFile | None]:
        """The target at which the catalog gives a file to the caller's project. Neither, where others may have it.

        ``reading`` lets targets be asked that give files to be read which are in no catalog.
        Raises :class:`~fileplane.errors.FileNotFound` when there are no others.
        """
        if not is_file_id(file_id):
            raise FileNotFound(file_id)
        stored = {target.virtual_key_id: target for target in reversed(route.everywhere) if target.virtual_key_id is not None}
        if stored:
            for row in await self._metadata.find_catalog_files(principal.project_id, file_id):
                if row.virtual_key_id in stored and row.state is FileState.BOUND:
                    return stored[row.virtual_key_id], row
        if not any(_may_have(target, file_id, reading=reading) for target in route.everywhere):
            raise _unreadable(route) or FileNotFound(file_id)
        return None, None

    async def _first(self, route: RemoteRoute, file_id: str, call: Callable[[RemoteTarget], Awaitable[T]], *, reading: bool = True) -> T:
        """What the first target gives that has the file, of those whose files are in no catalog."""
        failure = _unreadable(route)
        for target in route.everywhere:
            if not _may_have(target, file_id, reading=reading):
                continue
            if target.virtual_key_id is not None and await self._metadata.catalogued_ids(target.virtual_key_id, [file_id]):
                continue  # the catalog gives it to another project, whatever its key begins with
            try:
                return await repeated(target, call, route.trace)
            except FileNotFound:
                continue
            except StorageUnavailable:
                raise
            except FileplaneError as error:
                failure = failure or error
        raise failure or FileNotFound(file_id)

    async def _deleting(self, target: RemoteTarget, row: CatalogFile, file_id: str, origin: Origin) -> CatalogFile:
        """The deletion, begun. Jobs that hold the file are asked about first: they may have ended without anybody looking."""
        claim = Claim(self._holder, CLAIM_SECONDS)
        try:
            return await self._metadata.begin_catalog_delete(row.project_id, row.virtual_key_id, file_id, claim, origin)
        except FileInUse:
            await self._refresher.refresh_holders(target, row, origin)
        return await self._metadata.begin_catalog_delete(row.project_id, row.virtual_key_id, file_id, claim, origin)

    async def _deleted_there(self, target: RemoteTarget, intent: CatalogFile, file_id: str, route: RemoteRoute, origin: Origin) -> None:
        try:
            await repeated(target, lambda one: one.provider.delete(one.target, file_id), route.trace)
        except FileNotFound:
            _log.info("a file that is deleted was gone at %s already", target.provider.name)
        except FileplaneError as error:
            if _surely_kept(error, target):
                await self._still_there(intent, origin)
            else:
                error.add(_GONE_ON_WITH)
            raise

    async def _unfinished(self, route: RemoteRoute, principal: Principal, file_id: str, origin: Origin) -> tuple[RemoteTarget, CatalogFile]:
        """A deletion whose end nobody knows, taken up again: whoever was told to try again must not be told that there is no such file.

        Raises :class:`~fileplane.errors.FileNotFound`.
        """
        claim = Claim(self._holder, CLAIM_SECONDS)
        for target in route.everywhere if is_file_id(file_id) else ():
            if target.virtual_key_id is None:
                continue
            try:
                intent = await self._metadata.begin_catalog_delete(principal.project_id, target.virtual_key_id, file_id, claim, origin)
            except FileNotFound:
                continue
            target.require_bucket_of(file_id)
            return target, intent
        raise FileNotFound(file_id)

    async def _refreshed(self, row: CatalogFile, remote: RemoteFile) -> CatalogFile:
        later = row.ends_here and remote.expires_at is not None and row.expires_at is not None and remote.expires_at >= row.expires_at
        expires_at = None if later else remote.expires_at
        report = FileReport(status=None if remote.status is None else status_word(remote), expires_at=expires_at)
        if report.status in {None, row.status} and report.expires_at in {None, row.expires_at}:
            return row
        assert row.provider_file_id is not None
        return await self._metadata.refresh_catalog_file(row.project_id, row.virtual_key_id, row.provider_file_id, report)

    async def _without_content(self, route: RemoteRoute, target: RemoteTarget, row: CatalogFile, error: FileNotFound) -> FileplaneError:
        """What a 404 for the content means: only a provider that does not know the file either has forgotten it, which closes it here."""
        if not target.provider.capabilities(target.target).get:
            return error
        assert row.provider_file_id is not None
        file_id = row.provider_file_id
        try:
            await repeated(target, lambda one: one.provider.get(one.target, file_id), route.trace)
        except FileNotFound as gone:
            await self._forgotten(row)
            return gone
        return ProviderRefused(
            "The file is there, but no content of it now. Ask for it later, or look at its status.",
            status=404,
            type="invalid_request_error",
            code="content_not_found",
        )

    async def _forgotten(self, row: CatalogFile) -> None:
        assert row.provider_file_id is not None
        await self._metadata.close_catalog_file(row.project_id, row.virtual_key_id, row.provider_file_id, Origin())

    async def _still_there(self, intent: CatalogFile, origin: Origin) -> None:
        try:
            await self._metadata.cancel_catalog_delete(intent.project_id, intent.id, origin)
        except (IntentNotFound, StorageUnavailable) as error:
            _log.warning("that a deletion was refused could not be recorded, and is found out later: %s", error, exc_info=error)


def _may_have(target: RemoteTarget, file_id: str, *, reading: bool) -> bool:
    """Whether a target may be asked for a file that the catalog does not give to the caller's project.

    Never for a deletion through a stored credential: what a prefix is declared for is reading, and whose an object is that no catalog
    knows, nobody here can tell.
    """
    return target.virtual_key_id is None or (reading and target.gives(file_id))


def _surely_kept(error: FileplaneError, target: RemoteTarget) -> bool:
    """Whether a deletion that failed cannot have deleted anything. Of several attempts one before the last may have."""
    if isinstance(error, ProviderRefused):
        return error.status in _CLIENT_ERRORS
    return isinstance(error, _NEVER_SENT) or (isinstance(error, _NOT_SENT_THIS_TIME) and not target.repeats.attempts)


def _unreadable(route: RemoteRoute) -> FileplaneError | None:
    """Why it cannot be said that a file exists nowhere: it may be at a target whose credential cannot be read just now."""
    return next((closed.why for closed in route.closed if isinstance(closed.why, CredentialUnavailable)), None)


async def _outline(target: RemoteTarget, file_id: str) -> Outline:
    original = _downloadable(target).original_bytes
    file = await target.provider.get(target.target, file_id)
    return Outline(file.filename, file.bytes if original and not file.transformed else None, file.transformed)


def _downloadable(target: RemoteTarget) -> Capabilities:
    capabilities = target.provider.capabilities(target.target)
    if not capabilities.download:
        raise UnsupportedProviderOperation(f"{target.provider.name} cannot download files through this API.", param="x-portkey-provider")
    return capabilities
