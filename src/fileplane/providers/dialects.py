"""What providers that speak OpenAI's APIs, or nearly so, say differently: values, read by :mod:`fileplane.providers.openai`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from fileplane.catalog import JobKind
from fileplane.providers.base import Capabilities, Target
from fileplane.providers.remote_ids import FilePath, file_path


class ListOrder(StrEnum):
    """In which order a provider lists its files."""

    ASKED = "asked"
    """In the one that is asked for."""
    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    ANY = "any"
    """In none that can be relied on."""


Reads: TypeAlias = Callable[[Any, float], Any]
"""Makes of a provider's JSON the same in the usual words; the number is the time at the provider, in seconds since 1970."""


def as_it_is(answer: Any, now: float) -> Any:  # noqa: ARG001 - as every Reads
    """For a provider that speaks as OpenAI does."""
    return answer


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's way of speaking. The defaults are OpenAI's."""

    name: str
    title: str
    base_url: str
    """Up to but not including ``/files``. Empty where it depends on the target."""
    capabilities: Capabilities
    purposes: Mapping[str, str] = field(default_factory=dict)
    """Our callers' words with those that the provider is sent; what is not here is sent as it is."""
    read_purposes: Mapping[str, str] = field(default_factory=dict)
    """Its words with ours, where they are not just the other way round."""
    sends_purpose: bool = True
    upload_path: str = "/files"
    """Where uploads go, below the base URL."""
    name_field: str | None = None
    """A field of the form that has the file's name once more, and has to be there."""
    type_field: str | None = None
    """One that has the file's type, where ``types`` has a word for the ending of its name, in lower case and with the dot."""
    types: Mapping[str, str] = field(default_factory=dict)
    existing_in: str | None = None
    """The member of a refusal with 409 that has the id of a file of the same bytes, which the provider has already."""
    filters_purpose: bool = True
    """Whether its list can be asked for one purpose; otherwise it is filtered here."""
    has_status: bool = True
    order: ListOrder = ListOrder.ASKED
    get_by_list: bool = False
    """Whether a single file is looked for in the list, because it cannot be asked for."""
    wrapped_in: str | None = None
    """The member of an answer that the File object is in."""
    list_query: Mapping[str, str] = field(default_factory=dict)
    """Always part of the query of a list."""
    path: FilePath = file_path
    """Of a file below the base URL."""
    content_query: Mapping[str, str] = field(default_factory=dict)
    """Part of the query of a download."""
    read: Reads = as_it_is
    """Of a File object. One with ``deleted`` true is then no file any more."""
    read_list: Reads = as_it_is
    """Of a list's whole answer."""
    limit_parameter: str = "limit"
    cursor_parameter: str = "after"
    page_token: tuple[str, str] = ("pagination_token", "pagination_token")
    """The query's name for what the next page is asked with, and the answer's."""
    expiry_field: str | None = None
    """The form's field for the seconds until a file expires; None: OpenAI's two."""
    not_in_names: frozenset[str] = frozenset()
    """Characters that the provider takes in no file's name. What has one is refused before it is sent."""
    longest_name: int | None = None
    """Likewise, in characters."""
    not_found: Mapping[int, str] = field(default_factory=dict)
    """Other statuses than 404 that mean an unknown file when the message has these words."""

    pages_jobs: bool = True
    """Whether its lists of jobs heed ``limit`` and ``after``; otherwise they are whole, and in no order that can be relied on."""
    job_statuses: Mapping[JobKind, Mapping[str, str]] = field(default_factory=dict)
    """Its words for the states of jobs with OpenAI's, where :mod:`fileplane.providers.job_objects` does not know them."""

    def theirs(self, purpose: str) -> str:
        """A purpose as the provider calls it."""
        return self.purposes.get(purpose, purpose)

    def ours(self) -> Mapping[str, str]:
        """The provider's purposes with ours: of several of ours that it has one word for, the first."""
        return {**{theirs: ours for ours, theirs in reversed(list(self.purposes.items()))}, **self.read_purposes}


DialectOf: TypeAlias = Callable[[Target], Dialect]
"""How a target is spoken to."""
