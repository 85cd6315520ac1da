"""Objects of Cloud Storage as files: what is written of a file into its object, and what an object says of itself.

The JSON of an object is that of https://cloud.google.com/storage/docs/json_api/v1/objects#resource.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from fileplane.errors import InvalidValue, UpstreamAnswerInvalid
from fileplane.ids import uuid7
from fileplane.model import FileStatus
from fileplane.providers.base import Mark, RemoteFile, RemoteUpload, Target
from fileplane.providers.file_objects import seconds_of
from fileplane.providers.multipart_body import harmless_media_type
from fileplane.providers.object_ids import OWN_PREFIX, ObjectPlace, is_object_key

SCHEME: Final = "gs"
BUCKET_HEADER: Final = "x-portkey-vertex-storage-bucket-name"
_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,61}[a-z0-9])")
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,10}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_RESERVED: Final = ".well-known/acme-challenge/"
_LONGEST_ID: Final = 1_100
_RESULT: Final = re.compile(r"(?:.*/)?(?:predictions\.jsonl|prediction\.results-[0-9]+-of-[0-9]+|prediction-[^/]+/(?:.*/)?[^/]+\.jsonl)")


def bucket_of(target: Target) -> str:
    """The bucket that a target's files are in. Raises :class:`~fileplane.errors.InvalidValue`."""
    bucket = target.fields.get("vertex_storage_bucket_name", "")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidValue("Files of Vertex AI cannot be reached without the name of a bucket.", param=BUCKET_HEADER)
    return bucket


def new_place(target: Target, upload: RemoteUpload) -> ObjectPlace:
    """Where a new file is put: under a name of ours, which no object has, or under the one that the request gives it.

    Ours grow with time, so that of files made in one second too the later ones come later. Beside a stored credential the request's name
    stands behind one of ours: whoever shares that credential could otherwise put files where others look for the results of their batches.
    Raises :class:`~fileplane.errors.InvalidValue` for what is no name, or would make too long an id.
    """
    chosen, own = target.fields.get("provider_file_name"), f"{OWN_PREFIX}{uuid7(time.time_ns() // 1_000_000)}"
    if chosen is None:
        extension = _EXTENSION.fullmatch(f".{upload.filename.rpartition('.')[2]}") if "." in upload.filename else None
        return ObjectPlace(SCHEME, bucket_of(target), own + ("" if extension is None else extension[0]))
    place = ObjectPlace(SCHEME, bucket_of(target), f"{own}/{chosen}" if target.stored else chosen)
    if not chosen or not is_object_key(place.key) or place.key.startswith(_RESERVED) or len(place.id) > _LONGEST_ID:
        raise InvalidValue("No object can have this name, or its id would be too long.", param="x-portkey-provider-file-name")
    return place


def description_of(place: ObjectPlace, upload: RemoteUpload, *, transformed: bool) -> dict[str, Any]:
    """What Cloud Storage is told of a new object. Control characters of a file's name are written as percent and digits."""
    kept = {"purpose": upload.purpose, "filename": _CONTROL.sub(lambda match: f"%{ord(match[0]):02X}", upload.filename)}
    if upload.mark is not None:
        kept["upload"] = str(Mark(upload.mark, transformed))
    return {
        "name": place.key,
        "contentType": harmless_media_type(upload.media_type),
        "metadata": {**kept, "status": FileStatus.PROCESSED.value},
    }


def object_path(place: ObjectPlace) -> str:
    """Of an object, below the base URL."""
    return f"{bucket_path(place.bucket)}/{quote(place.key, safe='')}"


def bucket_path(bucket: str) -> str:
    """Of a bucket's objects, below the base URL."""
    return f"/storage/v1/b/{bucket}/o"


def is_result(place: ObjectPlace) -> bool:
    """Whether an object has the name that a batch of Vertex AI gives to what it writes. What is put there from here is none."""
    return not place.key.startswith(OWN_PREFIX) and _RESULT.fullmatch(place.key) is not None


def file_of(value: Any, bucket: str) -> RemoteFile:
    """An object's JSON. An object that was not put there as a file has its key's last part as name, and if at all the purpose of results.

    Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` when it describes none of that bucket with a name that can be asked for.
    """
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not is_object_key(name) or value.get("bucket", bucket) != bucket:
        raise UpstreamAnswerInvalid("The provider's answer has no object with a usable name.")
    metadata = value.get("metadata")
    kept: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    place = ObjectPlace(SCHEME, bucket, name)
    return RemoteFile(
        id=place.id,
        bytes=_size(value.get("size")),
        created_at=seconds_of(value, "timeCreated"),
        filename=_text(kept.get("filename")) or name.rstrip("/").rpartition("/")[2] or name,
        purpose=_text(kept.get("purpose")) or ("batch_output" if is_result(place) else None),
        status=FileStatus.PROCESSED,
        mark=Mark.read(kept.get("upload")),
    )


def _size(value: Any) -> int | None:
    """It is a text: numbers of JSON are too small for it elsewhere."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
