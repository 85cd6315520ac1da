"""Values of settings, from texts and from TOML. Each parser raises ValueError, saying what would do."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

_KEY_BYTES: Final = 32
_FEWEST_BYTES: Final = 12  # different ones: random keys have some 30, and fewer than this never
_SECRET_PATTERN: Final = re.compile(r"env:[A-Za-z0-9_*]+|file:/[^\x00-\x1f\x7f]+")
_HOST_PATTERN: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_DEFAULT_PORT: Final = re.compile(r"^http://.*:80$|^https://.*:443$")
_SIZE: Final = re.compile(r"(\d+)\s*(B|KB|MB|GB|TB|KIB|MIB|GIB|TIB)?", re.IGNORECASE)
_POWERS: Final = {"K": 1, "M": 2, "G": 3, "T": 4}


BATCH_URLS: Final = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
"""The endpoints that OpenAI runs batches for."""


def parse_size(value: object) -> int:
    """Bytes, from a whole number or a text such as ``100 MiB`` (powers of 1024) or ``100 MB`` (powers of 1000)."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a size such as 1048576 or '100 MiB'")
    unit = (match[2] or "B").upper()
    base = 1024 if unit.endswith("IB") else 1000
    return int(match[1]) * int(base ** _POWERS.get(unit[0], 0))


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[object], int]:
    """A parser of whole numbers within bounds, both included."""

    def parse(value: object) -> int:
        expected = f"a whole number from {minimum}" + (f" to {maximum}" if maximum is not None else " upward")
        text = str(value)
        if isinstance(value, bool) or not text.isascii() or not text.isdigit():
            raise ValueError(expected)
        number = int(text)
        if number < minimum or (maximum is not None and number > maximum):
            raise ValueError(expected)
        return number

    return parse


def seconds(minimum: float = 0.0, maximum: float = 86_400.0) -> Callable[[object], float]:
    """A parser of seconds within bounds, both included."""

    def parse(value: object) -> float:
        expected = f"seconds, a number from {minimum:g} to {maximum:g}"
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not minimum <= number <= maximum:
            raise ValueError(expected)
        return number

    return parse


def plain_text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def file_path(value: object) -> Path:
    """A path; ``~`` is somebody's home."""
    try:
        return Path(plain_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("a path whose ~ is the home of a user of this machine") from error


def list_of_names(value: object) -> tuple[str, ...]:
    """Texts, from a list or separated by commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError("a list of names, separated by commas in the environment")
    return tuple(item.strip() for item in items if item.strip())


def parse_key(value: object) -> bytes:
    """A random 256-bit key, from base64 or hex."""
    expected = "32 random bytes in base64 or hex, such as `openssl rand -base64 32` prints"
    text = value.strip() if isinstance(value, str) else ""
    try:
        key = bytes.fromhex(text) if len(text) == _KEY_BYTES * 2 else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES or len(set(key)) < _FEWEST_BYTES:
        raise ValueError(expected)
    return key


def secret_patterns(value: object) -> tuple[str, ...]:
    """Patterns of secret references."""
    patterns = list_of_names(value)
    if not all(_SECRET_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise ValueError("a list of patterns such as env:OPENAI_* or file:/run/secrets/*")
    return patterns


def networks(value: object) -> tuple[str, ...]:
    """Addresses and networks, as they were written."""
    names = list_of_names(value)
    for name in names:
        try:
            ipaddress.ip_network(name, strict=False)
        except ValueError as error:
            raise ValueError("a list of IP addresses or CIDR networks") from error
    return names


def origins(value: object) -> tuple[str, ...]:
    """Origins of web pages as browsers name them (RFC 6454, section 6.2), or ``*`` alone for any."""
    expected = "a list of origins such as https://app.example.com, without a path, each written as browsers write it; or * alone"
    names = list_of_names(value)
    if names != ("*",) and not all(_ORIGIN.fullmatch(name) and not _DEFAULT_PORT.search(name) for name in names):
        # What no browser sends would never match; "null" is sent by whatever hides where it comes from.
        raise ValueError(expected)
    return names


def yes_or_no(value: object) -> bool:
    """From TOML, or from a text."""
    if isinstance(value, bool):
        return value
    if value not in {"true", "false"}:
        raise ValueError("true or false")
    return value == "true"


def one_of(*choices: str) -> Callable[[object], str]:
    """A parser of a choice."""

    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return parse


def egress_rules(value: object) -> tuple[str, ...]:
    """Host names, patterns of them, addresses and networks, in lower case."""
    rules = tuple(rule.lower().rstrip(".") for rule in list_of_names(value))
    for rule in rules:
        try:
            ipaddress.ip_network(rule, strict=False)
        except ValueError as error:
            if not _HOST_PATTERN.fullmatch(rule) or rule.rpartition(".")[2].isdigit():
                raise ValueError("a list of host names, patterns such as *.internal.example, addresses and CIDR networks") from error
    return rules


def database_url(value: object) -> str:
    """A PostgreSQL database, with its credentials and parameters if it wants any."""
    text = value if isinstance(value, str) else ""
    # What has a lone percent sign or bracket in it is a password that nobody has encoded.
    sound = not re.search(r"%(?![0-9A-Fa-f]{2})", text) and re.fullmatch(r"[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*", text)
    if not sound or not re.fullmatch(r"postgres(?:ql)?://[^\s/]*/[^\s/?#]+(?:\?\S*)?", text):
        raise ValueError(
            "a URL such as postgresql://fileplane@db.internal/fileplane?sslmode=verify-full, with % in a password written as %25"
        )
    return text


def proxy_url(value: object) -> str:
    """A proxy, with its credentials if it wants any."""
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(r"https?://(?:[^\s/@?#]+@)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?", text):
        raise ValueError("a URL such as http://proxy.internal:3128")
    return text
