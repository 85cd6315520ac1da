"""Failures of who calls: keys, scopes, rights."""

from __future__ import annotations

from fileplane.errors.base import FileplaneError


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
