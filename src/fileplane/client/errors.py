"""Everything that a transfer may fail with. No message ever holds the API key."""

from __future__ import annotations

from pathlib import Path


class ClientError(Exception):
    """A call failed. ``message`` says why and what to do.

    ``status`` (HTTP), ``code`` (of the error envelope) and ``request_id`` are the server's, where it answered. ``passing``: trying again
    may help, after ``retry_after`` seconds where that was said.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        passing: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.passing = passing
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message if self.request_id is None else f"{self.message} (request id {self.request_id})"


class NotConfigured(ClientError):
    """The base URL, the key or a proxy is missing or cannot be used; nothing was sent."""


class MissingKey(NotConfigured):
    """There is no API key."""


class SourceFailed(ClientError):
    """What was to be uploaded cannot be read."""


class SourceChanged(SourceFailed):
    """What was to be uploaded changed meanwhile; the server keeps nothing of it."""


class TargetFailed(ClientError):
    """What was to be written cannot be."""


class TargetExists(TargetFailed):
    """There is something already at ``target``, where a download was to appear."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"{target} exists. Overwrite it, or choose another name.")
        self.target = target


class Refused(ClientError):
    """The server refuses the request as it stands (3xx, 4xx)."""


class NotAuthorised(Refused):
    """The key is wrong, or may not do this (401, 403)."""


class NotFound(Refused):
    """There is no such file or upload (404)."""


class Unavailable(ClientError):
    """The server cannot be reached, failed (5xx), or broke off; trying again may help."""


class Damaged(Unavailable):
    """The bytes that arrived are not those that were sent."""


class Stopped(ClientError):
    """The transfer was told to stop, by its caller."""

    def __init__(self) -> None:
        super().__init__("The transfer was stopped.")
