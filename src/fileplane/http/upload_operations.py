"""The rows of the route table for uploads in parts."""

from __future__ import annotations

from typing import Final

from fileplane import errors
from fileplane.access import Scope
from fileplane.http import remote_upload_handlers as remote
from fileplane.http import upload_handlers as uploads
from fileplane.http.json_body import LARGEST_BODY
from fileplane.http.operation import ALWAYS, JSON_ERRORS, ROUTE_ERRORS, Operation
from fileplane.http.upload_schemas import CompletionRequest, PartObject, UploadList, UploadObject, UploadRequest

UPLOADS: Final = "/v1/uploads"
_UPLOAD: Final = UPLOADS + "/{upload_id}"
_ROOM_ERRORS: Final = (errors.StorageQuotaExceeded, errors.FileQuotaExceeded)
_GONE_ERRORS: Final = (errors.UploadNotFound, errors.UploadNotPending, errors.UploadUnresolved)
_OUTCOME_ERRORS: Final = (errors.UploadLost, errors.UploadTimedOut)

UPLOAD_OPERATIONS: Final = (
    Operation(
        "POST",
        UPLOADS,
        uploads.create_upload,
        "Create an upload in parts",
        UploadObject,
        Scope.FILES_WRITE,
        fails_with=(errors.BelowMinimum, errors.AboveMaximum, errors.FileTooLarge, *_ROOM_ERRORS, *JSON_ERRORS, *ROUTE_ERRORS, *ALWAYS),
        takes=UploadRequest,
        most_for_conditions=LARGEST_BODY,
        remote=remote.create_upload,
    ),
    Operation(
        "GET",
        UPLOADS,
        uploads.list_uploads,
        "List uploads in parts",
        UploadList,
        Scope.FILES_READ,
        uploads.upload_list_parameters,
        (errors.InvalidValue, errors.BelowMinimum, errors.AboveMaximum, errors.UnknownParameter, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.list_uploads,
    ),
    Operation(
        "GET",
        _UPLOAD,
        uploads.retrieve_upload,
        "Retrieve an upload with its parts",
        UploadObject,
        Scope.FILES_READ,
        fails_with=(errors.UploadNotFound, errors.InvalidValue, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.retrieve_upload,
    ),
    Operation(
        "POST",
        _UPLOAD + "/parts",
        uploads.add_part,
        "Add a part to an upload",
        PartObject,
        Scope.FILES_WRITE,
        fails_with=(
            errors.MissingParameter,
            errors.InvalidValue,
            errors.UnknownParameter,
            errors.MalformedForm,
            errors.RequestTimeout,
            errors.FileTooLarge,
            errors.TooManyParts,
            errors.UploadResumable,
            errors.UnsupportedMediaType,
            *_ROOM_ERRORS,
            *_GONE_ERRORS,
            *ROUTE_ERRORS,
            *ALWAYS,
        ),
        remote=remote.add_part,
    ),
    Operation(
        "POST",
        _UPLOAD + "/complete",
        uploads.complete_upload,
        "Complete an upload",
        UploadObject,
        Scope.FILES_WRITE,
        fails_with=(
            errors.StorageIntegrityError,
            errors.UploadResumable,
            *_ROOM_ERRORS,
            *_GONE_ERRORS,
            *_OUTCOME_ERRORS,
            *JSON_ERRORS,
            *ROUTE_ERRORS,
            *ALWAYS,
        ),
        takes=CompletionRequest,
        remote=remote.complete_upload,
    ),
    Operation(
        "POST",
        _UPLOAD + "/cancel",
        uploads.cancel_upload,
        "Cancel an upload",
        UploadObject,
        Scope.FILES_WRITE,
        fails_with=(errors.InvalidValue, errors.RequestTimeout, *_GONE_ERRORS, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.cancel_upload,
    ),
)
