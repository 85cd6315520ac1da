"""Places in the buckets of object servers, and what opens a store there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fileplane.blob_location import BlobLocation, parse_blob_location
from fileplane.blobs.object_store import ObjectBlobStore
from support.object_servers import ObjectServer

OpenStore = Callable[..., AbstractAsyncContextManager[ObjectBlobStore]]
_numbers = itertools.count(1)


def located(server: ObjectServer, **options: str) -> BlobLocation:
    """A place in a server's bucket that no other test has."""
    location = parse_blob_location(server.location)
    return BlobLocation(location.kind, location.bucket, f"test-{next(_numbers)}", {**location.options, **options})
