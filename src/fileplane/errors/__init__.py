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
│   ├── FileQuotaExceeded
│   ├── UploadNotPending
│   ├── UploadResumable
│   └── TooManyParts
├── AuthenticationFailed 401
│   ├── MissingApiKey
│   └── InvalidApiKey
├── MissingScope 403
├── BeyondOwnRights 403
├── OrganisationKeyNeeded 403
├── NotFound 404
│   ├── FileNotFound
│   ├── UploadNotFound
│   ├── JobUnknown
│   ├── HoldNotFound
│   ├── RecordNotFound
│   ├── ValidationNotFound
│   └── RouteNotFound
├── MethodNotAllowed 405
├── RequestTimeout 408
├── Conflict 409
│   ├── FileInUse
│   ├── TooManyHolds
│   ├── UploadOffsetMismatch
│   ├── SlugTaken
│   ├── RecordInUse
│   ├── RecordChanged
│   ├── UploadUnresolved
│   └── IdempotencyConflict
├── UploadGone 410
├── ProtocolVersionUnsupported 412
├── FileTooLarge 413
├── UnsupportedMediaType 415
├── InvalidRange 416
├── UploadLocked 423
├── RateLimited 429
├── ChecksumMismatch 460
├── InternalError 500
├── StorageIntegrityError 500
├── UnsupportedProviderOperation 501
├── NotProvided 501
├── CredentialUnavailable 503
├── StorageUnavailable 503
└── UpstreamError
    ├── ProviderRefused, with the provider's own status
    ├── UpstreamUnreachable 502
    ├── UpstreamSuspended 502
    ├── UpstreamBusy 503
    ├── UpstreamAnswerInvalid 502
    ├── UpstreamTimeout 504
    └── UpstreamOutcomeUnknown
        ├── UploadLost 502
        ├── UploadTimedOut 504
        ├── JobLost 502
        └── JobTimedOut 504

The status, type and code of each class stand in this package and nowhere else: the HTTP answers, the OpenAPI document and the table in
the documentation are all made from them. The first line of a class's docstring is the case that the table describes.
"""

from __future__ import annotations

from collections.abc import Iterator

from fileplane.errors.base import AnswerBrokenOff, ClientDisconnected, FileplaneError
from fileplane.errors.callers import (
    AuthenticationFailed,
    BeyondOwnRights,
    InvalidApiKey,
    MissingApiKey,
    MissingScope,
    OrganisationKeyNeeded,
)
from fileplane.errors.records import (
    Conflict,
    FileInUse,
    FileNotFound,
    HoldNotFound,
    IdempotencyConflict,
    JobOutputMissing,
    JobUnknown,
    NotFound,
    RecordChanged,
    RecordInUse,
    RecordNotFound,
    RouteNotFound,
    SlugTaken,
    TooManyHolds,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadOffsetMismatch,
    UploadUnresolved,
    ValidationNotFound,
)
from fileplane.errors.requests import (
    AboveMaximum,
    BelowMinimum,
    ChecksumMismatch,
    FileQuotaExceeded,
    FileTooLarge,
    InvalidRange,
    InvalidRequest,
    InvalidValue,
    MalformedForm,
    MethodNotAllowed,
    MissingParameter,
    ProtocolVersionUnsupported,
    RateLimited,
    RequestTimeout,
    StorageQuotaExceeded,
    TooManyParts,
    UnknownParameter,
    UnsupportedMediaType,
    UploadNotPending,
    UploadResumable,
)
from fileplane.errors.service import CredentialUnavailable, InternalError, NotProvided, StorageIntegrityError, StorageUnavailable
from fileplane.errors.upstream import (
    JobLost,
    JobTimedOut,
    ProviderRefused,
    UnsupportedProviderOperation,
    UploadLost,
    UploadTimedOut,
    UpstreamAnswerInvalid,
    UpstreamBusy,
    UpstreamError,
    UpstreamOutcomeUnknown,
    UpstreamSuspended,
    UpstreamTimeout,
    UpstreamUnreachable,
)

__all__ = [
    "AboveMaximum",
    "AnswerBrokenOff",
    "AuthenticationFailed",
    "BelowMinimum",
    "BeyondOwnRights",
    "ChecksumMismatch",
    "ClientDisconnected",
    "Conflict",
    "CredentialUnavailable",
    "FileInUse",
    "FileNotFound",
    "FileQuotaExceeded",
    "FileTooLarge",
    "FileplaneError",
    "HoldNotFound",
    "IdempotencyConflict",
    "InternalError",
    "InvalidApiKey",
    "InvalidRange",
    "InvalidRequest",
    "InvalidValue",
    "JobLost",
    "JobOutputMissing",
    "JobTimedOut",
    "JobUnknown",
    "MalformedForm",
    "MethodNotAllowed",
    "MissingApiKey",
    "MissingParameter",
    "MissingScope",
    "NotFound",
    "NotProvided",
    "OrganisationKeyNeeded",
    "ProtocolVersionUnsupported",
    "ProviderRefused",
    "RateLimited",
    "RecordChanged",
    "RecordInUse",
    "RecordNotFound",
    "RequestTimeout",
    "RouteNotFound",
    "SlugTaken",
    "StorageIntegrityError",
    "StorageQuotaExceeded",
    "StorageUnavailable",
    "TooManyHolds",
    "TooManyParts",
    "UnknownParameter",
    "UnsupportedMediaType",
    "UnsupportedProviderOperation",
    "UploadGone",
    "UploadLocked",
    "UploadLost",
    "UploadNotFound",
    "UploadNotPending",
    "UploadOffsetMismatch",
    "UploadResumable",
    "UploadTimedOut",
    "UploadUnresolved",
    "UpstreamAnswerInvalid",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamOutcomeUnknown",
    "UpstreamSuspended",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "ValidationNotFound",
    "answerable_errors",
]


def answerable_errors() -> Iterator[type[FileplaneError]]:
    """Every class that is raised as itself, by their statuses: the rows of the error table."""

    def leaves(parent: type[FileplaneError]) -> Iterator[type[FileplaneError]]:
        children = parent.__subclasses__()
        if parent is InvalidValue or not children:
            yield parent
        for child in children:
            yield from leaves(child)

    yield from sorted(leaves(FileplaneError), key=lambda error: error.status)
