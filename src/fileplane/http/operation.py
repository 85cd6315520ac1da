"""What a row of the route table consists of, and the failures that many rows share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp

from fileplane import errors
from fileplane.access import Scope
from fileplane.errors import FileplaneError
from fileplane.http.call import Call
from fileplane.http.parameters import Parameter
from fileplane.settings import Settings

Handler = Callable[[Call], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. Without ``scope`` it needs no key, and neither where ``public`` says so of the settings.

    ``answer`` is a schema, or the media type of raw bytes. ``takes`` is the schema of a JSON body. Any of ``or_scopes`` lets a caller in
    as well as ``scope``; which of them a request needs is then decided once it is known what it is about.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any
    scope: Scope | None = None
    parameters: Callable[[Settings], tuple[Parameter, ...]] = lambda _: ()
    fails_with: tuple[type[FileplaneError], ...] = ()
    takes: type | None = None
    public: Callable[[Settings], bool] = lambda _: False
    or_scopes: tuple[Scope, ...] = ()
    remote: Handler | None = None
    """What answers instead of ``handler`` when the request goes to a provider; None where only the native store can do it."""
    needs_body: bool = True
    """Where it has a body, whether it has to be sent."""
    status: int = 200
    """Of its success."""
    headers: tuple[Parameter, ...] = ()
    """Those of a request that mean something to this operation alone."""
    most_for_conditions: int = 0
    """Bytes of its JSON body at most, where conditions of configs can compare members of it before it is known where it goes."""
    takes_bytes: str | None = None
    """The media type of a body that is the bytes themselves."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that lets a caller in."""
        return () if self.scope is None else (self.scope, *self.or_scopes)


KEY_ERRORS: Final = (
    errors.MissingApiKey,
    errors.InvalidApiKey,
    errors.MissingScope,
    errors.RateLimited,
    errors.UnsupportedProviderOperation,
)
STORE_ERRORS: Final = (errors.StorageUnavailable, errors.InternalError)
ALWAYS: Final = (*KEY_ERRORS, *STORE_ERRORS)
JSON_ERRORS: Final = (
    errors.MissingParameter,
    errors.InvalidValue,
    errors.UnknownParameter,
    errors.RequestTimeout,
    errors.UnsupportedMediaType,
)
ROUTE_ERRORS: Final = (
    errors.MissingParameter,
    errors.BeyondOwnRights,
    errors.CredentialUnavailable,
    errors.RequestTimeout,
    errors.ProviderRefused,
    errors.UpstreamUnreachable,
    errors.UpstreamAnswerInvalid,
    errors.UpstreamTimeout,
    errors.UpstreamSuspended,
    errors.UpstreamBusy,
)
"""Of what may go to a provider."""
