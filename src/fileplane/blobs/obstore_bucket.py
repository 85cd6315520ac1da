"""What S3 and Azure Blob have in common: both are spoken to through obstore.

Three of its traps are kept away from here: a ``put`` that is cancelled leaves its upload behind, one with ``mode="create"`` holds the
whole body, and after a fork every call hangs. So bytes go through ``open_writer_async``, and servers are spawned.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from fileplane.blobs.bucket import BucketUnusable, Download, StoredObject, Upload, no_pages
from fileplane.model import Span

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, GetResult
    from obstore.store import AzureStore, ClientConfig, RetryConfig, S3Store

_PARTS_AT_ONCE: Final = 1
_PARTS_ALONE: Final = 2
_CHUNK: Final = 1 << 20
_PAGE: Final = 1_000
_RETRIES: Final = 2
_CONNECT_SECONDS: Final = 10.0
_UNLIMITED: Final = "24h"  # of a whole request; each read of it has a deadline
_NO_CONDITIONS: Final = ("NotImplemented", "501 Not Implemented")
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")

FAILURES: Final[tuple[type[Exception], ...]] = (BaseError, OSError, ValueError)


class ObstoreBucket:
    """The parts of :class:`~fileplane.blobs.bucket.Bucket` that are the same for both.

    Holds one part of each upload, and takes no more bytes while it is sent. Of an upload whose bytes begin when no other goes on, it holds
    two: one is gathered while the other is sent, which is a quarter faster. For all of them that would be as much memory again.
    """

    failures: tuple[type[Exception], ...] = FAILURES
    shows_unfinished = False

    def __init__(self, store: S3Store | AzureStore, part_bytes: int) -> None:
        self._store = store
        self._part_bytes = part_bytes
        self._going_on: WeakSet[_Upload] = WeakSet()

    def upload(self, key: str) -> Upload:
        """See :meth:`Bucket.upload`."""
        return _Upload(self._writer, key, self._going_on)

    def _writer(self, key: str, parts: int) -> AsyncWritableFile:
        return obstore.open_writer_async(self._store, key, buffer_size=self._part_bytes, max_concurrency=parts)

    async def create(self, key: str, body: bytes) -> bool:
        """See :meth:`Bucket.create`."""
        try:
            await obstore.put_async(self._store, key, body, mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except BaseError as error:
            if not any(refusal in str(error) for refusal in _NO_CONDITIONS):
                raise
            await obstore.put_async(self._store, key, body, mode="overwrite", use_multipart=False)
        return True

    async def size_of(self, key: str) -> int | None:
        """See :meth:`Bucket.size_of`."""
        try:
            found = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return None
        return found["size"]

    async def download(self, key: str, span: Span | None, expected: int | None = None) -> Download | None:  # noqa: ARG002 - of no use here
        """See :meth:`Bucket.download`."""
        try:
            if span is None:
                result = await obstore.get_async(self._store, key)
            else:
                result = await obstore.get_async(self._store, key, options={"range": (span.start, span.start + span.length)})
        except FileNotFoundError as error:
            if any(code in str(error) for code in _NO_BUCKET):
                raise  # without its bucket no blob is known to be missing
            return None
        return Download(result.meta["size"], _chunks(result))

    async def delete(self, key: str) -> None:
        """See :meth:`Bucket.delete`."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return

    async def objects(self) -> AsyncIterator[Sequence[StoredObject]]:
        """See :meth:`Bucket.objects`."""
        async for page in obstore.list(self._store, chunk_size=_PAGE):
            yield [StoredObject(entry["path"], entry["size"], entry["last_modified"].timestamp()) for entry in page]

    def unfinished(self) -> AsyncIterator[Sequence[StoredObject]]:
        """See :meth:`Bucket.unfinished`."""
        return no_pages()

    async def abandon(self, key: str, upload_id: str | None = None) -> None:
        """See :meth:`Bucket.abandon`."""

    async def close(self) -> None:
        """See :meth:`Bucket.close`. Connections end with the store's last reference."""


class _Upload:
    """``going_on`` has it until it ends, or nobody knows it any more. How many parts it may hold is decided with its first bytes."""

    def __init__(self, make: Callable[[str, int], AsyncWritableFile], key: str, going_on: WeakSet[_Upload]) -> None:
        self._make = make
        self._key = key
        self._made: AsyncWritableFile | None = None
        self._going_on = going_on
        going_on.add(self)

    @property
    def _writer(self) -> AsyncWritableFile:
        if self._made is None:
            self._made = self._make(self._key, _PARTS_ALONE if len(self._going_on) == 1 else _PARTS_AT_ONCE)
        return self._made

    async def write(self, data: bytes) -> None:
        await self._writer.write(data)

    async def finish(self) -> None:
        try:
            await self._writer.close()
        finally:
            self._going_on.discard(self)

    async def abort(self) -> None:
        try:
            await self._writer.__aexit__(RuntimeError, None, None)
        finally:
            self._going_on.discard(self)


async def _chunks(result: GetResult) -> AsyncIterator[bytes | memoryview]:
    async for chunk in result.stream(min_chunk_size=_CHUNK):
        yield memoryview(chunk)


def client_options(*, endpoint: str | None, ca: str | None, deadline_seconds: float) -> ClientConfig:
    """Deadlines for connections and reads, and whom to trust. Raises :class:`BucketUnusable`."""
    options: dict[str, Any] = {
        "allow_http": endpoint is not None and endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=min(_CONNECT_SECONDS, deadline_seconds / 2)),
        "read_timeout": timedelta(seconds=deadline_seconds / 2),
        "timeout": _UNLIMITED,
    }
    if ca is not None:
        options["root_certificate"] = read_certificates(ca)
    return options  # type: ignore[return-value] # a typed dictionary made in steps


def read_certificates(path: str) -> bytes:
    """A PEM file. Raises :class:`BucketUnusable`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BucketUnusable(f"The file {path} that the option ca of blob_store names cannot be read: {error.strerror}.") from error


def retry_options(deadline_seconds: float) -> RetryConfig:
    """A few retries within the deadline. obstore repeats what may be repeated: reads, parts, and completions."""
    return {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=deadline_seconds / 2)}
