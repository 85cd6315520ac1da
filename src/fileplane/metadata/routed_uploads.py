"""The part of the MetadataStore protocol that uploads in parts to providers are recorded by.

The order that callers keep, so that a crash anywhere leaves something that is found: for a file of the catalog, ``reserve_upload``, then
:meth:`~RoutedUploadStore.begin_completion` with its intent, then send, then ``bind_upload`` and
:meth:`~RoutedUploadStore.finish_completion`. What becomes of the intent decides what has become of the upload, also where nobody lived to
tell: bound, it is completed; failed, it can be completed again, if there is time left. Without a catalog, a completion that was begun and
neither finished nor abandoned stays unresolved until the upload expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fileplane.model import Remains
from fileplane.uploads import BegunCompletion, NewUpload, Part, RoutedPart, RoutedUpload


class RoutedUploadStore(Protocol):
    """See the module, and :class:`~fileplane.metadata.base.MetadataStore`, whose rules hold here too.

    Of an upload whose parts are kept here, the parts are recorded as those of every other, see
    :class:`~fileplane.metadata.uploads.UploadStore`.
    """

    async def create_routed_upload(
        self, project_id: str, new: NewUpload, provider_upload_id: str | None, lifetime_seconds: int
    ) -> RoutedUpload:
        """Records an upload to ``new.target``, which must not be the native store's."""
        ...

    async def get_routed_upload(self, project_id: str, upload_id: str) -> RoutedUpload:
        """Raises :class:`~fileplane.errors.UploadNotFound`, also for an upload to the native store."""
        ...

    async def routed_parts(self, project_id: str, upload_id: str) -> list[RoutedPart]:
        """The parts that were passed on, as they came."""
        ...

    async def listed_routed_parts(self, project_id: str, upload_id: str, part_ids: Sequence[str]) -> list[RoutedPart]:
        """Of an upload that can be completed, these parts that were passed on, in this order.

        Raises as :meth:`begin_completion`, and :class:`~fileplane.errors.InvalidValue` for a list with parts that are not this upload's, or
        twice, or whose bytes are not as many as announced.
        """
        ...

    async def require_room_for_part(self, project_id: str, upload_id: str) -> None:
        """To be asked before a part is passed on, which cannot be taken back. Of parts that come at once, the last may still be too many.

        Raises as :meth:`add_routed_part`, and :class:`~fileplane.errors.UploadUnresolved`.
        """
        ...

    async def add_routed_part(self, project_id: str, upload_id: str, provider_part_id: str, size: int, sha256: str) -> Part:
        """Records a part that the provider has.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadNotPending` or
        :class:`~fileplane.errors.TooManyParts`.
        """
        ...

    async def begin_completion(self, project_id: str, upload_id: str, begun: BegunCompletion) -> None:
        """A completion is about to be sent.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadNotPending`, and
        :class:`~fileplane.errors.UploadUnresolved` while the end of another completion is not known.
        """
        ...

    async def finish_completion(self, project_id: str, upload_id: str, provider_file_id: str) -> list[Remains]:
        """The provider has the file. Returns a bounded number of the parts that are kept here, which are given up. Idempotent."""
        ...

    async def abandon_completion(self, project_id: str, upload_id: str, number: int) -> None:
        """A completion without an intent, begun with this number, has certainly failed: the upload is pending as before.

        Changes nothing where that was never recorded, as when another request's completion is going on.
        """
        ...

    async def cancel_routed_upload(self, project_id: str, upload_id: str) -> list[Remains]:
        """As :meth:`~fileplane.metadata.uploads.UploadStore.cancel_upload`.

        Raises :class:`~fileplane.errors.UploadUnresolved` too.
        """
        ...

    async def completion_parts(self, project_id: str, intent_id: str) -> list[tuple[int, str]]:
        """Bytes and SHA-256 of each part that the file of an intent consists of, in order; empty where it was not made of such parts."""
        ...
