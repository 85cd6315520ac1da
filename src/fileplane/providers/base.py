"""The Provider protocol: five operations on the files at one kind of upstream, and the values that cross it.

Every operation is given the target anew and keeps nothing of it, so one provider serves all callers at once. What goes wrong is raised as
a :class:`~fileplane.errors.FileplaneError` whose message holds no secret, and of the provider's answer neither headers nor cookies:

- :class:`~fileplane.errors.ProviderRefused`: the provider's own refusal, with its status, type, code and message.
- :class:`~fileplane.errors.FileNotFound`: it knows no such file, or the id is none that it can have given out.
- :class:`~fileplane.errors.UpstreamUnreachable`, :class:`~fileplane.errors.UpstreamTimeout`: nothing was changed, and asking again is safe.
  Of a deletion they do not say whether it happened; repeating it is safe, and then ends in FileNotFound if it had.
- :class:`~fileplane.errors.UpstreamSuspended`, :class:`~fileplane.errors.UpstreamBusy`: nothing was sent, since connections to it failed
  several times in a row, or as many calls as may be made at once are being made already.
- :class:`~fileplane.errors.UpstreamAnswerInvalid`: it answered what cannot be understood, or sends elsewhere with a redirect.
- :class:`~fileplane.errors.UpstreamOutcomeUnknown`: an upload was sent whole, and whether the provider has the file is not known.
- :class:`~fileplane.errors.UnsupportedProviderOperation`: the provider has no such operation; nothing was sent.
- :class:`~fileplane.errors.InvalidValue`: the target leads where the egress policy does not, or a field asks for what cannot be done there.

Cancelling an operation closes its connection. Every wait has a deadline.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from fileplane.catalog import JobKind
from fileplane.model import FileStatus
from fileplane.providers.remote_jobs import JobsProvider
from fileplane.providers.request_ids import Heard
from fileplane.secrets.values import Secret

LONGEST_ID_BYTES: Final = 200
_LENGTH_OF_A_UUID: Final = 36


class Paging(StrEnum):
    """How a provider's own list is paged. The adapter makes the same of every kind: files after an id, a limit, an order."""

    CURSOR = "cursor"
    """By the id of a file, as at OpenAI."""
    TOKEN = "token"  # noqa: S105 - a token of a page, no secret
    """By a token that each page gives for the next."""
    PAGES = "pages"
    """By number."""
    NONE = "none"
    """Not at all: the list is answered whole."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The bounds of ``expires_after``, inclusive, in seconds."""

    shortest: int
    longest: int


@dataclass(frozen=True, slots=True)
class PartUploads:
    """A provider's own uploads in parts, spoken as OpenAI's Uploads API. A limit that is None is not known."""

    max_bytes: int | None = None
    """Of the file that the parts come to."""
    max_part_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do. ``unverified`` names the fields that rest on documents and habit, not on a check."""

    upload: bool = True
    list: bool = True
    get: bool = True
    delete: bool = True
    download: bool = True
    downloads_uploads: bool = True
    """Whether what was uploaded can be downloaded. Otherwise only what the provider has made itself can, and it refuses the rest."""
    original_bytes: bool = True
    """Whether a download is what was uploaded, and not a text extracted from it."""
    transforms: bool = False
    """Whether it may be sent other bytes than the caller's, so that neither size nor hash says whose a file there is."""
    ranges: bool = True
    """Whether part of a file may be asked for. The answer says which part was served, also where it is the whole."""
    expiry: Expiry | None = None
    """None: a file cannot be given an expiry."""
    default_expiry_seconds: int | None = None
    paging: Paging = Paging.CURSOR
    default_list_limit: int = 100
    max_list_limit: int = 100
    max_bytes: int | None = None
    max_bytes_of: Mapping[str, int] = field(default_factory=dict)
    """Limits of single purposes; ``max_bytes`` is that of all others."""
    purposes: frozenset[str] | None = None
    """In the words of our callers; None: any."""
    keeps_purpose: bool = True
    """Whether a file's purpose can be read back. Otherwise it is known only to who uploaded it."""
    keeps_filename: bool = True
    """Likewise its name."""
    keeps_bytes: bool = True
    """Likewise its size."""
    needs_length: bool = False
    """Whether an upload is refused whose length is not known before it begins."""
    needs_lines: bool = False
    """Whether it must be told before an upload how many lines the file has."""
    needs_fields_first: bool = False
    """Whether it needs the form's fields before the file. Ours always come first; a caller's form must have been read so far."""
    accepts_empty: bool = True
    jobs: frozenset[JobKind] = frozenset()
    uploads: PartUploads | None = None
    """None: it has no uploads in parts. Otherwise its adapter is a :class:`~fileplane.providers.part_uploads.UploadsProvider` too."""
    unverified: frozenset[str] = frozenset()

    def max_bytes_for(self, purpose: str) -> int | None:
        """The largest file of that purpose; None where no limit is known."""
        return self.max_bytes_of.get(purpose, self.max_bytes)


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream as one request calls it. Showing it shows no secret.

    ``custom_host`` is a base URL instead of the provider's own, up to but not including ``/files``. ``secrets`` and ``fields`` are the
    credential by the names of ``routing/providers.py``. ``stored`` says that it is one that Fileplane keeps, so that ``custom_host`` must
    be the one that was saved with it: who makes a target must see to that. ``request_timeout_seconds`` bounds the time until the answer's
    head, for an upload the sending included. ``forward_headers`` are sent as they are, except for those that are ours to set. ``caller``
    is the project whose share of the connections is used. In ``heard`` an adapter leaves what the last answer said of itself.
    """

    provider: str
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    custom_host: str | None = None
    stored: bool = False
    request_timeout_seconds: float | None = None
    forward_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    caller: str = ""
    heard: Heard = field(default_factory=Heard, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteUpload:
    """A file about to be sent.

    ``content`` yields its bytes once; what it raises ends the upload and is raised as it is.
    Who made it closes it.

    With ``length`` the provider is told how long the body will be; content that turns out longer or shorter then fails the upload.
    With ``at_most``, which is for content that is a few bytes shorter if at all, it is told too: the form is filled up after its end.
    """

    purpose: str
    filename: str
    media_type: str
    content: AsyncIterator[bytes] = field(repr=False)
    expires_after: int | None = None
    """Seconds from its creation."""
    length: int | None = None
    at_most: int | None = None
    lines: int | None = None
    """How many lines it has, where the provider ``needs_lines``. A last one without a line break counts."""
    mark: str | None = None
    """The id of the upload, to be kept beside the file by a provider that can. See :class:`Mark`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a provider keeps beside a file, where it can, by which the upload that made it is known again; and whether that changed it."""

    upload: str
    transformed: bool = False

    def __str__(self) -> str:
        return f"{self.upload} transformed" if self.transformed else self.upload

    @classmethod
    def read(cls, text: object) -> Mark | None:
        """What :meth:`__str__` has written; None for anything else."""
        if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f-]{36}(?: transformed)?", text):
            return None
        return cls(text[:36], len(text) > _LENGTH_OF_A_UUID)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its provider describes it, in OpenAI's terms. What is None the provider does not say.

    ``transformed`` says of an upload that the provider has other bytes than were sent here; ``bytes`` then counts those that it has. Of a
    file that is only described, it says that a download has other bytes than the provider.
    ``existed`` says of one that the provider had a file of these bytes before, and this is that one: it is not the upload's to take back.
    """

    id: str
    bytes: int | None = None
    created_at: int | None = None
    expires_at: int | None = None
    filename: str | None = None
    purpose: str | None = None
    status: FileStatus | None = None
    status_details: str | None = None
    transformed: bool = False
    existed: bool = False
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class RemoteQuery:
    """A page of a provider's files. ``limit`` None leaves it to the provider; ``after`` is a file's id, exclusive."""

    limit: int | None = None
    after: str | None = None
    purpose: str | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class RemotePage:
    """One page in order. ``next_cursor`` is the ``after`` of the next page: set if and only if there is more."""

    files: tuple[RemoteFile, ...]
    has_more: bool
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range as HTTP has it: from ``first`` to ``last``, inclusive; without ``last`` to the end; without ``first`` the last so many."""

    first: int | None = None
    last: int | None = None

    def header(self) -> str:
        """For the ``Range`` header."""
        return f"bytes={'' if self.first is None else self.first}-{'' if self.last is None else self.last}"


@dataclass(frozen=True, slots=True)
class ServedRange:
    """What of a file is served: ``first`` to ``last``, inclusive, of ``size`` bytes, where that is known."""

    first: int
    last: int
    size: int | None


class RemoteContent(Protocol):
    """An open download. Iterating yields its bytes once, in order, in pieces of at most 1 MiB."""

    @property
    def status(self) -> int:
        """200 for the whole file, 206 for a part of it."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes that will be yielded, where the provider says so."""
        ...

    @property
    def served(self) -> ServedRange | None:
        """The part that is really served; None for the whole, which is also served where a provider does not heed ranges."""
        ...

    @property
    def media_type(self) -> str | None:
        """As the provider says."""
        ...

    @property
    def transformed(self) -> bool:
        """Whether other bytes are served than the provider has, so that the size it tells of the file is not theirs."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes. Ends only at the end: a body that breaks off or falls short raises
        :class:`~fileplane.errors.UpstreamUnreachable`, one that stalls :class:`~fileplane.errors.UpstreamTimeout`.
        """  # noqa: D205 - one sentence
        ...


class Provider(JobsProvider, Protocol):
    """One kind of upstream, with its jobs. Callable from any task, for any number of targets at once."""

    @property
    def name(self) -> str:
        """As ``x-portkey-provider`` has it."""
        ...

    def capabilities(self, target: Target) -> Capabilities:
        """What can be done there. Raises :class:`~fileplane.errors.InvalidValue` when the target's fields contradict each other."""
        ...

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """Sends a file. Not idempotent: repeated, it makes a second file. Nothing is ever sent a second time by itself.

        Until the last byte is handed to the connection, a failure leaves no file, for the form is cut off before its end. After that it is
        :class:`~fileplane.errors.UpstreamOutcomeUnknown`, except where the provider refuses. A refusal that comes while the file is being
        sent ends the sending. Raises :class:`~fileplane.errors.FileTooLarge` for what exceeds the provider's limit, as soon as it is known.
        """
        ...

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """One page, and truly whether there is more, also where the provider's own list cannot say or is not paged.

        Where it has to be walked for that, only within a bound. Raises :class:`~fileplane.errors.InvalidValue` for an unknown ``after``.
        """
        ...

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """One file. Raises :class:`~fileplane.errors.FileNotFound`."""
        ...

    def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AbstractAsyncContextManager[RemoteContent]:
        """A download. Leaving it early closes its connection.

        Raises, on entering, :class:`~fileplane.errors.FileNotFound` and :class:`~fileplane.errors.InvalidRange`.
        """
        ...

    async def delete(self, target: Target, file_id: str) -> None:
        """Removes a file. Raises :class:`~fileplane.errors.FileNotFound` when there is none, also when it was removed before."""
        ...
