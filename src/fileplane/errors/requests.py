"""Failures of what is sent."""

from __future__ import annotations

from typing import Final

from fileplane.access import Whose
from fileplane.errors.base import FileplaneError

_UPLOAD_RETRY_SECONDS: Final = 5


class InvalidRequest(FileplaneError):
    """A request that cannot be carried out as it stands."""

    status = 400
    type = "invalid_request_error"


class MissingParameter(InvalidRequest):
    """A required field is missing."""

    code = "missing_required_parameter"


class InvalidValue(InvalidRequest):
    """A field, parameter, header or cursor has a value that is not allowed."""

    code = "invalid_value"


class BelowMinimum(InvalidValue):
    """A number is below its minimum."""

    code = "integer_below_min_value"


class AboveMaximum(InvalidValue):
    """A number is above its maximum."""

    code = "integer_above_max_value"


class UnknownParameter(InvalidRequest):
    """A field or parameter that this operation does not have."""

    code = "unknown_parameter"


class MalformedForm(InvalidRequest):
    """The body is not well-formed multipart/form-data, or exceeds one of its limits."""

    code = "invalid_multipart"


class StorageQuotaExceeded(InvalidRequest):
    """The storage quota of the project or of the API key is reached."""

    code = "storage_quota_exceeded"

    def __init__(self, quota_bytes: int, whose: Whose = Whose.PROJECT) -> None:
        freed = "once deleted files have been collected" if whose is Whose.PROJECT else "at once"
        super().__init__(
            f"You have exceeded your file storage quota: this {whose} may keep {quota_bytes} bytes, and this file would go beyond. "
            f"Delete files you no longer need; the room is free again {freed}.",
            param="file",
        )
        self.whose = whose


class FileQuotaExceeded(InvalidRequest):
    """The project or the API key has as many files as it may have."""

    code = "file_quota_exceeded"

    def __init__(self, most: int, whose: Whose) -> None:
        super().__init__(
            f"You have exceeded your quota of files: this {whose} may have {most} files at once. Delete files you no longer need.",
            param="file",
        )


class UploadNotPending(InvalidRequest):
    """The upload is completed, cancelled or expired, and takes nothing more."""

    code = "upload_not_pending"

    def __init__(self, status: str) -> None:
        super().__init__(f"This upload is {status}: it takes no more parts and can be neither completed nor cancelled.", param="id")


class UploadResumable(InvalidRequest):
    """The upload is one of tus: its parts come in order, to /v1/tus, and it is completed by its last byte."""

    code = "upload_resumable"

    def __init__(self) -> None:
        super().__init__(
            "This upload is resumable: send its bytes in order to /v1/tus with PATCH. It is completed by the last of them.", param="id"
        )


class TooManyParts(InvalidRequest):
    """The upload has as many parts as it may have."""

    code = "too_many_parts"

    def __init__(self, most: int) -> None:
        super().__init__(f"An upload may have {most} parts. Cancel it, and send larger parts to another.", param="data")


class MethodNotAllowed(FileplaneError):
    """The path does not have this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(FileplaneError):
    """The client stalled, or sent more slowly than the minimum rate."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class FileTooLarge(FileplaneError):
    """The file is larger than the limit of its purpose."""

    status = 413
    type = "invalid_request_error"
    code = "file_too_large"


class UnsupportedMediaType(FileplaneError):
    """The body's media type or content encoding is not accepted."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class ProtocolVersionUnsupported(FileplaneError):
    """The header Tus-Resumable is missing, or names a version of tus other than 1.0.0."""

    status = 412
    type = "invalid_request_error"
    code = "unsupported_protocol_version"


class ChecksumMismatch(FileplaneError):
    """The bytes are not those that Upload-Checksum is of. Nothing of this request was kept."""

    status = 460
    type = "invalid_request_error"
    code = "checksum_mismatch"

    def __init__(self) -> None:
        super().__init__("The body does not have the checksum that Upload-Checksum says. Send it again.", param="upload-checksum")


class InvalidRange(FileplaneError):
    """The range lies outside the file."""

    status = 416
    type = "invalid_request_error"
    code = "invalid_range"


class RateLimited(FileplaneError):
    """A limit of requests, of bytes a day or of uploads at once is reached."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: int) -> None:
        """``retry_after`` in seconds, at most 60: SDKs wait no longer."""
        super().__init__(message, headers={"retry-after": str(max(1, min(60, retry_after)))})

    @classmethod
    def of_requests(cls, limit: int, whose: Whose, seconds: int) -> RateLimited:
        """The minute's requests are used up; the next minute begins in ``seconds``."""
        return cls(f"Rate limit reached: this {whose} may make {limit} requests a minute. Try again in {seconds} s.", retry_after=seconds)

    @classmethod
    def of_uploads(cls, limit: int, whose: Whose) -> RateLimited:
        """As many uploads as may go on at once are going on."""
        message = f"This {whose} may have {limit} uploads in progress at once. Try again when one of them has ended."
        return cls(message, retry_after=_UPLOAD_RETRY_SECONDS)

    @classmethod
    def of_bytes(cls, limit: int, whose: Whose, seconds: int) -> RateLimited:
        """The day's bytes are used up; the day ends in ``seconds``."""
        message = (
            f"This {whose} may send {limit} bytes of uploads a day, and this upload would go beyond. "
            f"The day ends at 00:00 UTC, in {seconds // 3600} h {seconds % 3600 // 60} min."
        )
        return cls(message, retry_after=seconds)
