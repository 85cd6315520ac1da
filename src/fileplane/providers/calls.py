"""What every call of the adapter for OpenAI's APIs has in common: how its request is made, and how a refusal of it is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from fileplane.errors import FileplaneError, NotFound, ProviderRefused, UnsupportedProviderOperation, UpstreamError
from fileplane.providers.absence import says_absent
from fileplane.providers.access import Access
from fileplane.providers.base import Target
from fileplane.providers.dialects import Dialect
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.file_objects import parse_json
from fileplane.providers.outbound_headers import forwardable
from fileplane.providers.refusals import MOST_ANSWER_BYTES, refusal, says_nothing_is_there
from fileplane.providers.remote_ids import is_remote_id
from fileplane.providers.request_body import RequestBody

AccessTo: TypeAlias = Callable[[Target, Dialect], Awaitable[Access]]

SUCCESSES: Final = range(200, 300)
NOT_FOUND: Final = 404
_LOST_BEHIND_A_PROXY: Final = frozenset({502, 520, 521, 523})
_LATE_BEHIND_A_PROXY: Final = frozenset({504, 522, 524})


def request_to(
    target: Target,
    access: Access,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: RequestBody | None = None,
    follow_redirects: bool = False,
) -> EgressRequest:
    """A request with what the caller forwards, what the access needs, and ``headers``, of which the later win."""
    sent = {**forwardable(target.forward_headers, stored=target.stored), **access.headers, **(headers or {})}
    if body is not None:
        sent["Content-Type"] = body.content_type
    return EgressRequest(
        method,
        url,
        sent,
        access.secret_headers,
        body,
        target.request_timeout_seconds,
        follow_redirects,
        heard=target.heard,
        caller=target.caller,
    )


async def check_found(
    target: Target, dialect: Dialect, access: Access, response: EgressResponse, unknown: Callable[[str], NotFound], sought: str
) -> None:
    """Raises what ``unknown`` makes of the id ``sought`` where the answer says that it does not exist, and else the refusal that it is.

    A 404 alone does not say so: what stands before a provider answers with it too, and so does a provider below another path. What is
    concluded from it (a record that is closed, a job whose files are let go) could not be taken back.
    """
    if response.status in SUCCESSES:
        return
    error, nothing_there = await refused_or_gone(target, access, response, sought)
    words = dialect.not_found.get(response.status)
    if nothing_there or (words is not None and words in error.message.lower() and says_absent(error.message, sought)):
        raise unknown(sought) from error
    raise error


async def refused(target: Target, access: Access, response: EgressResponse) -> ProviderRefused:
    """The refusal that an answer is."""
    return _refusal(target, access, response, await _body_of(response))


async def refused_or_gone(target: Target, access: Access, response: EgressResponse, sought: str) -> tuple[ProviderRefused, bool]:
    """The refusal that an answer is, and whether it says that what has the id ``sought`` does not exist."""
    body = await _body_of(response)
    return _refusal(target, access, response, body), response.status == NOT_FOUND and says_nothing_is_there(body, sought)


def _refusal(target: Target, access: Access, response: EgressResponse, body: bytes) -> ProviderRefused:
    return refusal(response.status, response.headers, body, [*target.secrets.values(), *access.secret_headers.values()])


async def _body_of(response: EgressResponse) -> bytes:
    """What a refusal says, which is nothing where that cannot be read."""
    try:
        return await response.read(MOST_ANSWER_BYTES)
    except UpstreamError:
        return b""


async def refused_as_existing(
    target: Target, dialect: Dialect, access: Access, response: EgressResponse
) -> tuple[ProviderRefused, str | None]:
    """A refusal of an upload, with the id of the file of the same bytes that it names; None where it names none."""
    try:
        body = await response.read(MOST_ANSWER_BYTES)
        said = parse_json(body)
    except UpstreamError:
        body, said = b"", None
    found = said.get(dialect.existing_in) if isinstance(said, dict) and dialect.existing_in is not None else None
    return _refusal(target, access, response, body), found if is_remote_id(found) else None


async def refused_sending(target: Target, access: Access, response: EgressResponse, body: RequestBody) -> FileplaneError:
    """A refusal; but a proxy before the provider that lost sight of it cannot say what became of what was sent."""
    error = await refused(target, access, response)
    if body.complete and response.status in _LOST_BEHIND_A_PROXY:
        return body.outcome.lost(error.message)
    if body.complete and response.status in _LATE_BEHIND_A_PROXY:
        return body.outcome.late(error.message)
    return error


def unwrapped(dialect: Dialect, answer: Any) -> Any:
    """The object that an answer is about."""
    if dialect.wrapped_in is None or not isinstance(answer, dict):
        return answer
    return answer.get(dialect.wrapped_in, answer)


def unsupported(dialect: Dialect, what: str) -> UnsupportedProviderOperation:
    """The refusal of what a provider has no call for."""
    return UnsupportedProviderOperation(f"{dialect.title} cannot {what} through this API.", param="x-portkey-provider")
