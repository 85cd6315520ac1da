"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload), read and written.

What is meant for the file stands in Upload-Metadata, with the keys that tus clients use already: ``filename`` or ``name``, ``filetype`` or
``type``, and besides ``purpose`` and ``expires_after``, the seconds after which the file expires.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from fileplane.errors import InvalidValue, MissingParameter, ProtocolVersionUnsupported, UnsupportedMediaType
from fileplane.files.form import FormField
from fileplane.files.resumable import CHECKSUMS, Announced, Checksum
from fileplane.ids import upload_style
from fileplane.resumable import Resumable
from fileplane.settings import Settings
from fileplane.uploads import UploadStatus

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-defer-length,creation-with-upload,expiration,checksum,termination"
MEDIA_TYPE: Final = "application/offset+octet-stream"
FILE_ID: Final = "x-fileplane-file-id"
OVERRIDE: Final = "x-http-method-override"
RESUMABLE: Final = ("tus-resumable", VERSION)

_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_KEY: Final = re.compile(r"[!-+\--~]{1,128}")
_SHOWN: Final = 80


def require_version(headers: Mapping[str, str]) -> None:
    """Raises :class:`~fileplane.errors.ProtocolVersionUnsupported`."""
    if headers.get("tus-resumable", "").strip() != VERSION:
        raise ProtocolVersionUnsupported(
            f"This server speaks tus {VERSION}. Send the header 'Tus-Resumable: {VERSION}' with every request.",
            param="tus-resumable",
            headers={"tus-version": VERSION},
        )


def require_media_type(headers: Mapping[str, str]) -> None:
    """Raises :class:`~fileplane.errors.UnsupportedMediaType`."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the bytes with 'Content-Type: {MEDIA_TYPE}'.", param="content-type")


def whole_number(headers: Mapping[str, str], name: str) -> int | None:
    """The header's value, or None without it. Raises :class:`~fileplane.errors.InvalidValue`."""
    text = headers.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text.strip()):
        raise InvalidValue(f"Invalid '{name}': expected a whole number of bytes.", param=name)
    return int(text)


def offset_of(headers: Mapping[str, str]) -> int:
    """Where a request appends. Raises :class:`~fileplane.errors.MissingParameter` or InvalidValue."""
    offset = whole_number(headers, "upload-offset")
    if offset is None:
        raise MissingParameter(
            "Missing required header: 'Upload-Offset'. It says behind which byte the body goes on.", param="upload-offset"
        )
    return offset


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """What a body is to be held against. Raises :class:`~fileplane.errors.InvalidValue`, also for algorithms that are not known."""
    text = headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.strip().partition(" ")
    digest = _decoded(encoded)
    if algorithm not in CHECKSUMS or digest is None or len(digest) != len(CHECKSUMS[algorithm]().digest()):
        raise InvalidValue(
            f"Invalid 'Upload-Checksum': expected one of {', '.join(CHECKSUMS)}, a space, and the checksum of the body in base64.",
            param="upload-checksum",
        )
    return Checksum(algorithm, digest)


def announced(headers: Mapping[str, str], settings: Settings) -> Announced:
    """The upload that a creation describes. Raises an :class:`~fileplane.errors.InvalidRequest` that names the header, or the key of it."""
    if "upload-concat" in headers:
        raise InvalidValue(
            "Uploads are not concatenated here (the extension is not announced). Send the file as one upload, without parallel parts.",
            param="upload-concat",
        )
    raw = headers.get("upload-metadata", "").strip()
    metadata = _metadata(raw, settings.max_field_bytes)
    fields = [FormField("purpose", _text(metadata, "purpose"))] if "purpose" in metadata else []
    if "expires_after" in metadata:
        fields.append(FormField("expires_after[anchor]", "created_at"))
        fields.append(FormField("expires_after[seconds]", _text(metadata, "expires_after")))
    name = next((key for key in ("filename", "name") if key in metadata), None)
    if name is None:
        raise MissingParameter("Missing required parameter: 'filename'. Send it in Upload-Metadata, in base64.", param="filename")
    if not fields or fields[0].name != "purpose":
        raise MissingParameter(
            "Missing required parameter: 'purpose'. Send it in Upload-Metadata, such as 'purpose dXNlcl9kYXRh' for user_data.",
            param="purpose",
        )
    kind = next((key for key in ("filetype", "type") if key in metadata), None)
    return Announced(_length(headers), raw, fields, _text(metadata, name), "" if kind is None else _text(metadata, kind))


def _length(headers: Mapping[str, str]) -> int | None:
    length, deferred = whole_number(headers, "upload-length"), headers.get("upload-defer-length")
    if deferred is not None and (deferred.strip() != "1" or length is not None):
        raise InvalidValue("Invalid 'Upload-Defer-Length': it is 1, in place of an Upload-Length.", param="upload-defer-length")
    if length is None and deferred is None:
        raise MissingParameter(
            "Missing required header: 'Upload-Length', the bytes of the whole file, or 'Upload-Defer-Length: 1'.", param="upload-length"
        )
    return length


def _metadata(raw: str, most: int) -> dict[str, bytes]:
    if len(raw) > most:
        raise InvalidValue(f"Invalid 'Upload-Metadata': more than {most} bytes.", param="upload-metadata")
    values: dict[str, bytes] = {}
    for pair in raw.split(",") if raw else ():
        key, _, encoded = pair.strip().partition(" ")
        value = _decoded(encoded)
        if not _KEY.fullmatch(key) or value is None or key in values:
            raise InvalidValue(
                f"Invalid 'Upload-Metadata': '{key[:_SHOWN]}' is no key with a value in base64, or there twice.", param="upload-metadata"
            )
        values[key] = value
    return values


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(metadata: Mapping[str, bytes], key: str) -> str:
    try:
        return metadata[key].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"'{key}' is not valid UTF-8.", param=key) from error


def progress(upload: Resumable, shown_file_id: str | None) -> dict[str, str]:
    """How far an upload has come, until when it is kept, and the file that it became."""
    headers = {"upload-offset": str(upload.received)}
    if upload.upload.status == UploadStatus.PENDING:
        headers["upload-expires"] = formatdate(upload.upload.expires_at, usegmt=True)
    if shown_file_id is not None:
        headers[FILE_ID] = shown_file_id
    return headers


def description(upload: Resumable) -> dict[str, str]:
    """What a client that has lost everything but the URL needs to know."""
    headers = {"cache-control": "no-store"}
    if upload.length is None:
        headers["upload-defer-length"] = "1"
    else:
        headers["upload-length"] = str(upload.length)
    if upload.metadata:
        headers["upload-metadata"] = upload.metadata
    return headers


def location(upload: Resumable, path: str) -> str:
    """Where an upload is, relative to wherever the client believes this server to be."""
    return f"{path}/{upload_style(upload.upload.id)}"


def abilities(settings: Settings) -> dict[str, str]:
    """What an OPTIONS request is told."""
    return {
        "tus-version": VERSION,
        "tus-extension": EXTENSIONS,
        "tus-max-size": str(max(settings.max_file_bytes, settings.max_batch_file_bytes)),
        "tus-checksum-algorithm": ",".join(CHECKSUMS),
    }
