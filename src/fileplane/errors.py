"""Every failure a caller can be told of, one class each.

FileplaneError
├── InvalidRequest 400
│   ├── MissingParameter
│   ├── InvalidValue
│   │   ├── BelowMinimum
│   │   └── AboveMaximum
│   ├── UnknownParameter
│   ├── MalformedForm
│   └── StorageQuotaExceeded
├── AuthenticationFailed 401
│   ├── MissingApiKey
│   └── InvalidApiKey
├── MissingScope 403
├── NotFound 404
│   ├── FileNotFound
│   ├── HoldNotFound
│   ├── ValidationNotFound
│   └── RouteNotFound
├── MethodNotAllowed 405
├── RequestTimeout 408
├── Conflict 409
│   ├── FileInUse
│   ├── TooManyHolds
│   └── IdempotencyConflict
├── FileTooLarge 413
├── UnsupportedMediaType 415
├── InvalidRange 416
├── InternalError 500
├── StorageIntegrityError 500
├── UnsupportedProviderOperation 501
└── StorageUnavailable 503

The status, type and code of each class stand here and nowhere else: the HTTP answers, the OpenAPI document and the table in
the documentation are all made from them. The first line of a class's docstring is the case that the table describes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final

_NAMED_HOLDS: Final = 20


class FileplaneError(Exception):
    """Something the caller is told of, in the one envelope.

    ``message`` says what to do next and holds no secret; ``param`` names the field, parameter or header at fault.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None
    definitive: ClassVar[bool] = False
    """Whether the answer carries ``x-should-retry: false``, for statuses that the SDKs would otherwise send again."""

    def __init__(self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.message = _encodable(message)
        self.param = None if param is None else _encodable(param)
        super().__init__(self.message)
        self.headers: dict[str, str] = dict(headers or {})


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
    """The project's storage quota is reached."""

    code = "storage_quota_exceeded"

    def __init__(self, quota_bytes: int) -> None:
        super().__init__(
            f"You have exceeded your file storage quota: a project may keep {quota_bytes} bytes, and this file would go beyond. "
            "Delete files you no longer need; the room is free again once deleted files have been collected.",
            param="file",
        )


class AuthenticationFailed(FileplaneError):
    """The caller is not known."""

    status = 401
    type = "invalid_request_error"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"www-authenticate": "Bearer"})


class MissingApiKey(AuthenticationFailed):
    """No API key was sent."""


class InvalidApiKey(AuthenticationFailed):
    """The API key is wrong, expired or revoked."""

    code = "invalid_api_key"


class MissingScope(FileplaneError):
    """The API key lacks the scope that the operation needs."""

    status = 403
    type = "permission_error"
    code = "missing_scope"

    def __init__(self, scope: str, *, param: str | None = None, organisation: bool = False) -> None:
        """With ``organisation``, no project's own key has the scope, whatever is written on it."""
        key = "an organisation's API key" if organisation else "an API key"
        super().__init__(f"This needs {key} with the scope '{scope}'. Use one that has it, or ask the operator for one.", param=param)


class NotFound(FileplaneError):
    """Something that does not exist for this caller."""

    status = 404
    type = "invalid_request_error"


class FileNotFound(NotFound):
    """The file is unknown, of another project, deleted or expired."""

    def __init__(self, file_id: str) -> None:
        super().__init__(f"No such File object: {file_id[:80]}", param="id")


class HoldNotFound(NotFound):
    """The file has no such hold."""

    def __init__(self, hold_id: str) -> None:
        super().__init__(f"No such Hold object: {hold_id[:80]}", param="hold_id")


class ValidationNotFound(NotFound):
    """The file was not validated: only .jsonl files of purpose batch or fine-tune are."""

    def __init__(self, file_id: str) -> None:
        super().__init__(
            f"File {file_id[:80]} was not validated. Only .jsonl files of purpose batch or fine-tune are, when they are uploaded.",
            param="id",
        )


class RouteNotFound(NotFound):
    """No operation has this path."""

    code = "unknown_url"


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


class Conflict(FileplaneError):
    """The state of the file does not allow this."""

    status = 409
    type = "invalid_request_error"
    definitive = True


class FileInUse(Conflict):
    """The file is held."""

    code = "file_in_use"

    def __init__(self, holds: Iterable[tuple[str, str]]) -> None:
        """``holds`` as ids with their reasons."""
        every = list(holds)
        named = "; ".join(f"{hold_id} ({reason})" for hold_id, reason in every[:_NAMED_HOLDS])
        more = f"; and {len(every) - _NAMED_HOLDS} more" if len(every) > _NAMED_HOLDS else ""
        super().__init__(f"The file is in use and can be neither deleted nor purged. Release its holds first: {named}{more}.", param="id")


class TooManyHolds(Conflict):
    """The file has as many holds as a file may have."""

    code = "too_many_holds"

    def __init__(self, most: int) -> None:
        super().__init__(f"A file may have {most} holds at once. Release one that is no longer needed first.", param="id")


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another upload, or for a file that is gone since."""

    code = "idempotency_conflict"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used within the last 24 hours for another upload, or its file is gone since. Use a new key.",
            param="idempotency-key",
        )


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


class InvalidRange(FileplaneError):
    """The range lies outside the file."""

    status = 416
    type = "invalid_request_error"
    code = "invalid_range"


class InternalError(FileplaneError):
    """A defect of Fileplane."""

    code = "internal_error"


class StorageIntegrityError(FileplaneError):
    """The stored bytes are missing or damaged."""

    code = "storage_integrity_error"
    definitive = True


class UnsupportedProviderOperation(FileplaneError):
    """The request names a provider, and this cannot be done there."""

    status = 501
    type = "invalid_request_error"
    code = "unsupported_provider_operation"
    definitive = True


class StorageUnavailable(FileplaneError):
    """The disk is full, or the database or blob store does not answer."""

    status = 503
    code = "storage_unavailable"

    def __init__(self, message: str, *, retry_after: int = 5, nothing_changed: bool = False) -> None:
        """``nothing_changed`` when it is certain that what was asked for did not happen and never will."""
        super().__init__(message, headers={"retry-after": str(retry_after)})
        self.nothing_changed = nothing_changed


def _encodable(text: str) -> str:
    """Callers' own words stand in messages, and may hold halves of surrogate pairs, which no encoding has."""
    return text.encode("utf-8", "replace").decode("utf-8")


class ClientDisconnected(Exception):
    """The caller left, or stopped taking what it is sent. Nobody is there to be told, so this is no FileplaneError."""


def answerable_errors() -> Iterator[type[FileplaneError]]:
    """Every class that is raised as itself, in the order of the tree: the rows of the error table."""

    def leaves(parent: type[FileplaneError]) -> Iterator[type[FileplaneError]]:
        children = parent.__subclasses__()
        if parent is InvalidValue or not children:
            yield parent
        for child in children:
            yield from leaves(child)

    yield from leaves(FileplaneError)
