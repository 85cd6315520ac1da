"""The Files API as a client sees it: one connection, one request at a time, and every failure as a :class:`CommandFailed`.

Proxies (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``) and certificate authorities (``SSL_CERT_FILE``) are taken from the environment,
as httpx2 does by default. Redirects are not followed, so that the key goes to the configured server alone. Nothing is sent twice.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import httpx2

from fileplane import __version__
from fileplane.cli.early_answer import AnsweredEarly, EarlyAnswerWatch
from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.upload_form import UploadForm
from fileplane.settings import REDACTED, Settings

_TIMEOUT: Final = httpx2.Timeout(60.0, connect=10.0)
_LARGEST_DOCUMENT: Final = 64 << 20
_LARGEST_ERROR: Final = 64 << 10
_LONGEST_MESSAGE: Final = 2_000
_LONGEST_REQUEST_ID: Final = 128
_SHORTEST_SECRET: Final = 8
_USABLE_KEY: Final = re.compile(r"[!-~]+")
_KEYLESS: Final = (
    "There is no API key. Set FILEPLANE_API_KEY (or OPENAI_API_KEY), or api_key in the file that --config names. The first "
    "`fileplane serve` printed a key; `fileplane key create` makes another."
)


class FilesClient:
    """The five calls. Each raises :class:`CommandFailed`, with the exit code that the HTTP status stands for."""

    def __init__(self, settings: Settings) -> None:
        self._base_url = _checked_base_url(settings.base_url)
        self._key = (settings.api_key or "").strip()
        if not self._key:
            raise CommandFailed(ExitCode.NOT_AUTHORISED, _KEYLESS)
        if not _USABLE_KEY.fullmatch(self._key):
            raise CommandFailed(ExitCode.USAGE, "The API key has characters that no key has. Set FILEPLANE_API_KEY to the key alone.")
        self._watch = EarlyAnswerWatch()
        headers = {
            "authorization": f"Bearer {self._key}",
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": f"fileplane/{__version__}",
        }
        self._http = httpx2.Client(headers=headers, timeout=_TIMEOUT, verify=_verification(self._base_url))

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def create(self, form: UploadForm) -> dict[str, Any]:
        """POST /files: sends the form as it is read, and returns the File object. An answer that comes before the end ends the sending."""
        pieces = self._watch.until_answered(form)
        with self._answer("POST", "/files", headers=form.headers, content=pieces, extensions=self._watch.extensions) as response:
            return self._document(response)

    def page(self, query: Mapping[str, str]) -> dict[str, Any]:
        """GET /files: one page of the list, its ``data`` checked to be a list of objects."""
        with self._answer("GET", "/files", params=dict(query)) as response:
            page = self._document(response)
        data = page.get("data")
        if not isinstance(data, list) or not all(isinstance(file, dict) and isinstance(file.get("id"), str) for file in data):
            raise self._unintelligible()
        return page

    def retrieve(self, file_id: str) -> dict[str, Any]:
        """GET /files/{id}: the File object."""
        with self._answer("GET", _path_of(file_id)) as response:
            return self._document(response)

    def restore(self, file_id: str) -> dict[str, Any]:
        """POST /files/{id}/restore: the File object of what was deleted."""
        with self._answer("POST", _path_of(file_id) + "/restore") as response:
            return self._document(response)

    def delete(self, file_id: str, *, purge: bool = False) -> dict[str, Any]:
        """DELETE /files/{id}: the deletion object, which says that the file is deleted; with ``purge``, for good."""
        with self._answer("DELETE", _path_of(file_id), params={"purge": "true"} if purge else {}) as response:
            deletion = self._document(response)
        if deletion.get("deleted") is not True:
            raise self._unintelligible()
        return deletion

    @contextmanager
    def content(self, file_id: str, byte_range: str | None = None) -> Iterator[httpx2.Response]:
        """GET /files/{id}/content: the answer, its bytes not yet read. ``byte_range`` is such as ``0-99``, ``100-`` or ``-100``."""
        headers = {} if byte_range is None else {"range": f"bytes={byte_range}"}
        with self._answer("GET", _path_of(file_id) + "/content", headers=headers) as response:
            yield response

    @contextmanager
    def _answer(self, method: str, path: str, **parts: Any) -> Iterator[httpx2.Response]:
        try:
            with self._http.stream(method, self._base_url + path, **parts) as response:
                self._require_success(response)
                yield response
        except AnsweredEarly as early:
            self._require_success(early.response)
            raise self._unintelligible() from early
        except httpx2.TimeoutException as error:
            raise self._unreachable(f"The server at {self._base_url} did not answer in time.") from error
        except httpx2.ConnectError as error:
            raise self._unreachable(
                f"The server at {self._base_url} cannot be reached: {error}. Is it running, and base_url right?"
            ) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unreachable(f"The connection to {self._base_url} failed: {error}.") from error

    def _require_success(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if response.is_success and encoding == "identity":
            return
        request_id = response.headers.get("x-request-id", "")[:_LONGEST_REQUEST_ID] or None
        if response.is_success:
            message = f"The server answered with the Content-Encoding '{encoding}', which it was not asked for."
        else:
            message = _message_of(response) or f"The server at {self._base_url} answered {response.status_code}."
        raise CommandFailed(_exit_code_of(response.status_code), self._keyless(message)[:_LONGEST_MESSAGE], request_id=request_id)

    def _document(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            document = json.loads(_read_at_most(response, _LARGEST_DOCUMENT))
        except (ValueError, RecursionError) as error:
            raise self._unintelligible() from error
        if not isinstance(document, dict):
            raise self._unintelligible()
        return document

    def _unreachable(self, message: str) -> CommandFailed:
        return CommandFailed(ExitCode.UNAVAILABLE, self._keyless(message))

    def _keyless(self, message: str) -> str:
        return message.replace(self._key, REDACTED) if len(self._key) >= _SHORTEST_SECRET else message

    def _unintelligible(self) -> CommandFailed:
        return self._unreachable(f"The answer of {self._base_url} is not the Files API's. Is base_url right? It usually ends in /v1.")


def _checked_base_url(text: str) -> str:
    try:
        url = httpx2.URL(text)
        _ = urlsplit(text).port  # httpx2 lets ports above 65535 pass, and they wrap around to another
    except (httpx2.InvalidURL, ValueError) as error:
        raise CommandFailed(ExitCode.USAGE, f"base_url is no URL: {error}.") from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise CommandFailed(ExitCode.USAGE, "base_url must be such as https://files.example.com/v1: no user, query or fragment in it.")
    return text.rstrip("/")


def _verification(base_url: str) -> ssl.SSLContext | bool:
    """Reading the certificate authorities takes longer than a whole small request; without TLS they are not needed.

    The context that stands in for them trusts nobody.
    """
    if base_url.startswith("http://") and not getproxies():
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return True


def _path_of(file_id: str) -> str:
    if file_id in {"", ".", ".."}:
        raise CommandFailed(ExitCode.USAGE, f"'{file_id}' is no file id.")
    return f"/files/{quote(file_id, safe='', errors='surrogateescape')}"


def _exit_code_of(status: int) -> ExitCode:
    if status in {401, 403}:
        return ExitCode.NOT_AUTHORISED
    if status == 404:  # noqa: PLR2004 - HTTP's own number
        return ExitCode.NOT_FOUND
    return ExitCode.REFUSED if 300 <= status < 500 else ExitCode.UNAVAILABLE  # noqa: PLR2004 - HTTP's own classes


def _message_of(response: httpx2.Response) -> str | None:
    """The message in the error envelope, if the answer has one."""
    try:
        message = json.loads(_read_at_most(response, _LARGEST_ERROR))["error"]["message"]
    except (ValueError, RecursionError, LookupError, TypeError, httpx2.HTTPError):
        return None
    return message if isinstance(message, str) and message else None


def _read_at_most(response: httpx2.Response, limit: int) -> bytes:
    """Raises ValueError when there is more."""
    if response.is_stream_consumed:
        return response.content
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > limit:
            raise ValueError
    return bytes(body)
