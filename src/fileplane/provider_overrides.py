"""What an operator knows better of a provider than this version of Fileplane does: the setting ``provider_overrides``.

Kept in the settings as the JSON text of ``{provider: {field: value}}``, checked, with its names in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fileplane.setting_values import list_of_names, one_of, parse_size, whole_number, yes_or_no

NO_LIMIT: Final = "none"
"""In the place of a size, a number or purposes: there is no such limit."""
_A_YEAR: Final = 366 * 86_400
_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~@:=+-]+)*")


@dataclass(frozen=True, slots=True)
class OverridableField:
    """A fact about a provider that can be set: how its value is read, and what it says."""

    parse: Callable[[object], object]
    help: str


def _base_url(value: object) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise ValueError("a base URL such as https://api.example.com/v1")
    return value


def _purposes(value: object) -> list[str]:
    names = sorted(set(list_of_names(value)))
    if not names:
        raise ValueError("a list of purposes, or none for any")
    return names


def _sizes(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("sizes by purpose, such as {batch = '200 MB'}")
    return {name: parse_size(size) for name, size in sorted(value.items())}


def _or_none(parse: Callable[[object], object]) -> Callable[[object], object]:
    def read(value: object) -> object:
        return None if value == NO_LIMIT else parse(value)

    return read


OVERRIDABLE: Final[Mapping[str, OverridableField]] = {
    "base_url": OverridableField(_base_url, "where the provider is, up to but not including `/files`"),
    "max_bytes": OverridableField(_or_none(parse_size), "the largest file, such as `512 MB`, or `none`"),
    "max_bytes_of": OverridableField(_sizes, "the largest file of single purposes"),
    "purposes": OverridableField(_or_none(_purposes), "the purposes that it takes, or `none` for any"),
    "max_list_limit": OverridableField(whole_number(1, 10_000), "the largest `limit` of its list"),
    "default_list_limit": OverridableField(whole_number(1, 10_000), "the `limit` where none is given"),
    "paging": OverridableField(one_of("cursor", "token", "pages", "none"), "how its list is paged"),
    "order": OverridableField(one_of("asked", "newest_first", "oldest_first", "any"), "in which order it lists"),
    "shortest_expiry_seconds": OverridableField(whole_number(1, _A_YEAR), "the shortest `expires_after` that it takes"),
    "longest_expiry_seconds": OverridableField(
        _or_none(whole_number(1, _A_YEAR)), "the longest, which lets it take one at all; `none`: it takes none"
    ),
    "default_expiry_seconds": OverridableField(
        _or_none(whole_number(1, 10 * _A_YEAR)), "how long files last without one; `none`: for ever"
    ),
    "get": OverridableField(yes_or_no, "whether a single file can be described"),
    "download": OverridableField(yes_or_no, "whether files can be downloaded"),
    "delete": OverridableField(yes_or_no, "whether files can be deleted"),
    "ranges": OverridableField(yes_or_no, "whether part of a file can be asked for"),
}
"""Every field, by the name that the setting has for it."""


def provider_overrides(value: object) -> str:
    """Reads the setting, from a table in TOML or from JSON. Raises ValueError, saying what would do."""
    table = _table(value)
    checked: dict[str, dict[str, object]] = {}
    for provider, given in sorted(table.items()):
        if not isinstance(given, dict):
            raise ValueError(f"an object by provider, and '{provider[:80]}' has none")  # noqa: TRY004 - as every parser of a setting
        checked[provider] = {name: _value(provider, name, raw) for name, raw in sorted(given.items())}
    return json.dumps(checked)


def read_overrides(text: str | None) -> Mapping[str, Mapping[str, Any]]:
    """What the setting holds, by provider and field."""
    return json.loads(text) if text else {}


def _table(value: object) -> dict[str, Any]:
    expected = 'a table by provider, such as {"groq": {"max_bytes": "100 MB"}}'
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(expected) from error
    if not isinstance(value, dict):
        raise ValueError(expected)  # noqa: TRY004 - as every parser of a setting
    return value


def _value(provider: str, name: str, raw: object) -> object:
    known = OVERRIDABLE.get(name)
    if known is None:
        raise ValueError(f"of known fields, which '{provider[:80]}.{name[:80]}' is not: {', '.join(OVERRIDABLE)}")
    try:
        return known.parse(raw)
    except ValueError as error:
        raise ValueError(f"right in '{provider[:80]}.{name}', which must be {error}") from error
