"""The options of a target: retry, timeout, host, forwarded headers, parameters, metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from fileplane.providers.object_ids import is_object_key
from fileplane.routing.config_fields import FILE_OPTIONS, RETRY_FIELDS
from fileplane.routing.config_problems import inside
from fileplane.routing.config_reader import ObjectReader
from fileplane.routing.config_values import DEFAULT_RETRY_CODES, Options, Retry

MOST_ATTEMPTS: Final = 10
LONGEST_TIMEOUT_MS: Final = 24 * 60 * 60 * 1_000
LONGEST_URL: Final = 2_048
MOST_FORWARDED: Final = 50
MOST_METADATA: Final = 64
LONGEST_METADATA: Final = 1_024
"""In characters, of a value."""
_REMEMBERED_URLS: Final = 256

NEVER_FORWARDED: Final = frozenset({
    "api-key", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "forwarded",
    "host", "keep-alive", "metadata-flavor", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "x-api-key", "x-aws-ec2-metadata-token", "x-goog-api-key", "x-google-metadata-request",
})  # fmt: skip
"""Headers that say who is calling, frame the message, or open a cloud's metadata service. Portkey's own, ``x-portkey-*``, neither."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_HOST: Final = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*", re.ASCII)
_FILE_PURPOSE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}", re.ASCII)
_AFTER_HOST: Final = re.compile(r"[0-9A-Za-z._~%!$&'()*+,;=:@/-]*", re.ASCII)


def read_options(reader: ObjectReader) -> Options:
    """What the target itself says."""
    return Options(
        retry=_retry(reader),
        request_timeout_ms=reader.integer("request_timeout", 1, LONGEST_TIMEOUT_MS),
        custom_host=_custom_host(reader),
        forward_headers=_forward_headers(reader),
        override_params=_override_params(reader),
        file_options=_file_options(reader),
        metadata=_metadata(reader),
        keep_copy=reader.flag("keep_copy"),
    )


def _retry(reader: ObjectReader) -> Retry | None:
    retry = reader.object("retry")
    if retry is None:
        return None
    retry.refuse_unknown(RETRY_FIELDS)
    if not retry.has("attempts"):
        retry.problem("attempts", f"This is missing: the number of repetitions, from 0 to {MOST_ATTEMPTS}.")
    attempts = retry.integer("attempts", 0, MOST_ATTEMPTS)
    codes = retry.status_codes("on_status_codes")
    # Portkey's documentation writes the one and its code reads the other.
    flags = [retry.flag(name) for name in ("use_retry_after_header", "use_retry_after_headers")]
    if None not in flags and flags[0] != flags[1]:
        retry.problem("use_retry_after_headers", "This says the opposite of 'use_retry_after_header', which means the same. Leave one out.")
    return Retry(attempts or 0, DEFAULT_RETRY_CODES if codes is None else codes, any(flags))


def _custom_host(reader: ObjectReader) -> str | None:
    host = reader.text("custom_host", longest=LONGEST_URL)
    if host is not None and (wrong := what_is_wrong_with_url(host)):
        reader.problem("custom_host", wrong)
        return None
    return host


def what_is_wrong_with_url(url: str) -> str | None:
    """Why ``url`` cannot be a provider's base, or None. Whether it may be called is for the egress policy to say."""
    try:
        _require_base_url(url)
    except _NoBaseUrl as error:
        return str(error)
    return None


class _NoBaseUrl(Exception):
    """The message says why, and what to write instead."""


@lru_cache(maxsize=_REMEMBERED_URLS)
def _require_base_url(url: str) -> None:
    """Asked of every request with a host of its own. Nothing is remembered of what is refused, which may be long, or hold a password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise _NoBaseUrl("This is no URL. Write one such as 'https://llm.example.com/v1'.") from error
    if parts.scheme not in {"http", "https"}:
        raise _NoBaseUrl("This must be a URL that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise _NoBaseUrl("The URL must not hold a user name or password. Put the key into 'api_key'.")
    if "?" in url or "#" in url:
        raise _NoBaseUrl("The URL must end with its path, without '?' and '#'.")
    after = _AFTER_HOST.fullmatch(parts.path)
    if not _HOST.fullmatch(host) or "\\" in url or after is None or len(url) > LONGEST_URL:
        raise _NoBaseUrl(f"The URL must have a plain host, written in ASCII, and at most {LONGEST_URL} characters.")


def _forward_headers(reader: ObjectReader) -> tuple[str, ...] | None:
    value = reader.values.get("forward_headers")
    path = reader.at("forward_headers")
    if isinstance(value, str):
        names: list[Any] | None = split_header_list(value)
    else:
        names = None if value == [] else reader.array("forward_headers", most=MOST_FORWARDED)
        if value == []:
            return ()
    if names is None:
        return None
    if len(names) > MOST_FORWARDED:
        reader.problem("forward_headers", f"This must name at most {MOST_FORWARDED} headers.")
        return None
    for number, name in enumerate(names):
        if wrong := what_is_wrong_with_forwarding(name):
            reader.notes.problems.add(inside(path, number), wrong)
    return header_names(name for name in names if isinstance(name, str))


def split_header_list(text: str) -> list[str]:
    """The names in ``a, b``, in ``['a', 'b']`` and in ``["a", "b"]``."""
    plain = text.strip()
    if plain.startswith("[") and plain.endswith("]"):
        plain = plain[1:-1]
    names = (name.strip() for name in plain.split(","))
    return [name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name for name in names if name]


def what_is_wrong_with_forwarding(name: object) -> str | None:
    """Why a header cannot be passed on to a provider, or None."""
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        return "This must be the name of a header."
    if name.lower() in NEVER_FORWARDED or name.lower().startswith("x-portkey-"):
        return "This header is never passed on. Leave it out; credentials belong into a virtual key or 'api_key'."
    return None


def header_names(names: Iterable[str]) -> tuple[str, ...]:
    """In lower case, each once, in the order given."""
    return tuple(dict.fromkeys(name.lower() for name in names))


def _override_params(reader: ObjectReader) -> tuple[tuple[str, str], ...]:
    params = reader.object("override_params")
    return () if params is None else tuple((name, json.dumps(value)) for name, value in params.values.items())


def _metadata(reader: ObjectReader) -> tuple[tuple[str, str], ...]:
    metadata = reader.object("metadata")
    if metadata is None:
        return ()
    if len(metadata.values) > MOST_METADATA:
        reader.problem("metadata", f"This must have at most {MOST_METADATA} entries.")
        return ()
    for name, value in metadata.values.items():
        if not isinstance(value, str) or len(value) > LONGEST_METADATA:
            metadata.problem(name, f"This must be a text of at most {LONGEST_METADATA} characters.")
    return tuple((name, value) for name, value in metadata.values.items() if isinstance(value, str))


def _file_options(reader: ObjectReader) -> tuple[tuple[str, str], ...]:
    found: dict[str, tuple[str, str]] = {}
    for spelling, name in FILE_OPTIONS.items():
        text = reader.text(spelling, longest=LONGEST_URL)
        wrong = None if text is None else what_is_wrong_with_file_option(name, text)
        if text is None:
            continue
        if wrong is None and name in found and found[name][1] != text:
            wrong = f"This says something else than '{found[name][0]}', which means the same. Leave one out."
        if wrong is not None:
            reader.problem(spelling, wrong)
            continue
        found.setdefault(name, (spelling, text))
    return tuple((name, text) for name, (_, text) in found.items())


def what_is_wrong_with_file_option(name: str, text: str) -> str | None:
    """Why ``text`` cannot be said of a file that goes to an object store, or None. ``name`` is a value of ``FILE_OPTIONS``."""
    if name == "file_purpose" and not _FILE_PURPOSE.fullmatch(text):
        return "This must be a purpose, such as 'batch', or 'upload' for a file that is to be kept as it is."
    if name == "provider_model" and not _MODEL.fullmatch(text):
        return "This must be the id or ARN of a model, such as 'anthropic.claude-3-haiku-20240307-v1:0'."
    if name == "provider_file_name" and not is_object_key(text):
        return "This must be the key of an object: 1 to 1024 bytes, without control characters, percent-encodings and segments '.' or '..'."
    return None
