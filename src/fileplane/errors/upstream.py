"""Failures of providers."""

from __future__ import annotations

from math import ceil
from typing import Final

from fileplane.errors.base import FileplaneError

_LONGEST_RETRY_AFTER: Final = 60
_TOO_MANY_CALLS: Final = (
    "Too many calls are being made to this provider's host, for this project, or to all providers, at once. Try again, or ask the "
    "operator to raise egress_connections."
)


class UnsupportedProviderOperation(FileplaneError):
    """The request names a provider, and this cannot be done there."""

    status = 501
    type = "invalid_request_error"
    code = "unsupported_provider_operation"
    definitive = True


class UpstreamError(FileplaneError):
    """A provider did not do what it was asked for."""

    status = 502
    type = "upstream_error"


class ProviderRefused(UpstreamError):
    """The provider refused. Its own status, type, code and message are passed on where it gave any."""

    code: str | None = "provider_refused"

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        type: str | None = None,  # noqa: A002 - the envelope calls it that
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """``retry_after`` is what the provider asked for, in seconds; callers are told at most 60, because SDKs wait no longer."""
        shown = None if retry_after is None else str(max(1, min(_LONGEST_RETRY_AFTER, round(retry_after))))
        super().__init__(message, param=param, headers={} if shown is None else {"retry-after": shown})
        self.status = status
        self.type = type or self.type
        self.code = code
        self.definitive = status in {409, 501}
        self.retry_after = retry_after


class UpstreamUnreachable(UpstreamError):
    """The provider cannot be reached, or broke off, before anything was changed there that repeating the call would change twice."""

    code = "upstream_unreachable"


class UpstreamSuspended(UpstreamError):
    """The provider could not be connected to several times in a row, and is not tried again yet. Nothing was sent."""

    code = "upstream_suspended"

    def __init__(self, seconds: float) -> None:
        """``seconds`` until it is tried again; callers are told at most 60."""
        wait = max(1, min(_LONGEST_RETRY_AFTER, ceil(seconds)))
        super().__init__(
            f"Connections to the provider failed several times in a row. It is tried again in {wait} s; try again then, or use another.",
            headers={"retry-after": str(wait)},
        )


class UpstreamBusy(UpstreamError):
    """As many calls as may be made at once go to the provider's host, or to all, or look names up, already. Nothing was sent."""

    status = 503
    code = "upstream_busy"

    def __init__(self, message: str = _TOO_MANY_CALLS) -> None:
        super().__init__(message, headers={"retry-after": "1"})


class UpstreamAnswerInvalid(UpstreamError):
    """The provider's answer cannot be understood or used."""

    code = "upstream_answer_invalid"
    definitive = True


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time; repeating the call changes nothing twice."""

    status = 504
    code = "upstream_timeout"


class UpstreamOutcomeUnknown(UpstreamError):
    """Whether the provider has taken an upload, or begun a job, is not known."""

    code = "upstream_outcome_unknown"
    definitive = True


class UploadLost(UpstreamOutcomeUnknown):
    """The provider broke off, or answered what cannot be understood, after the whole upload was sent: it may have the file."""


class UploadTimedOut(UpstreamOutcomeUnknown):
    """The provider did not answer in time after the whole upload was sent: it may have the file."""

    status = 504


class JobLost(UpstreamOutcomeUnknown):
    """The provider broke off, or answered what cannot be understood, after the whole job was sent: it may have begun it."""


class JobTimedOut(UpstreamOutcomeUnknown):
    """The provider did not answer in time after the whole job was sent: it may have begun it."""

    status = 504
