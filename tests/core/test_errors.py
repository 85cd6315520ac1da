"""The error classes are one consistent table."""

from __future__ import annotations

from fileplane.errors import FileplaneError, answerable_errors
from fileplane.http.routes import OPERATIONS

SDKS_RETRY = {408, 409, 429}


def test_every_answerable_error_is_raised_as_itself_and_described() -> None:
    rows = list(answerable_errors())
    assert len(rows) == len(set(rows)) > 15
    for row in rows:
        assert issubclass(row, FileplaneError)
        assert row.__doc__
        assert 400 <= row.status < 600
        assert row.type in {"invalid_request_error", "permission_error", "rate_limit_error", "server_error", "upstream_error"}


def test_what_trying_again_cannot_mend_says_so_wherever_sdks_would_try() -> None:
    retried = {row.__name__ for row in answerable_errors() if (row.status in SDKS_RETRY or row.status >= 500) and not row.definitive}
    assert retried == {
        *("RequestTimeout", "RecordChanged", "RateLimited", "InternalError", "StorageUnavailable"),
        *("ProviderRefused", "UpstreamUnreachable", "UpstreamSuspended", "UpstreamBusy", "UpstreamTimeout"),
    }


def test_every_error_belongs_to_a_route_or_to_all_of_them() -> None:
    of_all = {"RouteNotFound", "MethodNotAllowed", "NotProvided"}
    of_routes = {failure.__name__ for operation in OPERATIONS for failure in operation.fails_with}
    assert {row.__name__ for row in answerable_errors()} == of_all | of_routes
