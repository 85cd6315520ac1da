"""A Content-Disposition read by the letter of RFC 6266 and RFC 8187, so that anything beside their grammar is a failure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_QUOTED = r'"(?P<plain>(?:[ !#-\[\]-~]|\\[ -~])*)"'
_EXTENDED = r"UTF-8''(?P<extended>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)"
_HEADER = re.compile(rf"(?P<type>[a-z]+); filename={_QUOTED}; filename\*={_EXTENDED}")


@dataclass(frozen=True)
class Disposition:
    """``plain`` is for clients that know no ``filename*``; ``filename`` is what all others take."""

    type: str
    plain: str
    filename: str


def parse_disposition(header: str) -> Disposition:
    match = _HEADER.fullmatch(header)
    assert match is not None, f"not by the grammar: {header!r}"
    return Disposition(match["type"], re.sub(r"\\(.)", r"\1", match["plain"]), unquote_to_bytes(match["extended"]).decode("utf-8"))
