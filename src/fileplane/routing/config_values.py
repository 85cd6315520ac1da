"""A config document as values: frozen through and through, comparable, and silent about secrets.

An option that is None was not given, so that the target above, or the default, decides. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from fileplane.secrets.values import Secret

DEFAULT_RETRY_CODES: Final = (429, 500, 502, 503, 504)


class Mode(StrEnum):
    """How a target is chosen among several."""

    SINGLE = "single"
    FALLBACK = "fallback"
    LOADBALANCE = "loadbalance"
    CONDITIONAL = "conditional"


class Operator(StrEnum):
    """How a value of the request is compared with that of a condition."""

    EQUAL = "$eq"
    NOT_EQUAL = "$ne"
    GREATER = "$gt"
    GREATER_OR_EQUAL = "$gte"
    LESS = "$lt"
    LESS_OR_EQUAL = "$lte"
    IN = "$in"
    NOT_IN = "$nin"
    REGEX = "$regex"


PARAMS: Final = "params."
"""What the names of fields begin with that are members of a JSON body."""

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field`` is ``metadata.<name>``, ``params.<name>`` or ``url.pathname``; only $in and $nin have several operands."""

    field: str
    operator: Operator
    operands: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when every part does; there are at least two."""

    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when at least one of the parts does; there are at least two."""

    parts: tuple[Query, ...]


Query: TypeAlias = Comparison | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Condition:
    """Leads to the target named ``then`` when ``query`` holds."""

    query: Query
    then: str


@dataclass(frozen=True, slots=True)
class Strategy:
    """``on_status_codes`` belong to fallback alone (None: go on after every failure), conditions and default to conditional alone."""

    mode: Mode
    on_status_codes: tuple[int, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    default: str | None = None
    ignored: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """``attempts`` are repetitions: 0 means that a request is sent once."""

    attempts: int
    on_status_codes: tuple[int, ...] = DEFAULT_RETRY_CODES
    use_retry_after_header: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a target inherits from those around it, value by value; metadata, parameters and file options name by name.

    ``override_params`` are names with values as JSON text. ``forward_headers`` are in lower case. ``file_options`` are for object stores:
    ``file_purpose``, ``provider_model`` and ``provider_file_name``.
    """

    retry: Retry | None = None
    request_timeout_ms: int | None = None
    custom_host: str | None = None
    forward_headers: tuple[str, ...] | None = None
    override_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    file_options: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    keep_copy: bool | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """Who is called as whom: a stored virtual key, or a provider with the document's own key and that provider's fields.

    ``fields`` are such as ``aws_region``; a flag is "true" or "false", and an object its JSON text.
    """

    provider: str | None = None
    virtual_key: str | None = None
    api_key: Secret | None = None
    fields: tuple[tuple[str, str | Secret], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.provider or self.virtual_key or self.api_key or self.fields)

    @property
    def names_a_provider(self) -> bool:
        """Whether it says where to go, and so stands by itself."""
        return bool(self.provider or self.virtual_key)


@dataclass(frozen=True, slots=True)
class Target:
    """A node of the tree: one upstream, or a strategy over the targets in it, or a reference to another config.

    ``path`` is such as ``targets[0].targets[1]``, empty for the document itself.
    ``ignored`` are fields that Fileplane has no use for, with their values as JSON text.
    """

    path: str = ""
    name: str | None = None
    weight: float = 1
    credential: Credential = Credential()
    options: Options = Options()
    strategy: Strategy | None = None
    targets: tuple[Target, ...] = ()
    config: str | None = None
    referenced: bool = False
    """Whether this is the root of another document, put here by :func:`~fileplane.routing.config_references.expand`."""
    ignored: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """A document that was found to be in order by itself.

    ``ignored`` are the paths of fields without effect on files, such as ``cache`` or ``targets[0].input_guardrails``.
    """

    root: Target
    ignored: tuple[str, ...] = ()
