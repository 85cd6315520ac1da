"""Every failure a caller can be told of, one class each.

FileplaneError
├── InvalidRequest 400
│   ├── MissingParameter
│   ├── InvalidValue
│   │   ├── BelowMinimum
│   │   └── AboveMaximum
│   ├── UnknownParameter
│   ├── MalformedForm
│   ├── StorageQuotaExceeded
│   └── FileQuotaExceeded
├── AuthenticationFailed 401
│   ├── MissingApiKey
│   └── InvalidApiKey
├── MissingScope 403
├── BeyondOwnRights 403
├── OrganisationKeyNeeded 403
├── NotFound 404
│   ├── FileNotFound
│   ├── HoldNotFound
│   ├── RecordNotFound
│   ├── ValidationNotFound
│   └── RouteNotFound
├── MethodNotAllowed 405
├── RequestTimeout 408
├── Conflict 409
│   ├── FileInUse
│   ├── TooManyHolds
│   ├── SlugTaken
│   ├── RecordInUse
│   ├── RecordChanged
│   └── IdempotencyConflict
├── FileTooLarge 413
├── UnsupportedMediaType 415
├── InvalidRange 416
├── RateLimited 429
├── InternalError 500
├── StorageIntegrityError 500
├── UnsupportedProviderOperation 501
├── NotProvided 501
├── CredentialUnavailable 503
└── StorageUnavailable 503

The status, type and code of each class stand here and nowhere else: the HTTP answers, the OpenAPI document and the table in
the documentation are all made from them. The first line of a class's docstring is the case that the table describes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final

from fileplane.access import Whose

_NAMED_HOLDS: Final = 20
_UPLOAD_RETRY_SECONDS: Final = 5


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

    def __init__(self, *scopes: str, param: str | None = None, organisation: bool = False) -> None:
        """Any of ``scopes`` would do. With ``organisation``, no project's own key has the scope, whatever is written on it."""
        key = "an organisation's API key" if organisation else "an API key"
        named = " or ".join(f"'{scope}'" for scope in scopes)
        super().__init__(f"This needs {key} with the scope {named}. Use one that has it, or ask the operator for one.", param=param)


class BeyondOwnRights(FileplaneError):
    """The API key would give another more than it has itself, or get hold of one that may do more."""

    status = 403
    type = "permission_error"
    code = "beyond_own_rights"

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message, param=param)


class OrganisationKeyNeeded(FileplaneError):
    """The API key is a project's, and this concerns more than its project."""

    status = 403
    type = "permission_error"
    code = "organisation_key_needed"

    def __init__(self, what: str, *, param: str | None = None) -> None:
        """``what`` begins the sentence that says what is refused."""
        super().__init__(f"{what} Use an organisation's API key, or ask the operator.", param=param)


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


class RecordNotFound(NotFound):
    """The project, API key, virtual key, integration or config does not exist for this caller."""

    def __init__(self, kind: str, name: str, *, param: str) -> None:
        """``kind`` as callers know it, such as ``API key``."""
        super().__init__(f"No such {kind}: {name[:80]}", param=param)


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


class SlugTaken(Conflict):
    """Something else of that kind has that slug or name."""

    code = "slug_taken"

    def __init__(self, slug: str, *, param: str = "slug") -> None:
        super().__init__(f"The slug '{slug[:80]}' is taken. Choose another.", param=param)


class RecordInUse(Conflict):
    """What is to be removed is needed by others."""

    code = "in_use"

    def __init__(self, kind: str, users: Iterable[str], *, param: str) -> None:
        """``users`` says who needs it, such as ``config pc-nightl-1f09ac``."""
        every = list(users)
        more = f" and {len(every) - _NAMED_HOLDS} more" if len(every) > _NAMED_HOLDS else ""
        super().__init__(f"This {kind} is in use by {', '.join(every[:_NAMED_HOLDS])}{more}. Change or remove those first.", param=param)


class RecordChanged(Conflict):
    """Somebody else changed the same thing at the same time."""

    code = "changed_meanwhile"
    definitive = False

    def __init__(self, kind: str) -> None:
        super().__init__(f"This {kind} was changed by somebody else at the same time. Read it again and repeat the change.")


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


class NotProvided(FileplaneError):
    """A call of Portkey's control plane for something that Fileplane does not have."""

    status = 501
    type = "invalid_request_error"
    code = "not_provided"
    definitive = True


class CredentialUnavailable(FileplaneError):
    """A stored credential cannot be read: damaged, without its master key, or its reference leads nowhere."""

    status = 503
    code = "credential_unavailable"
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
