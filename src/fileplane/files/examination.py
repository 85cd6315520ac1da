"""Looking at one stored blob: whether it is there, has its size and, if it is read, its bytes. Shared by check and scrub.

Of a file that consists of parts, each part is looked at by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobReader, BlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.files.findings import Finding, Kind, is_unreadable
from fileplane.metadata.base import MetadataStore
from fileplane.model import KeptFile

_NEIGHBOURS: Final = 256

Paced = Callable[[int], Awaitable[None]]
"""Told of every piece that has been read, in bytes; reading goes on when it returns."""


async def examine(blobs: BlobStore, file: KeptFile, paced: Paced | None = None) -> Finding | None:
    """What is wrong with the blob of a file as recorded; its bytes are read and hashed if ``paced`` is given.

    Only looks, and believes the record: see :func:`still_kept` for files that are deleted meanwhile.
    """
    try:
        wrong = await _difference(blobs, file, paced)
    except BlobMissing:
        wrong = Kind.MISSING_BLOB, "there is no such blob"
    except BlobKeyInvalid:
        wrong = Kind.INVALID_KEY, "no blob can have this key"
    except StorageIntegrityError:
        wrong = Kind.WRONG_SIZE, f"the blob ends before its {file.bytes} bytes"
    except StorageUnavailable as error:
        if not is_unreadable(error):
            raise  # the store did not answer: nothing is known of the blob
        wrong = Kind.UNREADABLE_BLOB, f"the blob cannot be read: {error.__cause__ or error}"
    return None if wrong is None else Finding(*wrong, file.project_id, file.file_id, file.blob_key)


async def _difference(blobs: BlobStore, file: KeptFile, paced: Paced | None) -> tuple[Kind, str] | None:
    async with blobs.open(file.blob_key) as reader:
        if reader.size != file.bytes:
            return Kind.WRONG_SIZE, f"the blob has {reader.size} bytes instead of {file.bytes}"
        found = file.sha256 if paced is None else await hash_of(reader, paced)
    if found != file.sha256:
        return Kind.WRONG_CONTENT, f"the blob's SHA-256 is {found} instead of {file.sha256}"
    return None


async def hash_of(reader: BlobReader, paced: Paced) -> str:
    """The SHA-256 of everything in ``reader``, in hex, computed off the event loop."""
    digest = hashlib.sha256()
    async for piece in reader:
        await asyncio.to_thread(digest.update, piece)
        await paced(len(piece))
    return digest.hexdigest()


async def still_kept(metadata: MetadataStore, file: KeptFile) -> bool:
    """Whether the file still has to have its bytes, asked after something was found wrong with them.

    A file is marked before its bytes are removed. So what was missing, and still has to be there now, was missing without reason.
    """
    # Pages begin after a key. All that sort between an id without its last character and the id itself share the former.
    project_id, place = file.place
    near = await metadata.kept_files((project_id, place[:-1]), _NEIGHBOURS)
    return any((other.place, other.blob_key, other.due) == (file.place, file.blob_key, False) for other in near)
