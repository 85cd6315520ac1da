"""Object stores by their location. What each needs is imported only where it is used: servers with local blobs need none of it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Final

from fileplane.blob_location import AZURE, GCS, S3, BlobLocation
from fileplane.blobs.bucket import SMALLEST_PART, Bucket, BucketUnusable, part_size
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.blobs.probes import Examination

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES: Final[Mapping[str, Mapping[str, str]]] = {
    S3: {"obstore": "obstore", "botocore": "botocore"},
    AZURE: {"obstore": "obstore"},
    GCS: {"google.auth": "google-auth", "urllib3": "urllib3"},
}
"""By scheme, the modules that are needed and the packages that bring them: the extras ``s3``, ``azure`` and ``gcs``."""

_EXTRAS: Final = {S3: "s3", AZURE: "azure", GCS: "gcs"}
_LONGEST_PART_SECONDS: Final = 86_400.0


def open_object_store(
    location: BlobLocation, *, largest_blob: int, slowest_bytes_per_second: int, deadline_seconds: float
) -> ObjectBlobStore:
    """The blobs of a location that is not local. Asks nothing yet. Raises :class:`BucketUnusable`."""
    _require_packages(location.kind)
    part_bytes = part_size(largest_blob)
    slowest = part_bytes / slowest_bytes_per_second if slowest_bytes_per_second else _LONGEST_PART_SECONDS
    return ObjectBlobStore(
        _bucket(location, part_bytes, deadline_seconds),
        deadline_seconds=deadline_seconds,
        slowest_part_seconds=min(slowest, _LONGEST_PART_SECONDS),
    )


def open_for_probes(location: BlobLocation, *, deadline_seconds: float) -> Examination:
    """An examination of a location that is not local, apart from the blobs there. To be closed. Raises :class:`BucketUnusable`."""
    _require_packages(location.kind)
    store = ObjectBlobStore(_bucket(location.for_probes, SMALLEST_PART, deadline_seconds), deadline_seconds=deadline_seconds)
    return Examination(store, part_bytes=SMALLEST_PART, shows_unfinished=store.shows_unfinished)


def _bucket(location: BlobLocation, part_bytes: int, deadline_seconds: float) -> Bucket:
    if location.kind == S3:
        from fileplane.blobs.s3 import S3Bucket  # noqa: PLC0415 - see above

        return S3Bucket(location, part_bytes=part_bytes, deadline_seconds=deadline_seconds)
    if location.kind == AZURE:
        from fileplane.blobs.azure import AzureBucket  # noqa: PLC0415 - see above

        return AzureBucket(location, part_bytes=part_bytes, deadline_seconds=deadline_seconds)
    from fileplane.blobs.gcs import GcsBucket  # noqa: PLC0415 - see above

    return GcsBucket(location, part_bytes=part_bytes, deadline_seconds=deadline_seconds)


def _require_packages(kind: str) -> None:
    for module in PACKAGES[kind]:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise BucketUnusable(
                f"blob_store begins with {kind}://, which needs libraries that are not installed ({module}). Install them with "
                f"`{sys.executable} -m pip install {' '.join(PACKAGES[kind].values())}`, which is what the extra "
                f"fileplane[{_EXTRAS[kind]}] has."
            ) from error
