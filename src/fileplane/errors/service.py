"""Failures of this server."""

from __future__ import annotations

from fileplane.errors.base import FileplaneError


class InternalError(FileplaneError):
    """A defect of Fileplane."""

    code = "internal_error"


class StorageIntegrityError(FileplaneError):
    """The stored bytes are missing or damaged."""

    code = "storage_integrity_error"
    definitive = True


class NotProvided(FileplaneError):
    """A call of Portkey's control plane for something that Fileplane does not have."""

    status = 501
    type = "invalid_request_error"
    code = "not_provided"
    definitive = True


class CredentialUnavailable(FileplaneError):
    """A stored credential cannot be read: damaged, without its master key, or its reference or the machine's identity leads nowhere."""

    status = 503
    code = "credential_unavailable"
    definitive = True


class StorageUnavailable(FileplaneError):
    """The disk is full, or the database or blob store does not answer."""

    status = 503
    code = "storage_unavailable"

    def __init__(self, message: str, *, retry_after: int = 5, nothing_changed: bool = False, full: bool = False) -> None:
        """``nothing_changed`` when it is certain that what was asked for did not happen and never will.

        ``full`` where nothing is wrong but that there is no room, so that what is stored can be read and deleted.
        """
        super().__init__(message, headers={"retry-after": str(retry_after)})
        self.nothing_changed = nothing_changed
        self.full = full
