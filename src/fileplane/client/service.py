"""The Files and Uploads APIs as transfers see them: requests with a key, and every failure as a :class:`ClientError`.

Redirects are not followed, so that the key goes to the configured server alone.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fileplane import __version__
from fileplane.client.addresses import DEFAULT_BASE_URL, Dialler, address_of
from fileplane.client.errors import ClientError, MissingKey, NotAuthorised, NotConfigured, NotFound, Refused, Unavailable
from fileplane.client.exchange import STEP_SECONDS, Answer, Body, Exchange
from fileplane.client.planning import delay_before
from fileplane.client.stopping import Stopping

PATIENCE_ATTEMPTS: Final = 20
PATIENCE_SECONDS: Final = 300.0
"""A request is tried so often, and begun anew so long after its first failure, whichever ends first."""
_LARGEST_ERROR: Final = 64 << 10
_LONGEST_MESSAGE: Final = 2_000
_LONGEST_REQUEST_ID: Final = 128
_SHORTEST_SECRET: Final = 8
_HIDDEN: Final = "********"
_USABLE_KEY: Final = re.compile(r"[!-~]+")
_USABLE_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER: Final = re.compile("auth|key|token|secret|config|credential|json")
_SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]+)?")
_PASSING: Final = {408, 425, 429}
_KEYLESS: Final = "There is no API key. Give it as api_key, or set FILEPLANE_API_KEY (or OPENAI_API_KEY)."
Result = TypeVar("Result")


class Service:
    """A server and a key for it. Safe to share among threads; each exchange of it is one thread's.

    Raises :class:`~fileplane.client.errors.NotConfigured` when there is no URL or key that can be used.
    """

    def __init__(self, base_url: str | None, api_key: str | None, headers: Mapping[str, str] | None = None) -> None:
        self.dialler = Dialler(address_of(base_url or _from_environment("BASE_URL") or DEFAULT_BASE_URL))
        self._key = (api_key or _from_environment("API_KEY") or "").strip()
        if not self._key:
            raise MissingKey(_KEYLESS)
        if not _USABLE_KEY.fullmatch(self._key):
            raise NotConfigured("The API key has characters that no key has. Set FILEPLANE_API_KEY to the key alone.")
        self.own_headers = dict(headers or {})
        for name, value in self.own_headers.items():
            if not _USABLE_HEADER.fullmatch(name) or not value.isprintable() or not value.isascii():
                raise NotConfigured(f"The header '{name[:80]}' cannot be sent: names and values are printable ASCII, in one line.")
        self._headers = {
            "Authorization": f"Bearer {self._key}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"fileplane/{__version__}",
        }
        theirs = {name.lower() for name in self.own_headers}
        if "authorization" in theirs:
            # Then that is a provider's, and ours goes where it is looked for beside one.
            self._headers["x-portkey-api-key"] = self._key
        self._headers = {name: value for name, value in self._headers.items() if name.lower() not in theirs} | self.own_headers
        self._secrets = [self._key, *(value for name, value in self.own_headers.items() if _SECRET_HEADER.search(name.lower()))]

    @property
    def base_url(self) -> str:
        """As it was given, without a slash at its end."""
        return self.dialler.address.base_url

    @contextmanager
    def exchange(self, stopping: Stopping) -> Iterator[Exchange]:
        """A connection for the length of a block, made with its first request."""
        exchange = Exchange(self.dialler, self._headers, stopping)
        try:
            yield exchange
        finally:
            exchange.close()

    def send(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float = STEP_SECONDS,
    ) -> Answer:
        """A successful answer, its body not yet read. Raises :class:`~fileplane.client.errors.ClientError`, by its kind."""
        try:
            answer = exchange.send(method, path, headers or {}, body, answer_seconds)
            self._require_success(answer)
        except ClientError as error:
            exchange.close()
            error.message = self._keyless(error.message)
            error.args = (error.message,)
            raise
        return answer

    def document(self, exchange: Exchange, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON object that a request is answered with."""
        return self.read_document(self.send(exchange, method, path, **options))

    def read_document(self, answer: Answer) -> dict[str, Any]:
        """The JSON object of an answer. Raises :class:`~fileplane.client.errors.Unavailable` for anything else."""
        try:
            document = json.loads(answer.read())
        except (ValueError, RecursionError) as error:
            raise self.unintelligible() from error
        if not isinstance(document, dict):
            raise self.unintelligible()
        return document

    def unintelligible(self) -> Unavailable:
        """For an answer that is not what it should be."""
        return Unavailable(f"The answer of {self.base_url} is not the Files API's. Is base_url right? It usually ends in /v1.")

    def patiently(self, stopping: Stopping, attempt: Callable[[], Result]) -> Result:
        """What ``attempt`` returns, which is called again, after ever longer, while its failures are passing ones.

        Raises the last of them, any other at once, and :class:`~fileplane.client.errors.Stopped`.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        for number in range(1, PATIENCE_ATTEMPTS + 1):
            try:
                return attempt()
            except ClientError as error:
                if not error.passing or number == PATIENCE_ATTEMPTS or time.monotonic() > until:
                    raise
                stopping.wait(delay_before(number, random.random(), error.retry_after))  # noqa: S311 - spreads attempts, is no secret
        raise AssertionError

    def _require_success(self, answer: Answer) -> None:
        success = 200 <= answer.status < 300  # noqa: PLR2004 - HTTP's own classes
        encoding = answer.headers.get("content-encoding", "identity")
        if success and encoding == "identity" and not answer.early:
            return
        request_id = answer.headers.get("x-request-id", "")[:_LONGEST_REQUEST_ID] or None
        if success and answer.early:
            message = f"The server at {self.base_url} answered {answer.status} before it had been sent everything."
            raise Unavailable(message, status=answer.status, request_id=request_id, passing=True)
        if success:
            message = f"The server answered with the Content-Encoding '{encoding}', which it was not asked for."
            raise Unavailable(message, status=answer.status, request_id=request_id)
        error = _error_of(answer)
        said = error.get("message")
        message = said if isinstance(said, str) and said else f"The server at {self.base_url} answered {answer.status}."
        code = error.get("code")
        raise _kind_of(answer.status)(
            self._keyless(message)[:_LONGEST_MESSAGE],
            status=answer.status,
            code=code if isinstance(code, str) else None,
            request_id=request_id,
            passing=_is_passing(answer),
            retry_after=_retry_after(answer),
        )

    def _keyless(self, message: str) -> str:
        for secret in self._secrets:
            if len(secret) >= _SHORTEST_SECRET:
                message = message.replace(secret.removeprefix("Bearer "), _HIDDEN)
        return message


def path_of(file_id: str) -> str:
    """Below the base URL. Raises :class:`~fileplane.client.errors.NotConfigured` for what can be no id."""
    if file_id in {"", ".", ".."}:
        raise NotConfigured(f"'{file_id}' is no file id.")
    return f"/files/{quote(file_id, safe='', errors='surrogateescape')}"


def json_body(document: Mapping[str, Any]) -> Body:
    """A request's body that is one JSON object."""
    encoded = json.dumps(document).encode()
    return Body("application/json", len(encoded), [encoded])


def _from_environment(name: str) -> str | None:
    return os.environ.get(f"FILEPLANE_{name}") or os.environ.get(f"OPENAI_{name}")


def _kind_of(status: int) -> type[ClientError]:
    if status in {401, 403}:
        return NotAuthorised
    if status == 404:  # noqa: PLR2004 - HTTP's own number
        return NotFound
    return Refused if 300 <= status < 500 else Unavailable  # noqa: PLR2004 - HTTP's own classes


def _is_passing(answer: Answer) -> bool:
    """Also where the answer says itself whether it is worth trying again, as OpenAI's SDKs read it."""
    wish = answer.headers.get("x-should-retry", "").lower()
    if wish in {"true", "false"}:
        return wish == "true"
    return answer.status in _PASSING or (answer.status >= 500 and answer.status != 501)  # noqa: PLR2004 - HTTP's own numbers


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if _SECONDS.fullmatch(text) else None


def _error_of(answer: Answer) -> dict[str, Any]:
    """The error in the envelope, if the answer has one."""
    try:
        error = json.loads(answer.read_message(_LARGEST_ERROR))["error"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
