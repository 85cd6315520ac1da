"""An upload on its way to providers: the form as it arrives, or what is kept of it here, and what the catalog is told."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from fileplane.access import Principal
from fileplane.catalog import NewUpload
from fileplane.errors import InvalidValue
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.passage import Passage
from fileplane.files.remote_expiry import ends_here
from fileplane.files.remote_form import RemoteForm
from fileplane.files.remote_route import RemoteTarget
from fileplane.model import Idempotency, Origin
from fileplane.providers.base import RemoteFile


class Incoming:
    """The form as it arrives: up to the file, then the file and whatever comes after it."""

    def __init__(self, events: AsyncIterator[UploadEvent], form: RemoteForm, passage: Passage) -> None:
        self._events = aiter(events)
        self._passage = passage
        self._pieces = self._read()
        self._ahead: deque[bytes] = deque()
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

    async def ends_within(self, size: int) -> bool:
        """Whether the whole form comes with at most so many bytes of the file, of which one piece more at most is read for that."""
        async for piece in self._pieces:
            self._ahead.append(piece)
            if self.size > size:
                return False
        return True

    async def content(self) -> AsyncIterator[bytes]:
        """The file's bytes. Ends when the whole form has come and is in order."""
        while self._ahead:
            yield self._ahead.popleft()
        async for piece in self._pieces:
            yield piece

    async def _read(self) -> AsyncIterator[bytes]:
        async for event in self._events:
            if isinstance(event, bytes):
                self.size += len(event)
                await self._passage.take(self.size)
                self._hash.update(event)
                yield event
            elif isinstance(event, FormField):
                if self.committed:
                    raise InvalidValue(
                        f"'{event.name[:80]}' came after the file, which is passed on as it comes. Send the file's part last.",
                        param=event.name[:80],
                    )
                self.form.take_field(event)
            else:
                self.form.begin_file(event)
        self.form.require_complete()


class Source(Protocol):
    """A file that is to be at a provider, and what is said of it. See :class:`Incoming`."""

    @property
    def form(self) -> RemoteForm:
        """What its form says."""
        ...

    @property
    def size(self) -> int:
        """Bytes so far."""
        ...

    @property
    def sha256(self) -> str | None:
        """Of the bytes so far, in hex; None where nobody here has had them all in their order."""
        ...

    @property
    def at_most(self) -> int | None:
        """See :class:`~fileplane.files.form.FileBegins`."""
        ...

    def content(self) -> AsyncIterator[bytes]:
        """The bytes, once."""
        ...


class Kept(Protocol):
    """The same bytes where they can be read as often as needed. See :class:`~fileplane.files.spool.Spool`."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def lines(self) -> int:
        """How many lines they have."""
        ...

    def read(self) -> AsyncIterator[bytes]:
        """From the beginning."""
        ...


Call = Callable[[RemoteTarget], Awaitable[RemoteFile]]
"""What makes a file at a target from what is there already."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What an upload in parts has to know of the sending of its file.

    ``begun`` is called before each attempt with the intent's id, or None where there is no catalog; what it raises ends the attempt.
    ``abandoned`` is called after one without a catalog that has certainly failed. ``call`` makes the file instead of an upload.
    """

    begun: Callable[[str | None], Awaitable[None]]
    abandoned: Callable[[], Coroutine[Any, Any, None]]
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """One upload, whichever target it goes to. Without ``spool`` it is sent as it comes, which can be done once."""

    principal: Principal
    origin: Origin
    incoming: Source
    spool: Kept | None
    idempotency: Idempotency | None
    several: bool
    """Whether another target may follow the one that fails."""
    steps: Steps | None = None

    @property
    def is_a_call(self) -> bool:
        """Whether the file is made by a call, of which nobody knows when it has arrived."""
        return self.steps is not None and self.steps.call is not None

    def content(self) -> AsyncIterator[bytes]:
        """The file's bytes, for one attempt."""
        return self.incoming.content() if self.spool is None else self.spool.read()

    async def events(self) -> AsyncIterator[UploadEvent]:
        """The whole form again, from the temporary copy."""
        for event in self.incoming.form.events_before_the_bytes():
            yield event
        async for piece in self.content():
            yield piece

    def new_upload(self, target: RemoteTarget, virtual_key_id: str) -> NewUpload:
        """What the catalog is told before anything is sent. Raises :class:`~fileplane.errors.InvalidValue`."""
        form, whole = self.incoming.form, self.spool is not None or self.is_a_call
        return NewUpload(
            virtual_key_id,
            form.purpose,
            form.filename,
            form.media_type,
            self.principal.key_id,
            bytes=self.incoming.size if whole else None,
            sha256=self.incoming.sha256 if whole else None,
            expires_after=form.expires_after,
            ends_here=ends_here(target, form.expires_after),
        )
