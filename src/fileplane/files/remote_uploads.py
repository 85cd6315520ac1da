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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from fileplane.access import Principal
from fileplane.catalog import CatalogFile, Claim, FileState, NewUpload, UploadedFile
from fileplane.clock import Clock
from fileplane.errors import (
    FileplaneError,
    FileTooLarge,
    IdempotencyConflict,
    InvalidValue,
    StorageUnavailable,
    UnsupportedProviderOperation,
    UploadLost,
    UpstreamOutcomeUnknown,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.attempts import along_the_plan
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.native import NativeFiles
from fileplane.files.passage import Passage
from fileplane.files.remote_form import RemoteForm
from fileplane.files.remote_route import ClosedTarget, NativeTarget, RemoteRoute, RemoteTarget, virtual_key_gone
from fileplane.files.remote_shapes import file_at_provider, file_in_catalog, status_word
from fileplane.files.spool import Spool, spooled
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


class Incoming:
    """The form as it arrives: up to the file, then the file and whatever comes after it."""

    def __init__(self, events: AsyncIterator[UploadEvent], form: RemoteForm, passage: Passage) -> None:
        self._events = aiter(events)
        self._passage = passage
        self._hash = hashlib.sha256()
        self.form = form
        self.size = 0
        self.at_most: int | None = None
        """See :class:`~fileplane.files.form.FileBegins`."""
        self.committed = False
        """Whether fields can come no more, because what they would change has been sent."""

    @property
    def sha256(self) -> str:
        """Of the bytes so far, in hex."""
        return self._hash.hexdigest()

    async def begin(self) -> None:
        """Reads up to the file. Raises an :class:`~fileplane.errors.InvalidRequest` for a form that has none."""
        async for event in self._events:
            if isinstance(event, FileBegins):
                self.form.begin_file(event)
                self.at_most = event.at_most
                return
            assert isinstance(event, FormField), "bytes come after the file has begun"
            self.form.take_field(event)
            await self._passage.take(0)
        self.form.require_complete()

    async def content(self) -> AsyncIterator[bytes]:
        """The file's bytes. Ends when the whole form has come and is in order."""
        async for event in self._events:
            if isinstance(event, bytes):
                self.size += len(event)
                await self._passage.take(self.size)
                self._hash.update(event)
                yield event
            elif isinstance(event, FormField):
                if self.committed:
                    raise InvalidValue(
                        f"'{event.name[:80]}' came after the file, which is passed on as it comes. Send the file last.",
                        param=event.name[:80],
                    )
                self.form.take_field(event)
            else:
                self.form.begin_file(event)
        self.form.require_complete()


@dataclass(frozen=True, slots=True)
class Sending:
    """One upload, whichever target it goes to. Without ``spool`` it is sent as it comes, which can be done once."""

    principal: Principal
    origin: Origin
    incoming: Incoming
    spool: Spool | None
    idempotency: Idempotency | None
    several: bool
    """Whether another target may follow the one that fails."""

    def content(self) -> AsyncIterator[bytes]:
        """The file's bytes, for one attempt."""
        return self.incoming.content() if self.spool is None else self.spool.read()

    async def events(self) -> AsyncIterator[UploadEvent]:
        """The whole form again, from the temporary copy."""
        for event in self.incoming.form.events_before_the_bytes():
            yield event
        async for piece in self.content():
            yield piece

    def new_upload(self, virtual_key_id: str) -> NewUpload:
        """What the catalog is told before anything is sent."""
        form, whole = self.incoming.form, self.spool is not None
        return NewUpload(
            virtual_key_id,
            form.purpose,
            form.filename,
            form.media_type,
            self.principal.key_id,
            bytes=self.incoming.size if whole else None,
            sha256=self.incoming.sha256 if whole else None,
            expires_after=form.expires_after,
        )


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
        _refuse_at_once(route, declared_length, self._settings.max_form_overhead_bytes, repeatable=idempotency_key is not None)
        await passage.admit(declared_length)
        incoming = Incoming(events, RemoteForm(self._settings, principal), passage)
        # Where no key is asked for, there is no project that anything could be counted for.
        async with self._uploads.going_on(principal, received) if principal.project_id else nullcontext():
            await incoming.begin()
            if self._goes_straight(route, incoming.form, declared_length):
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

    def _goes_straight(self, route: RemoteRoute, form: RemoteForm, declared_length: int | None) -> bool:
        only = route.only
        if only is None or only.repeats.attempts:
            return False
        small = declared_length is not None and declared_length <= _SMALL
        known = form.known_purpose is not None and form.known_filename is not None
        return known and not small and not only.provider.capabilities(only.target).needs_length

    def _check_spooled(self, size: int) -> None:
        """A provider without a limit must not make anybody's upload fill this server's disk."""
        most = self._settings.max_file_bytes
        if size > most:
            raise FileTooLarge(
                f"This upload has to be kept here while it is sent, and is larger than {most} bytes, the server's limit for that. Send "
                "'purpose' before the file, by a route with one target and no retry, and it is passed on as it comes.",
                param="file",
            )

    async def _along(self, route: RemoteRoute, sending: Sending, received: Received) -> CreatedFile:
        async def send(target: RemoteTarget) -> CreatedFile:
            if target.virtual_key_id is None:
                return CreatedFile(file_at_provider(sending.principal.project_id, await self._sent(target, sending)), repeated=False)
            return await self._catalogued(target, target.virtual_key_id, sending)

        async def keep() -> CreatedFile:
            assert self._native is not None, "whoever makes routes with the native store in them gives it here"
            return await self._native.create_from_copy(sending.principal, sending.origin, sending.events(), sending.incoming.size, received)

        return await along_the_plan(route, send, keep)

    async def _sent(self, target: RemoteTarget, sending: Sending, content: AsyncIterator[bytes] | None = None) -> RemoteFile:
        form = sending.incoming.form
        upload = RemoteUpload(
            purpose=form.purpose,
            filename=form.filename,
            media_type=form.media_type,
            content=content or sending.content(),
            expires_after=form.expires_after,
            length=None if sending.spool is None else sending.spool.size,
            at_most=None if sending.spool is not None else sending.incoming.at_most,
        )
        return await target.provider.upload(target.target, upload)

    async def _catalogued(self, target: RemoteTarget, virtual_key_id: str, sending: Sending) -> CreatedFile:
        claim = Claim(self._holder, CLAIM_SECONDS)
        try:
            reservation = await self._metadata.reserve_upload(
                sending.principal.project_id, sending.new_upload(virtual_key_id), claim, sending.origin, sending.idempotency
            )
        except VirtualKeyNotFound as error:
            raise virtual_key_gone() from error
        intent = reservation.file
        if reservation.repeated:
            return await _repeated(intent, sending)
        handed_over = False

        async def watched() -> AsyncIterator[bytes]:
            nonlocal handed_over
            async for piece in sending.content():
                yield piece
            handed_over = True

        try:
            async with self._claimed(intent, claim):
                remote = await self._sent(target, sending, watched())
        except BaseException as error:
            # Whoever is cancelled once all is handed over cannot know whether it has arrived.
            unknown = isinstance(error, UpstreamOutcomeUnknown) or (handed_over and not isinstance(error, FileplaneError))
            await asyncio.shield(self._later(self._give_up(intent, sending, unknown=unknown)))
            raise
        return CreatedFile(await asyncio.shield(self._later(self._bound(target, intent, sending, remote))), repeated=False)

    async def _bound(self, target: RemoteTarget, intent: CatalogFile, sending: Sending, remote: RemoteFile) -> Any:
        size, sha256 = sending.incoming.size, sending.incoming.sha256
        uploaded = UploadedFile(remote.id, size, status_word(remote), sha256, remote.expires_at)
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
            if await self._metadata.catalogued_ids(intent.virtual_key_id, [remote.id]):
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


def _refuse_at_once(route: RemoteRoute, declared_length: int | None, form_bytes: int, *, repeatable: bool) -> None:
    """What is known before the body to be refused by the only target."""
    if isinstance(route.plan[0], ClosedTarget):
        raise route.plan[0].why
    for target in route.plan if repeatable else ():
        if isinstance(target, RemoteTarget) and target.virtual_key_id is None:
            raise UnsupportedProviderOperation(
                "An Idempotency-Key needs a virtual key that keeps a catalog: without one, nothing here knows what was uploaded before.",
                param="idempotency-key",
            )
        if isinstance(target, NativeTarget):
            raise UnsupportedProviderOperation(
                "An Idempotency-Key holds for the native store or for virtual keys, not for a fallback between them. Leave it out.",
                param="idempotency-key",
            )
    if (only := route.only) is None:
        return
    capabilities = only.provider.capabilities(only.target)
    if not capabilities.upload:
        raise UnsupportedProviderOperation(f"{only.provider.name} takes no uploads through this API.", param="x-portkey-provider")
    limits = [capabilities.max_bytes, *capabilities.max_bytes_of.values()]
    if declared_length is None or None in limits:
        return
    most = max(limit for limit in limits if limit is not None)
    if declared_length - form_bytes > most:
        raise FileTooLarge(f"The provider takes files of at most {most} bytes. Send a smaller one.", param="file")


def _idempotency(key: str | None, form: RemoteForm) -> Idempotency | None:
    """Of what is known before the body; the bytes are compared with those of the file that a repeated key stands for."""
    if key is None:
        return None
    parts = "\0".join((form.purpose, form.filename, str(form.expires_after)))
    return Idempotency(hashlib.sha256(key.encode()).digest(), hashlib.sha256(f"remote\0{parts}".encode()).digest())


async def _repeated(file: CatalogFile, sending: Sending) -> CreatedFile:
    """The file of the first upload, if this one has the same bytes. Raises :class:`~fileplane.errors.IdempotencyConflict`."""
    if sending.spool is None:
        async for _ in sending.content():
            pass
    if file.state is not FileState.BOUND:
        raise IdempotencyConflict.unresolved()
    if file.sha256 != sending.incoming.sha256:
        raise IdempotencyConflict
    return CreatedFile(file_in_catalog(file), repeated=True)
