"""The protocol of providers that have uploads in parts, as OpenAI's Uploads API has them, and the values that cross it.

An upload that is not completed expires at the provider by itself and leaves no file, and so does a part that no completion names. So of
all four calls only a completion can have an outcome that matters and that nobody knows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from fileplane.providers.base import Provider, RemoteFile, Target


@dataclass(frozen=True, slots=True)
class NewPartUpload:
    """An upload about to be announced. ``bytes`` is what its parts will come to; ``expires_after`` is of the file, in seconds."""

    purpose: str
    filename: str
    media_type: str
    bytes: int
    expires_after: int | None = None


@dataclass(frozen=True, slots=True)
class PartBody:
    """A part about to be sent; the fields as in :class:`~fileplane.providers.base.RemoteUpload`."""

    content: AsyncIterator[bytes] = field(repr=False)
    length: int | None = None
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class RemotePart:
    """A part as its provider describes it, with what was counted while it was sent."""

    id: str
    created_at: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RemotePartUpload:
    """An upload as its provider describes it. What is None it does not say; ``file`` is that of a completed one."""

    id: str
    status: str
    bytes: int | None = None
    created_at: int | None = None
    expires_at: int | None = None
    filename: str | None = None
    purpose: str | None = None
    file: RemoteFile | None = None


class UploadsProvider(Protocol):
    """What every :class:`~fileplane.providers.base.Provider` is too whose capabilities at a target have ``uploads``.

    Each raises what :mod:`fileplane.providers.base` lists, and :class:`~fileplane.errors.UploadNotFound` for an upload that the provider
    does not know, or whose id it cannot have given out.
    """

    async def create_upload(self, target: Target, new: NewPartUpload) -> RemotePartUpload:
        """Announces an upload. Raises :class:`~fileplane.errors.InvalidValue` and :class:`~fileplane.errors.FileTooLarge` for what the
        provider is known not to take. Never of unknown outcome: what nobody completes leaves nothing.
        """  # noqa: D205 - one sentence
        ...

    async def add_part(self, target: Target, upload_id: str, part: PartBody) -> RemotePart:
        """Sends a part as it comes. Never of unknown outcome. Raises :class:`~fileplane.errors.FileTooLarge`, as soon as it is known."""
        ...

    async def complete_upload(
        self, target: Target, upload_id: str, part_ids: Sequence[str], md5: str | None, size: int | None = None
    ) -> RemotePartUpload:
        """Makes the file; the answer has it. ``size`` is what the file must come to, where that is known.

        Not idempotent, never sent a second time by itself. Once sent, a lost answer is
        :class:`~fileplane.errors.UpstreamOutcomeUnknown`, and so is one that names no file or one of another size.
        """
        ...

    async def cancel_upload(self, target: Target, upload_id: str) -> RemotePartUpload:
        """Gives the upload up. Never of unknown outcome."""
        ...


def uploads_at(provider: Provider, target: Target) -> UploadsProvider | None:
    """The provider as one that has uploads in parts at this target; None where it has none."""
    return None if provider.capabilities(target).uploads is None else cast("UploadsProvider", provider)
