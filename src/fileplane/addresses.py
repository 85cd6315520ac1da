"""Values of settings that say where something is to be had, and how much of it. Each raises ValueError, saying what would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

TRACES_PATH: Final = "/v1/traces"  # what a collector's base URL gets added to it
_PORT_DIGITS: Final = 5
_LAST_PORT: Final = 65_535


def parse_address(value: object) -> tuple[str, int]:
    """Host and port, from a text such as ``127.0.0.1:9464`` or ``[::1]:9464``."""
    host, _, port = value.strip().rpartition(":") if isinstance(value, str) else ("", "", "")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS else 0
    if not bare or (":" in bare) != (bare != host) or any(character.isspace() for character in bare) or not 0 < number <= _LAST_PORT:
        raise ValueError("an address with its port, such as 127.0.0.1:9464 or [::1]:9464")
    return bare, number


def parse_optional_address(value: object) -> str | None:
    """The text of an address that :func:`parse_address` understands, or None for an empty one."""
    if value == "":
        return None
    parse_address(value)
    return str(value).strip()


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """``text`` has no slash at its end. ``has_more`` when there is a user, a password, a query or a fragment in it."""

    text: str
    has_more: bool


def parse_base_url(value: object) -> BaseUrl | None:
    """An HTTP URL to which a path is added, or None for an empty text."""
    if value == "":
        return None
    try:
        url = urlsplit(value.strip() if isinstance(value, str) else "")
        understood = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        understood = False
    has_more = isinstance(value, str) and any(character in value for character in "@?#")
    if not understood and not has_more:
        raise ValueError("the base URL of a collector, such as http://127.0.0.1:4318")
    return BaseUrl(str(value).strip().rstrip("/"), has_more)


def parse_share(value: object) -> float:
    """A number from 0 to 1."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 <= number <= 1:
        raise ValueError("a number from 0 to 1")
    return number
