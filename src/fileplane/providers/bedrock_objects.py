"""Files for AWS Bedrock as objects in S3: their keys, what stands in their metadata, and the File that an object is.

A file's key is ``fileplane/<uuid>/<purpose>/file<extension>``. The UUID is one of version 7, so that keys are in the order in which they
were made, and key and list together say all of a file but its name. That stands in the object's metadata, percent-encoded, for metadata
are ASCII. The size is S3's own: metadata of an upload in parts are sent before anybody knows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote, unquote

from fileplane.clock import SystemClock
from fileplane.errors import FileNotFound, InvalidValue, UpstreamAnswerInvalid
from fileplane.ids import uuid7
from fileplane.model import FileStatus
from fileplane.providers.base import Capabilities, Mark, Paging, RemoteFile, RemoteUpload, Target
from fileplane.providers.object_ids import OWN_PREFIX, ObjectPlace, is_object_key, object_of
from fileplane.secrets.values import REDACTED

TITLE: Final = "AWS Bedrock"
PART_BYTES: Final = 8 << 20
"""Of an upload, held in memory until it is sent. S3 takes none below 5 MiB but the last."""
MOST_PARTS: Final = 10_000
CAPABILITIES: Final = Capabilities(
    transforms=True,
    paging=Paging.TOKEN,
    default_list_limit=100,
    max_list_limit=100,
    # S3 itself takes 5 TiB, in larger parts, which would have to be held.
    max_bytes=PART_BYTES * MOST_PARTS,
)
AS_IT_IS: Final = "upload"
"""The ``file_purpose`` of a file that is neither transformed going in nor coming out."""
TRANSFORMED_PURPOSES: Final = frozenset({"batch", "fine-tune"})
_RESULT: Final = ".jsonl.out"
"""Ends the keys of Bedrock's results of batches (docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html)."""
_PURPOSE: Final = "x-amz-meta-purpose"
_FILENAME: Final = "x-amz-meta-filename"
_MARK: Final = "x-amz-meta-upload"
_OWN_KEY: Final = re.compile(
    re.escape(OWN_PREFIX) + r"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})/([A-Za-z0-9._-]{1,64})/(.+)", re.DOTALL
)
_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,16}")
_LONGEST_ID: Final = 1_100
_SHORTEST_SECRET: Final = 8
_CLOCKS_DIFFER_SECONDS: Final = 86_400
_clock = SystemClock()


def bucket_of(target: Target) -> str:
    """Raises :class:`~fileplane.errors.InvalidValue` for a target without one."""
    bucket = target.fields.get("aws_s3_bucket", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", bucket) or ".." in bucket:
        raise InvalidValue("Files for AWS Bedrock are kept in a bucket of S3. Name it.", param="x-portkey-aws-s3-bucket")
    return bucket


def place_of(target: Target, file_id: str) -> ObjectPlace:
    """The object of an id. Raises :class:`~fileplane.errors.FileNotFound` for one of another bucket, or of none."""
    return object_of(file_id, "s3", bucket_of(target))


def is_result(place: ObjectPlace) -> bool:
    """Whether Bedrock has written it, as the result of a batch."""
    return place.key.endswith(_RESULT)


def model_of(target: Target, purpose: str) -> str | None:
    """The model for which a file's lines are put into Bedrock's form; None for a file that is kept as it is.

    Raises :class:`~fileplane.errors.InvalidValue` where a model is needed and not named, or where the request names two purposes.
    """
    said = target.fields.get("file_purpose")
    if said == AS_IT_IS:
        return None
    if said is not None and said != purpose:
        raise InvalidValue(
            f"The form's purpose is '{purpose}', and the header's '{said}'. Send one of them in both, or '{AS_IT_IS}' in the header for "
            "a file that is to be kept as it is.",
            param="x-portkey-file-purpose",
        )
    if purpose not in TRANSFORMED_PURPOSES:
        return None
    model = target.fields.get("provider_model")
    if model is None:
        raise InvalidValue(
            f"For {TITLE}, the lines of a file of purpose '{purpose}' are put into the form of a model: name it in "
            "x-portkey-provider-model, or provider_model in a config. A file that has that form already is kept as it is with "
            f"x-portkey-file-purpose: {AS_IT_IS}.",
            param="x-portkey-provider-model",
        )
    return model


def new_place(target: Target, upload: RemoteUpload, *, transformed: bool) -> ObjectPlace:
    """Where a new file goes.

    A key of the caller's choice is taken as it is with the caller's own credential. Beside a stored one it stands after a UUID, below our
    prefix: whoever shares that credential could otherwise write over the files of others. Raises :class:`~fileplane.errors.InvalidValue`.
    """
    chosen = target.fields.get("provider_file_name")
    suffix = PurePosixPath(upload.filename).suffix
    extension = ".jsonl" if transformed else suffix if _EXTENSION.fullmatch(suffix) else ""
    key = f"{OWN_PREFIX}{uuid7(_clock.now_ms())}/{upload.purpose}/{chosen or f'file{extension}'}"
    if chosen is not None and not target.stored:
        key = chosen
    place = ObjectPlace("s3", bucket_of(target), key)
    if chosen is None and not _OWN_KEY.fullmatch(key):
        raise InvalidValue("'purpose' must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'.", param="purpose")
    if chosen is not None and target.stored and is_result(place):
        raise InvalidValue(
            f"Keys that end with '{_RESULT}' are those of {TITLE}'s own results, whose lines are read in OpenAI's form. Name it otherwise.",
            param="x-portkey-provider-file-name",
        )
    if not is_object_key(key) or len(place.id) > _LONGEST_ID:
        param = "purpose" if chosen is None else "x-portkey-provider-file-name"
        raise InvalidValue("No object can have the key that follows from this, or its id would be too long.", param=param)
    return place


def headers_of(target: Target, upload: RemoteUpload, *, transformed: bool) -> dict[str, str]:
    """What is said of a new object: its type, metadata and encryption."""
    fields = target.fields
    headers = {
        "Content-Type": upload.media_type
        if re.fullmatch(r"[\x21-\x7e][\x20-\x7e]{0,199}", upload.media_type)
        else "application/octet-stream",
        _PURPOSE: quote(upload.purpose, safe=""),
        _FILENAME: quote(upload.filename, safe="", errors="replace"),
    }
    encryption, key = fields.get("amz_server_side_encryption"), fields.get("amz_server_side_encryption_aws_kms_key_id")
    if upload.mark is not None:
        headers[_MARK] = str(Mark(upload.mark, transformed))
    if encryption is not None:
        headers["x-amz-server-side-encryption"] = encryption
    if key is not None:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = key
    return headers


def created_at(place: ObjectPlace, modified: str | None = None) -> int | None:
    """Seconds: of a key of ours when it was made, of any other when the object was last written, as HTTP has it.

    A key that says it was made more than a day after its object was written, or will be, is somebody's invention, and says nothing.
    """
    written = _seconds(modified)
    own = _OWN_KEY.fullmatch(place.key)
    if own is None:
        return written
    made = int(own[1].replace("-", "")[:12], 16) // 1000
    latest = _clock.now_ms() // 1000 if written is None else written
    return made if made <= latest + _CLOCKS_DIFFER_SECONDS else latest


def _seconds(modified: str | None) -> int | None:
    try:
        return None if modified is None else max(0, int(parsedate_to_datetime(modified).timestamp()))
    except (ValueError, TypeError, OverflowError):
        return None


def purpose_in(key: str) -> str | None:
    """The purpose in a key of ours; None for any other key."""
    own = _OWN_KEY.fullmatch(key)
    return None if own is None else own[2]


def described(target: Target, place: ObjectPlace, headers: Mapping[str, str]) -> RemoteFile:
    """The file that the head of an object describes.

    Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for a head that is none of S3's.
    """
    if not headers.get("etag") or not headers.get("last-modified"):
        raise UpstreamAnswerInvalid("The provider's answer describes no object.")
    result = is_result(place)
    length = headers.get("content-length", "")
    said = headers.get(_PURPOSE)
    return RemoteFile(
        id=place.id,
        bytes=int(length) if length.isascii() and length.isdigit() and "content-encoding" not in headers else None,
        created_at=created_at(place, headers["last-modified"]),
        filename=_shown(target, headers.get(_FILENAME, "")) or PurePosixPath(place.key).name,
        purpose=_shown(target, said) if said else "batch_output" if result else purpose_in(place.key),
        status=FileStatus.PROCESSED,
        transformed=result and target.fields.get("file_purpose") != AS_IT_IS,
        mark=Mark.read(headers.get(_MARK)),
    )


def _shown(target: Target, metadata: str) -> str:
    """A text that stands percent-encoded in metadata, without the credential, which nobody who shares it knows."""
    text = unquote(metadata)
    for secret in target.secrets.values():
        if len(secret.reveal()) >= _SHORTEST_SECRET:
            text = text.replace(secret.reveal(), REDACTED)
    return text


def require_found(place: ObjectPlace, *, found: bool) -> None:
    """Raises :class:`~fileplane.errors.FileNotFound`."""
    if not found:
        raise FileNotFound(place.id)
