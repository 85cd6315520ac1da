"""Uploads to providers: straight through where that can be, from a temporary copy where they may have to be sent again.

A stored credential's uploads are reserved in the catalog before they are sent and bound after, so that a crash anywhere leaves an intent
that is found. A form that turns out to be refused is cut off before its end, so that the provider cannot take it for whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar

from fileplane.access import Principal
from fileplane.catalog import CatalogFile, Claim, FileState, NewUpload, Reservation, UploadedFile
from fileplane.clock import Clock
from fileplane.errors import (
    FileplaneError,
    FileTooLarge,
    IdempotencyConflict,
    StorageUnavailable,
    UploadLost,
    UploadUnresolved,
    UpstreamOutcomeUnknown,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.attempts import along_the_plan
from fileplane.files.early_refusals import refuse_at_once
from fileplane.files.form import UploadEvent
from fileplane.files.native import NativeFiles
from fileplane.files.passage import Passage
from fileplane.files.remote_expiry import ends_here
from fileplane.files.remote_form import RemoteForm
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, virtual_key_gone
from fileplane.files.remote_shapes import file_at_provider, file_in_catalog, status_word
from fileplane.files.sending import Incoming, Sending
from fileplane.files.spool import spooled
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound, IntentNotFound
from fileplane.metadata.control import VirtualKeyNotFound
from fileplane.model import CreatedFile, Idempotency, Origin
from fileplane.providers.base import RemoteFile, RemoteUpload
from fileplane.settings import Settings

SPOOL_NAME: Final = "spool"
CLAIM_SECONDS: Final = 600
_RENEWALS: Final = 3
_BIND_ATTEMPTS: Final = 4
_BIND_WAIT_SECONDS: Final = 0.2
_SMALL: Final = 256 * 1024
"""A form of this size is read to its end first: its length can then be announced, and its fields come in any order."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _Watched:
    """Knows of one attempt whether all bytes were handed over."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._handed_over = False

    async def content(self) -> AsyncIterator[bytes]:
        async for piece in self._sending.content():
            yield piece
        self._handed_over = True

    def leaves_open(self, error: BaseException) -> bool:
        """Whether nobody knows what has become of it: whoever is cancelled once all is handed over cannot know whether it has arrived."""
        may_have_arrived = self._handed_over or self._sending.is_a_call
        return isinstance(error, UpstreamOutcomeUnknown) or (may_have_arrived and not isinstance(error, FileplaneError))


class RemoteUploads:
    """See the module."""

    def __init__(self, metadata: MetadataStore, settings: Settings, clock: Clock, native: NativeFiles | None = None) -> None:
        self._metadata = metadata
        self._native = native
        self._settings = settings
        self._clock = clock
        self._uploads = Uploads(metadata, settings)
        self._spool_directory: Path = settings.data_dir / SPOOL_NAME
        self._holder = new_holder()
        self._concluding: set[asyncio.Task[Any]] = set()

    async def settle(self) -> None:
        """Returns when all that has ended has been recorded. To be called before the database is closed."""
        await self._uploads.settle()
        while self._concluding:
            await asyncio.wait(self._concluding)

    async def create(
        self,
        route: RemoteRoute,
        principal: Principal,
        origin: Origin,
        events: AsyncIterator[UploadEvent],
        declared_length: int | None,
        idempotency_key: str | None,
        received: Received,
    ) -> CreatedFile:
        """Sends one upload along a route. See :meth:`fileplane.files.native.NativeFiles.create`, and the module."""
        passage = Passage(principal, self._metadata, self._clock, received, self._settings.max_form_overhead_bytes)
        refuse_at_once(route, declared_length, self._settings.max_form_overhead_bytes, repeatable=idempotency_key is not None)
        await passage.admit(declared_length)
        if route.only is not None and route.only.keep_copy and idempotency_key is None:
            assert self._native is not None, "whoever makes routes that keep copies gives it here"
            await self._native.require_room(principal, declared_length)
        incoming = Incoming(events, RemoteForm(self._settings, principal), passage)
        # Where no key is asked for, there is no project that anything could be counted for.
        async with self._uploads.going_on(principal, received) if principal.project_id else nullcontext():
            await incoming.begin()
            if self._goes_straight(route, incoming.form) and not await _is_small(incoming, declared_length):
                incoming.committed = True
                idempotency = _idempotency(idempotency_key, incoming.form)
                return await self._along(route, Sending(principal, origin, incoming, None, idempotency, several=False), received)
            async with spooled(self._spool_directory, self._settings.min_free_disk_bytes) as spool:
                async for piece in incoming.content():
                    self._check_spooled(incoming.size)
                    await spool.write(piece)
                await spool.flush()
                idempotency = _idempotency(idempotency_key, incoming.form)
                several = len(route.plan) > 1
                return await self._along(route, Sending(principal, origin, incoming, spool, idempotency, several), received)

    def _goes_straight(self, route: RemoteRoute, form: RemoteForm) -> bool:
        only = route.only
        if only is None or only.repeats.attempts or only.keep_copy:
            return False
        known = form.known_purpose is not None and form.known_filename is not None
        needs = only.provider.capabilities(only.target)
        return known and not needs.needs_length and not needs.needs_lines

    def _check_spooled(self, size: int) -> None:
        """A provider without a limit must not make anybody's upload fill this server's disk."""
        most = self._settings.max_file_bytes
        if size > most:
            raise FileTooLarge(
                f"This upload has to be kept here while it is sent, and is larger than {most} bytes, the server's limit for that. Send "
                "'purpose' before the file, by a route with one target and no retry, and it is passed on as it comes.",
                param="file",
            )

    async def send_along(self, route: RemoteRoute, sending: Sending) -> CreatedFile:
        """Sends what is kept here along a route of providers. Raises as :meth:`create`."""
        return await self._along(route, sending, Received())

    async def _at(self, target: RemoteTarget, sending: Sending, route: RemoteRoute) -> CreatedFile:
        if target.virtual_key_id is not None:
            return await self._catalogued(target, target.virtual_key_id, sending, route)
        watched = _Watched(sending)
        try:
            if sending.steps is not None:
                await sending.steps.begun(None)
            remote = await self._sent(target, sending, watched.content())
        except BaseException as error:
            if sending.steps is not None and not watched.leaves_open(error) and not isinstance(error, UploadUnresolved):
                await asyncio.shield(self._later(sending.steps.abandoned()))
            raise
        return CreatedFile(file_at_provider(sending.principal.project_id, remote), repeated=False)

    async def _along(self, route: RemoteRoute, sending: Sending, received: Received) -> CreatedFile:
        async def send(target: RemoteTarget) -> CreatedFile:
            return await self._at(target, sending, route)

        async def keep() -> CreatedFile:
            assert self._native is not None, "whoever makes routes with the native store in them gives it here"
            return await self._native.create_from_copy(sending.principal, sending.origin, sending.events(), sending.incoming.size, received)

        return await along_the_plan(route, send, keep)

    async def _sent(self, target: RemoteTarget, sending: Sending, content: AsyncIterator[bytes], mark: str | None = None) -> RemoteFile:
        if sending.steps is not None and sending.steps.call is not None:
            return await sending.steps.call(target)
        form, spool = sending.incoming.form, sending.spool
        counted = spool is not None and target.provider.capabilities(target.target).needs_lines
        upload = RemoteUpload(
            purpose=form.purpose,
            filename=form.filename,
            media_type=form.media_type,
            content=content,
            expires_after=None if ends_here(target, form.expires_after) else form.expires_after,
            length=None if spool is None else spool.size,
            at_most=None if spool is not None else sending.incoming.at_most,
            lines=spool.lines if spool is not None and counted else None,
            mark=mark,
        )
        return await target.provider.upload(target.target, upload)

    async def _catalogued(self, target: RemoteTarget, virtual_key_id: str, sending: Sending, route: RemoteRoute) -> CreatedFile:
        claim, new = Claim(self._holder, CLAIM_SECONDS), sending.new_upload(target, virtual_key_id)
        try:
            reservation = await self._reserved(target, new, claim, sending)
        except VirtualKeyNotFound as error:
            raise virtual_key_gone() from error
        intent = reservation.file
        if reservation.repeated:
            return await _repeated(intent, sending, route)
        watched = _Watched(sending)
        try:
            async with self._claimed(intent, claim):
                if sending.steps is not None:
                    await sending.steps.begun(intent.id)
                remote = await self._sent(target, sending, watched.content(), intent.id)
        except BaseException as error:
            await asyncio.shield(self._later(self._give_up(intent, sending, unknown=watched.leaves_open(error))))
            raise
        return CreatedFile(await asyncio.shield(self._later(self._bound(target, intent, sending, remote))), repeated=False)

    async def _reserved(self, target: RemoteTarget, new: NewUpload, claim: Claim, sending: Sending) -> Reservation:
        """The reservation, with a copy of the bytes in the native store where the target's are kept: durable before anything is sent."""
        project_id, incoming = sending.principal.project_id, sending.incoming
        if not target.keep_copy or sending.is_a_call:
            # Of a file that a call makes nothing is here: what was announced where no copy was kept has none, whatever is wished by now.
            return await self._metadata.reserve_upload(project_id, new, claim, sending.origin, sending.idempotency)
        assert self._native is not None, "whoever makes routes that keep copies gives it here"
        key = sending.idempotency
        if key is not None and await self._metadata.repeated_upload_bytes(project_id, key.key_hash) is not None:
            # A repetition needs no room, and no second copy.
            made = await self._metadata.reserve_upload(project_id, new, claim, sending.origin, key)
            if made.repeated:
                return made
            await self._metadata.fail_upload(project_id, made.file.id, sending.origin)
        async with self._native.copied(sending.principal, sending.content(), incoming.form, incoming.size) as copy:
            made = await self._metadata.reserve_upload(project_id, new, claim, sending.origin, key, copy)
        if made.repeated:
            await self._native.discard(copy)
        return made

    async def _bound(self, target: RemoteTarget, intent: CatalogFile, sending: Sending, remote: RemoteFile) -> Any:
        size, sha256 = sending.incoming.size, sending.incoming.sha256
        if remote.transformed and remote.bytes is not None:
            size = remote.bytes
        uploaded = UploadedFile(remote.id, size, status_word(remote), sha256, remote.expires_at, remote.transformed)
        for attempt in range(_BIND_ATTEMPTS):
            try:
                bound = await self._metadata.bind_upload(intent.project_id, intent.id, uploaded, sending.origin)
            except StorageUnavailable as error:
                if attempt == _BIND_ATTEMPTS - 1:
                    raise UploadLost(
                        "The provider has the file, but that could not be recorded yet; it will be found. Look at the list later."
                    ) from error
                await asyncio.sleep(_BIND_WAIT_SECONDS * 2**attempt)
            except AlreadyBound as error:
                await self._give_up(intent, sending, unknown=False)
                raise UploadLost("The provider answered with the id of another file. It may have this one; ask its operator.") from error
            except IntentNotFound as error:
                await self._abandon(target, intent, remote)
                raise UploadLost("The upload took so long that it was given up meanwhile. Send it again.") from error
            else:
                return file_in_catalog(bound, remote.status_details)
        raise AssertionError("unreachable")

    async def _abandon(self, target: RemoteTarget, intent: CatalogFile, remote: RemoteFile) -> None:
        try:
            # Some providers answer an upload of the same bytes with the file that they have, which may be anybody's.
            if remote.existed or await self._metadata.catalogued_ids(intent.virtual_key_id, [remote.id]):
                return
            await target.provider.delete(target.target, remote.id)
        except FileplaneError as error:
            _log.error("a file at %s belongs to nobody and could not be deleted there: %s", target.provider.name, remote.id, exc_info=error)

    async def _give_up(self, intent: CatalogFile, sending: Sending, *, unknown: bool) -> None:
        try:
            if unknown:
                await self._metadata.mark_upload_unknown(intent.project_id, intent.id, sending.origin, release_key=sending.several)
            else:
                await self._metadata.fail_upload(intent.project_id, intent.id, sending.origin)
        except (StorageUnavailable, IntentNotFound) as error:
            _log.warning("the end of an upload could not be recorded, and is found out later: %s", error, exc_info=error)

    @asynccontextmanager
    async def _claimed(self, intent: CatalogFile, claim: Claim) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(intent, claim), name="fileplane-upload-claim")
        try:
            yield
        finally:
            renewing.cancel()

    async def _renew(self, intent: CatalogFile, claim: Claim) -> None:
        while True:
            await asyncio.sleep(claim.seconds / _RENEWALS)
            try:
                await self._metadata.renew_claim(intent.project_id, intent.id, claim)
            except FileplaneError as error:
                _log.warning("the claim on an upload could not be renewed, and is tried again: %s", error, exc_info=error)

    def _later(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="fileplane-upload-conclusion")
        self._concluding.add(task)
        task.add_done_callback(self._concluding.discard)
        return task


async def _is_small(incoming: Incoming, declared_length: int | None) -> bool:
    if declared_length is not None:
        return declared_length <= _SMALL
    return await incoming.ends_within(_SMALL)


def _idempotency(key: str | None, form: RemoteForm) -> Idempotency | None:
    """Of what is known before the body; the bytes are compared with those of the file that a repeated key stands for."""
    if key is None:
        return None
    parts = "\0".join((form.purpose, form.filename, str(form.expires_after)))
    return Idempotency(hashlib.sha256(key.encode()).digest(), hashlib.sha256(f"remote\0{parts}".encode()).digest())


async def _repeated(file: CatalogFile, sending: Sending, route: RemoteRoute) -> CreatedFile:
    """The file of the first upload, if this one has the same bytes and may go where that one went.

    Raises :class:`~fileplane.errors.IdempotencyConflict`.
    """
    if sending.spool is None:
        async for _ in sending.content():
            pass
    holder = next((target for target in route.everywhere if target.virtual_key_id == file.virtual_key_id), None)
    if holder is None:
        raise IdempotencyConflict
    route.trace.path, route.trace.provider = holder.path, holder.provider.name
    if file.state is not FileState.BOUND:
        raise IdempotencyConflict.unresolved()
    if file.sha256 != sending.incoming.sha256:
        raise IdempotencyConflict
    return CreatedFile(file_in_catalog(file), repeated=True)
