"""Uploads in parts for providers that have none: the parts are kept here like those of the native store, and sent as one file.

Before anything is sent all bytes are read once, for the checksums: so what is damaged here never reaches a provider, and a file whose
upload was lost can be told from others by its hash.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobStore
from fileplane.errors import InvalidValue, StorageIntegrityError
from fileplane.files.manifests import never_given_up, open_manifest
from fileplane.files.remote_form import RemoteForm
from fileplane.files.remote_route import ClosedTarget, NativeTarget, RemoteRoute, RemoteTarget
from fileplane.files.uploads import preview
from fileplane.uploads import Part, Upload


class Assembled:
    """The file that parts kept here come to: a :class:`~fileplane.files.sending.Source`, and what is kept of it as well."""

    at_most: int | None = None

    def __init__(self, blobs: BlobStore, upload: Upload, parts: Sequence[Part], form: RemoteForm) -> None:
        self._blobs = blobs
        self._file = preview(upload)
        self._parts = parts
        self.form = form
        self.size = upload.bytes
        self.sha256: str | None = None
        self.lines = 0

    async def read_through(self, md5: bytes | None) -> None:
        """To be called first. Raises InvalidValue for another MD5, and StorageIntegrityError for what is missing or damaged."""
        sha256, own_md5, last = hashlib.sha256(), hashlib.md5(usedforsecurity=False), b""

        def look(piece: bytes) -> int:
            sha256.update(piece)
            if md5 is not None:
                own_md5.update(piece)
            return piece.count(b"\n")

        async for piece in self.read():
            self.lines += await asyncio.to_thread(look, piece)
            last = piece
        self.lines += not last.endswith(b"\n")
        self.sha256 = sha256.hexdigest()
        if md5 is not None and own_md5.digest() != md5:
            raise InvalidValue(
                f"Invalid 'md5': the bytes of the parts in this order have the MD5 {own_md5.hexdigest()}. Check the order.",
                param="md5",
            )

    def content(self) -> AsyncIterator[bytes]:
        """The bytes, once."""
        return self.read()

    async def read(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning, each part held against its hash."""
        try:
            async with open_manifest(self._blobs, self._file, self._parts, is_given_up=never_given_up, verified=True) as reader:
                async for piece in reader:
                    yield piece
        except (BlobMissing, BlobKeyInvalid) as error:
            raise StorageIntegrityError("The stored bytes of a part are missing or damaged. Upload the file again.") from error


def route_from(route: RemoteRoute, target: RemoteTarget) -> RemoteRoute:
    """The same route with the plan beginning at ``target``, where the upload was announced, and ending before the native store.

    Where the request's own plan does not have the target, as another choice of a load balancer has not, it is the only one.
    """
    places = [number for number, one in enumerate(route.plan) if isinstance(one, RemoteTarget) and one.path == target.path]
    if not places:
        return replace(route, plan=(target,), after=lambda _number, _status: None)
    start = places[0]

    def after(number: int, status: int) -> int | None:
        following = route.after(start + number, status)
        while following is not None and isinstance(one := route.plan[following], ClosedTarget):
            following = route.after(following, one.why.status)
        if following is None or following < start or isinstance(route.plan[following], NativeTarget):
            return None
        return following - start

    return replace(route, plan=route.plan[start:], after=after)
