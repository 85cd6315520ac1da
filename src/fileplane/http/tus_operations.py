"""The rows of the route table for resumable uploads."""

from __future__ import annotations

from typing import Final

from fileplane import errors
from fileplane.access import Scope
from fileplane.http import tus_handlers as tus
from fileplane.http.operation import ALWAYS, Operation
from fileplane.http.parameters import Parameter
from fileplane.http.tus_handlers import TUS
from fileplane.http.tus_headers import MEDIA_TYPE, VERSION

_UPLOAD: Final = TUS + "/{resumable_id}"
_BYTES: Final = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_VERSION: Final = Parameter("Tus-Resumable", "The version of the protocol.", {"type": "string", "enum": [VERSION]}, required=True)
_LENGTH: Final = Parameter("Upload-Length", "Bytes of the whole file.", _BYTES)
_CHECKSUM: Final = Parameter(
    "Upload-Checksum",
    "An algorithm (sha1, sha256 or md5), a space, and the body's checksum in base64. With it, the body is taken whole or not at all.",
    {"type": "string"},
)
_APPENDING_ERRORS: Final = (
    errors.MissingParameter,
    errors.InvalidValue,
    errors.StorageQuotaExceeded,
    errors.FileQuotaExceeded,
    errors.TooManyParts,
    errors.RequestTimeout,
    errors.FileTooLarge,
    errors.UnsupportedMediaType,
    errors.UploadLocked,
    errors.UploadGone,
    errors.UploadOffsetMismatch,
    errors.ChecksumMismatch,
    errors.StorageIntegrityError,
)
_GONE_ERRORS: Final = (errors.UploadNotFound, errors.UploadGone, errors.ProtocolVersionUnsupported)

TUS_OPERATIONS: Final = (
    Operation("OPTIONS", TUS, tus.tus_options, "What this server can do of tus", None, status=204),
    Operation(
        "POST",
        TUS,
        tus.create_resumable_upload,
        "Create a resumable upload",
        None,
        Scope.FILES_WRITE,
        fails_with=(errors.BelowMinimum, errors.AboveMaximum, errors.ProtocolVersionUnsupported, *_APPENDING_ERRORS, *ALWAYS),
        status=201,
        headers=(
            _VERSION,
            _LENGTH,
            Parameter("Upload-Defer-Length", "In place of the length, when it is not known yet.", {"type": "string", "enum": ["1"]}),
            Parameter(
                "Upload-Metadata",
                "Pairs of a key and a value in base64, with a comma between them: filename, purpose, filetype, expires_after.",
                {"type": "string"},
                required=True,
            ),
            _CHECKSUM,
        ),
        takes_bytes=MEDIA_TYPE,
        needs_body=False,
    ),
    Operation(
        "HEAD",
        _UPLOAD,
        tus.look_at_upload,
        "How far a resumable upload has come",
        None,
        Scope.FILES_WRITE,
        fails_with=(*_GONE_ERRORS, *ALWAYS),
        headers=(_VERSION,),
    ),
    Operation(
        "PATCH",
        _UPLOAD,
        tus.append_to_upload,
        "Append to a resumable upload",
        None,
        Scope.FILES_WRITE,
        fails_with=(*_GONE_ERRORS, *_APPENDING_ERRORS, *ALWAYS),
        status=204,
        headers=(
            _VERSION,
            Parameter("Upload-Offset", "Behind which byte the body goes on: as many as the upload has.", _BYTES, required=True),
            _LENGTH,
            _CHECKSUM,
        ),
        takes_bytes=MEDIA_TYPE,
    ),
    Operation(
        "DELETE",
        _UPLOAD,
        tus.terminate_upload,
        "Terminate a resumable upload, or delete its file",
        None,
        Scope.FILES_WRITE,
        fails_with=(*_GONE_ERRORS, errors.FileNotFound, errors.FileInUse, errors.UploadLocked, *ALWAYS),
        status=204,
        headers=(_VERSION,),
    ),
    Operation("OPTIONS", _UPLOAD, tus.tus_options_of_upload, "What this server can do of tus", None, status=204),
)
