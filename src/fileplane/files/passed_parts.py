"""Parts of uploads that a provider takes itself: passed on as they come, or from a temporary copy where they may have to be sent again."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from fileplane.errors import FileTooLarge
from fileplane.files.attempts import repeated
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.passage import Passage
from fileplane.files.remote_route import RemoteTarget, Trace
from fileplane.files.spool import spooled
from fileplane.files.uploads import PartForm
from fileplane.providers.part_uploads import PartBody, RemotePart, uploads_at


class IncomingPart:
    """The form of a part as it arrives."""

    def __init__(self, events: AsyncIterator[UploadEvent], passage: Passage) -> None:
        self._events = aiter(events)
        self._passage = passage
        self._form = PartForm()
        self._hash = hashlib.sha256()
        self.size = 0
        self.at_most: int | None = None

    @property
    def sha256(self) -> str:
        """Of the bytes so far, in hex."""
        return self._hash.hexdigest()

    async def begin(self) -> None:
        """Reads up to the bytes. Raises an :class:`~fileplane.errors.InvalidRequest` for a form that has none."""
        async for event in self._events:
            if isinstance(event, FileBegins):
                self._form.begin_file(event)
                self.at_most = event.at_most
                return
            assert isinstance(event, FormField), "bytes come after the file has begun"
            self._form.take_field(event)
        self._form.require_complete(0)

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes. Ends when the whole form has come and is in order."""
        async for event in self._events:
            if isinstance(event, bytes):
                self.size += len(event)
                await self._passage.take(self.size)
                self._hash.update(event)
                yield event
            elif isinstance(event, FormField):
                self._form.take_field(event)
            else:
                self._form.begin_file(event)
        self._form.require_complete(self.size)


@dataclass(frozen=True, slots=True)
class Spooling:
    """Where temporary copies are made. See :func:`~fileplane.files.spool.spooled`."""

    directory: Path
    min_free_bytes: int
    max_bytes: int
    """Of one copy: a provider without a limit must not make anybody's part fill this server's disk."""


async def passed_on(target: RemoteTarget, upload_id: str, incoming: IncomingPart, spooling: Spooling, trace: Trace) -> RemotePart:
    """The part at the provider, by whose id of it the upload is named. Sent again only where the target's config says so."""
    uploads = uploads_at(target.provider, target.target)
    assert uploads is not None, "whoever passes parts on has looked"
    await incoming.begin()
    if not target.repeats.attempts:
        body = PartBody(incoming.content(), at_most=incoming.at_most)
        part = await repeated(target, lambda one: uploads.add_part(one.target, upload_id, body), trace)
        return replace(part, bytes=incoming.size)
    limits = target.provider.capabilities(target.target).uploads
    most = None if limits is None else limits.max_part_bytes
    async with spooled(spooling.directory, spooling.min_free_bytes) as spool:
        async for piece in incoming.content():
            await spool.write(piece)
            if most is not None and spool.size > most:
                break  # the adapter refuses it by its length, in the provider's name
            if spool.size > spooling.max_bytes:
                raise FileTooLarge(
                    f"This part must be kept here while it is sent, and is larger than the server's limit of {spooling.max_bytes} bytes. "
                    "Send the file in more parts, or by a route without a retry, and each is passed on as it comes.",
                    param="data",
                )
        await spool.flush()
        part = await repeated(target, lambda one: uploads.add_part(one.target, upload_id, PartBody(spool.read(), spool.size)), trace)
        return replace(part, bytes=incoming.size)
