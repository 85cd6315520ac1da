"""What is passed on of a provider's refusal: status, type, code, message, cleaned of secrets. Never its headers or cookies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote

from fileplane.errors import ProviderRefused, UpstreamAnswerInvalid
from fileplane.providers.absence import code_says_absent, of_the_address, says_absent
from fileplane.providers.xml_answers import parse_xml
from fileplane.secrets.values import REDACTED, Secret

MOST_ANSWER_BYTES: Final = 1 << 16
_LONGEST_MESSAGE: Final = 1_000
_SHORTEST_SECRET: Final = 4
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LIKE_A_KEY: Final = re.compile(
    r"(?:Bearer\s+[\w.~+/=-]{8,}|\b(?:sk|pk|rk|gsk|xai|csk|pplx|pa|fw|key|ghp|AKIA|AIza|ya29|eyJ)[-_.]?[A-Za-z0-9_.-]{16,})"
)
_WORDS: Final = ("message", "detail", "msg", "error_description", "error")
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_NOT_USUAL: Final = {498: 401}
"""What Cohere says of a token that is none (https://docs.cohere.com/reference/errors)."""
_ABSENT_CODES: Final = frozenset({"NoSuchKey", "NoSuchUpload"})
"""Of S3 for an object and an upload in parts."""
_ABSENT_WITHOUT_WORDS: Final = frozenset({"notFound", "Not Found"})
"""Of Cloud Storage, and of fake-gcs-server. Neither has other words, or has those, where an object does not exist."""
_PLAINLY: Final = b"No such object: "
"""What Cloud Storage says of a download, where others have JSON."""
_FIRST_REFUSAL, _FIRST_FAILURE, _END = 400, 500, 600


def refusal(status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[Secret] = ()) -> ProviderRefused:
    """The error to be raised for an answer that is no success. ``secrets`` are those that the request carried."""
    known = list(secrets)
    status = _NOT_USUAL.get(status, status)
    said = _error_of(_json(body)) or _error_in_xml(body)
    message = _text(said, *_WORDS) or f"The provider refused the request with status {status}."
    code = _word(_code(said, status), known) if said else ProviderRefused.code
    return ProviderRefused(
        cleaned(message, known),
        status=status if _FIRST_REFUSAL <= status < _END else 502,
        type=_word(_text(said, "type"), known) or _type_for(status),
        code=None if code == str(status) else code,
        param=_word(_text(said, "param", "target"), known),
        retry_after=retry_after_of(headers),
    )


def says_nothing_is_there(body: bytes, sought: str) -> bool:
    """Whether a 404 with this body says that what has the id ``sought`` does not exist.

    A page of HTML, a plain text or nothing at all comes from what stands before a provider; and of what a provider itself says, some is
    about an address, a method, an account or a model. So that only what names a file, a job or the id is believed, or has a code for it.
    """
    said = _error_of(_json(body)) or _error_in_xml(body)
    words, code = (_text(said, *_WORDS) or "").strip(), _text(said, "code") or ""
    if of_the_address(words):
        return False
    if code in _ABSENT_CODES or code_says_absent(code) or says_absent(words, sought):
        return True
    if code in _ABSENT_WITHOUT_WORDS:
        return words.lower().rstrip(".") in {"", "not found"}
    return not words and body.lstrip().startswith(_PLAINLY)


def _code(said: Mapping[str, Any], status: int) -> str | None:
    """Anthropic's stands among the details, and Google's is a number that says no more than the status, beside a word."""
    details = said.get("details")
    code = _text(said, "code", "status")
    if isinstance(details, dict) and code is None:
        return _text(details, "error_code")
    return _text(said, "status") if code == str(status) else code


def cleaned(text: str, secrets: Iterable[Secret] = ()) -> str:
    """A provider's words as callers may see them: without secrets or what looks like one, without control characters, not too long."""
    for secret in secrets:
        value = secret.reveal().removeprefix("Bearer ")
        for form in {value, quote(value, safe=""), json.dumps(value)[1:-1]}:
            if len(form) >= _SHORTEST_SECRET:
                text = text.replace(form, REDACTED)
    text = _UNPRINTABLE.sub(" ", _LIKE_A_KEY.sub(REDACTED, text)).strip()
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]} …"


def _word(text: str | None, secrets: Iterable[Secret]) -> str | None:
    """A name that a provider gives something, as long as it is one."""
    return text if text and _WORD.fullmatch(text) and cleaned(text, secrets) == text else None


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """How many seconds a provider asks to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(?:\.\d{1,6})?", value):
            return float(value) * unit
        if value and name == "retry-after":
            return _seconds_until(value)
    return None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _error_of(value: Any) -> Mapping[str, Any]:
    """The object that says what is wrong: OpenAI's ``error``, or the whole where there is none; a bare text is a message."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        return _with_reason(value["error"])
    if isinstance(value, dict):
        return value
    return {"message": value} if isinstance(value, str) else {}


def _with_reason(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Cloud Storage says the status again where others have a code, and the reason in the first of its ``errors``."""
    first = next(iter(error["errors"]), None) if isinstance(error.get("errors"), list) else None
    reason = first.get("reason") if isinstance(first, dict) else None
    return {**error, "code": reason} if isinstance(error.get("code"), int) and isinstance(reason, str) else dict(error)


def _error_in_xml(body: bytes) -> Mapping[str, Any]:
    """What Amazon's APIs say, with or without an ``ErrorResponse`` around the ``Error``."""
    if not body.lstrip().startswith(b"<"):
        return {}
    try:
        root = parse_xml(body)
    except UpstreamAnswerInvalid:
        return {}
    error = next(root.all("Error"), root) if root.name == "ErrorResponse" else root
    if error.name != "Error":
        return {}
    return {name.lower(): text for name in ("Code", "Message") if (text := error.value(name))}


def _text(said: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = said.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _type_for(status: int) -> str:
    if not _FIRST_REFUSAL <= status < _FIRST_FAILURE:
        return "upstream_error"
    return _TYPES.get(status, "invalid_request_error")
