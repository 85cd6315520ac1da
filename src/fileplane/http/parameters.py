"""Query parameters: each declared once, parsed and described in the OpenAPI document from the same declaration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from fileplane.access import Scope
from fileplane.errors import AboveMaximum, BelowMinimum, InvalidValue, UnknownParameter
from fileplane.files.remote_shapes import RemoteListQuery
from fileplane.ids import parse_file_id
from fileplane.model import FileQuery
from fileplane.settings import Settings

_DEFAULT_LIMIT: Final = 100
_LARGEST_OFFSET: Final = 2**53
_FLAG: Final = {"type": "string", "enum": ["true", "false"], "default": "false"}
_WHOLE: Final = re.compile(r"-?[0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, of the query or a header, and its JSON schema."""

    name: str
    description: str
    schema: Mapping[str, Any]
    required: bool = False

    def whole(self, text: str) -> int:
        """``text`` as a number within the schema's bounds. Raises InvalidValue, BelowMinimum or AboveMaximum."""
        if not _WHOLE.fullmatch(text):
            raise InvalidValue(f"Invalid '{self.name}': expected a whole number.", param=self.name)
        number, minimum, maximum = int(text), self.schema["minimum"], self.schema["maximum"]
        if number < minimum:
            raise BelowMinimum(
                f"Invalid '{self.name}': integer below minimum value. Expected a value >= {minimum}, but got {number} instead.",
                param=self.name,
            )
        if number > maximum:
            raise AboveMaximum(
                f"Invalid '{self.name}': integer above maximum value. Expected a value <= {maximum}, but got {number} instead.",
                param=self.name,
            )
        return number

    def choice(self, text: str) -> str:
        """``text`` if it is one of the schema's values. Raises InvalidValue."""
        if text not in self.schema["enum"]:
            raise InvalidValue(f"Invalid '{self.name}': expected one of {', '.join(self.schema['enum'])}.", param=self.name)
        return text


def list_parameters(settings: Settings) -> tuple[Parameter, ...]:
    """The parameters of a list of files."""
    largest = settings.max_list_limit
    return (
        Parameter("purpose", "Only files of this purpose. An unknown purpose gives an empty list.", {"type": "string"}),
        Parameter(
            "limit",
            "Files in one page.",
            {"type": "integer", "minimum": 1, "maximum": largest, "default": min(_DEFAULT_LIMIT, largest)},
        ),
        Parameter("order", "By time of creation.", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        Parameter("after", "The id of the last file of the page before. Not together with offset.", {"type": "string"}),
        Parameter(
            "offset",
            "Files to pass over. Not together with after.",
            {"type": "integer", "minimum": 0, "maximum": _LARGEST_OFFSET, "default": 0},
        ),
        Parameter("deleted", "List the deleted files that can still be restored instead.", _FLAG),
    )


def delete_parameters(_: Settings) -> tuple[Parameter, ...]:
    """The parameters of a deletion."""
    return (
        Parameter(
            "purge", f"End the file for good, also one that is deleted already. This needs the scope `{Scope.FILES_PURGE}` too.", _FLAG
        ),
    )


def parse_list_query(query_string: bytes, parameters: tuple[Parameter, ...]) -> FileQuery:
    """The page that is asked for. An empty ``purpose`` or ``after`` counts as absent.

    Raises an :class:`~fileplane.errors.InvalidRequest` that names the parameter.
    """
    declared = {parameter.name: parameter for parameter in parameters}
    given = parse_query(query_string, parameters, "A list")
    limit = declared["limit"]
    after = given.get("after") or None
    if after is not None and "offset" in given:
        raise InvalidValue("'after' and 'offset' cannot be combined. Use one of them.", param="after")
    cursor = parse_file_id(after) if after is not None else None
    if after is not None and cursor is None:
        raise InvalidValue("Invalid 'after': no such file. Use the id of a file from the page before.", param="after")
    return FileQuery(
        limit=limit.whole(given["limit"]) if "limit" in given else limit.schema["default"],
        purpose=given.get("purpose") or None,
        newest_first=declared["order"].choice(given.get("order", "desc")) == "desc",
        after=cursor,
        offset=declared["offset"].whole(given["offset"]) if "offset" in given else 0,
        deleted=_is_set(declared["deleted"], given),
    )


def parse_remote_list_query(query_string: bytes, parameters: tuple[Parameter, ...]) -> RemoteListQuery:
    """As :func:`parse_list_query`, for a list of files at providers, whose ids are theirs."""
    declared = {parameter.name: parameter for parameter in parameters}
    given = parse_query(query_string, parameters, "A list")
    after = given.get("after") or None
    if after is not None and "offset" in given:
        raise InvalidValue("'after' and 'offset' cannot be combined. Use one of them.", param="after")
    if _is_set(declared["deleted"], given):
        raise InvalidValue("A file that is deleted at its provider cannot be restored. Leave 'deleted' out.", param="deleted")
    return RemoteListQuery(
        limit=declared["limit"].whole(given["limit"]) if "limit" in given else None,
        purpose=given.get("purpose") or None,
        newest_first=declared["order"].choice(given.get("order", "desc")) == "desc",
        after=after,
        offset=declared["offset"].whole(given["offset"]) if "offset" in given else 0,
    )


def parse_purge(query_string: bytes, parameters: tuple[Parameter, ...]) -> bool:
    """Whether a deletion is to be for good. Raises an :class:`~fileplane.errors.InvalidRequest` that names the parameter."""
    return _is_set(parameters[0], parse_query(query_string, parameters, "A deletion"))


def _is_set(flag: Parameter, given: Mapping[str, str]) -> bool:
    return flag.choice(given.get(flag.name, "false")) == "true"


def parse_query(query_string: bytes, parameters: tuple[Parameter, ...], operation: str) -> dict[str, str]:
    """The parameters that were given, by name, each declared and given once. Raises an InvalidRequest; ``operation`` begins a sentence."""
    declared = [parameter.name for parameter in parameters]
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidValue(
            "The query string is not valid: it must be percent-encoded UTF-8, with at most 100 parameters.", param="query"
        ) from error
    for name, value in pairs:
        if name not in declared:
            raise UnknownParameter(f"Unknown parameter: '{name[:80]}'. {operation} takes {', '.join(declared)}.", param=name[:80])
        if name in given:
            raise InvalidValue(f"'{name}' was given twice. Give it once.", param=name)
        given[name] = value
    return given
