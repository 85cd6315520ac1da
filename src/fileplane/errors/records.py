"""Failures of what is there and what is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fileplane.errors.base import FileplaneError

_NAMED_HOLDS: Final = 20


class NotFound(FileplaneError):
    """Something that does not exist for this caller."""

    status = 404
    type = "invalid_request_error"


class FileNotFound(NotFound):
    """The file is unknown, of another project, deleted or expired."""

    def __init__(self, file_id: str, *, param: str = "id") -> None:
        super().__init__(f"No such File object: {file_id[:80]}", param=param)


class UploadNotFound(NotFound):
    """The upload is unknown, or of another project."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"No such Upload object: {upload_id[:80]}", param="id")


class JobUnknown(NotFound):
    """The batch or fine-tuning job is unknown, or of another project."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"No such job: {job_id[:80]}", param="id")


class JobOutputMissing(NotFound):
    """The batch has no output: it has not ended, or came to none."""

    code = "batch_output_missing"

    def __init__(self, job_id: str, status: str, reason: str = "") -> None:
        """``reason`` is the provider's own, or empty."""
        why = f" Its provider says: {reason}" if reason else ""
        super().__init__(f"Batch {job_id[:80]} is '{status}' and has no output. Ask again once it has ended with one.{why}", param="id")


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


class Conflict(FileplaneError):
    """The state of the file does not allow this."""

    status = 409
    type = "invalid_request_error"
    definitive = True


class FileInUse(Conflict):
    """The file is held, or an active job uses it."""

    code = "file_in_use"

    def __init__(self, holds: Iterable[tuple[str, str]]) -> None:
        """``holds`` as ids with their reasons."""
        every = list(holds)
        named = "; ".join(f"{hold_id} ({reason})" for hold_id, reason in every[:_NAMED_HOLDS])
        more = f"; and {len(every) - _NAMED_HOLDS} more" if len(every) > _NAMED_HOLDS else ""
        super().__init__(
            f"The file is in use and can be neither deleted nor purged. Release its holds, or let its jobs end, first: {named}{more}.",
            param="id",
        )


class TooManyHolds(Conflict):
    """The file has as many holds as a file may have."""

    code = "too_many_holds"

    def __init__(self, most: int) -> None:
        super().__init__(f"A file may have {most} holds at once. Release one that is no longer needed first.", param="id")


class UploadUnresolved(Conflict):
    """A completion of the upload is going on, or nobody knows yet what has become of it at the provider."""

    code = "upload_unresolved"

    def __init__(self) -> None:
        super().__init__(
            "A completion of this upload is going on, or what has become of it at the provider is not known yet. Ask for the upload later: "
            "it is 'completed' once the file is found. Through a credential of your own, look at the provider's list.",
            param="id",
        )


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another upload, or for a file that is gone since."""

    code = "idempotency_conflict"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "This Idempotency-Key was used within the last 24 hours for another upload, or its file is gone since. Use a new key.",
            param="idempotency-key",
        )

    @classmethod
    def unresolved(cls) -> IdempotencyConflict:
        """Of an upload that may yet come to be a file, for which a new key would make a second one."""
        return cls(
            "The upload that this Idempotency-Key was used for is still under way, or was sent whole and not answered. Look at the list of "
            "files, or try the same key again later; with a new one there may be a second file."
        )


class UploadOffsetMismatch(Conflict):
    """The resumable upload has come to another offset than the request says."""

    code = "upload_offset_mismatch"

    def __init__(self, received: int) -> None:
        super().__init__(
            f"This upload has {received} bytes. Go on from there: a HEAD request tells how many there are.",
            param="upload-offset",
            headers={"upload-offset": str(received)},
        )


class UploadLocked(FileplaneError):
    """Another request appends to the resumable upload, or has taken it over."""

    status = 423
    type = "invalid_request_error"
    code = "upload_locked"

    def __init__(self) -> None:
        super().__init__(
            "Another request is appending to this upload, or has taken it over. Ask for the offset with HEAD, which ends that request, and "
            "go on from there.",
            param="id",
        )


class UploadGone(FileplaneError):
    """The resumable upload has expired or was terminated, or its file is gone."""

    status = 410
    type = "invalid_request_error"
    code = "upload_gone"

    def __init__(self, status: str) -> None:
        what = {"completed": "was completed, and its file is gone", "cancelled": "was terminated"}.get(status, f"is {status}")
        super().__init__(f"This upload {what}. Create another.", param="id")


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
